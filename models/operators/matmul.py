"""A product of what arrives with weights, on the MAC array: x (..., K), weights (K, N), a bias a column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.compute.mac_array import add_to_columns, mac_matmul
from models.compute.requantise import new_counts, requantise_columns, step_of
from models.dnn.integer import IntegerOperation
from models.dnn.work import MatmulWork
from models.network import Array
from models.operators import Computed, Shape, contiguous, counted


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return int8 of x w + bias."""
    one = operation.requantisation
    assert one is not None
    weights = contiguous(operation.arrays["weights"])
    x = contiguous(inputs[0]).reshape(-1, weights.shape[0])
    sums, counts = np.empty((len(x), weights.shape[1]), np.int32), new_counts()
    mac_matmul(x, weights, 0, 0, False, sums)
    if "bias" in operation.arrays:
        add_to_columns(sums, operation.arrays["bias"])
    values = np.empty(sums.shape, np.int8)
    requantise_columns(sums, one.multipliers, one.shifts, step_of(one, overflow), counts, values)
    return counted(values.reshape(shape), counts)


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> MatmulWork:
    """Return rows, depth and columns; all rows of a sample hear the same weights."""
    depth, columns = operation.arrays["weights"].shape
    rows = math.prod(shapes[0]) // depth
    return MatmulWork(
        batches=1, rows=rows, depth=depth, columns=columns, is_weight=True, multiplied=is_multiplied(operation)
    )  # fmt: skip


def is_multiplied(operation: IntegerOperation) -> bool:
    """Tell whether a shift alone does not scale the sums, so that the core must."""
    one = operation.requantisation
    return one is not None and bool((one.multipliers != 1).any())
