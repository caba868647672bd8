"""Operators that files have in ways of their own: groups, broadcasts, one-hot vectors, reductions and norms in parts; what they
become computes the same in float, and in int8 as near as int8 is.
"""

import numpy as np
import pytest

from models.dnn.compute import compute_network
from models.dnn.evaluate import run_graph
from models.dnn.integer import KINDS
from models.dnn.prepare import prepare
from models.dnn.reference import dequantised, quantised_inputs, run_network
from models.network import ModelError
from models.operators._elements import MOST_UNIT_BYTES, element_work, plane_work
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_lower import DnnSettings
from tests.tools.dnn_nets import graph

RNG = np.random.default_rng(22)
IMAGE, ROWS = (1, 6, 5, 7), (1, 4, 6)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def mean(source, target, axis, keep=1):
    return ("ReduceMean", [source], target, {"axes": [axis], "keepdims": keep})


EPSILON = {"eps": np.float32([1e-5]), "zero": np.float32(0)}
CASES = {
    "a convolution in groups": (
        [("Conv", ["x", "w", "b"], "y", {"group": 3, "pads": [1, 1, 1, 1]}), ("Relu", ["y"], "z")],
        IMAGE, {"w": floats(9, 2, 3, 3), "b": floats(9)}, ["Slice", "Conv", "Relu"] * 3 + ["Concat"],
    ),
    "a line in groups": (
        [("Conv", ["x", "w"], "z", {"group": 2, "strides": [2]})], (1, 4, 9), {"w": floats(4, 2, 3)},
        ["Reshape", "Slice", "Conv", "Slice", "Conv", "Concat", "Reshape"],
    ),
    "an image of one column": (
        [("Conv", ["x", "w"], "z", {"pads": [1, 0, 1, 0]})], (1, 3, 8, 1),
        {"w": floats(4, 3, 3, 1)}, ["Reshape", "Conv", "Reshape"],
    ),
    "what broadcasting expands by itself": (
        [mean("x", "m", 2), ("Expand", ["m", "s"], "e"), ("Sub", ["x", "e"], "z")], ROWS, {"s": np.array([1, 4, 6])},
        ["ReduceMean", "Sub"],
    ),
    "what is expanded": (
        [("Slice", ["x", "b", "e", "a"], "y"), ("Expand", ["y", "s"], "z")], ROWS,
        {"b": np.array([1]), "e": np.array([2]), "a": np.array([1]), "s": np.array([2, 3, 6])}, ["Slice", "Resize"],
    ),
    "tiles": ([("Tile", ["x", "r"], "z")], ROWS, {"r": np.array([1, 3, 2])}, ["Concat", "Concat", "Resize"]),
    "one matrix for a stack": (
        [("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("Reshape", ["x", "s"], "k"), ("MatMul", ["k", "t"], "z")],
        ROWS, {"s": np.array([2, 2, 6])}, ["Transpose", "Reshape", "Reshape", "MatMul", "Reshape"],
    ),
    "a stack of weights of one": ([("MatMul", ["x", "w"], "z")], ROWS, {"w": floats(1, 6, 3)}, ["Linear"]),
    "a constant for a stack": ([("MatMul", ["c", "x"], "z")], ROWS, {"c": floats(3, 4)}, ["Reshape", "MatMul", "Reshape"]),
    "a vector": ([("MatMul", ["v", "x"], "z")], ROWS, {"v": floats(4)}, ["Reshape", "MatMul"]),
    "stacks that are broadcast": (
        [("Reshape", ["x", "s"], "k"), ("Slice", ["k", "b", "e", "a"], "q"), ("Transpose", ["k"], "t", {"perm": [0, 1, 3, 2]}),
         ("MatMul", ["q", "t"], "z")],
        (1, 4, 6), {"s": np.array([1, 2, 2, 6]), "b": np.array([0]), "e": np.array([1]), "a": np.array([1])},
        ["Reshape", "Slice", "Transpose", "Resize", "MatMul"],
    ),
    "elements in an order": (
        [("Gather", ["x", "i"], "z", {"axis": 1})], ROWS, {"i": np.array([0, 2, 1, -1])},
        ["Slice", "Slice", "Concat"],
    ),
    "a sum": ([("ReduceSum", ["x", "a"], "z", {"keepdims": 0})], ROWS, {"a": np.array([1])}, ["ReduceMean", "Reshape"]),
    "the largest": ([("ReduceMax", ["x"], "z", {"axes": [1], "keepdims": 0})], ROWS, {}, ["Reshape", "MaxPool", "Reshape"]),
    "the largest of all": ([("ReduceMax", ["x"], "z", {"keepdims": 1})], ROWS, {}, ["Reshape", "MaxPool", "Reshape"]),
    "bounds": (
        [("Max", ["lo", "x"], "y"), ("Min", ["y", "hi"], "z")], ROWS, {"lo": np.float32(-0.5), "hi": np.float32(0.7)}, ["Table"],
    ),
    "a bound that is none": ([("Max", ["lo", "x"], "y"), ("Tanh", ["y"], "z")], ROWS, {"lo": np.float32(-np.inf)}, ["Table"]),
    "a norm by mean squares, along another axis": (
        [
            mean("x", "m", 1, 0), ("Mul", ["x", "x"], "q"), mean("q", "u", 1, 0), ("Mul", ["m", "m"], "mm"),
            ("Sub", ["u", "mm"], "v"), ("Max", ["v", "zero"], "vv"), ("Unsqueeze", ["vv"], "w", {"axes": [1]}),
            ("Add", ["w", "eps"], "e"), ("Sqrt", ["e"], "s"), ("Reciprocal", ["s"], "r"), ("Mul", ["r", "g"], "rg"),
            ("Unsqueeze", ["m"], "k", {"axes": [1]}), ("Sub", ["x", "k"], "d"), ("Mul", ["d", "rg"], "n"), ("Add", ["n", "b"], "z"),
        ],
        ROWS, {**EPSILON, "g": floats(1, 4, 1), "b": floats(1, 4, 1)}, ["Transpose", "LayerNormalization", "Transpose"],
    ),
    "a norm by the root's inverse": (
        [
            mean("x", "m", -1), ("Sub", ["x", "m"], "d"), ("Mul", ["d", "d"], "q"), mean("q", "v", -1), ("Add", ["v", "eps"], "e"),
            ("Pow", ["e", "power"], "r"), ("Mul", ["r", "d"], "z"),
        ],
        ROWS, {**EPSILON, "power": np.float32(-0.5)}, ["LayerNormalization"],
    ),
    "a softmax in parts": (
        [
            ("ReduceMax", ["x"], "m", {"axes": [-1], "keepdims": 1}), ("Sub", ["x", "m"], "d"), ("Exp", ["d"], "e"),
            ("ReduceSum", ["e", "a"], "s"), ("Div", ["e", "s"], "z"),
        ],
        ROWS, {"a": np.array([2])}, ["Softmax"],
    ),
    "a softmax by an inverse": (
        [("Exp", ["x"], "e"), ("ReduceSum", ["e", "a"], "s"), ("Reciprocal", ["s"], "r"), ("Mul", ["r", "e"], "z")],
        ROWS, {"a": np.array([-1])}, ["Softmax"],
    ),
    "pixels out of channels": (
        [("DepthToSpace", ["x"], "z", {"blocksize": 2})], (1, 8, 3, 5), {}, ["Reshape", "Transpose", "Reshape"],
    ),
    "pixels out of channels, by columns": (
        [("DepthToSpace", ["x"], "z", {"blocksize": 2, "mode": "CRD"})], (1, 8, 3, 5), {}, ["Reshape", "Transpose", "Reshape"],
    ),
    "turns that undo each other": (
        [("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("Unsqueeze", ["t"], "u", {"axes": [3]}),
         ("Transpose", ["u"], "v", {"perm": [0, 2, 1, 3]}), ("Tanh", ["v"], "z")],
        ROWS, {}, ["Reshape", "Table"],
    ),
    "a slice of everything": ([("Slice", ["x", "b", "e"], "y"), ("Tanh", ["y"], "z")], ROWS,
                              {"b": np.zeros(3, np.int64), "e": np.array([9, 9, 9])}, ["Table"]),
}  # fmt: skip


@pytest.mark.few(9)
@pytest.mark.parametrize("case", CASES)
def test_it_computes_the_same_in_float_and_as_nearly_in_int8(case):
    steps, shape, constants, kinds = CASES[case]
    before = graph(steps, shape, constants)
    after = prepare(before, {})
    assert sorted(one.kind for one in after.graph.operators) == sorted(kinds)
    samples = {"x": floats(8, *shape)[:, 0] if shape[0] == 1 else floats(8, *shape)}
    x = samples["x"][:1].reshape(shape)
    (exact,), (same,) = run_graph(before, {"x": x}).values(), run_graph(after.graph, {"x": x}).values()
    np.testing.assert_allclose(same, exact, rtol=2e-4, atol=2e-5)
    assert same.shape == exact.shape
    network, _ = quantise_dnn(after, samples, DnnSettings())
    assert {one.kind for one in network.operations} <= set(KINDS)
    inputs, (name,) = quantised_inputs(network, {"x": x}), network.outputs
    plain = run_network(network, inputs).tensors
    assert all(np.array_equal(plain[one], made) for one, made in compute_network(network, inputs).tensors.items())
    near = dequantised(network, name, plain[name])
    assert near.shape == exact.shape
    noise = np.square(near - exact, dtype=np.float64).sum() / np.square(exact, dtype=np.float64).sum()
    assert noise < 0.01  # 20 dB


@pytest.mark.parametrize("form", ["equal", "one-hot", "moved"])
def test_one_hot_vectors_times_a_matrix_are_its_rows(form):
    order = np.array([[[2, 0, 1, 3, 4]]]) if form == "moved" else np.arange(5)[None, None]
    constants = {"n": order.astype(np.int32), "d": np.array(5), "v": np.float32([0, 1]), "w": floats(5, 3), "b": floats(1, 1, 3),
                 "s": np.array([1, 4, 1])}  # fmt: skip
    head = [("Reshape", ["x", "s"], "u"), ("Equal", ["u", "n"], "h"), ("Cast", ["h"], "o", {"to": 1})]
    if form == "one-hot":
        head = [("OneHot", ["x", "d", "v"], "o", {"axis": -1})]
    before = graph([*head, ("MatMul", ["o", "w"], "m"), ("Add", ["m", "b"], "z")], (1, 4), constants, dtype="int32")
    after = prepare(before, {})
    assert [one.kind for one in after.graph.operators if one.kind != "Reshape"] == ["Gather"]
    x = np.array([[4, 0, 2, 2]], np.int32)
    np.testing.assert_allclose(run_graph(after.graph, {"x": x})["z"], run_graph(before, {"x": x})["z"], rtol=1e-5)
    network, _ = quantise_dnn(after, {"x": np.tile(x, (8, 1))}, DnnSettings())
    with pytest.raises(ModelError, match="index 7, needs 0 to 4"):
        compute_network(network, {"x": np.array([[7, 0, 0, 0]], np.int32)})


def test_groups_have_the_scale_of_the_whole_and_no_tables_between():
    before = graph([("Conv", ["x", "w"], "z", {"group": 2})], (1, 4, 5, 5), {"w": floats(4, 2, 3, 3) * np.float32([[[[1]]], [[[1]]],
                   [[[9]]], [[[9]]]])})  # fmt: skip
    network, _ = quantise_dnn(prepare(before, {}), {"x": floats(8, 4, 5, 5)}, DnnSettings())
    assert [one.kind for one in network.operations] == ["slice", "conv2d", "slice", "conv2d", "concat"]
    assert len({network.tensors[one.output].scale for one in network.operations if one.kind in ("conv2d", "concat")}) == 1


def test_elements_in_an_order_of_many_runs_are_refused():
    order = np.random.default_rng(1).permutation(400)
    with pytest.raises(ModelError, match="in an order of"):
        prepare(graph([("Gather", ["x", "i"], "z", {"axis": 1})], (1, 400), {"i": order}), {})


def test_planes_and_rows_that_no_pe_has_room_for_are_cut_into_bands():
    whole = plane_work(planes=3, image=(40, 40), made=(20, 20), kernel=(3, 3), strides=(2, 2))
    assert (whole.units, whole.strips, whole.unit_input_bytes) == (3, 1, 1600)
    large = plane_work(planes=3, image=(400, 500), made=(200, 250), kernel=(3, 3), strides=(2, 2), beside_bytes=13)
    assert large.strips > 1
    assert large.units == 3 * large.strips
    rows = -(-200 // large.strips)
    assert large.unit_input_bytes == (2 * (rows - 1) + 3) * 500 + 13
    assert large.unit_input_bytes + large.unit_output_bytes <= MOST_UNIT_BYTES
    assert large.units * large.unit_output_bytes >= 3 * 200 * 250
    row = element_work((2, 250_000), inputs=2, results=True)
    assert (row.strips, row.units) == (42, 84)
    assert row.unit_input_bytes + row.unit_output_bytes <= MOST_UNIT_BYTES
    assert element_work((7, 30)).strips == 1
