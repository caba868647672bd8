"""`packed`: event-driven columns. An event adds its column of weights to the accumulators; silent units cost nothing.

Per stored weight a float32 value and a row index in the smallest unsigned integer that holds the shard's rows (one byte
up to 85 EGRU units), per source unit one extent in the smallest integer that holds the number of weights. No dense
vector is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from models import lowpass
from models.compiled import compiled
from models.formats import Port, nothing, trace_field
from models.lowpass import traced
from models.network import Array, Field, SparseRows

_UNSIGNED = ("|u1", "<u2", "<u4")


def _smallest(largest: int) -> str:
    return next(dtype for dtype in _UNSIGNED if largest <= np.iinfo(dtype).max)


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32 by column, `rows` and `extents` (source units + 1) in the smallest integers that fit."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.extents))
    order = np.argsort(weights.columns, kind="stable")  # rows stay ascending within a column
    dtypes = {f.name: f.dtype for f in fields(*weights.shape, weights.nonzeros, 1)}
    extents = np.zeros(weights.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(weights.columns, minlength=weights.shape[1]), out=extents[1:])
    return {
        "values": weights.values[order],
        "rows": rows[order].astype(dtypes["rows"]),
        "extents": extents.astype(dtypes["extents"]),
    }


def fields(rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:
    """Return the weights and accumulators of a port."""
    return [
        Field("values", (nonzeros,), "<f4", "weights"),
        Field("rows", (nonzeros,), _smallest(max(rows - 1, 0)), "weights"),
        # One-byte extents would save next to nothing and cost further specialisations.
        Field("extents", (source_units + 1,), _smallest(max(nonzeros, 256)), "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
        *([trace_field(lanes, source_units)] if trace else []),
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:  # noqa: ARG001 - the contract's arguments
    """Bind a port to its arena views."""
    arrays: tuple[Any, ...] = tuple(mem[f"{name}.{array}"] for array in ("values", "rows", "extents", "sums", "counts"))
    if trace:
        return traced(mem[f"{name}.trace"], trace, partial(_product, mem[f"{name}.trace"], *arrays))
    return Port(partial(clear, *arrays[-2:]), partial(_accumulate, source_units, *arrays), nothing)


@compiled
def clear(sums: Array, counts: Array) -> None:
    """Forget every event and the work it made: zero the accumulators of an event-driven port."""
    for lane in range(sums.shape[0]):
        for row in range(sums.shape[1]):
            sums[lane, row] = np.float32(0)
    counts[0] = counts[1] = 0


@compiled
def _accumulate(
    source_units: int, values: Array, rows: Array, extents: Array, sums: Array, counts: Array,
    keys: Array, events: Array, count: int,
) -> None:  # fmt: skip
    macs = 0
    for e in range(count):
        key = np.int64(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        event = events[e]
        first, last = int(extents[unit]), int(extents[unit + 1])
        for k in range(first, last):
            sums[lane, rows[k]] += values[k] * event
        macs += last - first
    counts[0] += macs
    counts[1] += macs


@compiled
def _product(trace: Array, values: Array, rows: Array, extents: Array, sums: Array, counts: Array) -> None:
    clear(sums, counts)
    macs = 0
    for lane in range(trace.shape[0]):
        for unit in range(trace.shape[1]):
            event = trace[lane, unit]
            if event == np.float32(0):
                continue
            first, last = int(extents[unit]), int(extents[unit + 1])
            for k in range(first, last):
                sums[lane, rows[k]] += values[k] * event
            macs += last - first
    counts[0] = macs
    counts[1] = macs


def warm() -> None:
    """Compile the kernels for each width of index and extent."""
    for index, extent in product(_UNSIGNED, _UNSIGNED[1:]):
        zeros = np.zeros(1, np.float32)
        sums, counts = np.zeros((1, 1), np.float32), np.zeros(2, np.uint32)
        _accumulate(1, zeros, np.zeros(1, index), np.zeros(2, extent), sums, counts, np.zeros(1, np.uint32), zeros, 1)
        _product(sums.copy(), zeros, np.zeros(1, index), np.zeros(2, extent), sums, counts)
    lowpass.warm()
    clear(sums, counts)
