"""`csr`: the paper's format (section IV-B): float32 value, 32-bit column index and row extents, 2 nnz + rows + 1 words.

A row visits each of its stored weights and looks the event up in a dense vector of the source population, so activity
does not shorten the loop. The vectors do not fit beside the paper's weights in the data banks; they are scratch.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventKeys, EventValues, FloatRows, Floats, Words, bindable, zero
from models.compute.lowpass import traced
from models.compute.port import Port
from models.formats import trace_field
from models.network import Array, Field, SparseRows


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32, `columns` uint32 and `extents` uint32 (rows + 1)."""
    return {"values": weights.values, "columns": weights.columns, "extents": weights.extents.astype(np.uint32)}


def fields(rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:
    """Return the weights, accumulators and dense event vector of a port; a trace is such a vector itself."""
    vector = Field("vector", (lanes, source_units), "<f4", "variables", "event value", scratch=True)
    return [
        Field("values", (nonzeros,), "<f4", "weights"),
        Field("columns", (nonzeros,), "<u4", "weights", "source unit"),
        Field("extents", (rows + 1,), "<u4", "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
        trace_field(lanes, source_units) if trace else vector,
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:  # noqa: ARG001 - the contract's arguments
    """Bind a port to its arena views."""
    arrays = {array: mem[f"{name}.{array}"] for array in ("values", "columns", "extents", "sums", "counts")}
    vector = mem[f"{name}.trace" if trace else f"{name}.vector"]
    product = _product.bind(vector=vector, **arrays)
    if trace:
        return traced(vector, trace, product)
    flat = vector.reshape(vector.size)
    return Port(clear=zero.bind(array=flat), receive=_scatter.bind(vector=flat), product=product)


@bindable
def _product(values: Floats, columns: Words, extents: Words, vector: FloatRows, sums: FloatRows, counts: Words) -> None:
    macs = 0
    for lane in range(sums.shape[0]):
        events = vector[lane]
        for row in range(sums.shape[1]):
            total = np.float32(0)
            for k in range(extents[row], extents[row + 1]):
                event = events[columns[k]]
                total += values[k] * event
                macs += event != np.float32(0)
            sums[lane, row] = total
    counts[0] = macs
    counts[1] = sums.shape[0] * extents[sums.shape[1]]


@bindable
def _scatter(vector: Floats, units: EventKeys, events: EventValues) -> None:
    for e in range(units.size):
        vector[units[e]] = events[e]
