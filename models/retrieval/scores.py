"""How well a grid was recovered: NMSE in dB, and the share of targets that were detected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.network import F64

_NEAR = 1  # cells, in every dimension, in which a peak counts as a target's
_PART = 0.4  # of the target's amplitude that its peak must have
_LEAST = 1e-30


def nmse_db(recovered: npt.NDArray[np.complexfloating], truth: npt.NDArray[np.complexfloating]) -> float:
    """Return the mean over snapshots (first axis) of |x - truth|^2 / |truth|^2, in dB; nan without snapshots."""
    return float(10 * np.log10(max(float(np.mean(square_errors(recovered, truth))), _LEAST))) if len(truth) else float("nan")


def square_errors(recovered: npt.NDArray[np.complexfloating], truth: npt.NDArray[np.complexfloating]) -> F64:
    """Return |x - truth|^2 / |truth|^2 of each snapshot."""
    axes = tuple(range(1, truth.ndim))
    error = np.sum(np.abs(recovered.astype(np.complex128) - truth) ** 2, axis=axes)
    return np.asarray(error / np.maximum(np.sum(np.abs(truth.astype(np.complex128)) ** 2, axis=axes), _LEAST), np.float64)


def detected(recovered: npt.NDArray[np.complexfloating], truth: npt.NDArray[np.complexfloating]) -> tuple[int, int]:
    """Return how many targets of one snapshot were detected, of how many: a cell beside it has enough of its amplitude.

    The largest target takes its cell first, and a cell counts for one target.
    """
    left, hits = np.abs(recovered).astype(np.float64), 0
    cells = np.argwhere(truth)
    for cell in sorted(map(tuple, cells), key=lambda at: -abs(truth[at])):
        near = np.ix_(*[np.arange(at - _NEAR, at + _NEAR + 1) % size for at, size in zip(cell, truth.shape, strict=True)])
        region = left[near]
        best = np.unravel_index(int(np.argmax(region)), region.shape)
        if region[best] >= _PART * abs(truth[cell]):
            hits += 1
            region[best] = 0
            left[near] = region
    return hits, len(cells)
