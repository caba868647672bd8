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
from noc.mesh_routes import LINKS, SITES, path, walk

TABLES = ("balanced", "nearest")
"""Route tables, the one with the less busy links first."""
SITE = {site: number for number, site in enumerate(SITES)}
DRAMS = (SITE[7, 3], SITE[7, 4])
ROUTER_PORT = np.array([SITE[4, 3] if y <= 3 else SITE[4, 4] for _, y in SITES])
"""Of each site, the one of the event router's two by which it is reached."""


class _Routes(NamedTuple):
    """By one table, from each site to each: `crosses` (sites, sites, links) float64, whether a route crosses a link, exact in
    products; `hops` (sites, sites).
    """

    crosses: F64
    hops: I64


@cache
def _routes(table: str) -> _Routes:
    link_of = np.full((len(SITES), len(SITES)), -1)
    for number, link in enumerate(LINKS):
        link_of[SITE[link.x, link.y], SITE[link.to_x, link.to_y]] = number
    crosses = np.zeros((len(SITES), len(SITES), len(LINKS)))
    for start, goal, site, to in walk(table):
        crosses[start, goal, link_of[site, to]] = 1
    return _Routes(crosses, crosses.sum(axis=2).astype(np.int64))


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


def link_uses(froms: I64, to: I64, own: Array, mode: str) -> tuple[I64, I64]:
    """Return how often a message of each sender crosses each link, (tables, senders, links), and how often it is sent, (senders,).

    `froms` (senders,) are their sites; `to` (sites,) is how many PEs of each site listen, and `own` (senders,) whether the sender's
    is among them; `mode` is that of the price's messages.
    """
    kinds, kind = np.unique(np.stack([froms, own.astype(np.int64)], axis=1), axis=0, return_inverse=True)
    others = np.repeat(to[None], len(kinds), axis=0)
    others[np.arange(len(kinds)), kinds[:, 0]] -= kinds[:, 1]
    if mode in ("qpe", "multicast"):
        others = np.minimum(others, 1)
    loads = np.zeros((len(TABLES), len(kinds), len(LINKS)))
    for n, table in enumerate(TABLES):
        if mode == "multicast":
            loads[n] = [_copies(table, site, one > 0) for site, one in zip(kinds[:, 0].tolist(), others, strict=True)]
        else:
            loads[n] = np.einsum("ks,ksl->kl", others, _routes(table).crosses[kinds[:, 0]])
    sends = np.ones(len(kinds), np.int64) if mode == "multicast" else others.sum(axis=1)
    kind = kind.ravel()
    return np.asarray(loads[:, kind], np.int64), np.asarray(sends[kind], np.int64)


def hops_between(froms: I64, to: I64) -> tuple[I64, F64]:
    """Return the hops of the longest route from one of the sites `froms` to a site with listeners, of which it has `to`
    (sites,), and the mean over all routes to these, (tables,) each.
    """
    there = np.flatnonzero(to)
    hops = np.array([_routes(table).hops[np.ix_(froms, there)] for table in TABLES], np.int64)
    return hops.max(axis=(1, 2), initial=0), (hops * to[there]).sum(axis=(1, 2)) / max(1, len(froms) * int(to.sum()))


def way_out(froms: I64) -> I64:
    """Return whether a packet from each site to the event router crosses each link, (tables, senders, links) 0 or 1."""
    return np.array([_routes(table).crosses[froms, ROUTER_PORT[froms]] for table in TABLES], np.int64)


def way_in(to: I64) -> I64:
    """Return whether a packet from the event router to each of these sites crosses each link, (tables, sites, links) 0 or 1."""
    return np.array([_routes(table).crosses[ROUTER_PORT[to], to] for table in TABLES], np.int64)


def copies_in(to: I64) -> I64:
    """Return how often the copies of one packet from the event router to all of these sites cross each link, (tables, links)."""
    hearing = np.bincount(to, minlength=len(SITES)) > 0
    ports = set(ROUTER_PORT[to].tolist())
    loads = [sum(_copies(table, port, hearing & (port == ROUTER_PORT)) for port in ports) for table in TABLES]
    return np.array(loads, np.int64)


def between_drams(sites: I64, to_dram: bool) -> tuple[I64, I64]:
    """Return how two flits, one of each DRAM interface, from or to each of these sites cross each link, (tables, sites, links), and
    the hops of either way, (tables, sites, DRAMs). A DRAM's own port takes no longer than a link.
    """
    loads = np.zeros((len(TABLES), len(sites), len(LINKS)), np.int64)
    hops = np.zeros((len(TABLES), len(sites), len(DRAMS)), np.int64)
    for n, table in enumerate(TABLES):
        routes = _routes(table)
        for place, dram in enumerate(DRAMS):
            a, b = (sites, np.full_like(sites, dram)) if to_dram else (np.full_like(sites, dram), sites)
            loads[n] += routes.crosses[a, b].astype(np.int64)
            hops[n, :, place] = routes.hops[a, b]
    return loads, hops
