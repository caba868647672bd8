"""Multicast trees of large machines, compiled: `Machine.tree` for tens of thousands of source chips, and what crosses them.

The trees are those of `noc/machine.py`, which is the description; a test holds the two together. Not known here: what
travels.
"""

from __future__ import annotations

import numpy as np

from models.compute.compiling import compiled
from models.network import I64, Array

_WAYS = 6


def over_trees(neighbours: Array, rank: Array, cables: Array, sources: I64, wanted: Array, amounts: I64) -> tuple[I64, int, int]:
    """Add each source's amounts to the links that its stream crosses on the way to the chips wanted.

    Args:
        neighbours: (chips, 6) int32 of `Machine`.
        rank: (chips,) int32 of `Machine`.
        cables: (chips, 6) bool, the links that leave their board.
        sources: chips.
        wanted: (chips,) bool.
        amounts: (chips, amounts) int64.

    Returns:
        (chips * 6, amounts) int64 sums, the links of the longest route, and the most cables of any route.

    """
    loads = np.zeros((len(neighbours) * _WAYS, amounts.shape[1]), np.int64)
    deepest = _add(neighbours, rank, cables, np.asarray(sources, np.int64), wanted, np.ascontiguousarray(amounts), loads)
    return loads, int(deepest[0]), int(deepest[1])


@compiled
def _add(neighbours: Array, rank: Array, cables: Array, sources: Array, wanted: Array, amounts: Array, loads: Array) -> Array:
    chips = neighbours.shape[0]
    parent, direction, depth, over = (
        np.empty(chips, np.int32), np.empty(chips, np.int32), np.empty(chips, np.int32), np.empty(chips, np.int32),
    )  # fmt: skip
    crossed = np.empty(chips, np.bool_)
    rising, falling = np.empty(chips, np.int32), np.empty(chips, np.int32)
    deepest = np.zeros(2, np.int64)
    for source in sources:
        depth[:] = -1
        depth[source], over[source] = 0, 0
        rising[0] = source
        up = _phase(neighbours, rank, cables, source, True, rising, 0, 1, falling, 0, parent, direction, depth, over)
        down = _phase(neighbours, rank, cables, source, False, falling, 0, 0, rising, up, parent, direction, depth, over)
        crossed[:] = wanted
        # Backwards: whoever was reached going down hangs on chips of either kind, and those on chips reached going up.
        for which in range(2):
            order, count = (falling, down) if which == 0 else (rising, up)
            for i in range(count - 1, -1, -1):
                chip = order[i]
                if chip == source or not crossed[chip]:
                    continue
                crossed[parent[chip]] = True
                link = parent[chip] * 6 + direction[chip]
                for k in range(amounts.shape[1]):
                    loads[link, k] += amounts[source, k]
                if wanted[chip]:
                    deepest[0] = max(deepest[0], depth[chip])
                    deepest[1] = max(deepest[1], over[chip])
    return deepest


@compiled
def _phase(
    neighbours: Array, rank: Array, cables: Array, source: int, up: bool,
    mine: Array, first: int, count: int, others: Array, others_count: int,
    parent: Array, direction: Array, depth: Array, over: Array,
) -> int:  # fmt: skip
    """Reach what can be reached, level by level, over links that go up, or down; return how many chips `mine` lists then.

    `mine` and `others` are chips in ascending order of depth: those that this phase reaches, and those reached before.
    """
    at, other, level = first, 0, 0
    while at < count or other < others_count:
        while at < count and depth[mine[at]] == level:
            count = _reach(neighbours, rank, cables, source, up, mine[at], level, mine, count, parent, direction, depth, over)
            at += 1
        while other < others_count and depth[others[other]] == level:
            count = _reach(neighbours, rank, cables, source, up, others[other], level, mine, count, parent, direction, depth, over)
            other += 1
        level += 1
    return count


@compiled
def _reach(
    neighbours: Array, rank: Array, cables: Array, source: int, up: bool, chip: int, level: int,
    mine: Array, count: int, parent: Array, direction: Array, depth: Array, over: Array,
) -> int:  # fmt: skip
    for way in range(6):
        near = neighbours[chip, way]
        if near < 0 or depth[near] >= 0 or (rank[chip] > rank[near]) != up:
            continue
        for turn in range(6):
            back = (near + source + turn) % 6
            before = neighbours[near, back]
            if before >= 0 and depth[before] == level and (rank[before] > rank[near]) == up:
                parent[near], direction[near], depth[near] = before, (back + 3) % 6, level + 1
                over[near] = over[before] + cables[before, direction[near]]
                mine[count] = near
                count += 1
                break
    return count
