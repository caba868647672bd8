"""Cycles of the MAC array in closed form: what one read of the PE's SRAM a cycle leaves of 64 multiply-accumulates.

The array works on tiles of 4 rows by 16 columns. In a matrix product each step needs a read of B, and each fourth one of A too:
five reads for four steps through one port. Then 4 results leave a cycle, and nothing overlaps that. So a tile of depth K with h
rows and w columns takes K + K / 4 + 2 + h ceil(w / 4) cycles; with two ports, or A from another PE, K + 1 + h ceil(w / 4). In a
convolution the shift register uses a row of the input again, so that A alone is read: K + 3 (1 with two ports) + 4 ceil(w / 4).
It works with stride 1: of a stride s one result in s^2 is wanted. `tests/tools/array_simulation.py` counts the same cycle by
cycle.

An inference from a public pre-silicon simulator's structure, not a measurement; nothing is fitted to the published utilisations.
"""

from __future__ import annotations

from itertools import product

ROWS, COLUMNS, OUT_A_CYCLE = 4, 16, 4
MACS_A_CYCLE = ROWS * COLUMNS


def matmul_cycles(rows: int, depth: int, columns: int, ports: int = 1) -> int:
    """Return the cycles of (rows, depth) times (depth, columns) with so many `ports` (1 or 2); exact for the model above."""
    steps = depth + (depth + 2) // 4 + 2 if ports == 1 else depth + 1
    return sum(n * (steps + _written(h, w)) for n, h, w in _tiles(rows, columns))


def conv2d_cycles(
    *,
    in_channels: int,
    out_channels: int,
    out_rows: int,
    out_columns: int,
    kernel: tuple[int, int],
    dense: bool = True,
    ports: int = 1,
) -> int:
    """Return the cycles of a convolution with stride 1 that makes so many rows and columns of each channel out.

    Exact for 8 products an output or more. A kernel of one element has no row to use again, nor has one that is not `dense`
    (dilated): those are read as a matrix product's B is.
    """
    depth = in_channels * kernel[0] * kernel[1]
    start = 3 if ports == 1 else 1
    if not dense or kernel[1] == 1:
        start = (depth + 2) // 4 + 2 if ports == 1 else 1
    return out_rows * sum(n * (depth + start + _written(h, w)) for n, h, w in _tiles(out_channels, out_columns))


def utilisation(macs: int, cycles: float) -> float:
    """Return what share of the array's multiply-accumulates are of use."""
    return macs / (MACS_A_CYCLE * cycles) if cycles else 0.0


def _written(rows: int, columns: int) -> int:
    return rows * -(-columns // OUT_A_CYCLE)


def _tiles(rows: int, columns: int) -> list[tuple[int, int, int]]:
    """Return how many tiles there are of what height and width: whole ones, and those at the edges."""
    return [(n * m, h, w) for (n, h), (m, w) in product(_cut(rows, ROWS), _cut(columns, COLUMNS))]


def _cut(length: int, each: int) -> list[tuple[int, int]]:
    return [part for part in ((length // each, each), (1, length % each)) if all(part)]
