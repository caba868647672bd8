"""What tiles count: cycles of the MAC array in closed form (`host/cost/mac_array.py` says why), and what the core did."""

from __future__ import annotations

from typing import Any

from models.compute.compiling import inlined
from models.dnn.program import C_FLAGS, CUT_DEPTH, MULTIPLIED
from models.network import Array
from models.tile_steps import COUNTS, S_COUNTED

(
    TILES, PRODUCTS, JOBS, CYCLES, STALLS, SCALED, PARTIALS, ADDED, MULTIPLIED_EACH, AVERAGED, POOLED, LOOKED_UP, DEPTHWISE,
    SOFTMAX, NORMALISED, MOVED, REORDERED, OVERFLOWED, SATURATED, AHEAD,
) = range(len(COUNTS))  # fmt: skip
_ROWS, _COLUMNS = 4, 16  # of the array


@inlined
def count_groups(rows: Any, columns: Any, times: Any, depth: Any, stall: Any, counts: Array) -> None:
    """Count a job of the array: groups of 4 by 16 results, `times` over, each of `depth` steps and one read ahead, and 4 results a
    cycle out of it; one port to the SRAM adds `stall` a group.
    """
    groups, written = 0, 0
    for r in range(0, rows, _ROWS):
        for c in range(0, columns, _COLUMNS):
            groups += times
            written += times * min(_ROWS, rows - r) * ((min(_COLUMNS, columns - c) + 3) // 4)
    counts[PRODUCTS] += rows * columns * times * depth
    counts[JOBS] += 1
    counts[CYCLES] += groups * (depth + 1) + written
    counts[STALLS] += groups * stall


@inlined
def count_matmul(rows: Any, depth: Any, columns: Any, counts: Array) -> None:
    """Count a matrix product."""
    count_groups(rows, columns, 1, depth, (depth + 2) // 4 + 1, counts)


@inlined
def count_scaling(configuration: Array, results: Any, counts: Array) -> None:
    """Count what the core scales of the array's sums: nothing where a shift does."""
    if configuration[C_FLAGS] & (MULTIPLIED | CUT_DEPTH):
        counts[SCALED] += results


@inlined
def count_losses(scratch: Array, counts: Array) -> None:
    """Count sums of more than 24 bits, and values that int8 has no place for."""
    counts[OVERFLOWED] += scratch[S_COUNTED]
    counts[SATURATED] += scratch[S_COUNTED + 1]
