"""A sum of two things that arrive, each at its own scale, on the core: a residual connection, say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.compute.requantise import new_counts, requantised, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted
from models.operators._elements import element_work


@compiled
def add_scaled(x: Array, y: Array, scales: Array, multiplier: int, shift: int, step: Array, counts: Array, out: Array) -> None:
    """Write int8 of (x - offset) m + (y - offset) m; `scales`: m of x, m of y, offset of x, offset of y."""
    for i in range(x.size):
        total = (np.int64(x[i]) - scales[2]) * scales[0] + (np.int64(y[i]) - scales[3]) * scales[1]
        out[i] = requantised(total, multiplier, shift, step, counts)


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the sum; shapes are broadcast."""
    one, attributes = operation.requantisation, operation.attributes
    assert one is not None
    x, y = (contiguous(np.broadcast_to(array, shape)).ravel() for array in inputs)
    scales = np.array([*attributes["multipliers"], *attributes["offsets"]], np.int64)
    counts, values = new_counts(), np.empty(x.size, np.int8)
    add_scaled(x, y, scales, int(one.multipliers[0]), int(one.shifts[0]), step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row of the output."""
    return element_work(shape, inputs=2, results=True)
