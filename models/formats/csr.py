"""`csr`: the paper's format (section IV-B): a value and a column index a weight, and row extents.

In float32 that is 2 nnz + rows + 1 words. Weights of int8 have columns of 16 bits where those hold the source's units; those of
int4 lie two to a byte.

A row visits each of its stored weights and looks the event up in a dense vector of the source population, so activity
does not shorten the loop. The vectors do not fit beside the paper's weights in the data banks; they are scratch. They are of
the events' type, a byte a unit for spikes.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    ByteRows,
    EventKeys,
    EventType,
    EventValues,
    Flag,
    Indices,
    Lane,
    NumberRows,
    Numbers,
    WordRows,
    Words,
    bindable,
    bindable_late,
    fill_bytes,
    value_of,
    zeroing,
    zeroing_lane,
)
from models.compute.lowpass import heard_of_trace, traced
from models.compute.nibbles import weight_at
from models.compute.port import Port
from models.compute.sums import forgetting
from models.formats import check_indices, stored_values, trace_fields, values_field, vector_field
from models.network import Array, Field, SparseRows
from models.numerics import INTEGERS, PAYLOADS
from models.shard import PortShape


def _column_type(shape: PortShape) -> str:
    return "<u2" if shape.weight in INTEGERS and shape.source_units <= 1 << 16 else "<u4"


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values`, `columns` uint32 or uint16, and `extents` uint32 (rows + 1)."""
    columns = weights.columns.astype(_column_type(shape), copy=False)
    return {"values": stored_values(weights.values, shape), "columns": columns, "extents": weights.extents.astype(np.uint32)}


def fields(shape: PortShape) -> list[Field]:
    """Return the weights and dense event vector of a port; a trace is such a vector itself."""
    heard = trace_fields(shape) or [vector_field(shape, PAYLOADS[shape.payload] or "|u1")]
    return [
        values_field(shape, shape.nonzeros),
        Field("columns", (shape.nonzeros,), _column_type(shape), "weights", "source unit"),
        Field("extents", (shape.rows + 1,), "<u4", "weights"),
        *heard,
    ]


def check(arrays: Mapping[str, Array], shape: PortShape) -> None:
    """Raise ModelError where extents or columns lead beyond the shard."""
    check_indices(arrays["extents"], arrays["columns"], shape.source_units)


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views. Products of several ticks of a position are added up in the sums, which `clear` zeroes."""
    arrays = {array: mem[array] for array in ("values", "columns", "extents", "sums", "counts")}
    vector, phased = heard_of_trace(mem) if trace else mem["vector"], shape.phases > 1
    product = _product.bind(vector=vector, adds=int(phased), **arrays)
    if trace:
        return traced(mem, trace, shape, product)
    flat = vector.reshape(vector.size)
    receive = scatter.bind(EventType(shape.payload, shape.dense), vector=flat)
    silence = zeroing(flat)
    if not phased:
        return Port(clear=silence, receive=receive, product=product, forget=zeroing_lane(vector))
    sums, counts = mem["sums"], mem["counts"]
    clear = _clear.bind(vector=vector.view(np.uint8), sums=sums.view(np.uint8), counts=counts.view(np.uint8))
    return Port(clear=clear, receive=receive, product=product, forget=forgetting(sums, counts), more=silence)


@bindable
def _product(
    values: Numbers,
    columns: Indices,
    extents: Words,
    vector: NumberRows,
    sums: NumberRows,
    counts: WordRows,
    adds: Flag,
    lane: Lane,
) -> None:
    number, silent = sums.dtype.type, vector.dtype.type(0)
    macs = 0
    events = vector[lane]
    for row in range(sums.shape[1]):
        total = number(0)
        if adds:
            total = sums[lane, row]
        for k in range(extents[row], extents[row + 1]):
            event = events[columns[k]]
            total += weight_at(values, k) * number(event)
            macs += event != silent
        sums[lane, row] = total
    visited = extents[sums.shape[1]]
    if adds:
        macs += counts[lane, 0]
        visited += counts[lane, 1]
    counts[lane, 0] = macs
    counts[lane, 1] = visited


@bindable
def scatter(vector: Numbers, units: EventKeys, events: EventValues) -> None:
    """Put each event where its key says, in a dense vector of all lanes."""
    for e, unit in enumerate(units):
        vector[unit] = value_of(events, e)


@bindable_late
def _clear(vector: ByteRows, sums: ByteRows, counts: ByteRows) -> None:
    fill_bytes(vector.ctypes.data, 0, vector.size)
    fill_bytes(sums.ctypes.data, 0, sums.size)
    fill_bytes(counts.ctypes.data, 0, counts.size)
