"""A DNN in int8: scales, rounding, 24 bits, equalised channels, and what it costs; and the commands that do it."""

import numpy as np
import pytest

from host.cli import main
from host.workloads.site import load_model
from models.dnn.check import check_network
from models.dnn.evaluate import run_graph
from models.dnn.file import is_dnn, load_dnn, save_dnn
from models.dnn.model import DnnModel
from models.dnn.prepare import prepare
from models.dnn.reference import dequantised, quantised_inputs, requantise, run_network
from models.network import ModelError
from models.quantise.dnn import may_overflow, quantise_dnn
from models.quantise.dnn_equalise import equalise
from models.quantise.dnn_lower import DnnSettings
from models.quantise.dnn_requantise import addition
from models.quantise.dnn_scales import best_scale, squared_error
from tests.tools.dnn_nets import graph, mlp, samples_of
from tests.tools.onnx_bytes import model, node


def quantised(prepared, samples, **changes):
    return quantise_dnn(prepared, samples, DnnSettings(**changes))


def answer(network, x):
    run = run_network(network, quantised_inputs(network, {"x": x}))
    return dequantised(network, network.outputs[0], run.tensors[network.outputs[0]]), run


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_a_scale_has_the_least_squared_error_of_those_that_are_tried(rng):
    values = np.append(rng.normal(size=3000), [9.0])  # one outlier, which costs less clipped
    scale = best_scale(values, "pow2")
    assert np.log2(scale) == np.rint(np.log2(scale))
    assert scale < 9 / 127
    assert all(squared_error(values, scale) <= squared_error(values, 2.0**e) for e in range(-9, 0))
    assert squared_error(values, best_scale(values, "float")) <= squared_error(values, 9 / 127)


@pytest.mark.parametrize("scales", ["pow2", "float"])
def test_int8_is_near_to_float_and_says_how_near(rng, scales):
    prepared, samples = prepare(mlp(rng), {}), samples_of(rng, 40, 6)
    network, losses = quantised(prepared, samples, scales=scales)
    assert [one.kind for one in network.operations] == ["matmul", "matmul"]  # relu is a clamp
    assert all(one.signal_db > 25 for one in losses)
    exponents = {one.exponent for one in network.tensors.values()}
    assert (None not in exponents) == (scales == "pow2")
    powers = [one.requantisation.multipliers.tolist() == [1] for one in network.operations]
    assert all(powers) == (scales == "pow2")
    exact = run_graph(prepared.graph, {"x": samples["x"][:1]})["y1"]
    assert np.abs(answer(network, samples["x"][:1])[0] - exact).max() <= 3 * network.tensors["y1"].scale
    check_network(network)


@pytest.mark.parametrize(
    ("rounding", "want"), [("half-up", [2, 1, -1, 0, -2]), ("floor", [1, 0, -2, -1, -2]), ("even", [2, 0, -2, 0, -2])]
)
def test_sums_are_rounded_as_it_says(rounding, want):
    from models.dnn.integer import Requantisation

    step = Requantisation(
        multipliers=np.array([1]), shifts=np.array([1], np.int32), zero_point=0, low=-128, high=127, rounding=rounding
    )  # fmt: skip
    sums = np.array([3, 1, -3, -1, -4], np.int64)  # 1.5, 0.5, -1.5, -0.5, -2
    assert requantise(sums, step, 0).tolist() == want


def test_rounding_and_overflow_are_part_of_the_hash(rng):
    prepared, samples = prepare(mlp(rng), {}), samples_of(rng, 10, 6)
    made = {
        quantised(prepared, samples, rounding=rounding, overflow=overflow)[0].fingerprint()
        for rounding in ("half-up", "floor", "even")
        for overflow in ("saturate", "wrap", "error")
    }
    assert len(made) == 9
    assert len({quantised(prepared, samples)[0].fingerprint() for _ in range(2)}) == 1


def wide_net(rng, depth=2000):
    """A matrix of the largest weights, deep enough for sums beyond 24 bits."""
    weights = np.sign(rng.normal(size=(depth, 2))).astype(np.float32)
    return prepare(graph([("MatMul", ["x", "w"], "y")], (1, depth), {"w": weights}), {}), weights


