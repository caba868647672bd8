"""Seeded snapshots: a few frequencies with random amplitudes and phases, in circular Gaussian noise.

Snapshot i of a seed is the same however many are made. The noise is of the power sum |b|^2 / 10^(SNR / 10) a sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.network import F64, I64, ModelError
from models.retrieval.grid import C64, Grid

APART = 2  # cells between targets at least, round the edges, in the dimension in which they are farthest apart
AMPLITUDES = (0.5, 1.0)  # least and largest size
TRIES = 1000


class Snapshots(NamedTuple):
    """`received` (many, *samples); `truth` (many, *cells), amplitudes on the nearest cells; `places` (many, targets, dimensions),
    in cells, -1 where there are fewer; `amplitudes` (many, targets).
    """

    received: C64
    truth: C64
    places: F64
    amplitudes: C64


def make_snapshots(
    grid: Grid, count: int, *, targets: int, snr_db: float | tuple[float, float], seed: int, off_grid: bool = False, first: int = 0
) -> Snapshots:
    """Return snapshots `first` to `first + count` of a seed, each of 1 to `targets` targets; SNR in dB, or uniform between two.

    `off_grid`: frequencies lie anywhere between cells. ModelError where so many targets do not fit on the grid.
    """
    dimensions = len(grid.cells)
    received = np.zeros((count, *grid.samples), np.complex64)
    truth = np.zeros((count, *grid.cells), np.complex64)
    places = np.full((count, targets, dimensions), -1.0)
    amplitudes = np.zeros((count, targets), np.complex64)
    for i in range(count):
        random = np.random.default_rng([seed, first + i])
        number = int(random.integers(1, targets + 1))
        cells = _apart(grid, number, random)
        places[i, :number] = cells + (random.uniform(-0.5, 0.5, cells.shape) if off_grid else 0)
        sizes, phases = random.uniform(*AMPLITUDES, number), random.uniform(0, 2 * np.pi, number)
        amplitudes[i, :number] = sizes * np.exp(1j * phases)
        clean = np.zeros(grid.samples, np.complex128)
        for place, amplitude in zip(places[i, :number], amplitudes[i, :number], strict=True):
            wave = np.ones(grid.samples, np.complex128)
            for axis, (at, samples, of) in enumerate(zip(place, grid.samples, grid.cells, strict=True)):
                line = np.exp(2j * np.pi * at / of * np.arange(samples))
                wave = wave * line.reshape([-1 if a == axis else 1 for a in range(dimensions)])
            clean += amplitude * wave
        truth[i][tuple(cells.T)] = amplitudes[i, :number]
        snr = snr_db if isinstance(snr_db, int | float) else random.uniform(*snr_db)
        deviation = np.sqrt(np.sum(sizes**2) / 10 ** (snr / 10) / 2)
        noise = random.normal(size=grid.samples) + 1j * random.normal(size=grid.samples)
        received[i] = clean + deviation * noise
    return Snapshots(received, truth, places, amplitudes)


def _apart(grid: Grid, number: int, random: np.random.Generator) -> I64:
    """Return the cells (number, dimensions) of targets that lie apart."""
    sizes = np.array(grid.cells)
    for _ in range(TRIES):
        cells = random.integers(0, sizes, (number, len(sizes)))
        steps = np.abs(cells[:, None] - cells[None])
        distance = np.minimum(steps, sizes - steps).max(axis=2) + APART * np.eye(number, dtype=np.int64)
        if (distance >= APART).all():
            return np.asarray(cells, np.int64)
    raise do_not_fit(grid, number)


def do_not_fit(grid: Grid, targets: int) -> ModelError:
    """Return the error of so many targets that do not fit on the grid."""
    return ModelError(f"targets: {targets} of them, {APART} cells apart, do not fit on {'x'.join(map(str, grid.cells))} cells")
