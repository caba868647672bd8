"""The links that messages cross on one chip's mesh, for many senders at once: matrices over sites and links, by either route table.

Which routes the routers' tables hold is not published, so everything here is reckoned for both ends of what they may hold
(`TABLES`, the files of `noc/route_tables/`). A copy of a multicast packet is for the destinations of one branch: each link is
crossed once by what has not parted before, and twice where two branches meet again.

The event router is reached over the six links into the two holes at the die's centre: as many as it has ports towards the network
(CP via SV). That these are the ports is assumed, and that rows 1 to 3 use the upper three and rows 4 to 6 the lower ones. The two
DRAM interfaces are assumed in the holes at the die's edge; what is read or written is spread evenly over both.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from models.network import F64, I64, Array
from noc.mesh_routes import LINKS, SITES, path

TABLES = ("balanced", "nearest")
"""Route tables, the one with the less busy links first."""
SITE = {site: number for number, site in enumerate(SITES)}
DRAMS = (SITE[7, 3], SITE[7, 4])
_PORT = np.array([SITE[4, 3] if y <= 3 else SITE[4, 4] for _, y in SITES])


class Crossings(NamedTuple):
    """How often packets cross each link, (tables, ..., links), and how many of these then leave by one and the same port at
    its end: what is sent to each PE of a QPE alone does not hold up what is for the others.
    """

    loads: I64
    ends: I64


class _Routes(NamedTuple):
    """By one table, from each site to each: `crosses` and `last` (sites, sites, links) float64, whether a route crosses a link, and
    whether as its last one: exact in products; `hops` (sites, sites).
    """

    crosses: F64
    last: F64
    hops: I64


@cache
def _routes(table: str) -> _Routes:
    index = {link: number for number, link in enumerate(LINKS)}
    crosses, last = (np.zeros((len(SITES), len(SITES), len(LINKS))) for _ in range(2))
    for a, start in enumerate(SITES):
        for b, end in enumerate(SITES):
            links = [index[link] for link in path(table, start, end)]
            crosses[a, b, links] = 1
            last[a, b, links[-1:]] = 1
    return _Routes(crosses, last, crosses.sum(axis=2).astype(np.int64))


@cache
def _branches(table: str, site: int) -> tuple[Array, F64]:
    """Return the branches of the copies of a packet from a site to all: (sites, branches) bool, whether one leads to a site, and
    (branches, links), the link that it crosses.
    """
    index = {link: number for number, link in enumerate(LINKS)}
    numbers: dict[tuple[int, ...], int] = {}
    on_way: list[list[int]] = []
    for goal in SITES:
        links = [index[link] for link in path(table, SITES[site], goal)]
        on_way.append([numbers.setdefault(tuple(links[: n + 1]), len(numbers)) for n in range(len(links))])
    leads, over = np.zeros((len(SITES), len(numbers)), bool), np.zeros((len(numbers), len(LINKS)))
    for end, branches in enumerate(on_way):
        leads[end, branches] = True
    for way, number in numbers.items():
        over[number, way[-1]] = 1
    return leads, over


def _copies(table: str, site: int, to: Array) -> F64:
    """Return how often the copies of one packet from a site to those of `to` (sites,) bool cross each link, (links,)."""
    leads, over = _branches(table, site)
    return np.asarray(leads[to].any(axis=0) @ over, np.float64)


def link_uses(froms: I64, to: I64, own: Array, mode: str) -> tuple[Crossings, I64]:
    """Return how a message of each sender crosses each link, (tables, senders, links), and how often it is sent, (senders,).

    `froms` (senders,) are their sites; `to` (sites,) is how many PEs of each site listen, and `own` (senders,) whether the sender's
    is among them; `mode` is that of the price's messages.
    """
    kinds, kind = np.unique(np.stack([froms, own.astype(np.int64)], axis=1), axis=0, return_inverse=True)
    others = np.repeat(to[None], len(kinds), axis=0)
    others[np.arange(len(kinds)), kinds[:, 0]] -= kinds[:, 1]
    if mode in ("qpe", "multicast"):
        others = np.minimum(others, 1)
    loads, ends = (np.zeros((len(TABLES), len(kinds), len(LINKS))) for _ in range(2))
    for n, table in enumerate(TABLES):
        routes = _routes(table)
        ends[n] = np.einsum("ks,ksl->kl", np.minimum(others, 1), routes.last[kinds[:, 0]])
        if mode == "multicast":
            loads[n] = [_copies(table, site, one > 0) for site, one in zip(kinds[:, 0].tolist(), others, strict=True)]
        else:
            loads[n] = np.einsum("ks,ksl->kl", others, routes.crosses[kinds[:, 0]])
    sends = np.ones(len(kinds), np.int64) if mode == "multicast" else others.sum(axis=1)
    kind = kind.ravel()
    return Crossings(loads.astype(np.int64)[:, kind], ends.astype(np.int64)[:, kind]), np.asarray(sends[kind], np.int64)


def hops_between(froms: I64, to: I64) -> I64:
    """Return the hops of the longest route from one of the sites `froms` to a site with a listener, (tables,)."""
    there = np.flatnonzero(to)
    return np.array([_routes(table).hops[np.ix_(froms, there)].max(initial=0) for table in TABLES], np.int64)


def way_out(froms: I64) -> I64:
    """Return whether a packet from each site to the event router crosses each link, (tables, senders, links) 0 or 1."""
    return np.array([_routes(table).crosses[froms, _PORT[froms]] for table in TABLES], np.int64)


def way_in(to: I64) -> Crossings:
    """Return how one packet from the event router to each of these sites crosses each link, (tables, sites, links)."""
    routes = [_routes(table) for table in TABLES]
    return Crossings(*(np.array([getattr(one, name)[_PORT[to], to] for one in routes], np.int64) for name in ("crosses", "last")))


def copies_in(to: I64) -> Crossings:
    """Return how the copies of one packet from the event router to all of these sites cross each link, (tables, links)."""
    hearing = np.bincount(to, minlength=len(SITES)) > 0
    loads = [sum(_copies(table, port, hearing & (port == _PORT)) for port in set(_PORT[to].tolist())) for table in TABLES]
    ends = way_in(np.flatnonzero(hearing)).ends.sum(axis=1)
    return Crossings(np.array(loads, np.int64), ends)


def between_drams(sites: I64, to_dram: bool) -> tuple[Crossings, I64]:
    """Return how two flits, one of each DRAM interface, from or to each of these sites cross each link, (tables, sites, links), and
    the hops of the longer way, (tables, sites). A DRAM's own port takes no longer than a link.
    """
    loads, ends = (np.zeros((len(TABLES), len(sites), len(LINKS)), np.int64) for _ in range(2))
    hops = np.zeros((len(TABLES), len(sites)), np.int64)
    for n, table in enumerate(TABLES):
        routes = _routes(table)
        for dram in DRAMS:
            a, b = (sites, np.full_like(sites, dram)) if to_dram else (np.full_like(sites, dram), sites)
            loads[n] += routes.crosses[a, b].astype(np.int64)
            ends[n] += 0 if to_dram else routes.last[a, b].astype(np.int64)
            hops[n] = np.maximum(hops[n], routes.hops[a, b])
    return Crossings(loads, ends), hops
