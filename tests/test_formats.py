"""One conformance suite for every weight format, found by name: same bits, same effective work, estimate equals actual."""

import ctypes
import json
import mmap
import subprocess
import sys
from itertools import product
from pathlib import Path
from unittest import mock

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.cost import twins
from models import formats
from models.compute import sixteen_rows
from models.compute.bound_calls import EventType
from models.network import ModelError, SparseRows
from models.nibbles import from_nibbles, to_nibbles
from models.numerics import PAYLOADS, SUMS, WEIGHTS, sum_of
from models.shard import PortShape

ROOT = Path(__file__).resolve().parent.parent
NAMES = formats.names()
each = pytest.mark.parametrize("name", NAMES)


def goes(weight, payload):
    try:
        return bool(sum_of(weight, payload))
    except ModelError:
        return False


NUMERICS = [(weight, payload) for weight, payload in product(WEIGHTS, PAYLOADS) if goes(weight, payload)]
FLOATS = ("float32", "float32")

# Sums of these depend on their order: large ones swallow small ones and cancel.
float_weights = st.sampled_from([0.1, -0.3, 1.0, -1.0, 3e7, -3e7, 1e-30, 2.0**-149, 1e18, -1e18]) | st.floats(-2, 2, width=32)
event_values = st.floats(2.0**-20, 1e6, width=32) | st.floats(-1e6, -(2.0**-20), width=32)
WEIGHT_OF = {"float32": float_weights, "int8": st.integers(-128, 127), "int4": st.integers(-8, 7)}
VALUE_OF = {
    "float32": event_values,
    "int8": st.sampled_from([-128, 127, 1, -1]) | st.integers(-128, 127).filter(bool),
    "int32": st.sampled_from([-(2**31), 2**31 - 1, 1]) | st.integers(-(2**31), 2**31 - 1).filter(bool),
    "count": st.sampled_from([1, 65535]) | st.integers(1, 65535),
    "spike": st.just(1),
}


def dtype_of(payload):
    return np.dtype(PAYLOADS[payload] or "u1")


def nothing_much(shape, dtype):
    """An array with what memory holds before anything has cleared it."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)


@st.composite
def matrices(draw, weight="float32"):
    """A sparse matrix as a dense array, and how many rows a unit has."""
    count = draw(st.sampled_from([1, 2, 3]))
    rows, columns = count * draw(st.integers(1, 7 if count == 1 else 3)), draw(st.integers(1, 9))
    fill = draw(st.sampled_from([0, 1]))  # mostly empty, or mostly full
    elements = st.just(0) | WEIGHT_OF[weight]
    matrix = draw(
        hnp.arrays(
            np.dtype(WEIGHTS[weight] if weight == "float32" else "|i1"), (rows, columns), elements=elements, fill=st.just(fill)
        )
    )
    return matrix, count


@st.composite
def cases(draw, numeric=FLOATS, phased=False):
    """A matrix, gates, lanes, and the sections of a position: ascending keys, and values without zeros."""
    matrix, gates = draw(matrices(numeric[0]))
    lanes = draw(st.integers(1, 3))
    everybody = np.arange(lanes * matrix.shape[1], dtype=np.uint32)
    sections = []
    for _ in range(draw(st.integers(2, 3)) if phased else 1):
        keys = everybody if draw(st.booleans()) else everybody[draw(hnp.arrays(bool, len(everybody)))]
        values = draw(hnp.arrays(dtype_of(numeric[1]), len(keys), elements=VALUE_OF[numeric[1]]))
        sections.append((keys, values))
    return matrix, gates, lanes, sections


class Bound:
    """A port of one format over arrays of its own, full of garbage where nothing has been written.

    Its sums and counts are the second of three slots; the others must stay as they are.
    """

    def __init__(self, name, matrix, lanes, trace=0.0, numeric=FLOATS, gates=1, dense=False, phases=1):
        form, sparse = formats.named(name), SparseRows.from_dense(matrix)
        rows, columns = matrix.shape
        self.shape = PortShape(
            rows=rows, gates=gates, source_units=columns, nonzeros=sparse.nonzeros, lanes=lanes, trace=trace > 0, weight=numeric[0],
            payload=numeric[1], dense=dense, phases=phases, slots=3,
        )  # fmt: skip
        self.shape = laid_out(name, sparse, rows, self.shape)
        self.mem = {f.name: nothing_much(f.shape, f.dtype) for f in form.fields(self.shape)}
        for array, values in form.encode(sparse, self.shape).items():
            self.mem[array][...] = values
        slots = {"sums": ((3 * lanes, rows), SUMS[sum_of(*numeric)]), "counts": ((3 * lanes, 2), "<u4")}
        self.slots = {array: nothing_much(*of) for array, of in slots.items()}
        own = {array: whole[lanes : 2 * lanes] for array, whole in self.slots.items()}
        self.mem |= own
        self.others = [np.delete(whole, slice(lanes, 2 * lanes), 0) for whole in self.slots.values()]
        self.port = form.port(self.mem, self.shape, trace)
        for lane in range(lanes):
            self.port.restart(lane=lane)
        self.port.clear()

    def hear(self, keys, values, chunk=256):
        """Hand the events over as a PE does: through a FIFO whose rest holds what was there before."""
        payload, lanes, columns = self.shape.payload, self.shape.lanes, self.shape.source_units
        first_keys = None
        if self.shape.dense:
            whole = np.zeros(lanes * columns, values.dtype)
            whole[keys] = values
            keys, values = np.arange(lanes * columns), whole
        fifo_keys, fifo_values = np.zeros(chunk, np.uint32), nothing_much(chunk, dtype_of(payload))
        for first in range(0, len(keys), chunk):
            n = len(keys[first : first + chunk])
            fifo_keys[:n], fifo_values[:n] = keys[first : first + n], values[first : first + n]
            first_keys = first if self.shape.dense else fifo_keys
            self.port.receive(first_keys, fifo_values if payload != "spike" else None, n)

    def product(self):
        """Return sums (lanes, rows), effective MACs and stored weights visited, all lanes together."""
        for lane in range(self.shape.lanes):
            self.port.product(lane=lane)
        return self.answer()

    def answer(self):
        lanes = self.shape.lanes
        for whole, others in zip(self.slots.values(), self.others, strict=True):
            assert np.delete(whole, slice(lanes, 2 * lanes), 0).tobytes() == others.tobytes()
        return self.mem["sums"].copy(), self.mem["counts"].sum(axis=0).tolist()

    def position(self, sections, chunk=256):
        """Hear a position's sections, and make the product after each where there are several."""
        for phase, (keys, values) in enumerate(sections):
            self.port.more() if phase else self.port.clear()
            self.hear(keys, values, chunk)
            answer = self.product()
        return answer


