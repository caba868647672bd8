"""From an exact integer sum to int8, as the array's shifts or the core's multiplications do it.

y = low <= zero_point + (sum * multiplier >> shift) <= high, rounded half-up (what a bias of half a step does), floor (a bare
shift) or even (as ONNX). A sum of more than 24 bits is dealt with before: it saturates, wraps, or is an error of the whole run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.compute.compiling import compiled, inlined
from models.dnn.integer import ACCUMULATOR_BITS, OVERFLOWS, ROUNDINGS
from models.network import Array

if TYPE_CHECKING:
    from models.dnn.integer import Requantisation

_FLOOR, _EVEN = ROUNDINGS.index("floor"), ROUNDINGS.index("even")
_WRAP = OVERFLOWS.index("wrap")
_ONE = np.int64(1)
_HIGHEST = np.int64((1 << (ACCUMULATOR_BITS - 1)) - 1)
_LOWEST = -_HIGHEST - np.int64(1)
_SPAN = np.int64(1 << ACCUMULATOR_BITS)
STEP_NUMBERS = 5
"""Length of `step_of`: zero point, low, high, and the numbers of the rounding and of what becomes of an overflow."""
OVERFLOWED, SATURATED = 0, 1
"""What a kernel counts, by its place: sums of more than 24 bits, and values that int8 has no place for."""


@inlined
def round_shift(value: Any, shift: Any, rounding: Any) -> Any:
    """Return value / 2^shift, rounded as the number of a rounding (its place in `ROUNDINGS`) says."""
    if shift == 0:
        return value
    low = value >> shift
    if rounding == _FLOOR:
        return low
    half = _ONE << (shift - _ONE)
    rest = value - (low << shift)
    if rounding == _EVEN:
        return low + np.int64(rest > half or (rest == half and (low & _ONE) == _ONE))
    return low + np.int64(rest >= half)


@inlined
def in_accumulator(total: Any, overflow: Any, counts: Array) -> Any:
    """Return a sum as 24 bits hold it; count it where they do not."""
    if _LOWEST <= total <= _HIGHEST:
        return total
    counts[OVERFLOWED] += 1
    if overflow == _WRAP:
        return (total - _LOWEST) % _SPAN + _LOWEST
    return _HIGHEST if total > 0 else _LOWEST


@inlined
def cut(value: Any, step: Array, counts: Array) -> Any:
    """Return a value, zero point and all, between low and high; count it where int8 has no place for it."""
    # What a ReLU takes away is no loss.
    if value > 127 or (value < -128 and step[1] == -128):
        counts[SATURATED] += 1
    return min(max(value, step[1]), step[2])


@inlined
def requantised(total: Any, multiplier: Any, shift: Any, step: Array, counts: Array) -> Any:
    """Return int8 of an exact sum."""
    return cut(step[0] + round_shift(total * multiplier, shift, step[3]), step, counts)


@compiled
def requantise_rows(sums: Array, multipliers: Array, shifts: Array, step: Array, counts: Array, out: Array) -> None:
    """Write int8 of sums, int32 (rows, columns), of which row r has multiplier r, or the only one, into `out`."""
    for r in range(sums.shape[0]):
        own = r if multipliers.size > 1 else 0
        for c in range(sums.shape[1]):
            total = in_accumulator(np.int64(sums[r, c]), step[4], counts)
            out[r, c] = requantised(total, multipliers[own], np.int64(shifts[own]), step, counts)


@compiled
def requantise_columns(sums: Array, multipliers: Array, shifts: Array, step: Array, counts: Array, out: Array) -> None:
    """Do as `requantise_rows`, but column c has multiplier c, or the only one."""
    several = multipliers.size > 1
    for r in range(sums.shape[0]):  # as they lie in memory
        for c in range(sums.shape[1]):
            own = c if several else 0
            total = in_accumulator(np.int64(sums[r, c]), step[4], counts)
            out[r, c] = requantised(total, multipliers[own], np.int64(shifts[own]), step, counts)


@compiled
def requantise_each(sums: Array, multipliers: Array, shifts: Array, step: Array, counts: Array, out: Array) -> None:
    """Write int8 of the core's own sums, int64 (n,), which are not the array's: they have 64 bits."""
    for i in range(sums.size):
        out[i] = requantised(sums[i], multipliers[0], np.int64(shifts[0]), step, counts)


def step_of(requantisation: Requantisation, overflow: str) -> Array:
    """Return a requantisation's numbers beside multipliers and shifts as kernels take them, int64 (STEP_NUMBERS,)."""
    one = requantisation
    numbers: list[Any] = [one.zero_point, one.low, one.high, ROUNDINGS.index(one.rounding), OVERFLOWS.index(overflow)]
    return np.array(numbers, np.int64)


def new_counts() -> Array:
    """Return the counts of a kernel's call, all zero: int64 (2,)."""
    return np.zeros(2, np.int64)
