"""`dense`: every weight of the shard stored, source unit by source unit, for networks that are not pruned (the gesture
model).

Event-driven like `packed`: an event adds its row of stored weights to all accumulators, which needs no index. Effective
MACs count weights that are not zero, as in every format, so that the model counters do not depend on the format.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventKeys, EventValues, FloatRows, Number, Words, bindable, nothing
from models.compute.lowpass import traced
from models.compute.port import Port, clear, forget
from models.formats import trace_field
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
    values, sums, counts = (mem[f"{name}.{array}"] for array in ("values", "sums", "counts"))
    if trace:
        heard = mem[f"{name}.trace"]
        return traced(heard, trace, _product.bind(values=values, sums=sums, counts=counts, trace=heard))
    receive = _accumulate.bind(values=values, sums=sums, counts=counts, source_units=source_units)
    return Port(clear=clear.bind(sums=sums, counts=counts), receive=receive, product=nothing)


@bindable
def _accumulate(
    values: FloatRows, sums: FloatRows, counts: Words, source_units: Number, keys: EventKeys, events: EventValues
) -> None:
    macs = 0
    rows = values.shape[1]
    for e in range(keys.size):
        key = np.int64(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        event = events[e]
        for row in range(rows):
            sums[lane, row] += values[unit, row] * event
            macs += values[unit, row] != np.float32(0)
    counts[0] += macs
    counts[1] += keys.size * rows


@bindable
def _product(values: FloatRows, sums: FloatRows, counts: Words, trace: FloatRows) -> None:
    forget(sums, counts)
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
