"""`dense`: every weight of the shard stored, source unit by source unit, for networks that are not pruned (the gesture
model).

Event-driven like `packed`: an event adds its row of stored weights to all accumulators, which needs no index. Effective
MACs count weights that are not zero, as in every format, so that the model counters do not depend on the format.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    EventKeys,
    EventType,
    EventValues,
    Lane,
    Number,
    NumberRows,
    WordRows,
    bindable,
    nothing,
    value_of,
)
from models.compute.lowpass import heard_of_trace, traced
from models.compute.nibbles import weight_at
from models.compute.port import Port
from models.compute.sums import clearing, forget_lane, forgetting
from models.formats import stored_values, trace_fields, values_field
from models.network import Array, Field, SparseRows
from models.shard import PortShape


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values` (source units, rows); of int4 (source units, bytes)."""
    return {"values": stored_values(np.ascontiguousarray(weights.to_dense().T), shape)}


def fields(shape: PortShape) -> list[Field]:
    """Return the weights of a port, zeros included."""
    return [values_field(shape, shape.source_units, shape.rows), *trace_fields(shape)]


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    values, buffers = mem["values"], {"sums": mem["sums"], "counts": mem["counts"]}
    if trace:
        heard = heard_of_trace(mem)
        return traced(mem, trace, shape, _product.bind(values=values, heard=heard, **buffers))
    events = EventType(shape.payload, shape.dense)
    receive = _accumulate.bind(events, values=values, source_units=shape.source_units, **buffers)
    return Port(clear=clearing(**buffers), receive=receive, product=nothing, forget=forgetting(**buffers))


@bindable
def _accumulate(
    values: NumberRows, sums: NumberRows, counts: WordRows, source_units: Number, keys: EventKeys, events: EventValues
) -> None:
    rows = sums.shape[1]
    number = sums.dtype.type
    for e, key in enumerate(keys):
        lane = np.int64(key) // source_units
        unit = np.int64(key) - lane * source_units
        event = number(value_of(events, e))
        if event == number(0):  # in a dense section, no event
            continue
        macs = 0
        for row in range(rows):
            weight = weight_at(values[unit], row)
            sums[lane, row] += weight * event
            macs += weight != 0
        counts[lane, 0] += macs
        counts[lane, 1] += rows


@bindable
def _product(values: NumberRows, sums: NumberRows, counts: WordRows, heard: NumberRows, lane: Lane) -> None:
    forget_lane(sums, counts, lane)
    macs = visited = 0
    rows, number = sums.shape[1], sums.dtype.type
    for unit in range(heard.shape[1]):
        event = number(heard[lane, unit])
        if event == number(0):
            continue
        for row in range(rows):
            weight = weight_at(values[unit], row)
            sums[lane, row] += weight * event
            macs += weight != 0
        visited += rows
    counts[lane, 0] = macs
    counts[lane, 1] = visited
