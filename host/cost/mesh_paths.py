"""The links that messages cross on one chip's mesh, for many senders at once: matrices over sites and links.

Sites are the QPEs and the two sites at the die's centre that the event router takes up. The router is reached over the six
links into those two sites, from (3,3), (5,3), (4,2) into (4,3) and from (3,4), (5,4), (4,5) into (4,4): as many as it has
ports towards the network (CP via SV). That these are the ports is assumed, and that rows 1 to 3 use the upper three and
rows 4 to 6 the lower ones. Routes are XY, as in `noc/xy_routes.py`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.network import I64, Array
from noc.chip import QPES, PeId
from noc.xy_routes import Link, path

_UPPER, _LOWER = (4, 3), (4, 4)
SITES = (*QPES, _UPPER, _LOWER)
SITE = {site: number for number, site in enumerate(SITES)}
LINKS = tuple(
    Link(x, y, x + dx, y + dy)
    for x in range(1, 8)
    for y in range(1, 7)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
    if 1 <= x + dx <= 7 and 1 <= y + dy <= 6
)
"""Every directed link of the 7 x 6 grid, also through the holes of the floor plan (see `noc/xy_routes.py`)."""
_PORT = np.array([SITE[_UPPER] if y <= _UPPER[1] else SITE[_LOWER] for _, y in SITES])


@cache
def _paths() -> Array:
    """Return whether the route from a site to another crosses a link, (sites, sites, links) float64: exact in products."""
    index = {link: number for number, link in enumerate(LINKS)}
    crosses = np.zeros((len(SITES), len(SITES), len(LINKS)))
    for a, start in enumerate(SITES):
        for b, end in enumerate(SITES):
            crosses[a, b, [index[link] for link in path(PeId(0, *start, 0), PeId(0, *end, 0))]] = 1
    return crosses


def link_uses(froms: I64, to: I64, own: Array, mode: str) -> tuple[I64, I64]:
    """Return how often a message of each sender crosses each link, (senders, links), and how often it is sent, (senders,).

    `froms` (senders,) are their sites; `to` (sites,) is how many PEs of each site listen, and `own` (senders,) whether the sender's
    is among them; `mode` is that of the price's messages.
    """
    uses, sends = np.zeros((len(froms), len(LINKS)), np.int64), np.ones(len(froms), np.int64)
    for number, site in enumerate(froms.tolist()):
        others = to.copy()
        others[site] -= own[number]
        if mode in ("qpe", "multicast"):
            others = np.minimum(others, 1)
        over = others @ _paths()[site]
        uses[number] = np.minimum(over, 1) if mode == "multicast" else over
        sends[number] = 1 if mode == "multicast" else others.sum()
    return uses, sends


def hops_between(froms: I64, to: I64) -> int:
    """Return the hops of the longest route from one of the sites `froms` to a site with a listener."""
    return int(_paths().sum(axis=2)[np.ix_(froms, np.flatnonzero(to))].max(initial=0))


def way_out(froms: I64) -> I64:
    """Return whether a packet from each site to the event router crosses each link, (senders, links) 0 or 1."""
    return np.asarray(_paths()[froms, _PORT[froms]], np.int64)


def way_in(to: I64) -> I64:
    """Return the same of a packet from the event router to each site, (listeners, links)."""
    return np.asarray(_paths()[_PORT[to], to], np.int64)
