"""The sums of heads, number by number: what their compiled loops are held against."""

from __future__ import annotations

import numpy as np

from models.network import F32


def plain_sums(weight: F32, bias: F32, row: F32) -> F32:
    """Return W x + b: products in ascending column, one float32 accumulator from +0, the bias last."""
    sums = []
    for weights, offset in zip(weight, bias, strict=True):
        total = np.float32(0)
        for w, value in zip(weights, row, strict=True):
            total = np.float32(total + np.float32(w * value))
        sums.append(np.float32(total + offset))
    return np.array(sums, np.float32)


def example_rows(units: int, seed: int) -> F32:
    """Return rows (8, units) of events: numbers of many sizes, half of them silent, the first row all silent."""
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(8, units)) * 10.0 ** rng.integers(-3, 3, (8, units))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.5] = 0
    rows[0] = 0
    return rows


def example_numbers(seed: int, *shape: int) -> F32:
    """Return random numbers of a shape."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
