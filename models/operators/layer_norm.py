"""Layer normalisation along the last axis, on the core: exact integer sums, and float32 from there on, one operation at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.compute.requantise import cut, new_counts, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted
from models.operators.softmax import EVEN, FLOOR


@compiled
def layer_norm_rows(
    x: Array, gamma: Array, beta: Array, epsilon: np.float32, step: Array, counts: Array, out: Array
) -> None:  # fmt: skip
    """Write int8 of (n x - S) (1 / sqrt(V + epsilon)) gamma + beta of each row, S = sum x and V = n sum x^2 - S^2, into `out`."""
    n, half = np.int64(x.shape[1]), np.float32(0.5)
    for r in range(x.shape[0]):
        total, squares = np.int64(0), np.int64(0)
        for c in range(n):
            number = np.int64(x[r, c])
            total += number
            squares += number * number
        scale = np.float32(np.float32(1) / np.sqrt(np.float32(np.float32(n * squares - total * total) + epsilon)))
        for c in range(n):
            value = np.float32(np.float32(n * np.int64(x[r, c]) - total) * scale)
            value = np.float32(np.float32(value * gamma[c]) + beta[c])
            if step[3] == EVEN:
                near = np.rint(value)
            elif step[3] == FLOOR:
                near = np.floor(value)
            else:
                near = np.floor(np.float32(value + half))
            out[r, c] = cut(step[0] + np.int64(near), step, counts)


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the normalised rows."""
    one, arrays = operation.requantisation, operation.arrays
    assert one is not None
    rows = contiguous(inputs[0]).reshape(-1, shape[-1])
    counts, values = new_counts(), np.empty(rows.shape, np.int8)
    epsilon = np.float32(arrays["epsilon"].reshape(-1)[0])
    layer_norm_rows(rows, arrays["gamma"], arrays["beta"], epsilon, step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row; every PE has gamma and beta."""
    width = shape[-1]
    return CoreWork(
        units=math.prod(shape[:-1]), unit_input_bytes=width, unit_output_bytes=width, constant_bytes=8 * width, steps=width
    )  # fmt: skip
