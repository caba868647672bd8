"""Products of two things that arrive, on the MAC array: those of attention. x (..., M, K), y (..., K, N)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.mac_array import mac_matmul
from models.compute.requantise import new_counts, requantise_columns, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import MatmulWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted
from models.operators.matmul import is_multiplied


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of (x - offset) (y - offset), matrix by matrix."""
    one = operation.requantisation
    assert one is not None
    x, y = inputs
    rows, depth, columns = x.shape[-2], x.shape[-1], y.shape[-1]
    left, right = contiguous(x).reshape(-1, rows, depth), contiguous(y).reshape(-1, depth, columns)
    first, second = operation.attributes["offsets"]
    step, counts = step_of(one, overflow), new_counts()
    sums, values = np.empty((rows, columns), np.int32), np.empty((len(left), rows, columns), np.int8)
    for n in range(len(left)):
        mac_matmul(left[n], right[n], first, second, False, sums)
        requantise_columns(sums, one.multipliers, one.shifts, step, counts, values[n])
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> MatmulWork:
    """Return a product for each pair of matrices."""
    rows, depth = shapes[0][-2:]
    return MatmulWork(
        batches=math.prod(shapes[0][:-2]), rows=rows, depth=depth, columns=shape[-1], is_weight=False,
        multiplied=is_multiplied(operation),
    )  # fmt: skip
