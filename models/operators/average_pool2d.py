"""Average pooling, on the core: exact sums of x - offset over a window; what is padded counts as zero."""

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
from models.operators._elements import plane_work


@compiled
def sum_windows(x: Array, kernel: Array, strides: Array, pads: Array, offset: int, sums: Array) -> None:
    """Write the sum of x - offset over each window into `sums`, int64; planes (n, rows, columns), `pads` (top, left)."""
    for n in range(sums.shape[0]):
        for r in range(sums.shape[1]):
            for c in range(sums.shape[2]):
                total = np.int64(0)
                for v in range(kernel[0]):
                    for u in range(kernel[1]):
                        row, column = r * strides[0] + v - pads[0], c * strides[1] + u - pads[1]
                        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                            total += np.int64(x[n, row, column]) - offset
                sums[n, r, c] = total


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the averages."""
    one, attributes = operation.requantisation, operation.attributes
    assert one is not None
    planes = contiguous(inputs[0]).reshape(-1, *inputs[0].shape[-2:])
    kernel, strides, pads = (np.array(attributes[name], np.int64) for name in ("kernel", "strides", "pads"))
    sums, counts, values = np.empty((len(planes), *shape[-2:]), np.int64), new_counts(), np.empty(math.prod(shape), np.int8)
    sum_windows(planes, kernel, strides, pads, int(attributes["offset"]), sums)
    requantise_each(sums.ravel(), one.multipliers, one.shifts, step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each plane, of a large one for each strip of rows."""
    one = operation.attributes
    return plane_work(
        planes=math.prod(shape[:-2]), image=shapes[0][-2:], made=shape[-2:], kernel=one["kernel"], strides=one["strides"],
        results=True, result_bytes=9,
    )  # fmt: skip