def test_sums_that_24_bits_may_not_hold_are_named_and_counted(rng):
    prepared, weights = wide_net(rng)
    samples = {"x": np.concatenate([np.sign(weights.T), rng.normal(size=(10, 2000))]).astype(np.float32)}
    network, losses = quantised(prepared, samples, overflow="saturate")
    assert [one.name for one in may_overflow(network)] == ["y"]
    assert losses[0].sum_bits > 24
    widest = {"x": np.where(weights.T[:1] > 0, 127, -128).astype(np.int8)}
    run = run_network(network, widest)
    assert run.overflows == {"y": 1}
    limit = (1 << 23) - 1
    assert run.tensors["y"].max() == 127
    wrapped = run_network(quantised(prepared, samples, overflow="wrap")[0], widest)
    assert wrapped.overflows == {"y": 1}
    assert not np.array_equal(wrapped.tensors["y"], run.tensors["y"])
    with pytest.raises(ModelError, match="matmul 'y': 1 sums do not fit 24 bits"):
        run_network(quantised(prepared, samples, overflow="error")[0], widest)
    narrow, _ = quantised(prepare(mlp(rng), {}), samples_of(rng, 10, 6))
    assert not may_overflow(narrow)
    assert max(one.sum_high for one in narrow.operations) <= limit


def test_the_bound_of_a_sum_holds_for_any_input(rng):
    network, _ = quantised(prepare(mlp(rng, (9, 7, 5)), {}), samples_of(rng, 10, 9))
    for _ in range(50):
        run = run_network(network, {"x": rng.choice(np.int8([-128, 127]), (1, 9))})
        heard = "x"
        for one in network.operations:
            sums = run.tensors[heard].astype(int) @ one.arrays["weights"].astype(int) + one.arrays["bias"]
            assert one.sum_low <= sums.min() <= sums.max() <= one.sum_high
            heard = one.output


def test_equalising_keeps_what_is_computed_and_helps_uneven_channels(rng):
    prepared, samples = prepare(mlp(rng, (6, 16, 4), spread=300.0), {}), samples_of(rng, 40, 6)
    made, pairs = equalise(prepared.graph, dict(prepared.shapes))
    assert pairs == 1
    for at in range(3):
        x = samples["x"][at : at + 1]
        np.testing.assert_allclose(run_graph(made, {"x": x})["y1"], run_graph(prepared.graph, {"x": x})["y1"], rtol=1e-3, atol=1e-3)
    plain, even = (quantised(prepared, samples, equalise=flag)[1][-1].signal_db for flag in (False, True))
    assert even > plain + 3


def test_a_scale_a_channel_serves_uneven_channels(rng):
    prepared, samples = prepare(mlp(rng, (6, 16, 4), spread=300.0), {}), samples_of(rng, 40, 6)
    network, losses = quantised(prepared, samples, per_channel=True, equalise=False)
    assert network.operations[0].requantisation.shifts.size == 16
    assert losses[0].signal_db > quantised(prepared, samples, equalise=False)[1][0].signal_db


def test_an_addition_of_powers_of_two_is_exact():
    for first, second in ((1.0, 0.25), (2.0**-3, 2.0**4), (4.0, 4.0), (0.5, -2.0)):
        (a, b), shift = addition((first, second))
        assert (a / 2**shift, b / 2**shift) == (first, second)
    (a, b), shift = addition((0.3, 0.7))
    assert a / 2**shift == pytest.approx(0.3, rel=1e-5)


def test_too_few_samples_and_other_shapes_are_refused(rng):
    prepared = prepare(mlp(rng), {})
    for samples, why in (
        (samples_of(rng, 7, 6), "has 7 samples, too few to choose scales by; needs at least 8"),
        (samples_of(rng, 9, 5), r"needs samples of shape \(samples, 6\), has \(9, 5\)"),
        ({"x": np.full((9, 6), np.nan, np.float32)}, "not finite"),
        ({"y": np.zeros((9, 6))}, "has samples for y; needs x"),
    ):
        with pytest.raises(ModelError, match=why):
            quantised(prepared, samples)
    for changes in ({"scales": "pow3"}, {"rounding": "up"}, {"overflow": "clip"}):
        with pytest.raises(ModelError, match="needs"):
            quantised(prepared, samples_of(rng, 9, 6), **changes)


