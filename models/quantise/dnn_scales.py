"""Scales of a DNN's tensors: of those that a grid allows, the one with the least squared error."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from models.dnn.qdq import TensorGrid
from models.network import F64, Array

SCALES = ("pow2", "float")
_BOUND = 127
_FINER = 6  # powers of two that are tried below the one that clips nothing
_FRACTIONS = np.linspace(0.3, 1.0, 36)  # of the largest number
_MOST_VALUES = 1 << 16


def best_scale(values: Array, scales: str) -> float:
    """Return the scale, a power of two or any number, by which int8 has the least squared error over some numbers."""
    numbers = sampled(values)
    largest = float(np.abs(numbers).max(initial=0.0))
    if not largest:
        return 2.0**-7
    errors = [(squared_error(numbers, scale), at, scale) for at, scale in enumerate(_candidates(largest, scales))]
    return min(errors)[2]


def best_grid(values: Array, scales: str) -> TensorGrid:
    """Return the grid of a tensor, without a zero point."""
    return TensorGrid(best_scale(values, scales))


def channel_scales(weights: Array, axis: int, scales: str, *, per_channel: bool) -> F64:
    """Return the scale of weights: one, or one a channel of an axis."""
    if not per_channel:
        return np.array([best_scale(weights, scales)])
    return np.array([best_scale(row, scales) for row in np.moveaxis(weights, axis, 0)])


def numbers_on(values: Array, scales: F64, axis: int) -> Array:
    """Return int8 numbers of weights, -127 to 127, by one scale or one a channel of an axis."""
    along = scales.reshape([-1 if at == axis else 1 for at in range(values.ndim)]) if scales.size > 1 else scales.reshape(())
    return np.clip(np.rint(values / along), -_BOUND, _BOUND).astype(np.int8)


def squared_error(values: Array, scale: float) -> float:
    """Return the sum of squared errors of numbers on int8."""
    away = values / scale  # in place from here on: it is called for each scale of each channel
    np.rint(away, out=away)
    np.clip(away, -_BOUND, _BOUND, out=away)
    away *= scale
    away -= values
    return float(np.dot(away, away))


def sampled(values: Array) -> F64:
    """Return at most 65,536 of some numbers, evenly taken, and the largest."""
    flat = values.reshape(-1)
    if flat.size <= _MOST_VALUES:
        return flat.astype(np.float64)
    step = -(-flat.size // _MOST_VALUES)
    return np.append(flat[::step], flat[np.argmax(np.abs(flat))]).astype(np.float64)


def _candidates(largest: float, scales: str) -> Iterator[float]:
    if scales == "float":
        yield from (largest / _BOUND * _FRACTIONS[::-1]).tolist()
        return
    widest = max(math.ceil(math.log2(largest / _BOUND)), -120)
    yield from (2.0 ** (widest - finer) for finer in range(_FINER))
