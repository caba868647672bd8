"""An event camera's frame and the scores of its classes, drawn in characters for the live view.

Two pixels, one above the other, make a character by half blocks; brightness becomes one of a few steps. Whatever comes in may
be of any size or missing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from host.show.status import at, finite
from host.show.terminal_style import Line, Span, bar
from models.palette import BRIGHTNESS

_SHORT = {"counter clockwise": "↺", "clockwise": "↻", "right ": "R ", "left ": "L "}
_SHORTER = {"R hand ": "R ", "L hand ": "L ", "hand ": "", " gestures": ""}
SHORTEST = 12  # characters that the names of DVS128 Gesture need when they are cut short


def cells(frame: Any, size: Any, columns: int) -> list[Line]:
    """Return rows of spans of one character, `columns` or fewer wide and half as high, of a frame of size * size bytes.

    Pixels are joined by their maximum where there are more than columns; nothing where the frame is not one. A brighter
    half is drawn as ink, so that without colours the bright half is seen too.
    """
    if not isinstance(frame, bytes | bytearray) or not isinstance(size, int) or size < 2 or len(frame) != size * size:
        return []
    step = -(-size // max(columns, 1))
    wide = size // step
    top = len(BRIGHTNESS) - 1
    pixels = [
        [
            -(-max(max(frame[row * size + x * step : row * size + (x + 1) * step]) for row in range(y, y + step)) * top // 255)
            for x in range(wide)
        ]
        for y in range(0, wide * step, step)
    ]
    return [
        [_cell(*pair) for pair in zip(above, below, strict=True)] for above, below in zip(pixels[::2], pixels[1::2], strict=False)
    ]


def _cell(above: int, below: int) -> Span:
    if above == below:
        return Span("█" if above else " ", "light", above, above)
    return Span("▀", "light", above, below) if above > below else Span("▄", "light", below, above)


class Bar(NamedTuple):
    """A class: its name in `room` characters, its score as a bar, whether it is the true one, and whether it leads."""

    name: str
    bar: str
    true: bool
    leads: bool


def bars(classes: Sequence[Any], scores: Any, label: Any, top: Any, room: int, width: int) -> list[Bar]:
    """Return a bar for each class, `width` characters where its score is `top`; scores below 0 have none."""
    listed = scores if isinstance(scores, list | tuple) else ()
    heights = [at(listed, place) or 0.0 for place in range(len(classes))]
    best = max(range(len(classes)), key=lambda place: heights[place], default=0)
    high = finite(top) or 0.0
    return [
        Bar(
            name=f"{short(str(name), room)[:room]:<{room}}",
            bar=bar(heights[place] / (high if high > 0 else 1.0), width),
            true=place == label,
            leads=place == best and heights[place] > 0,
        )
        for place, name in enumerate(classes)
    ]


def short(name: str, room: int) -> str:
    """Return a gesture's name in fewer characters: sides by their letter, senses of turning as arrows, less where it must be."""
    for word, sign in _SHORT.items():
        name = name.replace(word, sign)
    for word, sign in _SHORTER.items() if room <= SHORTEST + 2 else ():
        name = name.replace(word, sign)
    return name