def plain(matrix, lanes, sections, integer=False):
    """The sums (lanes, rows), one accumulator a row, section by section and source units ascending; and the effective MACs.

    Float32, each product and each sum rounded; or integers of any size, cut to 32 bits at the end.
    """
    rows, columns = matrix.shape
    sums = [[0 if integer else np.float32(0)] * rows for _ in range(lanes)]
    macs = 0
    for keys, values in sections:
        for key, value in zip(keys.tolist(), values, strict=True):
            lane, unit = divmod(key, columns)
            for row in range(rows):
                if matrix[row, unit] != 0:
                    by = int(matrix[row, unit]) * int(value) if integer else matrix[row, unit] * np.float32(value)
                    sums[lane][row] = sums[lane][row] + by
                    macs += 1
    if integer:
        return np.array([[((n + 2**31) % 2**32) - 2**31 for n in row] for row in sums], np.int32).reshape(lanes, rows), macs
    return np.array(sums, np.float32).reshape(lanes, rows), macs


def visited(name, matrix, lanes, sections, **of_shape):
    """The stored weights that a format visits, by its cost twin; `of_shape` where it is not of one-gate float32 units."""
    shape = shape_of(*matrix.shape, np.count_nonzero(matrix), lanes, **of_shape)
    sparse = SparseRows.from_dense(matrix)
    stored = lanes * formats.stored(name, laid_out(name, sparse, len(matrix), shape))
    macs = [sum(np.count_nonzero(matrix[:, key % matrix.shape[1]]) for key in keys) for keys, _ in sections]
    return sum(
        twins.twin("formats", name).visited(m, len(keys), stored, len(matrix)) for m, (keys, _) in zip(macs, sections, strict=True)
    )


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def laid_out(name, sparse, rows, shape):
    """A shard of all units of a matrix, or of those from the first one on."""
    return formats.laid_out(name, sparse, np.arange(rows), np.arange(rows // shape.gates), shape)


def shape_of(rows, columns, nonzeros, lanes, **rest):
    return PortShape(rows=rows, gates=rest.pop("gates", 1), source_units=columns, nonzeros=nonzeros, lanes=lanes, **rest)


# ---- what is stored


@pytest.mark.few(5)
@each
@pytest.mark.parametrize("weight", WEIGHTS)
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_estimate_equals_actual_to_the_byte(name, weight, data):
    """`fields` follows from counts alone and says exactly what `encode` makes."""
    matrix, gates = data.draw(matrices(weight))
    sparse, form = SparseRows.from_dense(matrix), formats.named(name)
    payload = "float32" if weight == "float32" else "int8"
    shape = shape_of(*matrix.shape, sparse.nonzeros, 2, gates=gates, weight=weight, payload=payload)
    shape = laid_out(name, sparse, len(matrix), shape)
    estimate = {f.name: f for f in form.fields(shape) if f.role == "weights"}
    actual = form.encode(sparse, shape)
    assert estimate.keys() == actual.keys()
    for array, values in actual.items():
        assert values.shape == estimate[array].shape
        assert values.dtype == np.dtype(estimate[array].dtype)
        assert values.nbytes == estimate[array].size_bytes


@each
@pytest.mark.parametrize("numeric", NUMERICS, ids="-".join)
def test_no_field_is_named_twice_and_weights_are_no_scratch(name, numeric):
    fields = formats.named(name).fields(shape_of(6, 5, 4, 2, weight=numeric[0], payload=numeric[1]))
    by_name = {f.name: f for f in fields}
    assert len(by_name) == len(fields)
    assert not {"sums", "counts"} & by_name.keys()  # the PE keeps those
    assert by_name["values"].dtype == ("|i1" if name in ("array", "vectors") and "int4" in numeric else WEIGHTS[numeric[0]])
    assert {f.role for f in fields} <= {"weights", "variables"}
    assert not any(f.scratch for f in fields if f.role == "weights")  # what lies behind the program may be lost


@each
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_layout_grows_where_a_shard_has_less(name, data):
    """So that a mapping may judge many shares by the largest of each count."""
    units, gates = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 3))
    columns, lanes = data.draw(st.integers(1, 2000)), data.draw(st.integers(1, 4))
    nonzeros = data.draw(st.integers(0, units * gates * columns))
    fewer_units, fewer = data.draw(st.integers(1, units)), data.draw(st.integers(0, nonzeros))
    numeric = data.draw(st.sampled_from(NUMERICS))

    def size(units, nonzeros):
        shape = shape_of(gates * units, columns, nonzeros, lanes, gates=gates, weight=numeric[0], payload=numeric[1])
        return sum(field.size_bytes for field in formats.named(name).fields(shape))

    assert size(fewer_units, min(fewer, fewer_units * gates * columns)) <= size(units, nonzeros)


