"""Carts, poles and arms drawn in characters: lines on a grid of dots, two across and four down a character (braille)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from host.show.status import finite

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a character, by row and column


class Dots:
    """A grid of `columns` by `rows` characters on which lines are drawn; x goes right, y goes down, in dots."""

    def __init__(self, columns: int, rows: int) -> None:
        self.width, self.height = 2 * columns, 4 * rows
        self._cells = [[0] * columns for _ in range(rows)]

    def dot(self, x: float, y: float) -> None:
        """Set a dot; nothing outside of the grid."""
        across, down = round(x), round(y)
        if 0 <= across < self.width and 0 <= down < self.height:
            self._cells[down // 4][across // 2] |= _DOTS[down % 4][across % 2]

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a line; none that leads far outside of the grid."""
        most = 4 * (self.width + self.height)
        if not all(abs(value) < most for value in (x0, y0, x1, y1)):  # also refuses NaN
            return
        steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
        for step in range(steps + 1):
            self.dot(x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps)

    def lines(self) -> list[str]:
        """Return the rows as text."""
        return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in self._cells]


def drawn(drawing: Mapping[str, Any], columns: int, rows: int) -> list[str]:
    """Return the picture of a lane in `rows` lines of `columns` characters; none of a kind that is not known, or with odd
    numbers.
    """
    kind = {"cartpole": _cart, "acrobot": _arms, "reach": _reach}.get(str(drawing.get("kind")))
    numbers = {name: finite(value) for name, value in drawing.items() if name != "kind"}
    if kind is None or columns < 8 or rows < 3 or any(value is None for value in numbers.values()):
        return []
    dots = Dots(columns, rows)
    try:
        kind(dots, numbers)
    except (KeyError, OverflowError):
        return []
    return dots.lines()


def _cart(dots: Dots, numbers: Mapping[str, Any]) -> None:
    ground, half = dots.height - 2, dots.width / 2
    dots.line(0, ground + 1, dots.width - 1, ground + 1)
    x = half + numbers["x"] / (numbers["edge"] or 1.0) * (half - 4)
    for down in range(3):
        dots.line(x - 4, ground - down, x + 4, ground - down)
    length, angle = dots.height - 7, numbers["angle"]
    for aside in (0.0, 1.0):
        dots.line(x + aside, ground - 3, x + aside + length * math.sin(angle), ground - 3 - length * math.cos(angle))


def _arms(dots: Dots, numbers: Mapping[str, Any]) -> None:
    middle, link = (dots.width / 2, dots.height / 2), dots.height / 4 - 1
    goal = middle[1] - link
    for across in range(0, dots.width, 4):
        dots.dot(across, goal)
    first, second = numbers["first"], numbers["first"] + numbers["second"]
    elbow = middle[0] + link * math.sin(first), middle[1] + link * math.cos(first)
    hand = elbow[0] + link * math.sin(second), elbow[1] + link * math.cos(second)
    for aside in (0.0, 1.0):
        dots.line(middle[0] + aside, middle[1], elbow[0] + aside, elbow[1])
        dots.line(elbow[0] + aside, elbow[1], hand[0] + aside, hand[1])


def _reach(dots: Dots, numbers: Mapping[str, Any]) -> None:
    def place(x: float, y: float) -> tuple[float, float]:
        return dots.width / 2 + x * (dots.height / 2 - 2), dots.height / 2 - y * (dots.height / 2 - 2)

    x, y = place(numbers["target_x"], numbers["target_y"])
    radius = max(2.0, numbers["radius"] * (dots.height / 2 - 2))
    for part in range(24):
        dots.dot(x + radius * math.cos(part * math.pi / 12), y + radius * math.sin(part * math.pi / 12))
    x, y = place(numbers["x"], numbers["y"])
    for aside in range(2):
        dots.line(x - 1, y + aside, x + 1, y + aside)
