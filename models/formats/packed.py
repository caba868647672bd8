"""`packed`: event-driven columns. An event adds its column of weights to the accumulators; silent units cost nothing.

Per stored weight a float32 value and a row index in the smallest unsigned integer that holds the shard's rows (one byte
up to 85 EGRU units), per source unit one extent in the smallest integer that holds the number of weights. No dense
vector is kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    Address,
    EventKeys,
    EventValues,
    FloatRows,
    Lane,
    Number,
    WordRows,
    bindable,
    bytes_at,
    carray,
    floats_at,
    nothing,
    shorts_at,
    words_at,
)
from models.compute.compiling import always_inlined, inlined
from models.compute.lowpass import traced
from models.compute.port import Port
from models.compute.sums import clearing, forget_lane, forgetting
from models.formats import trace_field
from models.network import Array, Field, SparseRows
from models.shard import PortShape

_UNSIGNED = ("|u1", "<u2", "<u4")


def _smallest(largest: int) -> str:
    return next(dtype for dtype in _UNSIGNED if largest <= np.iinfo(dtype).max)


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values` float32 by column, `rows` and `extents` (source units + 1) in the smallest integers that fit."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.extents))
    order = np.argsort(weights.columns, kind="stable")  # rows stay ascending within a column
    dtypes = {f.name: f.dtype for f in fields(shape)}
    extents = np.zeros(weights.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(weights.columns, minlength=weights.shape[1]), out=extents[1:])
    return {
        "values": weights.values[order],
        "rows": rows[order].astype(dtypes["rows"]),
        "extents": extents.astype(dtypes["extents"]),
    }


def fields(shape: PortShape) -> list[Field]:
    """Return the weights of a port."""
    return [
        Field("values", (shape.nonzeros,), "<f4", "weights"),
        Field("rows", (shape.nonzeros,), _smallest(max(shape.rows - 1, 0)), "weights"),
        # One-byte extents would save next to nothing.
        Field("extents", (shape.source_units + 1,), _smallest(max(shape.nonzeros, 256)), "weights"),
        *([trace_field(shape)] if shape.trace else []),
    ]


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    values, rows, extents, sums, counts = (mem[array] for array in ("values", "rows", "extents", "sums", "counts"))
    matrix: dict[str, Any] = {
        "values": values, "rows": rows, "row_bytes": rows.itemsize, "extents": extents, "extent_bytes": extents.itemsize,
        "sums": sums, "counts": counts,
    }  # fmt: skip
    if trace:
        heard = mem["trace"]
        return traced(heard, trace, _product.bind(trace=heard, **matrix))
    receive, buffers = _accumulate.bind(source_units=shape.source_units, **matrix), {"sums": sums, "counts": counts}
    return Port(clear=clearing(**buffers), receive=receive, product=nothing, forget=forgetting(**buffers))


@inlined
def _extent(extents: int, extent_bytes: int, at: int) -> int:
    if extent_bytes == 2:
        return int(carray(shorts_at(extents), (at + 1,))[at])
    return int(carray(words_at(extents), (at + 1,))[at])


@always_inlined
def _add_column(
    values: int, rows: int, row_bytes: int, extents: int, extent_bytes: int, unit: int, event: np.float32, sums: Array
) -> int:
    """Add an event's column of weights to the accumulators of its lane, `sums`; return its length.

    `values`, `rows` and `extents` are addresses, the last two of unsigned integers of so many bytes.
    """
    first, last = _extent(extents, extent_bytes, unit), _extent(extents, extent_bytes, unit + 1)
    weights = carray(floats_at(values), (last,))
    # One loop for each width of index, so that none asks for it weight by weight.
    if row_bytes == 1:
        narrow = carray(bytes_at(rows), (last,))
        for k in range(first, last):
            sums[narrow[k]] += weights[k] * event
    elif row_bytes == 2:
        middle = carray(shorts_at(rows), (last,))
        for k in range(first, last):
            sums[middle[k]] += weights[k] * event
    else:
        wide = carray(words_at(rows), (last,))
        for k in range(first, last):
            sums[wide[k]] += weights[k] * event
    return last - first


@bindable
def _accumulate(
    values: Address, rows: Address, row_bytes: Number, extents: Address, extent_bytes: Number, sums: FloatRows, counts: WordRows,
    source_units: Number, keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    for e in range(keys.size):
        key = int(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        macs = _add_column(values, rows, row_bytes, extents, extent_bytes, unit, events[e], sums[lane])
        counts[lane, 0] += macs
        counts[lane, 1] += macs


@bindable
def _product(
    values: Address, rows: Address, row_bytes: Number, extents: Address, extent_bytes: Number, sums: FloatRows, counts: WordRows,
    trace: FloatRows, lane: Lane,
) -> None:  # fmt: skip
    forget_lane(sums, counts, lane)
    macs = 0
    for unit in range(trace.shape[1]):
        event = trace[lane, unit]
        if event != np.float32(0):
            macs += _add_column(values, rows, row_bytes, extents, extent_bytes, unit, event, sums[lane])
    counts[lane, 0] = counts[lane, 1] = macs