def weight_bytes(name, *counts, **rest):
    return sum(f.size_bytes for f in formats.named(name).fields(shape_of(*counts, 1, **rest)) if f.role == "weights")


def test_bytes_of_the_papers_matrix_are_the_papers_formula():
    """csr stores 2 nnz + rows + 1 words; packed one byte of index up to 256 rows; dense all of them."""
    assert weight_bytes("csr", 81, 1350, 5000) == 4 * (2 * 5000 + 81 + 1)
    assert weight_bytes("packed", 81, 1350, 5000) == 5000 * (4 + 1) + 2 * 1351
    assert weight_bytes("dense", 81, 1350, 5000) == 4 * 81 * 1350


def test_bytes_of_int8_weights():
    """A byte a weight, and columns of two bytes; a row index of one byte, within its gate where that takes fewer bytes."""
    int8 = {"weight": "int8", "payload": "int8", "gates": 3}
    assert weight_bytes("csr", 81, 1350, 5000, **int8) == 5000 * (1 + 2) + 4 * 82
    assert weight_bytes("csr", 81, 1 << 16, 5000, **int8) == 5000 * (1 + 2) + 4 * 82
    assert weight_bytes("csr", 81, (1 << 16) + 1, 5000, **int8) == 5000 * (1 + 4) + 4 * 82
    assert weight_bytes("dense", 81, 1350, 5000, **int8) == 81 * 1350
    assert weight_bytes("packed", 81, 1350, 5000, **int8) == 5000 * (1 + 1) + 2 * 1351
    assert weight_bytes("packed", 300, 1350, 20_000, **int8) == 20_000 * (1 + 1) + 2 * (3 * 1350 + 1)
    assert weight_bytes("packed", 300, 1350, 5000, **int8) == 5000 * (1 + 2) + 2 * 1351  # extents would take more than they save
    assert weight_bytes("packed", 771, 1350, 20_000, **int8) == 20_000 * (1 + 2) + 2 * 1351  # 257 units a gate
    assert weight_bytes("packed", 300, 1350, 20_000, gates=3) == 20_000 * (4 + 2) + 2 * 1351  # of float32 as ever


