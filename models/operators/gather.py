"""Rows of a table by their indices: an embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array, ModelError
from models.operators import Computed, Shape
from models.operators._elements import element_work


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return the numbers at their new places."""
    return Computed(np.ascontiguousarray(_rows(operation, inputs[0])).reshape(shape))


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row."""
    return element_work(shape)


def _rows(operation: IntegerOperation, indices: Array) -> Array:
    rows = operation.arrays["weights"]
    if indices.size and not 0 <= indices.min() <= indices.max() < len(rows):
        worst = indices.max() if indices.max() >= len(rows) else indices.min()
        raise ModelError(
            f"operation {operation.name} (gather): index {worst}, needs 0 to {len(rows) - 1:,}: a table of {len(rows):,} rows"
        )
    return rows[indices]
