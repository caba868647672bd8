"""Numbers of tensors that lie anywhere: read in few stretches, and moved to where they are needed in few moves.

What an operator wants of a tensor is given by the numbers' places in it (`models/dnn/integer.py` says where they come from). DRAM
is read in granules of 16 bytes; stretches are joined over gaps until a tile has no more than `MOST_STRETCHES` of each tensor. A
move is two loops around bytes that lie one behind the other, which is every transposition, slice and repetition of rows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from host.mapping.dnn_tensors import TensorPlace
from host.mapping.tile_block import Move, TileBlock
from models.dnn.program import ALIGNMENT_BYTES
from models.network import I64

MOST_STRETCHES = 128
NOTHING = -1
"""As a source: nothing is moved there."""


def read_scattered(block: TileBlock, place: TensorPlace, numbers: I64) -> I64:
    """Read numbers of a tensor, in any order and as often as they come; return where in the memory each lies, int64 (n,)."""
    if not numbers.size:
        return numbers
    addresses = place.addresses_of(numbers)
    granules = np.unique(addresses // ALIGNMENT_BYTES)
    gaps, widest = np.diff(granules), 1
    while np.count_nonzero(gaps > widest) >= MOST_STRETCHES:
        widest *= 2
    first = np.concatenate([[0], np.flatnonzero(gaps > widest) + 1])
    begins = granules[first] * ALIGNMENT_BYTES
    ends = (granules[np.concatenate([first[1:] - 1, [granules.size - 1]])] + 1) * ALIGNMENT_BYTES
    landings = [block.read_stretch(place, begin, end - begin) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    own = np.searchsorted(begins, addresses, side="right") - 1
    return np.asarray(np.array(landings, np.int64)[own] + addresses - begins[own], np.int64)


def move_scattered(block: TileBlock, sources: I64, at: int) -> None:
    """Move numbers, each from where it lies, to `at` on, one behind the other; where a source is NOTHING none."""
    there = np.flatnonzero(sources != NOTHING)
    if not there.size:
        return
    start, to = sources[there], there + at
    block.keep_together(int(start.min()), int(start.max()))
    breaks = np.flatnonzero((np.diff(start) != 1) | (np.diff(to) != 1)) + 1
    first = np.concatenate([[0], breaks])
    lengths = np.diff(np.concatenate([first, [there.size]]))
    rows = np.stack([start[first], to[first], lengths], axis=1)
    for begin, end, size, inner, from_inner, to_inner, outer, from_outer, to_outer in _grouped(_grouped(rows)).tolist():
        block.moves.append(Move(begin, end, outer, inner, size, from_outer, from_inner, to_outer, to_inner))


def read_in_order(block: TileBlock, place: TensorPlace, numbers: I64) -> int:
    """Read numbers of a tensor; return where they lie one behind the other, in the order in which they were given."""
    sources = read_scattered(block, place, numbers)
    if numbers.size and (np.diff(sources) == 1).all():
        return int(sources[0])
    at = block.region(numbers.size)
    move_scattered(block, sources, at)
    return at


def read_matrix(block: TileBlock, place: TensorPlace, first: int, rows: int, pitch: int, width: int) -> int:
    """Read `rows` rows of `width` numbers, `pitch` numbers apart, from number `first` of a tensor on; return where they lie without
    gaps.
    """
    if width == pitch:
        return block.read_dense(place, first, rows, width)
    return read_in_order(block, place, (first + np.arange(rows)[:, None] * pitch + np.arange(width)).ravel())


def _grouped(rows: I64) -> I64:
    """Return rows (from, to, *equal) that follow each other by equal distances as one: (from, to, *equal, count, and both
    distances). A row that fits nowhere stays alone, a count of one.
    """
    steps = np.diff(rows[:, :2], axis=0)
    fits = (rows[1:, 2:] == rows[:-1, 2:]).all(axis=1) & (steps >= 0).all(axis=1)
    changes = np.flatnonzero((np.diff(steps, axis=0) != 0).any(axis=1) | ~fits[1:] | ~fits[:-1]) + 1
    bounds = [0, *changes.tolist(), len(steps)]
    made, begin = list[tuple[int, int, int, int]](), 0  # first row, rows, distances
    for left, right in pairwise(bounds):
        if right > left and fits[left] and right > begin:
            made += [(row, 1, 0, 0) for row in range(begin, left)]
            begin = max(begin, left)
            made.append((begin, right - begin + 1, *steps[left].tolist()))
            begin = right + 1
    made += [(row, 1, 0, 0) for row in range(begin, len(rows))]
    groups = np.array(made, np.int64)
    return np.concatenate([rows[groups[:, 0]], groups[:, 1:]], axis=1)
