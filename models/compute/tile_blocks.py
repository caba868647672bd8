"""Blocks of tiles as a worker goes through them: whether one is whole, its moves, and its step (`models/dnn/program.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.bound_calls import call_at, carray, copy_bytes, fill_bytes, ints_at
from models.compute.compiling import inlined
from models.compute.tile_memory import longs_at
from models.dnn.program import (
    ADD,
    B_HANDS,
    B_MOVES,
    B_OUT_HANDS,
    B_OUT_MOVES,
    B_READS,
    B_WRITES,
    BLOCK_WORDS,
    C_KIND,
    FILL,
    HAND_WORDS,
    M_BYTES,
    M_FROM,
    M_FROM_INNER,
    M_FROM_OUTER,
    M_INNER,
    M_OUTER,
    M_TO,
    M_TO_INNER,
    M_TO_OUTER,
    MOVE_WORDS,
    READ_WORDS,
    WRITE_WORDS,
)
from models.network import Array
from models.tile_steps import COUNTS, S_COUNTS, S_MEMORY_BYTES, SCRATCH_NUMBERS

_REORDERED, _TILES, _PARTIALS = map(COUNTS.index, ("reordered", "tiles", "partials"))


@inlined
def is_inside(offset: Any, size: Any, memory: Array) -> bool:
    """Tell whether so many bytes from an offset on lie in the memory."""
    return bool(offset >= 0 and size >= 0 and offset + size <= memory.size)


@inlined
def is_whole(words: Array, block: int, block_bytes: int) -> bool:
    """Tell whether a block's stretches are no longer than it can be."""
    reads, moves, out = np.int64(words[block + B_READS]), np.int64(words[block + B_MOVES]), np.int64(words[block + B_OUT_MOVES])
    writes = np.int64(words[block + B_WRITES])
    hands, behind = np.int64(words[block + B_HANDS]), np.int64(words[block + B_OUT_HANDS])
    if min(reads, moves, out, writes, hands, behind) < 0 or max(reads, moves, out, writes, hands, behind) > block_bytes:
        return False
    size = BLOCK_WORDS + READ_WORDS * reads + MOVE_WORDS * (moves + out) + WRITE_WORDS * writes + HAND_WORDS * (hands + behind)
    return bool(4 * size <= block_bytes)


@inlined
def behind_reads(words: Array, block: int) -> int:
    """Return the number of the word behind a block's reads: its moves begin there."""
    return int(block + BLOCK_WORDS + READ_WORDS * words[block + B_READS])


@inlined
def behind_moves(words: Array, block: int) -> int:
    """Return the number of the word behind a block's moves: its writes begin there."""
    return int(behind_reads(words, block) + MOVE_WORDS * (words[block + B_MOVES] + words[block + B_OUT_MOVES]))


@inlined
def behind_writes(words: Array, block: int) -> int:
    """Return the number of the word behind a block's writes: what it hands on begins there."""
    return int(behind_moves(words, block) + WRITE_WORDS * words[block + B_WRITES])


@inlined
def make_move(words: Array, at: Any, memory: Array, counts: Array) -> bool:
    """Make one move within the memory; False, and nothing done, where it leads beyond."""
    base, size = memory.ctypes.data, np.int64(words[at + M_BYTES])
    start, to = np.int64(words[at + M_FROM]), np.int64(words[at + M_TO])
    if start == FILL:
        if not is_inside(to, size, memory):
            return False
        fill_bytes(base + to, words[at + M_OUTER], size)
        return True
    outer, inner = np.int64(words[at + M_OUTER]), np.int64(words[at + M_INNER])
    if start == ADD:
        if size % 4 or outer % 4 or to % 4 or not is_inside(outer, size, memory) or not is_inside(to, size, memory):
            return False
        terms, sums = carray(ints_at(base + outer), (size // 4,)), carray(ints_at(base + to), (size // 4,))
        for i in range(size // 4):
            sums[i] += terms[i]
        counts[_PARTIALS] += size // 4
        return True
    from_outer, from_inner = np.int64(words[at + M_FROM_OUTER]), np.int64(words[at + M_FROM_INNER])
    to_outer, to_inner = np.int64(words[at + M_TO_OUTER]), np.int64(words[at + M_TO_INNER])
    if min(from_outer, from_inner, to_outer, to_inner, outer, inner, start, to, size) < 0 or outer == 0 or inner == 0:
        return False
    if not is_inside(start, (outer - 1) * from_outer + (inner - 1) * from_inner + size, memory):
        return False
    if not is_inside(to, (outer - 1) * to_outer + (inner - 1) * to_inner + size, memory):
        return False
    for o in range(outer):
        for i in range(inner):
            copy_bytes(base + to + o * to_outer + i * to_inner, base + start + o * from_outer + i * from_inner, size)
    counts[_REORDERED] += outer * inner * size
    return True


@inlined
def compute_tile(words: Array, slot: int, block: int, memory: Array, counts: Array, steps: Array, scratch: Array) -> int:
    """Bring a tile's bytes into order, compute it, and bring its output into rows; return 0, or 1 + the word that leads beyond."""
    at = behind_reads(words, block)
    for _ in range(words[block + B_MOVES]):
        if not make_move(words, at, memory, counts):
            return 1 + B_MOVES
        at += MOVE_WORDS
    kind, known = words[slot + C_KIND], steps.size // 2
    table = carray(longs_at(steps.ctypes.data), (known,))
    if not 0 <= kind < known or table[kind] == 0:
        return 1 + C_KIND
    numbers = carray(longs_at(scratch.ctypes.data), (SCRATCH_NUMBERS,))
    numbers[S_MEMORY_BYTES], numbers[S_COUNTS] = memory.size, counts.ctypes.data
    base = memory.ctypes.data
    beyond: int = call_at(table[kind], base, base + 4 * slot, base + 4 * block, scratch.ctypes.data)
    numbers[S_COUNTS] = 0  # an address is no part of what a PE is, as a snapshot keeps it
    if beyond:
        return beyond
    counts[_TILES] += 1
    for _ in range(words[block + B_OUT_MOVES]):
        if not make_move(words, at, memory, counts):
            return 1 + B_OUT_MOVES
        at += MOVE_WORDS
    return 0
