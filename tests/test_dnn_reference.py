"""The integer reference is what onnxruntime makes of quantised nets: equal where scales are powers of two, else within a step."""

from pathlib import Path

import numpy as np
import pytest

from models.dnn.evaluate import run_graph
from models.dnn.integer import ARRAY_KINDS
from models.dnn.prepare import prepare
from models.dnn.reference import dequantised, quantised_inputs, run_network
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_lower import DnnSettings
from tests.tools.dnn_nets import graph
from tests.tools.onnx_bytes import model, node

GOLDEN = Path(__file__).with_name("golden_dnn")


def stored(path):
    """The arrays of a .npz file."""
    with np.load(path) as arrays:
        return dict(arrays)


def imported(name):
    return import_dnn(GOLDEN / name, ImportRequest())


def answers(network, samples):
    """The steps of the output that the reference makes, and its scale."""
    out = network.outputs[0]
    runs = [run_network(network, quantised_inputs(network, {network.inputs[0]: sample[None]})) for sample in samples]
    return np.concatenate([dequantised(network, out, run.tensors[out]) for run in runs]), network.tensors[out].scale


def steps_away(name):
    """By how many steps each number of a golden net differs from onnxruntime's."""
    found, golden = imported(f"{name}.onnx"), stored(GOLDEN / f"{name}.npz")
    made, scale = answers(found.model.network, golden["x"])
    assert len(np.unique(golden["y"])) > 20  # answers that say something
    return np.rint((made - golden["y"]) / scale)


def test_powers_of_two_are_equal_in_every_value():
    assert not np.any(steps_away("cnn-pow2"))


def test_other_scales_are_within_a_step():
    away = steps_away("cnn-float")
    assert np.abs(away).max() <= 1
    assert np.mean(away != 0) < 0.05


def test_a_quantised_file_keeps_its_own_numbers():
    found = imported("cnn-pow2.onnx")
    network, graph_of = found.model.network, found.model.prepared
    kept = {one.numbers.tobytes() for one in graph_of.numbers.values()}
    weights = [one.arrays["weights"].tobytes() for one in network.operations if "weights" in one.arrays]
    assert len(weights) == 4
    assert set(weights) <= kept
    assert [one.kind for one in network.operations] == [
        "conv2d", "max_pool2d", "depthwise_conv2d", "conv2d", "add", "mean", "reshape", "matmul",
    ]  # fmt: skip
    assert network.rounding == "even"
    zero_points = {one.zero_point for one in imported("cnn-float.onnx").model.network.tensors.values()}
    assert zero_points == {117 - 128}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("pow2", [True, False])
