"""Grids: the numbers that int8 weights can stand for, and the scale that fits them to a tensor or a row.

A scale is free, or a power of two, which keeps products on one grid with their events. It is chosen so that the largest
weight is the largest number; with a percentile below 100 the largest few are clipped, and the others get a finer grid.
Rounding is to the nearest number, ties to even.

Weights that lie on a grid already, as those of a network that was trained quantised do, keep it: the largest step of which
all are multiples is found first, because max / 127 would round them a second time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.network import F64, Array, ModelError, check_finite

_ON_GRID = 1e-6  # of a weight: what float32 may have lost of it, and of the largest one


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How to quantise. `bits` 2 to 8; `powers_of_two` scales or free ones; one scale a row (`per_row`) or one a tensor; weights
    above the `percentile` of their magnitudes are clipped (100: none); `keep`: leave weights that lie on a grid on it.
    """

    bits: int = 8
    powers_of_two: bool = False
    per_row: bool = False
    percentile: float = 100.0
    keep: bool = True

    def __post_init__(self) -> None:
        if self.bits not in range(2, 9):
            raise ModelError(f"quantise: {self.bits!r} bits; needs a whole number from 2 to 8")
        if not 0 < self.percentile <= 100:  # also refuses NaN
            raise ModelError(f"quantise: percentile {self.percentile!r}; needs a number above 0, at most 100")

    @property
    def most(self) -> int:
        """The largest number of the grid, 127 in 8 bits; the smallest is its negative."""
        return int(2 ** (self.bits - 1) - 1)


def scale_of(who: str, values: Array, grid: Grid) -> float:
    """Return the scale of the nonzero weights `values`; ModelError, naming `who`, for none, zeros alone, or a NaN or infinity.

    The weight nearest to the percentile becomes the largest number; a power of two is the smallest that does not clip it.
    """
    check_finite(who, values)
    magnitudes = np.abs(np.asarray(values, np.float64))
    magnitudes = magnitudes[magnitudes > 0]
    if not magnitudes.size:
        raise ModelError(f"{who}: has no weight that is not zero; nothing to fit a scale to")
    step = common_step(magnitudes, grid.most) if grid.keep else None
    if step is not None and (not grid.powers_of_two or math.frexp(step)[0] == 0.5):
        return step
    scale = float(np.percentile(magnitudes, grid.percentile, method="nearest")) / grid.most
    if grid.powers_of_two:
        scale = power_of_two_above(scale)
    return scale


def power_of_two_above(scale: float) -> float:
    """Return the smallest power of two that is not below a scale."""
    fraction, exponent = math.frexp(scale)  # scale = fraction * 2 ** exponent, fraction from 0.5 to below 1
    return math.ldexp(1.0, exponent - (fraction == 0.5))


def common_step(magnitudes: F64, most: int) -> float | None:
    """Return the largest step of which all magnitudes are a multiple, at most `most`, to float32's precision; None without one."""
    largest = float(magnitudes.max())
    for count in range(1, most + 1):
        step = largest / count
        counts = np.rint(magnitudes / step)
        if np.all(np.abs(magnitudes / step - counts) <= _ON_GRID * counts):
            return step
    return None


def numbers_of(values: Array, scales: Array | float, grid: Grid) -> tuple[Array, int]:
    """Return the numbers nearest to values / scales, int8, and how many were clipped."""
    exact = np.asarray(values, np.float64) / scales
    clipped = np.abs(exact) > grid.most + 0.5
    return np.clip(np.rint(exact), -grid.most, grid.most).astype(np.int8), int(np.count_nonzero(clipped))
