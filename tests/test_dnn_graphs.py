"""A graph that is brought to few operators computes what it computed before."""

import math

import numpy as np
import pytest

from models.dnn.evaluate import run_graph
from models.dnn.prepare import PREPARED, prepare
from models.network import ModelError
from tests.tools.dnn_nets import graph

RNG = np.random.default_rng(8)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


IMAGE = (1, 4, 6, 6)
NORM = {"g": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 0.1}
ROW = (1, 5, 8)
CASES = {
    "batch normalisation behind a convolution": (
        [("Conv", ["x", "w"], "y", {"pads": [1, 1, 1, 1]}), ("BatchNormalization", ["y", "g", "b", "m", "v"], "z"), ("Relu",
        ["z"], "r")],
        IMAGE, {"w": floats(4, 4, 3, 3), **NORM}, ["Conv", "Relu"],
    ),
    "batch normalisation alone": ([("BatchNormalization", ["x", "g", "b", "m", "v"], "z")], IMAGE, NORM, ["Conv"]),
    "a bias that is added, and a factor": (
        [("Conv", ["x", "w"], "y"), ("Add", ["y", "c"], "z"), ("Mul", ["z", "two"], "r")],
        IMAGE, {"w": floats(3, 4, 3, 3), "c": floats(3, 1, 1), "two": np.float32([2])}, ["Conv"],
    ),
    "a matrix with a bias": ([("MatMul", ["x", "w"], "y"), ("Add", ["b", "y"], "z")], ROW, {"w": floats(8, 3), "b": floats(3)},
    ["Linear"]),
    "layer normalisation in parts": (
        [
            ("ReduceMean", ["x"], "m", {"axes": [-1]}), ("Sub", ["x", "m"], "d"), ("Pow", ["d", "two"], "q"),
            ("ReduceMean", ["q"], "v", {"axes": [-1]}), ("Add", ["v", "eps"], "e"), ("Sqrt", ["e"], "s"), ("Div", ["d", "s"], "n"),
            ("Mul", ["n", "g"], "a"), ("Add", ["a", "b"], "z"),
        ],
        ROW, {"two": np.float32([2]), "eps": np.float32([1e-5]), "g": floats(8), "b": floats(8)}, ["LayerNormalization"],
    ),
    "gelu in parts": (
        [
            ("Div", ["x", "root"], "d"), ("Erf", ["d"], "e"), ("Add", ["e", "one"], "p"), ("Mul", ["x", "p"], "m"),
            ("Mul", ["m", "half"], "z"),
        ],
        ROW, {"root": np.float32([math.sqrt(2)]), "one": np.float32([1]), "half": np.float32([0.5])}, ["Table"],
    ),
    "swish": ([("Sigmoid", ["x"], "s"), ("Mul", ["s", "x"], "z")], ROW, {}, ["Table"]),
    "attention with a causal mask": (
        [
            ("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("MatMul", ["x", "t"], "s"), ("Div", ["s", "root"], "d"),
            ("Add", ["d", "mask"], "a"), ("Softmax", ["a"], "p", {"axis": 2}), ("MatMul", ["p", "x"], "z"),
        ],
        ROW, {"root": np.float32([2.5]), "mask": np.triu(np.full((5, 5), -1e9, np.float32), 1)}, ["Transpose", "MatMul",
        "Softmax", "MatMul"],
    ),
    "a softmax along another axis": ([("Softmax", ["x"], "z", {"axis": 1})], ROW, {}, ["Transpose", "Softmax", "Transpose"]),
    "an old softmax over all that follows": ([("Softmax", ["x"], "z", {"axis": 1, "flattened": 1})], (1, 8), {}, ["Softmax"]),
    "a line": (
        [("Conv", ["x", "w"], "y", {"strides": [2], "pads": [1, 1]}), ("MaxPool", ["y"], "z", {"kernel_shape": [2]})],
        (1, 3, 9), {"w": floats(4, 3, 3)}, ["Reshape", "Conv", "MaxPool", "Reshape"],
    ),
    "same padding": ([("Conv", ["x", "w"], "y", {"auto_pad": "SAME_UPPER", "strides": [2, 2]})], (1, 4, 5, 5), {"w": floats(2, 4,
    2, 3)}, ["Conv"]),
    "a pool that rounds up": (
        [("MaxPool", ["x"], "y", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})], (1, 4, 6, 6), {}, ["MaxPool"],
    ),
    "whole images": ([("GlobalAveragePool", ["x"], "y"), ("Flatten", ["y"], "z")], IMAGE, {}, ["ReduceMean", "Reshape"]),
    "a mean that drops its axis": ([("ReduceMean", ["x"], "z", {"axes": [1], "keepdims": 0})], ROW, {}, ["ReduceMean", "Reshape"]),
    "parts": (
        [("Split", ["x"], ("a", "b"), {"axis": 2}), ("Add", ["a", "b"], "z")], ROW, {}, ["Slice", "Slice", "Add"],
    ),
    "one element": ([("Gather", ["x", "i"], "z", {"axis": 1})], ROW, {"i": np.array(-1, np.int64)}, ["Slice", "Reshape"]),
    "a shape that is computed": (
        [
            ("Shape", ["x"], "s"), ("Slice", ["s", "z", "o"], "b"), ("Concat", ["b", "m"], "f", {"axis": 0}), ("Reshape", ["x",
            "f"], "r"),
            ("Relu", ["r"], "y"),
        ],
        ROW, {"z": np.array([0]), "o": np.array([1]), "m": np.array([-1])}, ["Reshape", "Table"],
    ),
    "idle ones": ([("Identity", ["x"], "a"), ("Dropout", ["a"], "b"), ("Cast", ["b"], "c", {"to": 1}), ("Tanh", ["c"], "z")],
    ROW, {}, ["Table"]),
    "repeats": (
        [("Resize", ["x", "", "s"], "z", {"mode": "nearest"})], IMAGE, {"s": np.float32([1, 1, 2, 3])}, ["Resize"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_rewriting_keeps_what_is_computed(case):
    steps, shape, constants, kinds = CASES[case]
    before = graph(steps, shape, constants)
    after = prepare(before, {})
    assert sorted(one.kind for one in after.graph.operators) == sorted(kinds)
    assert {one.kind for one in after.graph.operators} <= set(PREPARED)
    x = floats(*shape)
    first, second = run_graph(before, {"x": x}), run_graph(after.graph, {"x": x})
    for one, other in zip(first.values(), second.values(), strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-4, atol=2e-5)
        assert after.shapes[after.graph.outputs[0]] == one.shape


REFUSED = {
    "in 3 groups": ([("Conv", ["x", "w"], "z", {"group": 3})], IMAGE, {"w": floats(6, 1, 3, 3)}),
    "leaves padding out of its averages": (
        [("AveragePool", ["x"], "z", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})], IMAGE, {},
    ),
    "of two tensors that are computed": ([("Tanh", ["x"], "a"), ("Transpose", ["x"], "b", {"perm": [0, 1, 2]}), ("Div", ["a",
    "b"], "z")], ROW, {}),
    "runs backwards": ([("Slice", ["x", "s", "e", "a", "t"], "z")], ROW, {"s": np.array([-1]), "e": np.array([-9]),
    "a": np.array([2]), "t": np.array([-1])}),
    "needs nearest": ([("Resize", ["x", "", "s"], "z", {"mode": "linear"})], IMAGE, {"s": np.float32([1, 1, 2, 2])}),
    "do not go together": ([("Add", ["x", "c"], "z")], ROW, {"c": floats(3)}),
    "infinite numbers": ([("Mul", ["x", "c"], "z")], ROW, {"c": np.full(8, np.inf, np.float32)}),
    "which nothing before it makes": ([("Add", ["x", "none"], "z")], ROW, {}),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_run_is_refused_by_its_node(why):
    with pytest.raises(ModelError, match=why) as caught:
        prepare(graph(*REFUSED[why]), {})
    assert len(str(caught.value).splitlines()) == 1
