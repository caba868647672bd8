"""The routes of a chip's network: which links a packet crosses, by the routers' tables.

The floor plan has 42 sites. Four are holes without a router (`noc/chip.py`): no packet passes through them, as the published
bisection says, of four rows and not six. What sits in them is reached over the links into them: in (4,3) and (4,4) the event
router, whose six ports towards the network are published (CP via SV), and in (7,3) and (7,4), which is assumed, the two DRAM
interfaces.

A router may hold 64 entries, one for each destination of an 8 x 8 grid (CP via SV). What they are at the holes is not published.
Each file of `route_tables/` is one answer: a block of letters a site, in it a letter for each destination as they lie on the chip:
the side on which a packet leaves. `bench/routes.py` makes them; no set of packets on such routes can wait for each other in
a circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noc.chip import HOLES

FOLDER = Path(__file__).with_name("route_tables")

Site = tuple[int, int]
Numbers = NDArray[np.int64]


class Link(NamedTuple):
    """A directed link between two neighbouring sites of one chip."""

    x: int
    y: int
    to_x: int
    to_y: int

    def __str__(self) -> str:
        return f"({self.x},{self.y})>({self.to_x},{self.to_y})"


SITES: tuple[Site, ...] = tuple((x, y) for y in range(1, 7) for x in range(1, 8))
"""All 42 sites (x, y), row by row."""
_SIDES = {"E": (1, 0), "W": (-1, 0), "S": (0, 1), "N": (0, -1)}
SIDES = tuple(_SIDES.values())
"""Where a site's four links go, as steps."""
LINKS = tuple(
    Link(x, y, x + dx, y + dy)
    for x, y in SITES
    for dx, dy in SIDES
    if (x + dx, y + dy) in SITES and not {(x, y), (x + dx, y + dy)} <= HOLES
)
"""Every directed link: between routers, and between a router and a hole beside it."""


@cache
def load_table(name: str) -> dict[Site, dict[Site, Site]]:
    """Return for each site and each destination but itself the next site, of the table of this name."""
    blocks = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("(")[1:]
    table: dict[Site, dict[Site, Site]] = {}
    for block in blocks:
        head, *rows = block.split("\n")
        x, y = map(int, head.rstrip(")").split(","))
        table[x, y] = {
            (column + 1, row + 1): (x + _SIDES[letter][0], y + _SIDES[letter][1])
            for row, letters in enumerate(rows)
            for column, letter in enumerate(letters)
            if letter != "."
        }
    return table


def walk(name: str) -> Iterator[tuple[Numbers, Numbers, Numbers, Numbers]]:
    """Go all routes at once by the table of this name: yield for each step (routes,) int64 where they start and where they go, the
    site that is left and the next one, as places in `SITES`; routes that have arrived are there no more.
    """
    number, table = {site: place for place, site in enumerate(SITES)}, load_table(name)
    near = np.array([[number[to if to == start else table[start][to]] for to in SITES] for start in SITES], np.int64)
    start, goal = np.nonzero(~np.eye(len(SITES), dtype=bool))
    site = start
    while start.size:
        to = near[site, goal]
        yield start, goal, site, to
        goes_on = to != goal
        start, goal, site = start[goes_on], goal[goes_on], to[goes_on]


def path(name: str, start: Site, to: Site) -> list[Link]:
    """Return the links of the route between two sites, in order, by the table of this name."""
    table, links = load_table(name), []
    while start != to:
        near = table[start][to]
        links.append(Link(*start, *near))
        start = near
    return links
