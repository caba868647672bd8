"""What the MAC array computes: products of int8 matrices and convolutions, into exact int32 sums.

The sums are exact whatever the order, so that any tile, and any split of the depth, has the same bits; `add` goes on with sums
that are there. What becomes of a complete sum is `models/compute/requantise.py`'s. Loops only: no BLAS, which would start
threads in a PE.
"""

from __future__ import annotations

import numpy as np

from models.compute.compiling import compiled
from models.network import Array

ROWS, COLUMNS = 4, 16
"""Of the array: 64 multiply-accumulates a cycle."""


@compiled
def mac_matmul(a: Array, b: Array, offset_a: int, offset_b: int, add: bool, sums: Array) -> None:
    """Write the sums of (a - offset_a) (b - offset_b), of int8 (m, K) and (K, n), into `sums`, int32 (m, n); or `add` them.

    Four rows of `a` go along `b` at a time, as on the array: each of its rows is read once for all of them.
    """
    m, depth, n = a.shape[0], a.shape[1], b.shape[1]
    less_a, less_b = np.int32(offset_a), np.int32(offset_b)
    for first in range(0, m, 4):
        rows = min(4, m - first)
        if not add:
            for r in range(first, first + rows):
                for c in range(n):
                    sums[r, c] = 0
        if rows == 4:
            s0, s1, s2, s3 = sums[first], sums[first + 1], sums[first + 2], sums[first + 3]
            for k in range(depth):
                a0, a1 = np.int32(a[first, k]) - less_a, np.int32(a[first + 1, k]) - less_a
                a2, a3 = np.int32(a[first + 2, k]) - less_a, np.int32(a[first + 3, k]) - less_a
                row = b[k]
                for c in range(n):
                    value = np.int32(row[c]) - less_b
                    s0[c] += a0 * value
                    s1[c] += a1 * value
                    s2[c] += a2 * value
                    s3[c] += a3 * value
            continue
        for r in range(first, first + rows):
            own = sums[r]
            for k in range(depth):
                left, row = np.int32(a[r, k]) - less_a, b[k]
                for c in range(n):
                    own[c] += left * (np.int32(row[c]) - less_b)


@compiled
def mac_conv2d(x: Array, weights: Array, strides: Array, dilations: Array, add: bool, sums: Array) -> None:
    """Write the sums of a convolution into `sums`, int32 (out channels, out rows, out columns); or `add` them.

    `x`: int8 (in channels, rows, columns), padded already: outside of it there is nothing. `weights`: int8 (out, in, rows,
    columns). `strides` and `dilations`: int64 (2,), of rows and columns.
    """
    channels, depth, high, wide = weights.shape
    rows, columns = sums.shape[1], sums.shape[2]
    for o in range(channels):
        for y in range(rows):
            own = sums[o, y]
            if not add:
                for c in range(columns):
                    own[c] = 0
            for i in range(depth):
                for v in range(high):
                    line = x[i, y * strides[0] + v * dilations[0]]
                    for u in range(wide):
                        weight, at = np.int32(weights[o, i, v, u]), u * dilations[1]
                        if strides[1] == 1:
                            shifted = line[at:]
                            for c in range(columns):
                                own[c] += weight * np.int32(shifted[c])
                        else:
                            for c in range(columns):
                                own[c] += weight * np.int32(line[at + c * strides[1]])


@compiled
def add_to_rows(sums: Array, numbers: Array) -> None:
    """Add number r, int32, to row r of sums (rows, columns): a convolution's biases."""
    for r in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            sums[r, c] += numbers[r]


@compiled
def add_to_columns(sums: Array, numbers: Array) -> None:
    """Add number c, int32, to column c of sums (rows, columns): a matrix product's biases."""
    for r in range(sums.shape[0]):
        for c in range(sums.shape[1]):
            sums[r, c] += numbers[c]
