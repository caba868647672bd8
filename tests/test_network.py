"""Sparse rows keep what a matrix holds, `check` refuses every malformed set, and a shard survives the wire."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.network import Field, ModelError, SparseRows, check_finite
from models.seeded import seeded_egru
from models.shard import PortShape, Shard, ShardPort

values = st.just(0.0) | st.floats(-(2.0**100), 2.0**100, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8), elements=values)
GOOD = SparseRows.from_dense(np.array([[0, 1, 2], [0, 0, 0], [3, 0, 4]]))


def same(a, b):
    arrays = ("extents", "columns", "values")
    return a.shape == b.shape and all(
        getattr(a, n).dtype == getattr(b, n).dtype and getattr(a, n).tobytes() == getattr(b, n).tobytes() for n in arrays
    )


def broken(**changes):
    parts = {"shape": GOOD.shape, "extents": GOOD.extents, "columns": GOOD.columns, "values": GOOD.values} | changes
    with pytest.raises(ModelError) as caught:
        SparseRows(**parts).check("layer1.input")
    text = str(caught.value)
    assert text.startswith("layer1.input: ")
    assert len(text.splitlines()) == 1
    return text


# ---- sparse rows


@given(matrices)
def test_a_matrix_round_trips(matrix):
    rows = SparseRows.from_dense(matrix)
    rows.check("any matrix")
    assert rows.nonzeros == np.count_nonzero(matrix)
    assert rows.row_nonzeros.tolist() == np.count_nonzero(matrix, axis=1).tolist()
    assert np.array_equal(rows.to_dense(), matrix)
    assert same(SparseRows.from_dense(rows.to_dense()), rows)


@given(matrices, st.data())
def test_take_returns_the_rows_asked_for_in_that_order(matrix, data):
    """In any order, also twice or none at all; the result is well formed."""
    pick = np.array(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=10)), np.int64)
    rows = SparseRows.from_dense(matrix).take(pick)
    rows.check("any rows")
    assert rows.shape == (len(pick), matrix.shape[1])
    assert same(rows, SparseRows.from_dense(matrix[pick]))


@given(matrices, st.data())
def test_what_is_taken_apart_has_all_weights_once(matrix, data):
    owner = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(matrix), max_size=len(matrix))))
    whole = SparseRows.from_dense(matrix)
    parts = [whole.take(np.flatnonzero(owner == n)) for n in range(3)]
    assert sum(part.nonzeros for part in parts) == whole.nonzeros


def test_a_number_that_float32_cannot_hold_apart_from_zero_is_no_weight():
    assert SparseRows.from_dense(np.array([[1e-60, 1.0]])).nonzeros == 1


@given(matrices, st.data())
@settings(max_examples=60)
def test_one_wrong_number_is_never_missed(matrix, data):
    """A row's columns permuted, out of range or doubled; an extent moved past its neighbours; a weight not finite."""
    matrix[:, 0] = 1  # no row is empty
    good = SparseRows.from_dense(matrix)
    columns, extents, weights = good.columns.copy(), good.extents.copy(), good.values.copy()
    k = data.draw(st.integers(0, good.nonzeros - 1))
    match data.draw(st.sampled_from(["range", "order", "extent", "finite", "length"])):
        case "range":
            columns[k] = data.draw(st.integers(matrix.shape[1], 2**32 - 1))
        case "order":
            row = int(np.searchsorted(extents, k, side="right")) - 1
            first, last = int(extents[row]), int(extents[row + 1])
            columns[first:last] = columns[first:last][::-1] if last - first > 1 else matrix.shape[1]
        case "extent":
            row = data.draw(st.integers(0, len(matrix) - 1))
            extents[row] = data.draw(st.integers(int(extents[-1]) + 1, 2**62))
        case "finite":
            weights[k] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        case "length":
            columns = columns[:-1]
    with pytest.raises(ModelError):
        SparseRows(good.shape, extents, columns, weights).check("damaged")


def test_check_says_what_is_wrong():
    GOOD.check("fine")
    assert "4 ascending numbers from 0" in broken(extents=np.array([0, 2, 4]))
    assert "4 ascending numbers from 0" in broken(extents=np.array([1, 2, 2, 4]))
    assert "4 ascending numbers from 0" in broken(extents=np.array([0, 3, 2, 4]))
    assert "name 4 weights, the file has 3 columns and 4 values" in broken(columns=GOOD.columns[:3])
    assert "name 4 weights, the file has 4 columns and 5 values" in broken(values=np.ones(5, np.float32))
    assert "column 3 in a matrix of 3 columns" in broken(columns=np.array([1, 2, 0, 3], np.uint32))
    assert "not in ascending order within each row" in broken(columns=np.array([2, 1, 0, 2], np.uint32))
    assert "not in ascending order within each row" in broken(columns=np.array([1, 1, 0, 2], np.uint32))
    assert "1 of 4 values are not finite, first nan at 2" in broken(values=np.array([1, 2, np.nan, 4], np.float32))


def test_columns_may_descend_from_one_row_to_the_next_also_across_empty_ones():
    matrix = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    SparseRows.from_dense(matrix).check("rows")
    SparseRows.from_dense(np.zeros((3, 2))).check("no weights at all")


def test_check_finite_names_the_first_place_of_a_matrix():
    with pytest.raises(ModelError, match=r"^embedding: 2 of 6 values are not finite, first inf at 2$"):
        check_finite("embedding", np.array([[0, 1, np.inf], [2, np.nan, 3]]))
    check_finite("embedding", np.zeros((0, 3)))


# ---- fields and networks


