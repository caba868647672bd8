"""Maximum pooling, on the core: the largest of a window; what is padded is not there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous
from models.operators._elements import plane_work


@compiled
def largest_of_windows(x: Array, kernel: Array, strides: Array, pads: Array, dilations: Array, out: Array) -> None:
    """Write the largest of each window into `out`, int8; planes (n, rows, columns), `pads` (top, left)."""
    for n in range(out.shape[0]):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                largest = np.int8(-128)
                for v in range(kernel[0]):
                    for u in range(kernel[1]):
                        row, column = r * strides[0] + v * dilations[0] - pads[0], c * strides[1] + u * dilations[1] - pads[1]
                        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                            largest = max(largest, x[n, row, column])
                out[n, r, c] = largest


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return the largest of each window."""
    planes, attributes = contiguous(inputs[0]).reshape(-1, *inputs[0].shape[-2:]), operation.attributes
    kernel, strides, pads, dilations = (np.array(attributes[name], np.int64) for name in ("kernel", "strides", "pads", "dilations"))
    values = np.empty((len(planes), *shape[-2:]), np.int8)
    largest_of_windows(planes, kernel, strides, pads, dilations, values)
    return Computed(values.reshape(shape))


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each plane, of a large one for each strip of rows."""
    one = operation.attributes
    return plane_work(
        planes=math.prod(shape[:-2]), image=shapes[0][-2:], made=shape[-2:], kernel=one["kernel"], strides=one["strides"],
        dilations=one["dilations"],
    )  # fmt: skip
