"""`packed`: event-driven columns. An event adds its column of weights to the accumulators; silent units cost nothing.

Per stored weight a value and a row index in the smallest unsigned integer that holds the shard's rows (one byte up to
85 EGRU units), per source unit one extent in the smallest integer that holds the number of weights. No dense vector is kept.

Weights of int4 lie two to a byte. Those of int8 and int4 may be stored by gate: a row index then counts within its gate, in one
byte up to 256 units, and each gate of a column has an extent of its own. That is done where it takes fewer bytes, and
no trace is heard.

Where the processor can, a column is added to sixteen rows at once (`models/compute/sixteen_rows.py`). Elsewhere, of a batch of
eight lanes or more, it meets eight lanes' events side by side (`models/compute/lanes_together.py`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute import sixteen_rows
from models.compute.bound_calls import (
    Address,
    Bytes,
    EventKeys,
    EventType,
    EventValues,
    Lane,
    Number,
    NumberRows,
    NumbersAt,
    WordRows,
    bindable,
    bindable_late,
    bytes_at,
    carray,
    nothing,
    shorts_at,
    value_of,
    words_at,
)
from models.compute.compiling import always_inlined
from models.compute.lanes_together import columns_together, extent_at, pays
from models.compute.lowpass import heard_of_trace, traced
from models.compute.nibbles import weight_at
from models.compute.port import Port
from models.compute.sums import clearing, forget_lane, forgetting
from models.formats import check_indices, stored_values, trace_fields, values_field
from models.network import Array, Field, ModelError, SparseRows
from models.numerics import INTEGERS
from models.shard import PortShape

_UNSIGNED = ("|u1", "<u2", "<u4")


def _smallest(largest: int) -> str:
    return next(dtype for dtype in _UNSIGNED if largest <= np.iinfo(dtype).max)


def _index_fields(shape: PortShape, gates: int) -> list[Field]:
    """Return rows and extents as they are when stored in so many gates: 1 stores all rows of the shard as one."""
    return [
        Field("rows", (shape.nonzeros,), _smallest(max(shape.rows // gates - 1, 0)), "weights"),
        # One-byte extents would save next to nothing.
        Field("extents", (gates * shape.source_units + 1,), _smallest(max(shape.nonzeros, 256)), "weights"),
    ]


def _index(shape: PortShape) -> tuple[int, list[Field]]:
    """Return in how many gates the weights are stored, and rows and extents."""
    whole, by_gate = _index_fields(shape, 1), _index_fields(shape, shape.gates)
    fewer = sum(field.size_bytes for field in by_gate) < sum(field.size_bytes for field in whole)
    if shape.weight in INTEGERS and not shape.trace and by_gate[0].dtype == "|u1" and fewer:
        return shape.gates, by_gate
    return 1, whole


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values` by column, and within one by row; `rows` and `extents` in the smallest integers that fit."""
    gates, (rows_field, extents_field) = _index(shape)
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.extents))
    order = np.argsort(weights.columns, kind="stable")  # rows stay ascending within a column
    gate, row = np.divmod(rows, max(weights.shape[0] // gates, 1))
    extents = np.zeros(gates * weights.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(weights.columns.astype(np.int64) * gates + gate, minlength=len(extents) - 1), out=extents[1:])
    return {
        "values": stored_values(weights.values[order], shape),
        "rows": row[order].astype(rows_field.dtype),
        "extents": extents.astype(extents_field.dtype),
    }


def fields(shape: PortShape) -> list[Field]:
    """Return the weights of a port."""
    return [values_field(shape, shape.nonzeros), *_index(shape)[1], *trace_fields(shape)]


def check(arrays: Mapping[str, Array], shape: PortShape) -> None:
    """Raise ModelError where extents or rows lead beyond the shard, or rows do not ascend within a column."""
    extents, rows = arrays["extents"].astype(np.int64), arrays["rows"].astype(np.int64)
    check_indices(extents, rows, shape.rows // _index(shape)[0])
    falls = np.flatnonzero(np.diff(rows) <= 0) + 1
    if not np.isin(falls, extents).all():
        raise ModelError("rows of a column that do not ascend")


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    gates, _ = _index(shape)
    buffers = {"sums": mem["sums"], "counts": mem["counts"]}
    matrix: dict[str, Array | int] = {name: mem[name] for name in ("values", "rows", "extents")}
    matrix |= {"extent_bytes": mem["extents"].itemsize, **buffers}
    if gates == 1:
        matrix["row_bytes"] = mem["rows"].itemsize
    else:
        matrix["gates"] = gates
    if trace:
        return traced(mem, trace, shape, _product.bind(heard=heard_of_trace(mem), **matrix))
    if not shape.dense and sixteen_rows.pays(shape.rows, mem["rows"].itemsize, mem["values"].dtype.name):
        events = EventType(shape.payload)
        receive = sixteen_rows.adding_columns(events, matrix, **buffers, source_units=shape.source_units, gates=gates)
        return Port(clear=clearing(**buffers), receive=receive, product=nothing, forget=forgetting(**buffers))
    if not shape.dense and pays(shape.lanes, shape.source_units, mem["rows"].itemsize):
        events = EventType(shape.payload)
        receive, product = columns_together(events, matrix, **buffers, source_units=shape.source_units, gates=gates)
        return Port(clear=clearing(**buffers), receive=receive, product=product, forget=forgetting(**buffers), closes=True)
    accumulate = _accumulate if gates == 1 else _accumulate_by_gate
    receive = accumulate.bind(EventType(shape.payload, shape.dense), source_units=shape.source_units, **matrix)
    return Port(clear=clearing(**buffers), receive=receive, product=nothing, forget=forgetting(**buffers))


@always_inlined
def _add_column(values: Any, rows: int, row_bytes: int, extents: int, extent_bytes: int, unit: int, event: Any, sums: Array) -> int:
    """Add an event's column of weights to the accumulators of its lane, `sums`; return its length.

    `values` is a pointer; `rows` and `extents` are addresses of unsigned integers of so many bytes.
    """
    # Without a sign: an index that might be negative is looked at weight by weight.
    first, last = np.uint64(extent_at(extents, extent_bytes, unit)), np.uint64(extent_at(extents, extent_bytes, unit + 1))
    weights = carray(values, (last,))
    # One loop for each width of index, so that none asks for it weight by weight.
    if row_bytes == 1:
        narrow = carray(bytes_at(rows), (last,))
        for k in range(first, last):
            sums[narrow[k]] += weight_at(weights, k) * event
    elif row_bytes == 2:
        middle = carray(shorts_at(rows), (last,))
        for k in range(first, last):
            sums[middle[k]] += weight_at(weights, k) * event
    else:
        wide = carray(words_at(rows), (last,))
        for k in range(first, last):
            sums[wide[k]] += weight_at(weights, k) * event
    return int(last - first)


@bindable
def _accumulate(
    values: NumbersAt, rows: Address, row_bytes: Number, extents: Address, extent_bytes: Number, sums: NumberRows, counts: WordRows,
    source_units: Number, keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    number = sums.dtype.type
    for e, key in enumerate(keys):
        lane = int(key) // source_units
        unit = int(key) - lane * source_units
        event = number(value_of(events, e))
        if event == number(0):  # in a dense section, no event
            continue
        macs = _add_column(values, rows, row_bytes, extents, extent_bytes, unit, event, sums[lane])
        counts[lane, 0] += macs
        counts[lane, 1] += macs


@bindable_late
def _accumulate_by_gate(
    values: NumbersAt, rows: Bytes, extents: Address, extent_bytes: Number, sums: NumberRows, counts: WordRows, gates: Number,
    source_units: Number, keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    number, units = sums.dtype.type, sums.shape[1] // gates
    for e, key in enumerate(keys):
        lane = int(key) // source_units
        unit = int(key) - lane * source_units
        event = number(value_of(events, e))
        if event == number(0):
            continue
        first = begin = extent_at(extents, extent_bytes, unit * gates)
        for gate in range(gates):
            last = extent_at(extents, extent_bytes, unit * gates + gate + 1)
            weights, own = carray(values, (last,)), sums[lane, gate * units : (gate + 1) * units]
            for k in range(np.uint64(first), np.uint64(last)):
                own[rows[k]] += weight_at(weights, k) * event
            first = last
        counts[lane, 0] += first - begin
        counts[lane, 1] += first - begin


@bindable
def _product(
    values: NumbersAt, rows: Address, row_bytes: Number, extents: Address, extent_bytes: Number, sums: NumberRows, counts: WordRows,
    heard: NumberRows, lane: Lane,
) -> None:  # fmt: skip
    forget_lane(sums, counts, lane)
    macs, number = 0, sums.dtype.type
    for unit in range(heard.shape[1]):
        event = number(heard[lane, unit])
        if event != number(0):
            macs += _add_column(values, rows, row_bytes, extents, extent_bytes, unit, event, sums[lane])
    counts[lane, 0] = counts[lane, 1] = macs