def test_a_field_knows_its_bytes():
    assert Field("a", (3, 5), "<f4", "weights").size_bytes == 60
    assert Field("b", (7,), "|u1", "weights").size_bytes == 7
    assert Field("c", (0, 5), "<f4", "weights").size_bytes == 0
    assert Field("d", (1 << 20, 1 << 20), "<f4", "weights").size_bytes == 1 << 42  # no 32-bit number overflows


def test_a_network_is_a_line_whose_layers_hear_the_one_before_and_themselves():
    network = seeded_egru(4, (5, 6), 0.5)
    assert (list(network.layers), network.output) == ([1, 2], 2)
    assert [network.listeners(n) for n in range(3)] == [(1,), (1, 2), (2,)]


# ---- a shard on its way to a PE


dtypes = st.sampled_from(["<f4", "<u4", "<u2", "|u1", "<i8"])
arrays = st.builds(
    lambda dtype, shape, fill: np.full(shape, fill, dtype),
    dtypes,
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4),
    st.integers(0, 200),
)
names = st.text("abc.", min_size=1, max_size=5)
counts = st.integers(0, 9)
shapes = st.builds(
    PortShape,
    rows=counts,
    gates=st.integers(1, 3),
    source_units=counts,
    nonzeros=counts,
    lanes=counts,
    trace=st.booleans(),
    weight=st.sampled_from(["float32", "int8"]),
    payload=st.sampled_from(["float32", "int8", "int32", "count", "spike"]),
    dense=st.booleans(),
    phases=st.integers(1, 9),
    slots=st.integers(1, 9),
    window=st.lists(counts, max_size=3).map(tuple),
)
ports = st.builds(
    ShardPort,
    name=names,
    source=counts,
    delay=counts,
    shape=shapes,
    arrays=st.dictionaries(names, arrays, max_size=3),
    trace=st.floats(0, 0.99),
)
shards = st.builds(
    Shard,
    population=st.integers(1, 9),
    kernel=names,
    format=names,
    width=st.integers(1, 9),
    lanes=st.integers(1, 9),
    units=hnp.arrays(np.uint32, st.integers(0, 5)),
    ports=st.lists(ports, max_size=3).map(tuple),
    vectors=st.dictionaries(names, arrays, max_size=3),
    params=st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
    payload=st.sampled_from(["float32", "spike"]),
    trigger=counts,
    wait=counts,
    ticks=st.integers(1, 9),
    interval=st.integers(1, 9),
)
PLAIN = (int, bool, str, bytes, float, list, dict)
HEAD = ("population", "kernel", "format", "width", "lanes", "params", "payload", "trigger", "wait", "ticks", "interval")


def plain_only(part):
    """Only what msgpack carries without an extension: no array, tuple or numpy number."""
    assert type(part) in PLAIN
    if isinstance(part, dict):
        part = [*part.keys(), *part.values()]
    if isinstance(part, list):
        for inner in part:
            plain_only(inner)


def same_arrays(a, b):
    return list(a) == list(b) and all(
        (a[n].dtype, a[n].shape, a[n].tobytes()) == (b[n].dtype, b[n].shape, b[n].tobytes()) for n in a
    )


@given(shards)
@settings(max_examples=60)
def test_a_shard_round_trips_through_plain_parts(shard):
    parts = shard.to_parts()
    plain_only(parts)
    back = Shard.from_parts(parts)
    assert [getattr(back, n) for n in HEAD] == [getattr(shard, n) for n in HEAD]
    assert same_arrays({"units": back.units}, {"units": shard.units})
    assert same_arrays(back.vectors, shard.vectors)
    assert len(back.ports) == len(shard.ports)
    for a, b in zip(back.ports, shard.ports, strict=True):
        head = ("name", "source", "delay", "shape", "trace")
        assert [getattr(a, n) for n in head] == [getattr(b, n) for n in head]
        assert same_arrays(a.arrays, b.arrays)


def shard_of(units, vector):
    """A shard with nothing but units and a vector "v"."""
    return Shard(
        population=1, kernel="k", format="f", width=1, lanes=1, units=units, ports=(), vectors={"v": vector}, params={}
    )  # fmt: skip


def test_arrays_travel_as_raw_little_endian_bytes():
    """Also from a view with gaps."""
    shard = shard_of(np.arange(6, dtype=np.uint32)[::2], np.array([1.5, -2], np.float32))
    units, vectors = shard.to_parts()[2], shard.to_parts()[4]
    assert units == [["units", "<u4", [3], b"\0\0\0\0\2\0\0\0\4\0\0\0"]]
    assert vectors == [["v", "<f4", [2], b"\0\0\xc0\x3f\0\0\0\xc0"]]


def test_a_big_endian_array_is_turned_round():
    shard = shard_of(np.zeros(1, np.uint32), np.array([1.5, -2], ">f4"))
    assert Shard.from_parts(shard.to_parts()).vectors["v"].tolist() == [1.5, -2]


NO_ARRAYS = [3, "text", [[1, 2]], [["units", "<f4", [7], b"123"]], [["x", "O", [1], bytes(8)]], [[["x"], "<f4", [0], b""]], None]


@given(shards, st.sampled_from([2, 3, 4]), st.sampled_from(NO_ARRAYS))
@settings(max_examples=60)
def test_parts_of_another_form_are_refused(shard, place, wrong):
    parts = shard.to_parts()
    parts[place] = wrong
    with pytest.raises(ModelError, match="not in the form"):
        Shard.from_parts(parts)


@pytest.mark.parametrize("parts", [None, 5, "text", [], {}, [1, 2, 3]])
def test_what_is_no_shard_is_refused(parts):
    with pytest.raises(ModelError, match="not in the form"):
        Shard.from_parts(parts)
