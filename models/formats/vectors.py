"""`vectors`: int8 weights of a matrix that is pruned by vectors, for the MAC array: sixteen rows of one source unit stored or not.

Rows are put side by side unit after unit, all gates of a unit together, and cut into groups of sixteen, as the trainer groups them
(`models/training/common/vector_layout.py`). A PE of neighbouring units has their groups, of which the first and the last may lie in
part on other PEs; so mappings deal units in runs. A group stores the vectors in which any weight is not zero, with two bytes (one
up to 256 source units) that say which source unit each is of. The core gathers what these units sent, a byte each, and the array
multiplies that by the vectors: 16 accumulators a group, each read once for all lanes, up to four. It skips no unit that was silent.

The emulator computes the same integer sums, and skips products with zeros. Weights or events that are no bytes, and sources
of several ticks a position are for the core: then it is `csr`. Weights of int4 are a byte each, as in `array`.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    EventType,
    Indices,
    Ints,
    Lane,
    Number,
    NumberRows,
    WordRows,
    Words,
    bindable_late,
    zeroing,
    zeroing_lane,
)
from models.compute.lowpass import traced
from models.compute.mac_array import COLUMNS
from models.compute.mac_array import ROWS as LANES
from models.compute.port import Port
from models.formats import check_indices, csr, trace_fields, vector_field
from models.formats.array import on_array
from models.network import Array, Field, ModelError, SparseRows
from models.shard import PortShape

BYTES_ONLY = True
BLOCK_WEIGHTS = COLUMNS
RUNS = True


def _groups(shape: PortShape) -> int:
    return -(-(shape.offset + shape.rows) // COLUMNS)


def _slots(shape: PortShape) -> Array:
    """Return of each row of a shard, gate after gate, its place in the groups, where rows lie unit after unit."""
    units = shape.rows // shape.gates
    return shape.offset + (np.arange(units)[None, :] * shape.gates + np.arange(shape.gates)[:, None]).reshape(-1)


def _kept(weights: SparseRows, shape: PortShape) -> tuple[Array, Array]:
    """Return for each weight its row among those side by side, and each group's source units of which a vector is stored."""
    rows = _slots(shape)[np.repeat(np.arange(weights.shape[0]), weights.row_nonzeros)]
    kept = np.zeros((_groups(shape), weights.shape[1]), bool)
    kept[rows // COLUMNS, weights.columns] = True
    return rows, kept


def laid_out(weights: SparseRows, rows: Array, units: Array, shape: PortShape) -> PortShape:
    """Return the shape with how many vectors these rows of a matrix take, those in which any weight is not zero, and where the
    first row lies in its group: that of the whole matrix, where units are neighbours.
    """
    if not on_array(shape) or not len(units):
        return shape
    neighbours = int(units[-1]) - int(units[0]) == len(units) - 1
    shape = shape._replace(offset=int(units[0]) * shape.gates % COLUMNS if neighbours else 0)
    places = np.full(_groups(shape) * COLUMNS, len(rows))
    places[_slots(shape)] = np.arange(len(rows))
    by_row = weights.row_bits
    groups = np.concatenate([by_row[rows], np.zeros((1, by_row.shape[1]), np.uint8)])[places].reshape(-1, COLUMNS, by_row.shape[1])
    return shape._replace(blocks=int(np.unpackbits(np.bitwise_or.reduce(groups, axis=1)).sum()))


def encode(weights: SparseRows, shape: PortShape) -> dict[str, Array]:
    """Return `values` (vectors, 16), group after group and by source unit; the source unit of each, and each group's extents."""
    if not on_array(shape):
        return csr.encode(weights, shape)
    rows, kept = _kept(weights, shape)
    numbers = np.zeros(kept.shape, np.int64)  # of each vector
    numbers[kept] = np.arange(kept.sum())
    group, row = np.divmod(rows, COLUMNS)
    values = np.zeros((int(kept.sum()), COLUMNS), np.int8)
    values[numbers[group, weights.columns], row] = weights.values
    extents = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    inputs = np.nonzero(kept)[1].astype(_unsigned(shape))
    return {"values": values, "inputs": inputs, "extents": extents.astype(np.uint32)}


def _unsigned(shape: PortShape) -> str:
    return "|u1" if shape.source_units <= 1 << 8 else "<u2" if shape.source_units <= 1 << 16 else "<u4"


def fields(shape: PortShape) -> list[Field]:
    """Return the vectors of a port with their source units, what it heard, and what of that is gathered for a group."""
    if not on_array(shape):
        return csr.fields(shape)
    gathered = min(shape.lanes, LANES), min(shape.source_units, shape.blocks)
    return [
        Field("values", (shape.blocks, COLUMNS), "|i1", "weights"),
        Field("inputs", (shape.blocks,), _unsigned(shape), "weights"),
        Field("extents", (_groups(shape) + 1,), "<u4", "weights"),
        *(trace_fields(shape) or [vector_field(shape, "|i1")]),
        Field("gathered", gathered, "|i1", "variables", "event values of a group's vectors", scratch=True),
    ]


def check(arrays: Mapping[str, Array], shape: PortShape) -> None:
    """Raise ModelError where extents or source units lead beyond what there is."""
    if not on_array(shape):
        return csr.check(arrays, shape)
    if len(arrays["extents"]) != _groups(shape) + 1:
        raise ModelError(f"{len(arrays['extents'])} extents; needs {_groups(shape) + 1}, one more than groups of {COLUMNS} rows")
    return check_indices(arrays["extents"], arrays["inputs"], shape.source_units)


def port(mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    if not on_array(shape):
        return csr.port(mem, shape, trace)
    vector = mem["vector"]
    flat = vector.reshape(vector.size)
    own = {name: mem[name] for name in ("values", "inputs", "extents", "vector", "gathered", "sums", "counts")}
    product = _product.bind(**own, line=np.zeros(COLUMNS, np.int32), gates=shape.gates, offset=shape.offset)
    if trace:
        return traced(mem, trace, shape, product)
    receive = csr.scatter.bind(EventType(shape.payload, shape.dense), vector=flat)
    return Port(clear=zeroing(flat), receive=receive, product=product, forget=zeroing_lane(vector))


@bindable_late
def _product(
    values: NumberRows, inputs: Indices, extents: Words, vector: NumberRows, gathered: NumberRows, sums: NumberRows,
    counts: WordRows, line: Ints, gates: Number, offset: Number, lane: Lane,
) -> None:  # fmt: skip
    rows, units, own = sums.shape[1], sums.shape[1] // gates, lane % gathered.shape[0]
    macs = 0
    for group in range(extents.size - 1):
        first, begin, end = COLUMNS * group - offset, extents[group], extents[group + 1]
        for place in range(COLUMNS):
            line[place] = 0
        for v in range(begin, end):
            gathered[own, v - begin] = vector[lane, inputs[v]]
        for v in range(begin, end):
            event = np.int32(gathered[own, v - begin])
            if event == 0:
                continue
            for place in range(COLUMNS):  # rows that a group has in part on other PEs are zeros here
                weight = np.int32(values[v, place])
                line[place] += weight * event
                macs += weight != 0
        for place in range(max(first, 0), min(first + COLUMNS, rows)):
            sums[lane, place % gates * units + place // gates] = line[place - first]
    counts[lane, 0] = macs
    counts[lane, 1] = COLUMNS * inputs.size
