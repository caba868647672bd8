"""A convolution of images, on the MAC array: x (samples, in, rows, columns), weights (out, in, rows, columns), a bias a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.compute.mac_array import add_to_rows, mac_conv2d
from models.compute.requantise import new_counts, requantise_rows, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import Conv2dWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted
from models.operators.matmul import is_multiplied


def padded(x: Array, pads: Sequence[int], value: int) -> Array:
    """Return images (samples, channels, rows, columns) with `pads` (top, left, bottom, right) of `value` around each."""
    top, left, bottom, right = pads
    if not any(pads):
        return contiguous(x)
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the sums of x w + bias."""
    one, attributes = operation.requantisation, operation.attributes
    assert one is not None
    weights = contiguous(operation.arrays["weights"])
    x = padded(inputs[0], attributes["pads"], attributes["pad_value"])
    strides, dilations = (np.array(attributes[name], np.int64) for name in ("strides", "dilations"))
    step, counts = step_of(one, overflow), new_counts()
    sums, values = np.empty(shape[1:], np.int32), np.empty(shape, np.int8)
    rows = sums.reshape(len(sums), -1)
    for n in range(len(x)):
        mac_conv2d(x[n], weights, strides, dilations, False, sums)
        if "bias" in operation.arrays:
            add_to_rows(rows, operation.arrays["bias"])
        requantise_rows(rows, one.multipliers, one.shifts, step, counts, values[n].reshape(rows.shape))
    return counted(values, counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> Conv2dWork:
    """Return what is convolved with what."""
    weights, attributes = operation.arrays["weights"], operation.attributes
    samples, _, height, width = shapes[0]
    top, left, bottom, right = attributes["pads"]
    return Conv2dWork(
        samples=samples, in_channels=weights.shape[1], height=height + top + bottom, width=width + left + right,
        out_channels=weights.shape[0], out_height=shape[2], out_width=shape[3], kernel=(weights.shape[2], weights.shape[3]),
        strides=tuple(attributes["strides"]), dilations=tuple(attributes["dilations"]), multiplied=is_multiplied(operation),
    )  # fmt: skip
