"""Characters and named looks for a terminal: spans, bars, and numbers in little room; what a workload's panel is made of.

No library that draws: the live view (`host/show/monitor.py`) turns each look into colours. Importing this costs nothing.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

from host.show.status import Fields

STEPS = {"0": 0.0, ">0": 1e-9, "5": 0.05, "10": 0.10, "20": 0.20, "40": 0.40}
"""Where the colours of activity begin, by their names in the legend; fine at the low end, because activity is sparse."""
RISE = " ▁▂▃▄▅▆▇█"
_REACH = " ▏▎▍▌▋▊▉█"
_BOUNDS = tuple(STEPS.values())[1:]


class Span(NamedTuple):
    """Characters and how they look: a name in `models.palette.LOOKS`, "heat" (in the colour of step `ink`, on that of step
    `ground`), "tile" (as text on the step `ground`) or "light" (as "heat", by places in the palette's `BRIGHTNESS`).
    """

    text: str
    look: str = "plain"
    ink: int = -1
    ground: int = -1


Line = list[Span]


class Panel(NamedTuple):
    """A workload's part of the live view.

    `lines(layout_shown, shown, columns, rows)` returns at most `rows` lines from what the layout and the status have under
    `shown`, of which any key may be missing; `above`: it stands above the run's figures, else below them.
    """

    lines: Callable[[Fields, Fields, int, int], list[Line]]
    above: bool


def heat_step(share: float) -> int:
    """Return the step in `STEPS` of a share from 0 to 1."""
    return bisect_right(_BOUNDS, share)


def encoding(stream: TextIO) -> str:
    """Return the encoding that a stream writes."""
    return getattr(stream, "encoding", None) or "utf-8"


def clean(text: Any) -> str:
    """Return `text` as one line without what would start an escape sequence."""
    return "".join(char if char.isprintable() else " " for char in str(text or ""))


def columns_of(character: str) -> int:
    """Return how many columns a character takes."""
    if unicodedata.category(character) in ("Mn", "Mc", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return `text` in exactly so many columns: cut, or with blanks behind it."""
    used, end = 0, 0
    for end, character in enumerate(text):
        if used + columns_of(character) > columns:
            return text[:end] + " " * (columns - used)
        used += columns_of(character)
    return text + " " * (columns - used)


def figure(value: float | None) -> str:
    """Return a number in at most nine characters."""
    if value is None or abs(value) >= 1e8:  # as wide as a column is
        return "?" if value is None else f"{value:.2e}"
    return f"{value:,.{0 if abs(value) >= 100 or value % 1 == 0 else 1}f}"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in percent, small ones with a decimal."""
    return "?" if share is None else f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def bar(share: float, width: int) -> str:
    """Return a share from 0 to 1 of `width` characters as a bar, to an eighth of a character."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    return "█" * (eighths // 8) + _REACH[eighths % 8].strip()


def sparkline(values: Sequence[float | None]) -> str:
    """Return a character a value, as high as it is beside the highest."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None or top <= 0 else RISE[1 + int(7 * (max(value, 0.0) / top))] for value in values)
