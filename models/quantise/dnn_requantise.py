"""From a ratio of scales to a multiplier and a shift, and the clamp of int8 behind them."""

from __future__ import annotations

import math

import numpy as np

from models.dnn.integer import Requantisation
from models.dnn.qdq import TensorGrid
from models.network import F64, Array

_MULTIPLIER_BITS = 31
_MOST_SHIFT = 62
_ADD_BITS = 20  # of an addition's multipliers: 255 of them, twice, are below 2^31


def requantisation(ratios: F64, grid: TensorGrid, clamp: tuple[float, float], rounding: str) -> Requantisation:
    """Return what makes a tensor's int8 of sums that stand for `ratios` of its scale (one, or one a channel)."""
    pairs = [_multiplier(float(ratio)) for ratio in ratios.reshape(-1)]
    low, high = clamped(grid, clamp)
    return Requantisation(
        multipliers=np.array([pair[0] for pair in pairs], np.int64), shifts=np.array([pair[1] for pair in pairs], np.int32),
        zero_point=grid.zero_point, low=low, high=high, rounding=rounding,
    )  # fmt: skip


def clamped(grid: TensorGrid, clamp: tuple[float, float]) -> tuple[int, int]:
    """Return the smallest and largest number of a tensor whose values are clamped."""
    ends = [-128 if end == -math.inf else 127 if end == math.inf else round(end / grid.scale) + grid.zero_point for end in clamp]
    low, high = (min(max(end, -128), 127) for end in ends)
    return low, max(low, high)


def addition(ratios: tuple[float, float]) -> tuple[tuple[int, int], int]:
    """Return the multipliers of two addends and the shift of their sum; powers of two stay exact up to 2^20 apart."""
    shift = _ADD_BITS - math.frexp(max(abs(ratio) for ratio in ratios))[1]
    shift = min(shift, _MOST_SHIFT)
    first, second = (round(math.ldexp(ratio, shift)) for ratio in ratios)
    while shift > 0 and first % 2 == 0 and second % 2 == 0 and (first or second):
        first, second, shift = first // 2, second // 2, shift - 1
    if shift < 0:
        first, second, shift = first << -shift, second << -shift, 0
    return (first, second), shift


def on_grid(values: Array, grid: TensorGrid) -> Array:
    """Return int8 numbers of values, nearest, ties to even, clipped; what is no number becomes zero."""
    steps = np.rint(np.nan_to_num(np.asarray(values, np.float64) / grid.scale, nan=0.0, posinf=1e9, neginf=-1e9)) + grid.zero_point
    return np.asarray(np.clip(steps, -128, 127), np.int8)


def _multiplier(ratio: float) -> tuple[int, int]:
    """Return multiplier and shift of a ratio above zero: sum * multiplier / 2^shift."""
    fraction, exponent = math.frexp(ratio)
    if fraction == 0.5:  # a power of two
        power = exponent - 1
        return (1, -power) if -_MOST_SHIFT <= power <= 0 else (1 << min(power, _MULTIPLIER_BITS - 1), 0) if power > 0 else (0, 0)
    shift = _MULTIPLIER_BITS - exponent
    multiplier = round(math.ldexp(fraction, _MULTIPLIER_BITS))
    if shift < 0:
        return min(multiplier << -shift, (1 << _MULTIPLIER_BITS) - 1), 0
    return (multiplier, shift) if shift <= _MOST_SHIFT else (0, 0)
