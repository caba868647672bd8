"""Multicast trees of large machines, compiled: `Machine.tree` for tens of thousands of source chips.

The trees are those of `noc/machine.py`, which is the description; a test holds the two together. What packets add to links is
compiled as it stands in `noc/multicast_tree.py`.
"""

from __future__ import annotations

import numpy as np

from models.compute.compiling import compiled
from models.network import Array
from noc.machine import Machine
from noc.multicast_tree import Tree, add_multicast

Wiring = tuple[Array, Array, Array]  # a machine's neighbours, rank and cables
Arrays = tuple[Array, ...]  # of a tree

compiled_add_multicast = compiled(add_multicast)


def compiled_tree(machine: Machine, source: int) -> Tree:
    """Return the tree of a live chip, as `machine.tree(source)` does."""
    parent, direction, depth, cables = (np.full(machine.chips, -1, np.int32) for _ in range(4))
    tree = Tree(parent=parent, direction=direction, depth=depth, cables=cables)
    _grow((machine.neighbours, machine.rank, machine.cables), source, tuple(tree))
    return tree


@compiled
def _grow(wiring: Wiring, source: int, tree: Arrays) -> None:
    _, _, depth, cables = tree
    rising, falling = np.empty(len(depth), np.int32), np.empty(len(depth), np.int32)
    depth[source] = cables[source] = 0
    rising[0] = source
    up = _phase(wiring, source, True, rising, 1, falling, 0, tree)
    _phase(wiring, source, False, falling, 0, rising, up, tree)


@compiled
def _phase(
    wiring: Wiring, source: int, up: bool, reached: Array, count: int, before: Array, before_count: int, tree: Arrays
) -> int:
    """Reach what can be reached, level by level, over links that go up, or down; return how many chips `reached` lists then.

    Both `reached` and `before` list chips in ascending order of depth: those of this phase, and those reached before it.
    """
    depth, at, other, level = tree[2], 0, 0, 0
    while at < count or other < before_count:
        while at < count and depth[reached[at]] == level:
            count = _reach(wiring, source, up, reached[at], level, reached, count, tree)
            at += 1
        while other < before_count and depth[before[other]] == level:
            count = _reach(wiring, source, up, before[other], level, reached, count, tree)
            other += 1
        level += 1
    return count


@compiled
def _reach(wiring: Wiring, source: int, up: bool, chip: int, level: int, reached: Array, count: int, tree: Arrays) -> int:
    neighbours, rank, is_cable = wiring
    parent, direction, depth, cables = tree
    for way in range(6):
        near = neighbours[chip, way]
        if near < 0 or depth[near] >= 0 or (rank[chip] > rank[near]) != up:
            continue
        for turn in range(6):
            back = (near + source + turn) % 6
            other = neighbours[near, back]
            if other >= 0 and depth[other] == level and (rank[other] > rank[near]) == up:
                parent[near], direction[near], depth[near] = other, (back + 3) % 6, level + 1
                cables[near] = cables[other] + is_cable[other, direction[near]]
                reached[count] = near
                count += 1
                break
    return count
