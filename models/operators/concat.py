"""Several things that arrive, one behind the other along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape
from models.operators._elements import element_work


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return the numbers at their new places."""
    return Computed(np.ascontiguousarray(np.concatenate(inputs, axis=operation.attributes["axis"])).reshape(shape))


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row."""
    return element_work(shape)
