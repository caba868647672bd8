"""Any function of one int8 number, on the core: a table of its 256 values, one for all or one a channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.compute.compiling import compiled
from models.dnn.integer import IntegerOperation
from models.dnn.work import CoreWork
from models.network import Array
from models.operators import Computed, Shape, contiguous
from models.operators._elements import element_work


@compiled
def look_up(x: Array, tables: Array, out: Array) -> None:
    """Write what the tables, int8 (n, 256), have for `x`, (samples, n, numbers)."""
    for s in range(x.shape[0]):
        for n in range(x.shape[1]):
            table = tables[n]
            for i in range(x.shape[2]):
                out[s, n, i] = table[np.int64(x[s, n, i]) + 128]


def compute(operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
    """Return the function's values."""
    tables = contiguous(operation.arrays["table"])
    x = contiguous(inputs[0])
    cut = x.reshape(x.shape[0], len(tables), -1) if tables.ndim == 2 else x.reshape(1, 1, -1)
    values = np.empty(cut.shape, np.int8)
    look_up(cut, tables.reshape(-1, 256), values)
    return Computed(values.reshape(shape))


def work(operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> CoreWork:
    """Return a unit for each row; every PE has the tables."""
    return element_work(shape, constant_bytes=operation.arrays["table"].size)
