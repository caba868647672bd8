"""The grid of frequencies on which a snapshot is explained, and what the host computes of it: the matched filter and ISTA.

A snapshot y has N = N_1 ... N_r samples, y[n] = sum_k b_k exp(j 2 pi f_k n) + noise; the grid G = G_1 ... G_r frequencies g / G_i,
which cover the full period, so that A^H A is a circular convolution. Everything is scaled by 1 / N: z = A^H y / N, and
B = A^H A / N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.network import ModelError

C64 = npt.NDArray[np.complex64]
C128 = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Grid:
    """`samples` and `cells` of each dimension; ModelError unless there are one to three, each with more cells than samples."""

    samples: tuple[int, ...]
    cells: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.samples) <= 3 or len(self.samples) != len(self.cells):
            raise ModelError(f"grid: {len(self.samples)} and {len(self.cells)} dimensions; needs one to three, as many of both")
        for samples, cells in zip(self.samples, self.cells, strict=True):
            if not 2 <= samples <= cells:
                raise ModelError(f"grid: {samples} samples on {cells} cells; needs 2 samples or more, and as many cells or more")

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a batch's dimensions."""
        return tuple(range(1, 1 + len(self.cells)))

    @property
    def points(self) -> int:
        """Cells of the whole grid."""
        return math.prod(self.cells)

    @property
    def step(self) -> float:
        """The step of ISTA that always converges: 1 / the largest eigenvalue of B."""
        return math.prod(self.samples) / self.points

    def matched_filter(self, snapshots: npt.NDArray[np.complexfloating]) -> C64:
        """Return z = A^H y / N of snapshots (many, *samples): (many, *cells)."""
        spectra = np.fft.fftn(snapshots.astype(np.complex128), self.cells, self.axes)
        return np.asarray(spectra / math.prod(self.samples), np.complex64)

    def gram(self) -> C128:
        """Return the kernel (*cells) of the circular convolution B."""
        mask = np.zeros(self.cells)
        mask[tuple(slice(n) for n in self.samples)] = 1 / math.prod(self.samples)
        return np.asarray(np.fft.fftn(mask), np.complex128)

    def solve(self, filtered: npt.NDArray[np.complexfloating], steps: int, weight: float) -> C64:
        """Return what ISTA makes of matched filters (many, *cells) in so many steps, with the weight lambda of the 1-norm."""
        mask = np.zeros(self.cells)
        mask[tuple(slice(n) for n in self.samples)] = self.points / math.prod(self.samples)
        x, z = np.zeros(filtered.shape, np.complex64), filtered.astype(np.complex64)
        for _ in range(steps):
            back = np.fft.fftn(mask * np.fft.ifftn(x, axes=self.axes), axes=self.axes)
            x = shrink(x + np.float32(self.step) * (z - back), self.step * weight)
        return x


def shrink(x: npt.NDArray[np.complexfloating], threshold: float) -> C64:
    """Return the complex soft threshold x max(0, 1 - threshold / |x|): magnitudes shrink, phases stay."""
    size = np.abs(x)
    return np.asarray(x * np.maximum(0, 1 - threshold / np.maximum(size, 1e-30)), np.complex64)
