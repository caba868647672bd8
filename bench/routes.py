"""Makes the route tables of `noc/route_tables/`: `python -m bench.routes [STEPS]`, about a minute.

A table says for each router and destination the next link, so the routes to a destination are a tree. A search changes one entry
at a time; links that could wait for each other in a circle cost more than anything else, so none are left. `nearest`: the fewest
links, then along x first. `balanced`: the least load of the busiest link when every site sends to every other alike. That a circle
is left out has a price: the shortest routes around the event router alone close one, so a few of `nearest` are longer.
"""

from __future__ import annotations

import sys

import numba
import numpy as np

from noc.chip import HOLES
from noc.mesh_routes import FOLDER, LINKS, SITES

_SITE = {site: number for number, site in enumerate(SITES)}
_HOLE = np.array([site in HOLES for site in SITES])
_COLUMN = np.array([x for x, _ in SITES])
_NEXT = np.full((len(SITES), 4), -1)
_LINK = np.full((len(SITES), len(SITES)), -1)
_LETTERS = {(1, 0): "E", (-1, 0): "W", (0, 1): "S", (0, -1): "N"}
for _number, _link in enumerate(LINKS):
    _a, _b = _SITE[_link.x, _link.y], _SITE[_link.to_x, _link.to_y]
    _NEXT[_a, np.argmin(_NEXT[_a] >= 0)] = _b
    _LINK[_a, _b] = _number


@numba.njit
def distances(nexts, hole):
    """Return the links from each site to each, (to, from); nothing passes through a hole."""
    sites = len(nexts)
    far = np.full((sites, sites), 99)
    for to in range(sites):
        far[to, to] = 0
        for _ in range(sites):
            for site in range(sites):
                for near in nexts[site]:
                    if near >= 0 and (near == to or not hole[near]):
                        far[to, site] = min(far[to, site], far[to, near] + 1)
    return far


@numba.njit
def leads_home(onto, to, start):
    """Tell whether entries lead from a site to a destination."""
    for _ in range(len(onto)):
        if start == to:
            return True
        start = onto[to, start]
    return False


@numba.njit
def look(onto, links, column):
    """Return how many links are in circles or behind one, the load of each link, how many entries are off x first, and how many
    links copies of one packet from each site to all cross more than a tree's.
    """
    sites, count = len(onto), links.max() + 1
    branches = np.full((sites * 12, sites), -1)
    copies = 0
    loads, waits, degree = np.zeros(count, np.int64), np.zeros((count, count), np.bool_), np.zeros(count, np.int64)
    off = 0
    for to in range(sites):
        for site in range(sites):
            if site == to:
                continue
            at, before = site, -1
            while at != to:
                link = links[at, onto[to, at]]
                loads[link] += 1
                if before >= 0 and not waits[before, link]:
                    waits[before, link] = True
                    degree[link] += 1
                before, at = link, onto[to, at]
            off += column[site] != column[to] and column[onto[to, site]] == column[site]
    for site in range(sites):
        branches[:] = -1
        size = 1
        for to in range(sites):
            at, branch = site, 0
            while at != to:
                at = onto[to, at]
                if branches[branch, at] < 0:
                    branches[branch, at] = size
                    size += 1
                branch = branches[branch, at]
        copies += size - sites
    free = [link for link in range(count) if degree[link] == 0]
    done = 0
    while done < len(free):
        for later in np.flatnonzero(waits[free[done]]):
            degree[later] -= 1
            if degree[later] == 0:
                free.append(later)
        done += 1
    return count - done, loads, off, copies


@numba.njit
def cost_of(onto, links, column, weights):
    """Return the weighted sum of circles, the smooth load of the busiest link, links of all routes, entries off x first, and links
    that copies cross more than a tree's.
    """
    circles, loads, off, copies = look(onto, links, column)
    busiest = np.log(np.exp(loads / 3 - 40).sum()) * 3
    return weights[0] * circles + weights[1] * busiest + weights[2] * loads.sum() + weights[3] * off + weights[4] * copies


@numba.njit
def search(onto, nexts, hole, links, column, weights, steps, warm, seed):
    """Return the best entries without a circle after changing some for as many steps, at first also for the worse."""
    np.random.seed(seed)
    sites, best, least = len(onto), onto.copy(), np.inf
    now = cost_of(onto, links, column, weights)
    for step in range(steps):
        to, site = np.random.randint(sites), np.random.randint(sites)
        near, before = nexts[site, np.random.randint(4)], onto[to, site]
        if to == site or near < 0 or near == before or (hole[near] and near != to):
            continue
        onto[to, site] = near
        if leads_home(onto, to, site):
            then, heat = cost_of(onto, links, column, weights), warm * (1 - step / steps) ** 2 + 1e-9
            if then <= now or np.random.random() < np.exp((now - then) / heat):
                now = then
                if now < least and look(onto, links, column)[0] == 0:
                    best, least = onto.copy(), now
                continue
        onto[to, site] = before
    return best


