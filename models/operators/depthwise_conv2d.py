"""A convolution of each channel by itself, on the core: the array would use one of its four rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.compute.requantise import new_counts, requantise_rows, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted
from models.operators._elements import plane_work
from models.operators.conv2d import padded


@compiled
def depthwise_sums(x: Array, weights: Array, bias: Array, strides: Array, dilations: Array, sums: Array) -> None:
    """Write the sums of x w + bias into `sums`, int32 (out, rows, columns); channel o hears o // (out / in) of `x`, padded."""
    each = len(weights) // len(x)
    for o in range(len(weights)):
        for r in range(sums.shape[1]):
            for c in range(sums.shape[2]):
                total = bias[o]
                for v in range(weights.shape[2]):
                    for u in range(weights.shape[3]):
                        number = x[o // each, r * strides[0] + v * dilations[0], c * strides[1] + u * dilations[1]]
                        total += np.int32(weights[o, 0, v, u]) * np.int32(number)
                sums[o, r, c] = total


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the sums."""
    one, attributes = operation.requantisation, operation.attributes
    assert one is not None
    weights = contiguous(operation.arrays["weights"])
    bias = operation.arrays.get("bias", np.zeros(len(weights), np.int32))
    x = padded(inputs[0], attributes["pads"], attributes["pad_value"])
    strides, dilations = (np.array(attributes[name], np.int64) for name in ("strides", "dilations"))
    step, counts = step_of(one, overflow), new_counts()
    sums, values = np.empty(shape[1:], np.int32), np.empty(shape, np.int8)
    rows = sums.reshape(len(sums), -1)
    for n in range(len(x)):
        depthwise_sums(x[n], weights, bias, strides, dilations, sums)
        requantise_rows(rows, one.multipliers, one.shifts, step, counts, values[n].reshape(rows.shape))
    return counted(values, counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each channel out: its plane of the input, padded, and its own kernel; of a large one, for each strip."""
    weights, attributes = operation.arrays["weights"], operation.attributes
    _, _, height, width = shapes[0]
    top, left, bottom, right = attributes["pads"]
    kernel = weights.shape[2:]
    return plane_work(
        planes=shape[0] * shape[1], image=(height + top + bottom, width + left + right), made=(shape[2], shape[3]), kernel=kernel,
        strides=attributes["strides"], dilations=attributes["dilations"], beside_bytes=math.prod(kernel) + 4, results=True,
        result_bytes=5,
    )  # fmt: skip