def test_a_checkpoint_holds_both_and_is_checked(rng, tmp_path):
    prepared = prepare(mlp(rng), {})
    network, _ = quantised(prepared, samples_of(rng, 10, 6))
    path = tmp_path / "net.safetensors"
    save_dnn(path, DnnModel(prepared=prepared, network=network, provenance={"notes": ["x"]}))
    assert is_dnn(path)
    again = load_dnn(path)
    assert again.network.fingerprint() == network.fingerprint()
    assert again.prepared.shapes == dict(prepared.shapes)
    assert all(np.array_equal(again.prepared.graph.constants[name], array) for name, array in prepared.graph.constants.items())
    raw = path.read_bytes()
    for old, new, why in (
        (b"matmul", b"mutmal", "of kind 'mutmal'"),
        (b"half-up", b"half-po", "rounds 'half-po'"),
        (b'[\\"x\\"]', b'[\\"q\\"]', "q"),
        (b"gennaker-dnn", b"gennaker-dnx", "no DNN of Gennaker's"),
    ):
        path.write_bytes(raw.replace(old, new))
        with pytest.raises(ModelError, match=why) as caught:
            load_dnn(path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def file(tmp_path, rng):
    """An ONNX file of a matrix and a relu, and samples."""
    nodes = [node("MatMul", ["x", "w"], ["y"], name="product"), node("Relu", ["y"], ["z"])]
    (tmp_path / "net.onnx").write_bytes(model(nodes, [("x", (1, 6))], ["z"], {"w": rng.normal(size=(6, 3)).astype(np.float32)}))
    np.save(tmp_path / "x.npy", rng.normal(size=(20, 6)).astype(np.float32))
    return tmp_path


def told(capsys, *words, code=0):
    assert main([str(word) for word in words]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def test_commands_import_quantise_and_show_a_dnn(file, capsys):
    imported, made = file / "net.safetensors", file / "int8.safetensors"
    assert "1 Linear, 1 Relu" in told(capsys, "import", file / "net.onnx", imported)
    assert "float32; `quantise` makes them int8" in told(capsys, "info", imported)
    said = told(capsys, "quantise", imported, made, "--calibrate", file / "x.npy", "--round", "floor")
    assert "signal dB" in said
    assert "rounds floor, a wider sum: saturate; part of the hash" in said
    digest = load_dnn(made).network.fingerprint()
    assert digest in said
    shown = told(capsys, "info", made)
    assert digest in shown
    assert "no sum can exceed the array's 24 bits" in shown
    told(capsys, "quantise", file / "net.onnx", file / "again.safetensors", "--calibrate", file / "x.npy", "--round", "floor")
    assert load_dnn(file / "again.safetensors").network.fingerprint() == digest
    assert "Linear" in told(capsys, "info", file / "net.onnx")


def test_what_runs_networks_of_events_takes_no_dnn(file, rng):
    prepared = prepare(mlp(rng), {})
    save_dnn(file / "own.safetensors", DnnModel(prepared=prepared))
    for name in ("net.onnx", "own.safetensors"):
        with pytest.raises(ModelError, match="is a DNN, and this runs networks of events"):
            load_model(file / name)


def test_commands_refuse_in_one_line(file, capsys):
    net, new, samples = file / "net.onnx", file / "new.safetensors", file / "x.npy"
    (file / "bad.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(file / "few.npy", np.zeros((3, 6), np.float32))
    for words, why in (
        (["quantise", net, new], "give some with --calibrate FILE"),
        (["quantise", net, new, "--calibrate", file / "none.npy"], "no such file"),
        (["quantise", net, new, "--calibrate", file / "bad.npy"], "no .npy or .npz file"),
        (["quantise", net, new, "--calibrate", file / "few.npy"], "has 3 samples, too few"),
        (["quantise", net, new, "--calibrate", samples, "--samples", "0"], "--samples 0"),
        (["quantise", net, new, "--calibrate", samples, "--scales", "pow3"], "--scales 'pow3': needs pow2 or float"),
        (["quantise", net, new, "--calibrate", samples, "--bits", "4"], "a DNN is quantised to 8 bits"),
        (["quantise", "tiny", new, "--calibrate", samples], "x.npy: text_file: "),
        (["import", net, new, "--prefix", "a"], "is for networks of events"),
    ):
        line = told(capsys, *words, code=2)
        assert why in line, line
        assert len(line.splitlines()) == 1
        assert not new.exists()