def test_onnxruntime_answers_so_of_any_such_net(seed, pow2, tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from tests.tools.dnn_goldens import answers_of, quantised_cnn

    raw = quantised_cnn(pow2=pow2, seed=100 + seed)
    onnx.checker.check_model(onnx.load_from_string(raw))
    (tmp_path / "net.onnx").write_bytes(raw)
    samples = np.random.default_rng(seed).normal(size=(30, 2, 9, 9)).astype(np.float32)
    made, scale = answers(import_dnn(tmp_path / "net.onnx", ImportRequest()).model.network, samples)
    away = np.rint((made - answers_of(raw, samples)) / scale)
    assert np.abs(away).max() <= (0 if pow2 else 1)
    assert np.mean(away != 0) < 0.05


@pytest.mark.parametrize("name", ["cnn", "lm", "vit"])
def test_torch_answers_so_and_int8_is_near(name):
    """A file of torch.export, read without torch: the float graph is torch's, and its int8 near to that."""
    golden, prepared = stored(GOLDEN / f"{name}.npz"), imported(f"{name}.pt2").model.prepared
    one = prepared.graph.inputs[0]
    (made,) = run_graph(prepared.graph, {one.name: golden["x"]}).values()
    np.testing.assert_allclose(made, golden["y"], rtol=1e-4, atol=1e-5)
    rng = np.random.default_rng(1)
    shape = (12, *one.shape[1:])
    samples = {one.name: rng.integers(0, 11, shape) if one.dtype == "int64" else rng.normal(size=shape).astype(np.float32)}
    network, losses = quantise_dnn(prepared, samples, DnnSettings())
    assert all(loss.signal_db > 15 for loss in losses)
    assert any(operation.kind in ARRAY_KINDS for operation in network.operations)
    if name == "lm":  # what comes later changes nothing before it
        words = samples[one.name][0][None]
        other = words.copy()
        other[0, -1] = (other[0, -1] + 1) % 11
        first, second = (
            run_network(network, {one.name: ids.astype(np.int32)}).tensors[network.outputs[0]] for ids in (words, other)
        )
        assert np.array_equal(first[:, :-1], second[:, :-1])
        assert not np.array_equal(first, second)


SHAPES = {
    "concat": ([("Relu", ["x"], "r"), ("Concat", ["x", "r"], "y", {"axis": 1})], (1, 3, 4, 4)),
    "pad": ([("Pad", ["x", "p"], "y")], (1, 3, 4, 4)),
    "resize": ([("Resize", ["x", "", "s"], "y")], (1, 3, 4, 4)),
    "slice": ([("Slice", ["x", "a", "b"], "y")], (1, 3, 4, 4)),
    "prelu": ([("PRelu", ["x", "k"], "y")], (1, 3, 4, 4)),
    "average": ([("AveragePool", ["x"], "y", {"kernel_shape": [2, 2], "strides": [2, 2]})], (1, 3, 4, 4)),
    "product": ([("Tanh", ["x"], "t"), ("Mul", ["x", "w"], "v"), ("Mul", ["t", "v"], "y")], (1, 3, 4, 4)),
    "difference": ([("Transpose", ["x"], "t", {"perm": [0, 1, 3, 2]}), ("Sub", ["x", "t"], "y")], (1, 3, 4, 4)),
    "clip": ([("Add", ["x", "w"], "t"), ("Clip", ["t"], "y", {"min": 0.0, "max": 0.5})], (1, 3, 4, 4)),
}
CONSTANTS = {
    "p": np.array([0, 0, 1, 0, 0, 0, 0, 2]), "s": np.float32([1, 1, 2, 3]), "a": np.array([0, 1]), "b": np.array([1, 9]),
    "k": np.float32([0.1, -0.5, 2]).reshape(3, 1, 1), "w": np.linspace(-1, 1, 48).reshape(1, 3, 4, 4).astype(np.float32),
}  # fmt: skip


@pytest.mark.parametrize("scales", ["pow2", "float"])
@pytest.mark.parametrize("case", SHAPES)
def test_each_kind_of_operation_is_within_two_steps_of_float(case, scales):
    steps, shape = SHAPES[case]
    prepared = prepare(graph(steps, shape, CONSTANTS), {})
    samples = {"x": np.random.default_rng(5).uniform(-1, 1, (10, *shape[1:])).astype(np.float32)}
    network, _ = quantise_dnn(prepared, samples, DnnSettings(scales=scales))
    made, scale = answers(network, samples["x"])
    exact = np.concatenate([run_graph(prepared.graph, {"x": sample[None]})["y"] for sample in samples["x"]])
    worst = 2 * max(one.scale for one in network.tensors.values()) * max(1, np.abs(CONSTANTS["k"]).max() if case == "prelu" else 1)
    assert np.abs(made - exact).max() <= max(2 * scale, worst)


def pairs(scales, *, last=True):
    """The bytes of a matrix behind pairs of these scales, and behind it, if that is asked for, another."""
    constants = {
        "zero": np.int8(0),
        "w": np.arange(-6, 6, dtype=np.int8).reshape(4, 3),
        "ws": np.float32(2.0**-3),
        "os": np.float32(2.0**-2),
    }
    nodes, name = [node("DequantizeLinear", ["w", "ws", "zero"], ["weights"])], "x"
    for at, scale in enumerate(scales):
        constants[f"s{at}"] = np.float32(scale)
        nodes.append(node("QuantizeLinear", [name, f"s{at}", "zero"], [f"q{at}"]))
        nodes.append(node("DequantizeLinear", [f"q{at}", f"s{at}", "zero"], [f"d{at}"]))
        name = f"d{at}"
    nodes.append(node("MatMul", [name, "weights"], ["y"], name="product"))
    if last:
        nodes.append(node("QuantizeLinear", ["y", "os", "zero"], ["qy"]))
        nodes.append(node("DequantizeLinear", ["qy", "os", "zero"], ["z"]))
    return model(nodes, [("x", (1, 4))], ["z" if last else "y"], constants)


@pytest.mark.parametrize(
    ("scales", "kinds"), [([0.5], ["matmul"]), ([0.5, 0.5, 0.5], ["matmul"]), ([0.5, 0.25], ["table", "matmul"])]
)
def test_redundant_pairs_go_and_others_are_a_table(scales, kinds, tmp_path):
    (tmp_path / "net.onnx").write_bytes(pairs(scales))
    network = import_dnn(tmp_path / "net.onnx", ImportRequest()).model.network
    assert [one.kind for one in network.operations] == kinds
    made, _ = answers(network, np.float32([[1, -1, 0.5, 2]]))
    weights = np.arange(-6, 6).reshape(4, 3) / 8
    assert made.tolist() == [(np.rint(np.float32([1, -1, 0.5, 2]) @ weights * 4) / 4).tolist()]


def test_what_a_quantised_file_leaves_in_float_is_said_and_takes_samples(tmp_path):
    (tmp_path / "net.onnx").write_bytes(pairs([0.5], last=False))
    found = import_dnn(tmp_path / "net.onnx", ImportRequest())
    assert found.model.network is None
    assert any("the file has no scale for its numbers" in note for note in found.notes)
    samples = {"x": np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)}
    network, _ = quantise_dnn(found.model.prepared, samples, DnnSettings(rounding="even"))
    assert network.tensors["x"].scale == 0.5
    assert [one.kind for one in network.operations] == ["matmul"]
