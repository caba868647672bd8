"""One conformance suite for every weight format, found by name: same bits, same effective work, estimate equals actual."""

import json
import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.cost import twins
from models import formats
from models.network import ModelError, SparseRows

ROOT = Path(__file__).resolve().parent.parent
NAMES = formats.names()
GARBAGE = {"<f4": np.nan, "<u4": 77}  # what memory holds before anything has cleared it
each = pytest.mark.parametrize("name", NAMES)

# Sums of these depend on their order: large ones swallow small ones and cancel.
weights = st.sampled_from([0.1, -0.3, 1.0, -1.0, 3e7, -3e7, 1e-30, 2.0**-149, 1e18, -1e18]) | st.floats(-2, 2, width=32)
event_values = st.floats(2.0**-20, 1e6, width=32) | st.floats(-1e6, -(2.0**-20), width=32)


@st.composite
def cases(draw):
    """A sparse matrix as a dense array, a number of lanes, and the events (ascending keys, values without zeros)."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    lanes = draw(st.integers(1, 3))
    fill = draw(st.sampled_from([0.0, 0.5]))  # mostly empty, or mostly full
    matrix = draw(hnp.arrays(np.float32, (rows, columns), elements=st.just(0.0) | weights, fill=st.just(np.float32(fill))))
    everybody = np.arange(lanes * columns, dtype=np.uint32)
    keys = everybody if draw(st.booleans()) else everybody[draw(hnp.arrays(bool, lanes * columns))]
    return matrix, lanes, keys, draw(hnp.arrays(np.float32, len(keys), elements=event_values))


class Bound:
    """A port of one format over arrays of its own, full of garbage where nothing has been written."""

    def __init__(self, name, matrix, lanes, trace=0.0):
        form, sparse = formats.named(name), SparseRows.from_dense(matrix)
        rows, columns = matrix.shape
        fields = form.fields(rows, columns, sparse.nonzeros, lanes, trace > 0)
        self.mem = {f"p.{f.name}": np.full(f.shape, GARBAGE.get(f.dtype, 77), f.dtype) for f in fields}
        for array, values in form.encode(sparse).items():
            self.mem[f"p.{array}"][...] = values
        self.port = form.port(self.mem, "p", lanes, columns, trace)
        self.port.restart()
        self.port.clear()

    def hear(self, keys, values, chunk=256):
        """Hand the events over as a PE does: through a FIFO whose rest holds what was there before."""
        fifo_keys, fifo_values = np.zeros(chunk, np.uint32), np.full(chunk, np.nan, np.float32)
        for first in range(0, len(keys), chunk):
            n = len(keys[first : first + chunk])
            fifo_keys[:n], fifo_values[:n] = keys[first : first + n], values[first : first + n]
            self.port.receive(fifo_keys, fifo_values, n)

    def product(self):
        self.port.product()
        return self.mem["p.sums"].copy(), self.mem["p.counts"].tolist()


def plain(matrix, lanes, keys, values):
    """The sums (lanes, rows): float32, one accumulator a row, source units ascending; and the effective MACs."""
    rows, columns = matrix.shape
    sums, macs = np.zeros((lanes, rows), np.float32), 0
    for key, value in zip(keys.tolist(), values, strict=True):
        lane, unit = divmod(key, columns)
        for row in range(rows):
            if matrix[row, unit] != 0:
                sums[lane, row] = sums[lane, row] + matrix[row, unit] * value
                macs += 1
    return sums, macs


def visited(name, matrix, lanes, keys):
    """The stored weights that a format visits, by its cost twin."""
    macs = sum(np.count_nonzero(matrix[:, key % matrix.shape[1]]) for key in keys)
    return twins.twin("formats", name).visited(macs, len(keys), lanes * np.count_nonzero(matrix), len(matrix))


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype == np.float32 and a.tobytes() == b.tobytes()


# ---- what is stored


@each
@given(case=cases())
@settings(deadline=None, max_examples=40)
def test_estimate_equals_actual_to_the_byte(name, case):
    """`fields` follows from counts alone and says exactly what `encode` makes."""
    matrix, lanes, _, _ = case
    sparse = SparseRows.from_dense(matrix)
    form = formats.named(name)
    estimate = {f.name: f for f in form.fields(*matrix.shape, sparse.nonzeros, lanes) if f.role == "weights"}
    actual = form.encode(sparse)
    assert estimate.keys() == actual.keys()
    for array, values in actual.items():
        assert values.shape == estimate[array].shape
        assert values.dtype == np.dtype(estimate[array].dtype)
        assert values.nbytes == estimate[array].size_bytes


@each
def test_every_port_has_sums_counts_and_nothing_named_twice(name):
    fields = formats.named(name).fields(6, 5, 4, 2)
    by_name = {f.name: f for f in fields}
    assert len(by_name) == len(fields)
    assert (by_name["sums"].shape, by_name["sums"].dtype, by_name["sums"].role) == ((2, 6), "<f4", "variables")
    assert (by_name["counts"].shape, by_name["counts"].dtype, by_name["counts"].role) == ((2,), "<u4", "variables")
    assert {f.role for f in fields} == {"weights", "variables"}
    assert not any(f.scratch for f in fields if f.role == "weights")  # what lies behind the program may be lost


def test_bytes_of_the_papers_matrix_are_the_papers_formula():
    """csr stores 2 nnz + rows + 1 words; packed one byte of index up to 256 rows; dense all of them."""
    sizes = {
        name: sum(f.size_bytes for f in formats.named(name).fields(81, 1350, 5000, 1) if f.role == "weights") for name in NAMES
    }
    assert sizes["csr"] == 4 * (2 * 5000 + 81 + 1)
    assert sizes["packed"] == 5000 * (4 + 1) + 2 * 1351
    assert sizes["dense"] == 4 * 81 * 1350


# ---- what is computed


@each
@given(case=cases(), chunk=st.integers(1, 30))
@settings(deadline=None, max_examples=150)
def test_sums_and_work_are_those_of_a_plain_loop(name, case, chunk):
    """Bit for bit, for events in FIFO chunks of any size; counts are effective MACs and weights visited."""
    matrix, lanes, keys, values = case
    bound = Bound(name, matrix, lanes)
    bound.hear(keys, values, chunk)
    sums, counts = bound.product()
    want, macs = plain(matrix, lanes, keys, values)
    assert same_bits(sums, want)
    assert counts == [macs, visited(name, matrix, lanes, keys)]


@given(case=cases())
@settings(deadline=None, max_examples=100)
def test_all_formats_agree_to_the_bit(case):
    matrix, lanes, keys, values = case
    answers = []
    for name in NAMES:
        bound = Bound(name, matrix, lanes)
        bound.hear(keys, values)
        sums, counts = bound.product()
        answers.append((sums.tobytes(), counts[0]))
    assert len(set(answers)) == 1


@each
@given(case=cases(), other=st.data())
@settings(deadline=None, max_examples=60)
def test_clear_forgets_everything(name, case, other):
    """After it a port answers as a new one does, and without events with zero."""
    matrix, lanes, keys, values = case
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
    want, macs = plain(matrix, lanes, keys[keep], values[keep])
    assert same_bits(sums, want)
    assert counts[0] == macs


@each
def test_a_product_may_be_asked_for_again(name):
    """A recurrent port keeps what it heard last until its population steps, however many bubbles pass."""
    bound = Bound(name, np.eye(3, dtype=np.float32), 1)
    bound.hear(np.array([0, 2], np.uint32), np.array([5, 7], np.float32))
    assert bound.product()[0].tolist() == bound.product()[0].tolist() == [[5, 0, 7]]


@each
@pytest.mark.parametrize(
    ("rows", "columns"), [(256, 3), (257, 3), (300, 300), (65_537, 2)], ids=["u1 rows", "u2 rows", "u4 extents", "u4 rows"]
)
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
    assert counts == [sum(np.count_nonzero(matrix[:, key % columns]) for key in keys), visited(name, matrix, 2, keys)]


def test_a_stored_zero_is_refused_because_formats_would_count_it_differently():
    rows = SparseRows((2, 1), np.array([0, 1, 2]), np.array([0, 0], np.uint32), np.array([0, 1], np.float32))
    with pytest.raises(ModelError, match="a file: 1 of 2 stored weights are zero; leave them out"):
        rows.check("a file")


# ---- over a trace

DECAYS = st.sampled_from([0.9, 0.5, 0.1, 2.0**-30, 1 - 2.0**-24]) | st.floats(0.001, 0.999)


@st.composite
def heard(draw):
    """A matrix, lanes, a decay, and for each of some positions whether it begins a segment and the events (often none)."""
    matrix, lanes, _, _ = draw(cases())
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
            bound.port.restart()
            trace = [np.float32(0)] * len(trace)
        bound.port.clear()
        bound.hear(keys, values, 3)
        trace = fading(trace, decay, keys, values)
        yield bound, *bound.product(), np.array(trace, np.float32)


@each
@given(case=heard())
@settings(deadline=None, max_examples=80)
def test_a_product_over_a_trace_is_that_of_a_plain_loop(name, case):
    """Bit for bit at every position, events or none; a zero element of the trace is no event and no work."""
    matrix, lanes, _, _ = case
    for bound, sums, counts, trace in over_positions(name, case):
        assert bound.mem["p.trace"].tobytes() == trace.tobytes()
        keys = np.flatnonzero(trace).astype(np.uint32)
        want, macs = plain(matrix, lanes, keys, trace[keys])
        assert same_bits(sums, want)
        assert counts == [macs, visited(name, matrix, lanes, keys)]
        assert bound.product()[0].tobytes() == sums.tobytes()  # may be asked for again


@given(case=heard())
@settings(deadline=None, max_examples=60)
def test_all_formats_agree_over_a_trace_in_bits_and_effective_macs(case):
    answers = [[(sums.tobytes(), counts[0]) for _, sums, counts, _ in over_positions(name, case)] for name in NAMES]
    assert all(answer == answers[0] for answer in answers)


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
def test_a_trace_fades_without_events_and_begins_at_zero_where_it_restarts(name):
    bound = Bound(name, np.eye(2, dtype=np.float32), 1, 0.5)
    said = []
    for begins, values in ((True, [8.0]), (False, []), (False, [4.0]), (True, []), (False, [2.0])):
        if begins:
            bound.port.restart()
        bound.port.clear()
        bound.hear(np.zeros(len(values), np.uint32), np.array(values, np.float32))
        said.append(bound.product()[0][0, 0])
    assert said == [4.0, 2.0, 3.0, 0.0, 1.0]


@each
def test_a_trace_is_a_variable_that_is_no_scratch_and_needs_no_second_vector(name):
    """It must outlive a tick, so it cannot lie where only scratch may; `csr` looks its events up in it."""
    form = formats.named(name)
    plain_fields, fields = ({f.name: f for f in form.fields(6, 5, 4, 2, trace)} for trace in (False, True))
    field = fields["trace"]
    assert (field.shape, field.dtype, field.role, field.scratch) == ((2, 5), "<f4", "variables", False)
    assert plain_fields.keys() - fields.keys() == ({"vector"} if name == "csr" else set())
    assert fields.keys() - plain_fields.keys() == {"trace"}


# ---- found by name, compiled before


def test_formats_are_found_by_name_and_a_wrong_name_gets_the_nearest():
    assert sorted(NAMES) == NAMES
    assert {"csr", "dense", "packed"} <= set(NAMES)
    with pytest.raises(ModelError, match=r"'pakced'.*did you mean 'packed'"):
        formats.named("pakced")
    with pytest.raises(ModelError, match="have csr, dense, packed"):
        formats.require("zzzzzz")


# In a process of its own, because this one has compiled for other arrays already. A fork each, its formats loaded, binds
# ports of every width of index over a real arena and reports which dispatchers got a specialisation more.
_WARM = """
import json, os, sys
from dataclasses import replace
import numpy as np
from models import formats
from models.compute.compiling import _dispatchers
from models.network import Field, SparseRows
from pe.sram import Arena, SramSize, plan

