"""`csr`: the paper's format (section IV-B): float32 value, 32-bit column index and row extents, 2 nnz + rows + 1 words.

A row visits each of its stored weights and looks the event up in a dense vector of the source population, so activity
does not shorten the loop. The vectors do not fit beside the paper's weights in the data banks; they are scratch.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    EventKeys,
    EventValues,
    FloatRows,
    Floats,
    Lane,
    WordRows,
    Words,
    bindable,
    zeroing,
    zeroing_lane,
)
from models.compute.lowpass import traced
from models.compute.port import Port
from models.formats import trace_field
from models.network import Array, Field, SparseRows
from models.shard import PortShape


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:  # noqa: ARG001 - the contract's arguments
    """Return `values` float32, `columns` uint32 and `extents` uint32 (rows + 1)."""
    return {"values": weights.values, "columns": weights.columns, "extents": weights.extents.astype(np.uint32)}


def fields(shape: PortShape) -> list[Field]:
    """Return the weights and dense event vector of a port; a trace is such a vector itself."""
    vector = Field("vector", (shape.lanes, shape.source_units), "<f4", "variables", "event value", scratch=True)
    return [
        Field("values", (shape.nonzeros,), "<f4", "weights"),
        Field("columns", (shape.nonzeros,), "<u4", "weights", "source unit"),
        Field("extents", (shape.rows + 1,), "<u4", "weights"),
        trace_field(shape) if shape.trace else vector,
    ]


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:  # noqa: ARG001 - the contract's arguments
    """Bind a port to its arena views."""
    arrays = {array: mem[array] for array in ("values", "columns", "extents", "sums", "counts")}
    vector = mem["trace" if trace else "vector"]
    product = _product.bind(vector=vector, **arrays)
    if trace:
        return traced(vector, trace, product)
    flat = vector.reshape(vector.size)
    return Port(
        clear=zeroing(flat), receive=_scatter.bind(vector=flat), product=product, forget=zeroing_lane(vector)
    )


@bindable
def _product(
    values: Floats, columns: Words, extents: Words, vector: FloatRows, sums: FloatRows, counts: WordRows, lane: Lane
) -> None:
    macs = 0
    events = vector[lane]
    for row in range(sums.shape[1]):
        total = np.float32(0)
        for k in range(extents[row], extents[row + 1]):
            event = events[columns[k]]
            total += values[k] * event
            macs += event != np.float32(0)
        sums[lane, row] = total
    counts[lane, 0] = macs
    counts[lane, 1] = extents[sums.shape[1]]


@bindable
def _scatter(vector: Floats, units: EventKeys, events: EventValues) -> None:
    for e in range(units.size):
        vector[units[e]] = events[e]
