"""The routes of the network on chip: which links a packet crosses between two QPEs.

XY routing, x first (CP via SV). Assumed: a route may pass a hole at the price of an ordinary hop, (4,3) and (4,4) through or
along the event router, (7,3) and (7,4) at the die's edge. How the real mesh behaves there is not published; CP's bisection
bandwidth (4 rows, not 6) hints that rows 3 and 4 cannot cross column 4, so that some real routes are longer.
"""

from collections.abc import Iterable
from typing import NamedTuple

from noc.chip import PeId


class Link(NamedTuple):
    """A directed link between two neighbouring QPE sites of one chip."""

    x: int
    y: int
    to_x: int
    to_y: int

    def __str__(self) -> str:
        return f"({self.x},{self.y})>({self.to_x},{self.to_y})"


def path(a: PeId, b: PeId) -> list[Link]:
    """Return the links of the XY route from the QPE of `a` to that of `b`, in order; none within one QPE."""
    right, up = 1 if b.x > a.x else -1, 1 if b.y > a.y else -1
    along_x = [Link(x, a.y, x + right, a.y) for x in range(a.x, b.x, right)]
    return along_x + [Link(b.x, y, b.x, y + up) for y in range(a.y, b.y, up)]


def tree(source: PeId, destinations: Iterable[PeId]) -> set[Link]:
    """Return the links that one multicast packet crosses: each once, copies are made where routes part."""
    return {link for destination in destinations for link in path(source, destination)}