def begin(far: np.ndarray, seed: int) -> np.ndarray:
    """Return next sites without a circle, (destinations, sites): turns are allowed one after another while they close none, first
    those that shortest routes around the holes take, last straight on along y; trees grow over those, short routes first. -1
    where a tree finds no way.
    """
    rng = np.random.default_rng(seed)
    ends = {int(_LINK[a, b]): (a, b) for a in range(len(SITES)) for b in _NEXT[a] if b >= 0}
    along_x = {link: SITES[a][1] == SITES[b][1] for link, (a, b) in ends.items()}
    turns = [(i, j) for i, (a, b) in ends.items() if not _HOLE[b] for j, (c, d) in ends.items() if b == c and d != a]
    later: dict[int, set[int]] = {link: set() for link in ends}

    def reaches(start: int, goal: int) -> bool:
        seen, at = {start}, [start]
        for link in at:
            if link == goal:
                return True
            fresh = later[link] - seen
            at += fresh
            seen |= fresh
        return False

    def rank(turn: tuple[int, int]) -> tuple[float, ...]:
        i, j = turn
        site = SITES[ends[i][1]]
        if along_x[j] and not along_x[i]:
            first = 0 if site in CORNERS and (site[0] != 6 or SITES[ends[j][1]][0] == 7) and SITES[ends[i][0]][1] in (3, 4) else 4
        elif along_x[i]:
            first = 1
        else:
            first = 2 + (site[1] in (3, 4) and site[0] in (3, 5))
        return (first, rng.random())

    for i, j in sorted(turns, key=rank):
        if not reaches(j, i):
            later[i].add(j)
    onto = np.full(far.shape, -1)
    for to in range(len(SITES)):
        length = {to: 0}
        while len(length) < len(SITES):
            ways = [
                (length[near] + 1, (_COLUMN[near] == _COLUMN[site]) * (seed % 2), rng.random(), site, near)
                for site in range(len(SITES))
                if site not in length
                for near in _NEXT[site]
                if near in length and (near == to or (not _HOLE[near] and _LINK[near, onto[to, near]] in later[_LINK[site, near]]))
            ]
            if not ways:
                return np.full(far.shape, -1)
            *_, site, near = min(ways)
            onto[to, site], length[site] = near, length[near] + 1
    return onto


CORNERS = {(3, 2), (5, 2), (3, 5), (5, 5), (6, 2), (6, 5)}
"""Routers at which shortest routes turn around a hole."""


def write(onto: np.ndarray, name: str) -> None:
    """Write entries as text: a block for each site, in it a letter for each destination, as they lie on the chip."""
    lines = []
    for site, (x, y) in enumerate(SITES):
        lines.append(f"({x},{y})")
        letters = ["." if near < 0 else _LETTERS[SITES[near][0] - x, SITES[near][1] - y] for near in onto[:, site]]
        lines += ["".join(letters[row : row + 7]) for row in range(0, len(SITES), 7)]
    (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    circles, loads, off, copies = look(onto, _LINK, _COLUMN)
    print(
        f"{name}: {circles} links in circles, busiest {loads.max()}, {loads.sum()} links in all, {off} entries off x first, "
        f"{copies} copies over {len(SITES) * (len(SITES) - 1)}"
    )


def main() -> None:
    """Make both tables."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 80_000
    far = distances(_NEXT, _HOLE)
    print(f"shortest routes have {far.sum()} links in all")
    starts = [onto for seed in range(20) if (onto := begin(far, seed)).max(axis=1).min() >= 0]
    for name, weights, warm in (("nearest", np.array([1e9, 0.0, 1.0, 0.05, 0.0]), 3.0), ("balanced", np.array([1e9, 1.0, 0.003, 0.0, 0.03]), 3.0)):
        starts.sort(key=lambda onto: cost_of(onto, _LINK, _COLUMN, weights))
        tables = [search(onto.copy(), _NEXT, _HOLE, _LINK, _COLUMN, weights, steps, warm, 1) for onto in starts[:3]]
        best = min(tables, key=lambda onto: cost_of(onto, _LINK, _COLUMN, weights))
        write(best, name)
        starts.append(best)


if __name__ == "__main__":
    main()
