"""An event camera's frame and the scores of its classes, as characters and colours: what the live view draws of them.

Two pixels, one above the other, make a character by half blocks; brightness becomes one of a few steps. Pure data: no
terminal, no library that draws. Whatever comes in may be of any size or missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

LEVELS = (234, 17, 19, 26, 32, 39, 81, 159, 231)
"""Colours of brightness, dark to light, by their number among the terminal's 256; far apart among 16 too, and none red."""
_SHORT = {"counter clockwise": "↺", "clockwise": "↻", "right ": "R ", "left ": "L "}
_SHORTER = {"R hand ": "R ", "L hand ": "L ", "hand ": "", " gestures": ""}
SHORTEST = 12  # characters that the names of DVS128 Gesture need when they are cut short
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Cell(NamedTuple):
    """A character, and its colours as places in `LEVELS`."""

    glyph: str
    ink: int
    ground: int


def cells(frame: Any, size: Any, columns: int) -> list[list[Cell]]:
    """Return rows of cells, `columns` or fewer wide and half as high, of a frame of size * size bytes.

    Pixels are joined by their maximum where there are more than columns; nothing where the frame is not one. A brighter
    half is drawn as ink, so that without colours the bright half is seen too.
    """
    if not isinstance(frame, bytes | bytearray) or not isinstance(size, int) or size < 2 or len(frame) != size * size:
        return []
    step = -(-size // max(columns, 1))
    wide = size // step
    top = len(LEVELS) - 1
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


def _cell(above: int, below: int) -> Cell:
    if above == below:
        return Cell("█" if above else " ", above, above)
    return Cell("▀", above, below) if above > below else Cell("▄", below, above)


class Bar(NamedTuple):
    """A class: its name in `room` characters, its score as a bar, whether it is the true one, and whether it leads."""

    name: str
    bar: str
    true: bool
    leads: bool


def bars(classes: Sequence[Any], scores: Any, label: Any, top: Any, room: int, width: int) -> list[Bar]:
    """Return a bar for each class, `width` characters where its score is `top`; scores below 0 have none."""
    given = scores if isinstance(scores, list | tuple) else ()
    known = [score if isinstance(score, int | float) and math.isfinite(score) else 0.0 for score in given]
    known += [0.0] * (len(classes) - len(known))
    best = max(range(len(classes)), key=lambda place: known[place], default=0)
    high = top if isinstance(top, int | float) and top > 0 else 1.0
    made = []
    for place, name in enumerate(classes):
        eighths = round(8 * width * min(max(known[place] / high, 0.0), 1.0))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        made.append(Bar(f"{short(str(name), room)[:room]:<{room}}", bar, place == label, place == best and known[place] > 0))
    return made


def short(name: str, room: int) -> str:
    """Return a gesture's name in fewer characters: sides by their letter, senses of turning as arrows, less where it must be."""
    for word, sign in _SHORT.items():
        name = name.replace(word, sign)
    for word, sign in _SHORTER.items() if room <= SHORTEST + 2 else ():
        name = name.replace(word, sign)
    return name
