"""The routes of the network on chip: which links a packet crosses between two QPEs.

XY routing, x first (CP via SV); a route may pass a hole of the floor plan at the price of an ordinary hop, which is
assumed (see `noc.chip.hops`). It knows paths, and neither traffic nor time.
"""

from __future__ import annotations

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
    links, x, y = [], a.x, a.y
    while x != b.x:
        step = 1 if b.x > x else -1
        links.append(Link(x, y, x + step, y))
        x += step
    while y != b.y:
        step = 1 if b.y > y else -1
        links.append(Link(x, y, x, y + step))
        y += step
    return links


def tree(source: PeId, destinations: Iterable[PeId]) -> set[Link]:
    """Return the links that one multicast packet crosses: each once, copies are made where routes part."""
    return {link for destination in destinations for link in path(source, destination)}
