"""`array`: int8 weights as the MAC array takes them, for int8 events: every weight stored, 16 rows side by side.

The array multiplies a vector of a byte for each source unit, one row for each lane, by a matrix (source units, rows) of which a
step reads 16 bytes, so rows are filled up to a multiple of 16. It skips nothing. What the emulator computes are the same integer
sums, and skips products with zeros. Of a trace it takes the whole numbers. Weights or events that are no bytes, and sources of
several ticks a position are for the core: then it is `dense`. The array takes bytes, so that weights of int4 are a byte each here.

Effective MACs count weights that are not zero, as in every format; visited are the weights of each event, as in `dense`.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventType, Lane, NumberRows, WordRows, bindable_late, zeroing, zeroing_lane
from models.compute.lowpass import traced
from models.compute.mac_array import COLUMNS
from models.compute.port import Port
from models.formats import csr, dense, trace_fields, vector_field
from models.network import Array, Field, SparseRows
from models.numerics import INTEGERS
from models.shard import PortShape

BYTES_ONLY = True


def _padded(rows: int) -> int:
    return -(-rows // COLUMNS) * COLUMNS


def on_array(shape: PortShape) -> bool:
    """Tell whether a port's product is the array's."""
    return shape.weight in INTEGERS and shape.payload == "int8" and shape.phases == 1


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values` (source units, rows filled up to a multiple of 16)."""
    if not on_array(shape):
        return dense.encode(weights, shape)
    values = np.zeros((weights.shape[1], _padded(weights.shape[0])), np.int8)
    values[:, : weights.shape[0]] = weights.to_dense().T
    return {"values": values}


def fields(shape: PortShape) -> list[Field]:
    """Return the weights of a port, zeros and filling included, and the vector that they are multiplied by."""
    if not on_array(shape):
        return dense.fields(shape)
    return [
        Field("values", (shape.source_units, _padded(shape.rows)), "|i1", "weights"),
        *(trace_fields(shape) or [vector_field(shape, "|i1")]),
    ]


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    if not on_array(shape):
        return dense.port(mem, shape, trace)
    vector = mem["vector"]
    flat = vector.reshape(vector.size)
    product = _product.bind(values=mem["values"], vector=vector, sums=mem["sums"], counts=mem["counts"])
    if trace:
        return traced(mem, trace, shape, product)
    receive = csr.scatter.bind(EventType(shape.payload, shape.dense), vector=flat)
    return Port(clear=zeroing(flat), receive=receive, product=product, forget=zeroing_lane(vector))


@bindable_late
def _product(values: NumberRows, vector: NumberRows, sums: NumberRows, counts: WordRows, lane: Lane) -> None:
    rows = sums.shape[1]
    for row in range(rows):
        sums[lane, row] = 0
    macs = visited = 0
    for unit in range(vector.shape[1]):
        event = np.int32(vector[lane, unit])
        if event == 0:
            continue
        for row in range(rows):
            sums[lane, row] += np.int32(values[unit, row]) * event
            macs += values[unit, row] != 0
        visited += rows
    counts[lane, 0] = macs
    counts[lane, 1] = visited
