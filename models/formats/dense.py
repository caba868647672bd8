"""`dense`: every weight of the shard stored, source unit by source unit, for networks that are not pruned (the gesture
model).

Event-driven like `packed`: an event adds its row of stored weights to all accumulators, which needs no index. Effective
MACs count weights that are not zero, as in every format, so that the model counters do not depend on the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from models import lowpass
from models.compiled import compiled
from models.formats import Port, nothing, trace_field
from models.formats.packed import clear
from models.lowpass import traced
from models.network import Array, Field, SparseRows


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32 (source units, rows)."""
    return {"values": np.ascontiguousarray(weights.to_dense().T)}


def fields(rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:  # noqa: ARG001 - zeros are stored
    """Return the weights and accumulators of a port."""
    return [
        Field("values", (source_units, rows), "<f4", "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
        *([trace_field(lanes, source_units)] if trace else []),
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:  # noqa: ARG001 - the contract's arguments
    """Bind a port to its arena views."""
    arrays: tuple[Any, ...] = tuple(mem[f"{name}.{array}"] for array in ("values", "sums", "counts"))
    if trace:
        return traced(mem[f"{name}.trace"], trace, partial(_product, mem[f"{name}.trace"], *arrays))
    return Port(partial(clear, *arrays[-2:]), partial(_accumulate, source_units, *arrays), nothing)


@compiled
def _accumulate(source_units: int, values: Array, sums: Array, counts: Array, keys: Array, events: Array, count: int) -> None:
    macs = 0
    rows = values.shape[1]
    for e in range(count):
        key = np.int64(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        event = events[e]
        for row in range(rows):
            sums[lane, row] += values[unit, row] * event
            macs += values[unit, row] != np.float32(0)
    counts[0] += macs
    counts[1] += count * rows


@compiled
def _product(trace: Array, values: Array, sums: Array, counts: Array) -> None:
    clear(sums, counts)
    macs = visited = 0
    rows = values.shape[1]
    for lane in range(trace.shape[0]):
        for unit in range(trace.shape[1]):
            event = trace[lane, unit]
            if event == np.float32(0):
                continue
            for row in range(rows):
                sums[lane, row] += values[unit, row] * event
                macs += values[unit, row] != np.float32(0)
            visited += rows
    counts[0] = macs
    counts[1] = visited


def warm() -> None:
    """Compile the kernels: this format has one specialisation."""
    one = np.zeros((1, 1), np.float32)
    sums, counts = one.copy(), np.zeros(2, np.uint32)
    _accumulate(1, one, sums, counts, np.zeros(1, np.uint32), one[0], 1)
    _product(one, one.copy(), sums, counts)
    lowpass.warm()
    clear(sums, counts)