def test_weights_of_four_bits_take_half_a_byte_but_on_the_array():
    int4 = {"weight": "int4", "payload": "int8", "gates": 3}
    assert weight_bytes("csr", 81, 1350, 5001, **int4) == 2501 + 5001 * 2 + 4 * 82
    assert weight_bytes("dense", 81, 1350, 5000, **int4) == 41 * 1350  # rows of a source unit, rounded up
    assert weight_bytes("packed", 81, 1350, 5001, **int4) == 2501 + 5001 + 2 * 1351
    assert weight_bytes("packed", 300, 1350, 20_000, **int4) == 10_000 + 20_000 + 2 * (3 * 1350 + 1)
    assert weight_bytes("array", 81, 1350, 5000, **int4) == weight_bytes("array", 81, 1350, 5000, **{**int4, "weight": "int8"})


@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 3), st.integers(0, 9)), elements=st.integers(-8, 7)))
@settings(deadline=None, max_examples=30)
def test_two_numbers_lie_in_a_byte_the_first_in_the_lower_half(rows):
    stored = to_nibbles(rows)
    assert (stored.dtype, stored.shape) == (np.uint8, (len(rows), (rows.shape[1] + 1) // 2))
    assert all(np.array_equal(from_nibbles(row, rows.shape[1]), numbers) for row, numbers in zip(stored, rows, strict=True))
    assert to_nibbles(np.array([1, -8, 7], np.int8)).tolist() == [0x81, 0x07]


@pytest.mark.parametrize(
    ("payload", "dtype"), [("float32", "<f4"), ("int8", "|i1"), ("int32", "<i4"), ("count", "<u2"), ("spike", "|u1")]
)
def test_the_dense_vector_of_csr_has_the_payloads_type(payload, dtype):
    weight = next(w for w, p in NUMERICS if p == payload)
    (vector,) = (f for f in formats.named("csr").fields(shape_of(6, 5, 4, 2, weight=weight, payload=payload)) if f.name == "vector")
    assert (vector.dtype, vector.shape, vector.scratch) == (dtype, (2, 5), True)


# ---- what is computed

VARIANTS = [(*numeric, dense) for numeric in NUMERICS for dense in (False, True) if not dense or numeric[1] != "spike"]
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v[0]}-{v[1]}{'-dense' * v[2]}")


@pytest.mark.few(4)
@each_variant
@pytest.mark.parametrize("phased", [False, True], ids=["", "phased"])
@given(data=st.data(), chunk=st.integers(1, 30))
@settings(deadline=None, max_examples=25)
def test_all_formats_have_the_sums_and_the_work_of_a_plain_loop(variant, phased, data, chunk):
    """Bit for bit, for events in FIFO chunks of any size, a second time after the first; counts are effective MACs and visits."""
    weight, payload, dense = variant
    matrix, gates, lanes, sections = data.draw(cases((weight, payload), phased))
    before = [(keys, np.ones(len(keys), dtype_of(payload))) for keys, _ in sections[:1]]
    want, macs = plain(matrix, lanes, sections, integer=sum_of(weight, payload) == "int32")
    for name in NAMES:
        bound = Bound(name, matrix, lanes, numeric=(weight, payload), gates=gates, dense=dense, phases=len(sections))
        bound.position(before, chunk)
        sums, counts = bound.position(sections, chunk)
        assert same_bits(sums, want), name
        of_shape = {"weight": weight, "payload": payload, "gates": gates, "phases": len(sections), "dense": dense}
        assert counts == [macs, visited(name, matrix, lanes, sections, **of_shape)], name


@pytest.mark.few(3)
@each
@given(case=cases(), other=st.data())
@settings(deadline=None, max_examples=60)
def test_clear_forgets_everything(name, case, other):
    """After it a port answers as a new one does, and without events with zero."""
    matrix, _, lanes, ((keys, values),) = case
    bound = Bound(name, matrix, lanes)
    bound.hear(keys, values)
    bound.product()
    bound.port.clear()
    sums, counts = bound.product()
    assert sums.tobytes() == bytes(sums.nbytes)  # +0, not -0
    assert counts[0] == 0
    keep = other.draw(hnp.arrays(bool, len(keys)))
    bound.port.clear()
    bound.hear(keys[keep], values[keep])
    sums, counts = bound.product()
    want, macs = plain(matrix, lanes, [(keys[keep], values[keep])])
    assert same_bits(sums, want)
    assert counts[0] == macs


@each
@pytest.mark.parametrize("numeric", [FLOATS, ("int8", "spike"), ("int8", "int32")], ids="-".join)
@pytest.mark.parametrize("phases", [1, 2])
def test_a_lane_that_forgets_is_as_if_it_had_heard_nothing_and_others_are_as_they_were(name, numeric, phases):
    matrix = np.ones((2, 3), WEIGHTS[numeric[0]])
    bound = Bound(name, matrix, 3, numeric=numeric, phases=phases)
    everybody = np.arange(9, dtype=np.uint32)
    sections = [(everybody, np.ones(9, dtype_of(numeric[1])))] * phases
    bound.position(sections)
    bound.port.forget(lane=1)
    if phases == 1:
        bound.product()
    sums, _ = bound.answer()
    assert sums.tolist() == [[3 * phases] * 2, [0] * 2, [3 * phases] * 2]
    assert bound.mem["counts"][:, 0].tolist() == [6 * phases, 0, 6 * phases]


@each
def test_a_product_may_be_asked_for_again(name):
    """A recurrent port keeps what it heard last until its population steps, however many bubbles pass."""
    bound = Bound(name, np.eye(3, dtype=np.float32), 1)
    bound.hear(np.array([0, 2], np.uint32), np.array([5, 7], np.float32))
    assert bound.product()[0].tolist() == bound.product()[0].tolist() == [[5, 0, 7]]


WIDTHS = [(256, 3), (257, 3), (300, 300), (65_537, 2)]


@pytest.mark.few(12)
@each
@pytest.mark.parametrize(("rows", "columns"), WIDTHS, ids=["u1 rows", "u2 rows", "u4 extents", "u4 rows"])
def test_every_width_of_index_gives_the_same_answer(name, rows, columns):
    """Where a row or a number of weights no longer fits an integer, the next larger one is stored."""
    matrix = (np.arange(rows * columns, dtype=np.float32) % 13 - 6).reshape(rows, columns)
    matrix[-1] = 1  # the last row, whose index is the largest, is not empty
    keys = np.array([0, columns - 1, 2 * columns - 1], np.uint32)  # two of lane 0, one of lane 1
    values = np.array([0.1, -3e7, 0.7], np.float32)
    bound = Bound(name, matrix, 2)
    bound.hear(keys, values, 2)
    sums, counts = bound.product()
    want = np.zeros((2, rows), np.float32)
    for key, value in zip(keys.tolist(), values, strict=True):
        want[key // columns] += matrix[:, key % columns] * value
    assert same_bits(sums, want)
    macs = sum(np.count_nonzero(matrix[:, key % columns]) for key in keys)
    assert counts == [macs, visited(name, matrix, 2, [(keys, values)])]


@pytest.mark.few(1)
@each
@pytest.mark.parametrize(
    ("gates", "rows", "columns"), [(3, 300, 300), (3, 771, 20), (2, 512, 40), (1, 40, 65_600)],
    ids=["by gate, u4 extents", "257 units", "256 units by gate", "u4 columns"],
)  # fmt: skip
@pytest.mark.slow_but("u4 columns-csr", "u4 columns-packed", "u4 columns-dense", "by gate, u4 extents-vectors")
def test_every_width_of_index_of_int8_weights_gives_the_same_answer(name, gates, rows, columns):
    matrix = (np.arange(rows * columns) % 251 - 125).reshape(rows, columns).astype(np.int8)
    matrix[:, :: 2 if columns < 1000 else 97] = 0  # silent columns have extents too
    matrix[-1, -1] = matrix[0, -1] = 5
    keys = np.array([1, 3, columns - 1, columns + 5, 2 * columns - 1], np.uint32)
    values = np.array([1, -128, 127, 3, -1], np.int8)
    bound = Bound(name, matrix, 2, numeric=("int8", "int8"), gates=gates)
    bound.hear(keys, values, 2)
    sums, counts = bound.product()
    want = np.zeros((2, rows), np.int64)
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        want[key // columns] += matrix[:, key % columns].astype(np.int64) * value
    assert same_bits(sums, want.astype(np.int32))
    macs = sum(np.count_nonzero(matrix[:, key % columns]) for key in keys)
    assert counts == [macs, visited(name, matrix, 2, [(keys, values)], weight="int8", payload="int8", gates=gates)]


def test_a_stored_zero_is_refused_because_formats_would_count_it_differently():
    rows = SparseRows((2, 1), np.array([0, 1, 2]), np.array([0, 0], np.uint32), np.array([0, 1], np.float32))
    with pytest.raises(ModelError, match="a file: 1 of 2 stored weights are zero; leave them out"):
        rows.check("a file")


# ---- over a trace

DECAYS = st.sampled_from([0.9, 0.5, 0.1, 2.0**-30, 1 - 2.0**-24]) | st.floats(0.001, 0.999)


@st.composite
def heard(draw):
    """A matrix, lanes, a decay, and for each of some positions whether it begins a segment and the events (often none)."""
    matrix, _, lanes, _ = draw(cases())
    positions = []
    for _ in range(draw(st.integers(1, 5))):
        everybody = np.arange(lanes * matrix.shape[1], dtype=np.uint32)
        keys = everybody[draw(hnp.arrays(bool, len(everybody)))] if draw(st.booleans()) else everybody[:0]
        positions.append(
            (draw(st.sampled_from([False, False, True])), keys, draw(hnp.arrays(np.float32, len(keys), elements=event_values)))
        )
    return matrix, lanes, draw(DECAYS), positions


def fading(trace, decay, keys, values):
    """The trace one position on, element by element: two products and a sum, each rounded to float32."""
    keep = np.float32(decay)
    y = dict(zip(keys.tolist(), values, strict=True))
    return [
        np.float32(np.float32(keep * h) + np.float32(np.float32(1) - keep) * y.get(i, np.float32(0))) for i, h in enumerate(trace)
    ]


def over_positions(name, case):
    """Drive a port through the positions as a PE does; yield sums, counts and the trace of a plain loop at each."""
    matrix, lanes, decay, positions = case
    bound = Bound(name, matrix, lanes, decay)
    trace = [np.float32(0)] * (lanes * matrix.shape[1])
    for begins, keys, values in positions:
        if begins:
            for lane in range(lanes):
                bound.port.restart(lane=lane)
            trace = [np.float32(0)] * len(trace)
        bound.port.clear()
        bound.hear(keys, values, 3)
        trace = fading(trace, decay, keys, values)
        yield bound, *bound.product(), np.array(trace, np.float32)


@pytest.mark.few(3)
@each
@given(case=heard())
@settings(deadline=None, max_examples=80)
def test_a_product_over_a_trace_is_that_of_a_plain_loop(name, case):
    """Bit for bit at every position, events or none; a zero element of the trace is no event and no work."""
    matrix, lanes, _, _ = case
    for bound, sums, counts, trace in over_positions(name, case):
        assert bound.mem["trace"].tobytes() == trace.tobytes()
        keys = np.flatnonzero(trace).astype(np.uint32)
        want, macs = plain(matrix, lanes, [(keys, trace[keys])])
        assert same_bits(sums, want)
        assert counts == [macs, visited(name, matrix, lanes, [(keys, trace[keys])])]
        assert bound.product()[0].tobytes() == sums.tobytes()  # may be asked for again


@given(case=heard())
@settings(deadline=None, max_examples=60)
def test_all_formats_agree_over_a_trace_in_bits_and_effective_macs(case):
    answers = [[(sums.tobytes(), counts[0]) for _, sums, counts, _ in over_positions(name, case)] for name in NAMES]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.few(3)
@each
@given(case=heard())
@settings(deadline=None, max_examples=40)
def test_a_lane_of_a_trace_is_that_of_its_sequence_alone(name, case):
    matrix, lanes, decay, positions = case
    together = [sums for _, sums, _, _ in over_positions(name, case)]
    columns = matrix.shape[1]
    for lane in range(lanes):
        alone = []
        for begins, keys, values in positions:
            mine = keys // columns == lane
            alone.append((begins, keys[mine] - np.uint32(lane * columns), values[mine]))
        for whole, (_, sums, _, _) in zip(together, over_positions(name, (matrix, 1, decay, alone)), strict=True):
            assert whole[lane].tobytes() == sums[0].tobytes()


@each
def test_a_trace_fades_without_events_and_a_lane_begins_at_zero_where_it_restarts(name):
    bound = Bound(name, np.eye(2, dtype=np.float32), 2, 0.5)
    said = []
    for begins, values in ((True, [8.0]), (False, []), (False, [4.0]), (True, []), (False, [2.0])):
        if begins:
            bound.port.restart(lane=0)
        bound.port.clear()
        keys = np.array([lane * 2 for lane in range(2) for _ in values], np.uint32)
        bound.hear(keys, np.array(values * 2, np.float32))
        said.append(bound.product()[0][:, 0].tolist())
    assert said == [[4.0, 4.0], [2.0, 2.0], [3.0, 3.0], [0.0, 1.5], [1.0, 1.75]]


@each
def test_a_trace_is_a_variable_that_is_no_scratch_and_needs_no_second_vector(name):
    """It must outlive a tick, so it cannot lie where only scratch may; `csr` looks its events up in it."""
    form = formats.named(name)
    plain_fields, fields = ({f.name: f for f in form.fields(shape_of(6, 5, 4, 2, trace=trace))} for trace in (False, True))
    field = fields["trace"]
    assert (field.shape, field.dtype, field.role, field.scratch) == ((2, 5), "<f4", "variables", False)
    of_csr = name in ("csr", "vectors")  # which is csr where the array has nothing to do
    assert plain_fields.keys() - fields.keys() == ({"vector"} if of_csr else set())
    assert fields.keys() - plain_fields.keys() == {"trace"}


# ---- found by name, compiled before


def test_formats_are_found_by_name_and_a_wrong_name_gets_the_nearest():
    assert sorted(NAMES) == NAMES
    assert {"csr", "dense", "packed"} <= set(NAMES)
    with pytest.raises(ModelError, match=r"'pakced'.*did you mean 'packed'"):
        formats.named("pakced")
    with pytest.raises(ModelError, match="have array, conv, csr, dense, packed"):
        formats.require("zzzzzz")


# In a process of its own, because this one has compiled for other arrays already. A fork each, its formats loaded, binds
# ports of every width of index over a real arena and reports what was compiled (or fetched) more.
_WARM = """
import json, os, sys
from dataclasses import replace
import numpy as np
from models import formats
from models.compute.compiling import _callbacks, _dispatchers
from models.network import Field, SparseRows
from models.shard import PortShape
from pe.layout import PortSize, ShardSize
from pe.compile_ahead import compile_ahead
from pe.sram import Arena, SramSize, plan

def shapes(trace, **numeric):
    for rows, columns in ((3, 2), (300, 2), (66_000, 1), (2, 40_000)):
        gates = 3 if rows % 3 == 0 else 1
        yield PortShape(rows=rows, gates=gates, source_units=columns, nonzeros=rows * columns, lanes=2, trace=trace > 0, **numeric)

def drive(name, trace, **numeric):
    form, weight = formats.named(name), np.dtype(numeric.get("weight", "float32"))
    sums = "<i4" if weight == np.int8 else "<f4"
    for shape in shapes(trace, **numeric):
        sparse = SparseRows.from_dense(np.ones((shape.rows, shape.source_units), weight))
        units = np.arange(shape.rows // shape.gates)
        shape = formats.laid_out(name, sparse, np.arange(shape.rows), units, shape)
        fields = [*form.fields(shape), Field("sums", (2, shape.rows), sums, "variables")]
        fields.append(Field("counts", (2, 2), "<u4", "variables"))
        fields += [Field("keys", (4,), "<u4", "variables"), Field("fifo", (4,), "<f4", "variables")]
        size = SramSize(1 << 23, 1 << 21, 0, 0)
        mem = dict(Arena(plan("test", fields, size), size).views)
        for array, values in form.encode(sparse, shape).items():
            mem[array][...] = values
        port = form.port(mem, shape, trace)
        port.restart(lane=1), port.clear(), port.receive(mem["keys"], mem["fifo"], 1), port.product(lane=1), port.forget(lane=1)
        port.more()

def compiled():
    return {"functions": len(_callbacks)} | {d.py_func.__qualname__: len(d.signatures) for d in _dispatchers}

def grown(warmed, driven):
    for name in warmed:
        formats.named(name)
    import models.compute.sums
    before = compiled()
    for name in driven:
        drive(name, 0.0)
    return sorted(name for name, number in compiled().items() if number > before.get(name, 0))

def grown_ahead(trace=0.0, **numeric):
    sizes = []
    for name in formats.names():
        ports = [PortSize("input", 0, 0, shape) for shape in shapes(trace, **numeric)]
        sizes += [ShardSize(population=1, kernel="egru", format=name, units=1, lanes=2, ports=(port,)) for port in ports]
    compile_ahead(sizes)
    first = compiled()
    for name in formats.names():
        drive(name, trace, **numeric)
    return sorted(name for name, number in compiled().items() if number > first.get(name, 0))

def child(label, answer):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        print(json.dumps([label, answer()]), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

for label, names in [("all", formats.names()), *((name, [name]) for name in formats.names())]:
    child(label, lambda: grown(names, names))
child("ahead", lambda: grown_ahead(weight="int8", payload="int8"))
child("ahead, phased", lambda: grown_ahead(weight="int8", payload="int8", phases=2))
child("ahead, traced", lambda: grown_ahead(trace=0.5))
"""


@pytest.fixture(scope="module")
def compiled_late():
    """For each format loaded alone, and for all: what was compiled (or fetched) only in use."""
    done = subprocess.run([sys.executable, "-c", _WARM], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.slow
def test_after_all_formats_are_loaded_nothing_is_compiled_in_use(compiled_late):
    """What the fork server relies on: a process forked from it never compiles for what most runs use."""
    assert compiled_late["all"] == []


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_loading_a_format_compiles_everything_that_most_runs_need(compiled_late, name):
    assert compiled_late[name] == []


@pytest.mark.wide
@pytest.mark.parametrize("what", ["ahead", "ahead, phased", "ahead, traced"])
def test_what_other_runs_need_is_compiled_ahead(compiled_late, what):
    """So that the processes of a run find it in the cache."""
    assert compiled_late[what] == []


@pytest.mark.parametrize(
    "numeric",
    [FLOATS, ("float32", "spike"), ("float32", "count"), ("int8", "int8"), ("int8", "count"), ("int8", "spike"), ("int4", "int8")],
    ids="-".join,
)
@pytest.mark.parametrize("at_once", ["lanes", "rows"])
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_columns_that_meet_many_lanes_or_rows_at_once_make_what_each_makes_alone(numeric, at_once, data):
    """Also where lanes are no multiple of those that are taken together, and a FIFO ends within one."""
    matrix, gates = data.draw(matrices(numeric[0]))
    lanes, rng = data.draw(st.integers(8 if at_once == "lanes" else 1, 19)), np.random.default_rng(data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):  # of more rows than sixteen, and more than pays
        many_rows = gates * data.draw(st.integers(1, 140 // gates))
        picked = rng.integers(0, matrix.size, (many_rows, matrix.shape[1]))
        matrix = matrix.reshape(-1)[picked] * (rng.random(picked.shape) < 0.3)
        matrix = matrix.astype(np.float32 if numeric[0] == "float32" else np.int8)
    columns = matrix.shape[1]
    keys = np.flatnonzero(rng.random(lanes * columns) < data.draw(st.sampled_from([0.1, 0.9]))).astype(np.uint32)
    draw = {
        "float32": lambda: rng.normal(0, 1e3, len(keys)), "int8": lambda: rng.integers(1, 128, len(keys)),
        "count": lambda: rng.integers(1, 1 << 16, len(keys)),
    }  # fmt: skip
    values = draw.get(numeric[1], lambda: np.ones(len(keys)))().astype(dtype_of(numeric[1]))
    if numeric[1] != "spike":
        values[rng.random(len(keys)) < 0.1] = 0  # nothing is heard of those, and no work is counted
    with mock.patch.object(sixteen_rows, "pays", sixteen_rows.pays if at_once == "rows" else lambda *_: False):
        many = Bound("packed", matrix, lanes, gates=gates, numeric=numeric)
    need_sums, need_counts = [], np.zeros(2, int)
    for lane in range(lanes):
        own = keys // columns == lane
        with mock.patch.object(sixteen_rows, "pays", lambda *_: False):
            alone = Bound("packed", matrix, 1, gates=gates, numeric=numeric)
        sums, counts = alone.position([(keys[own] - lane * columns, values[own])])
        need_sums.append(sums[0])
        need_counts += counts
    for chunk in (data.draw(st.integers(1, 9)), 256):  # and again: nothing of it is left
        sums, counts = many.position([(keys, values)], chunk)
        assert same_bits(sums, np.stack(need_sums))
        assert counts == need_counts.tolist()


@pytest.mark.skipif(not sixteen_rows.can_spread("float32"), reason="needs AVX-512")
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 48, 49, 96, 97, 128])
def test_sums_that_end_where_memory_ends_are_all_that_is_touched(rows):
    """The arena's last page has a guard behind it."""
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(memory, np.float32)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int
    assert protect(whole.ctypes.data + mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    sums = whole[mmap.PAGESIZE // 4 - rows : mmap.PAGESIZE // 4].reshape(1, rows)
    sums[:], counts = -0.0, np.zeros((1, 2), np.uint32)
    matrix = {
        "values": np.array([1.5], np.float32), "rows": np.array([rows - 1], np.uint8), "extents": np.array([0, 1], np.uint16),
        "extent_bytes": 2,
    }  # fmt: skip
    add = sixteen_rows.adding_columns(EventType("float32"), matrix, sums, counts, source_units=1, gates=1)
    add(np.zeros(1, np.uint32), np.array([2], np.float32), 1)
    assert sums[0, -1] == 3
    assert same_bits(sums[0, :-1], np.full(rows - 1, -0.0, np.float32))  # of no weight a sum keeps its bits
    assert counts.tolist() == [[1, 1]]
