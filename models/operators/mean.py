"""A mean over axes, on the core: exact sums of x - offset, scaled by what their number and the scales make."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.compute.requantise import new_counts, requantise_each, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted


@compiled
def sum_rows(x: Array, offset: int, sums: Array) -> None:
    """Write the sum of x - offset of each row of `x` (rows, n) into `sums`, int64."""
    for r in range(x.shape[0]):
        total = np.int64(0)
        for c in range(x.shape[1]):
            total += np.int64(x[r, c]) - offset
        sums[r] = total


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the means."""
    one, attributes = operation.requantisation, operation.attributes
    assert one is not None
    x = inputs[0]
    axes = [axis % x.ndim for axis in attributes["axes"]]
    order = [axis for axis in range(x.ndim) if axis not in axes] + axes
    count = math.prod(x.shape[axis] for axis in axes)
    rows = contiguous(np.transpose(x, order)).reshape(-1, count)
    sums, counts, values = np.empty(len(rows), np.int64), new_counts(), np.empty(len(rows), np.int8)
    sum_rows(rows, int(attributes["offset"]), sums)
    requantise_each(sums, one.multipliers, one.shifts, step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each mean."""
    units = math.prod(shape)
    each = math.prod(shapes[0]) // units
    return CoreWork(units=units, unit_input_bytes=each, unit_output_bytes=1, steps=each, results=1)