def drive(name, trace):
    form = formats.named(name)
    for rows, columns in ((3, 2), (300, 2), (66_000, 1), (2, 40_000)):
        sparse = SparseRows.from_dense(np.ones((rows, columns), np.float32))
        fields = [replace(f, name="p." + f.name) for f in form.fields(rows, columns, sparse.nonzeros, 2, trace > 0)]
        fields += [Field("keys", (4,), "<u4", "variables"), Field("values", (4,), "<f4", "variables")]
        size = SramSize(1 << 23, 1 << 21, 0, 0)
        mem = Arena(plan("test", fields, size), size).views
        for array, values in form.encode(sparse).items():
            mem["p." + array][...] = values
        port = form.port(mem, "p", 2, columns, trace)
        port.restart(), port.clear(), port.receive(mem["keys"], mem["values"], 1), port.product()

def grown(warmed, driven):
    for name in warmed:
        formats.named(name)
    before = {id(d): len(d.signatures) for d in _dispatchers}
    for name in driven:
        drive(name, 0.0)
        drive(name, 0.5)
    return sorted(d.py_func.__qualname__ for d in _dispatchers if len(d.signatures) > before.get(id(d), 0))

for label, names in [("all", formats.names()), *((name, [name]) for name in formats.names())]:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        print(json.dumps([label, grown(names, names)]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def compiled_late():
    """For each format loaded alone, and for all: the kernels that were compiled (or fetched) only in use."""
    done = subprocess.run([sys.executable, "-c", _WARM], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return dict(map(json.loads, done.stdout.splitlines()))


def test_after_all_formats_are_loaded_nothing_is_compiled_in_use(compiled_late):
    """What the fork server relies on: a process forked from it never compiles."""
    assert compiled_late["all"] == []


@pytest.mark.parametrize("name", NAMES)
def test_loading_a_format_compiles_everything_that_it_needs(compiled_late, name):
    assert compiled_late[name] == []
