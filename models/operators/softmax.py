"""Softmax along the last axis, on the core: exponentials from a table of how far a number is below its row's largest.

The table's numbers are integers, so that their sum has no order; what is float32 is one division a row and one product an element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.compute.requantise import cut, new_counts, step_of
from models.dnn.integer import ROUNDINGS, IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted

FLOOR, EVEN = ROUNDINGS.index("floor"), ROUNDINGS.index("even")


@compiled
def softmax_rows(x: Array, mask: Array, table: Array, factor: np.float32, step: Array, counts: Array, out: Array) -> None:
    """Write int8 of t (factor / sum of t), t = table[largest - x], of each row of `x`, into `out`; a row's mask is row r modulo
    those
    of `mask`, uint8, and where it is 0 nothing is.
    """
    half = np.float32(0.5)
    for r in range(x.shape[0]):
        heard = mask[r % mask.shape[0]]
        largest = np.int64(-128)
        for c in range(x.shape[1]):
            if heard[c]:
                largest = max(largest, np.int64(x[r, c]))
        total = np.int64(0)
        for c in range(x.shape[1]):
            if heard[c]:
                total += np.int64(table[largest - np.int64(x[r, c])])
        ratio = np.float32(factor / np.float32(total))
        for c in range(x.shape[1]):
            part = np.float32(table[largest - np.int64(x[r, c])]) if heard[c] else np.float32(0)
            value = np.float32(part * ratio)
            if step[3] == EVEN:
                near = np.rint(value)
            elif step[3] == FLOOR:
                near = np.floor(value)
            else:
                near = np.floor(np.float32(value + half))
            out[r, c] = cut(step[0] + np.int64(near), step, counts)


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of the shares."""
    one = operation.requantisation
    assert one is not None
    rows = contiguous(inputs[0]).reshape(-1, shape[-1])
    counts, values = new_counts(), np.empty(rows.shape, np.int8)
    factor = np.float32(operation.arrays["factor"].reshape(-1)[0])
    mask = operation.arrays.get("mask", np.ones((1, shape[-1]), np.uint8))
    softmax_rows(rows, mask, operation.arrays["table"], factor, step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row: its largest number and its sum are of all of it."""
    width = shape[-1]
    masked = width if "mask" in operation.arrays else 0
    return CoreWork(
        units=math.prod(shape[:-1]), unit_input_bytes=width + masked, unit_output_bytes=width,
        constant_bytes=operation.arrays["table"].nbytes, steps=width,
    )  # fmt: skip
