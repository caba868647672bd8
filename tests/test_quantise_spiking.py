"""Spiking networks in 8 bits: neurons are scaled with their weights, runs are the integer reference's, and the commands say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.cli import main
from host.launch.launcher import Launcher
from host.mapping.placement import place
from host.run.offline import record
from host.workloads.arrays.options import Options
from host.workloads.arrays.prepare import prepare_arrays
from models import kernels
from models.checkpoint import Model, load, save
from models.convolution import Convolution
from models.graph_check import check_network
from models.network import ModelError, Network, Population, Projection, SparseRows
from models.quantise import Grid
from models.quantise.spiking import quantise_spiking
from models.reference import Reference
from models.seeded import seeded_egru
from models.spiking import FORMS, RESETS, SYNAPSES, vectors_of
from noc.chip import load_chip
from tests.tools.graph_runs import RandomInput, run_graph

CHIP = load_chip()


def layer(kernel, units, projections, params=None, name="p", **vectors):
    many = (params or {}).get("multi_spike")
    filled = vectors_of(units, kernels.named(kernel).FILL, **vectors)
    payload = kernels.named(kernel).EMITS[1 if many else 0]
    return Population(name, units, kernel, tuple(projections), filled, params or {}, payload, kernels.is_dense(kernel))


def to(source, weights, delay=0):
    weights = weights if isinstance(weights, Convolution) else SparseRows.from_dense(np.asarray(weights, np.float32))
    return Projection(source, "input", weights, delay=delay)


def one_layer(kernel="lif", weights=((0.5, -1.0), (0.25, 0.125)), params=None, **vectors):
    """Two float inputs and a layer of two units that hears itself, too."""
    hears = [to(0, weights), to(1, [[0, 0.75], [-0.375, 0]], delay=1)] if kernel in ("lif", "cuba_lif") else [to(0, weights)]
    return Network((Population("in", 2), layer(kernel, 2, hears, params, **vectors)))


def played(network, x):
    reference = Reference(network)
    return np.array([reference.step({0: row}, fresh=n == 0)[network.output][0] for n, row in enumerate(x)])


def events(steps=200, units=2, seed=1, most=2):
    return np.random.default_rng(seed).integers(0, most, (steps, units))


# ---- what becomes of the numbers


def test_one_scale_for_all_that_a_population_hears_and_the_rest_with_it():
    network = one_layer(rate=0.9, gain=[0.5, 2.0], leak=0.01, bias=0.1, threshold=[0.7, 0.9], start=0.05)
    quantised, (report,) = quantise_spiking(network, Grid(keep=False))
    after, lam = quantised.populations[1], 127.0  # the largest weight is 1
    numbers = [p.weights.to_dense().tolist() for p in after.projections]
    assert numbers == [[[64, -127], [32, 16]], [[0, 95], [-48, 0]]]  # ties to even: 63.5 is 64, 95.25 is 95, -47.625 is -48
    unit = lam / np.array([0.5, 2.0])
    expected = {
        "rate": np.float32([0.9, 0.9]), "gain": [1, 1], "leak": np.float32(0.01) * unit, "bias": [lam * np.float32(0.1)] * 2,
        "threshold": np.float32([0.7, 0.9]) * unit, "reset": [0, 0], "start": np.float32(0.05) * unit,
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(after.vectors[name], values, rtol=1e-6, err_msg=name)
    assert quantised.populations[0].payload == "spike"
    assert report.scales == (1 / lam, 1 / lam)
    assert (report.weights, report.clipped, report.vanished, report.kept) == (6, 0, 0, False)
    assert report.sum_bits == 10  # 64 + 127 and 95 are the largest rows: 286 needs 9, and one for the sign


@pytest.mark.few(7)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("synapse", [None, *SYNAPSES])
def test_in_powers_of_two_the_spikes_are_those_of_the_float_network(form, synapse):
    """Every number is scaled exactly, so that no spike may change, whatever form the step had."""
    rate = 4.0 if form.startswith("quotient") else 0.25
    vectors = {"rate": rate, "gain": [0.5, 2.0], "leak": 0.25, "bias": 0.125, "threshold": [0.5, 0.75], "start": 0.125}
    params = {"form": float(FORMS.index(form)), "reset": float(RESETS.index("subtract"))}
    kernel = "lif"
    if synapse:
        kernel, vectors = "cuba_lif", vectors | {"synapse_rate": 0.5, "synapse_gain": 2.0}
        params["synapse"] = float(SYNAPSES.index(synapse))
    network = one_layer(kernel, params=params, **vectors)
    quantised, (report,) = quantise_spiking(network, Grid(powers_of_two=True, keep=False))
    assert report.signal_db == float("inf")
    sent = played(network, events())
    assert 20 < sent.sum() < 380
    assert np.array_equal(played(quantised, events()), sent)


def test_weights_on_a_grid_keep_it():
    numbers = np.array([[95, -89], [2, 60]])
    network = one_layer(weights=numbers / 64 * 0.3)
    network = replace(network, populations=(network.populations[0], layer("lif", 2, [to(0, numbers / 64 * 0.3)])))
    quantised, (report,) = quantise_spiking(network, Grid())
    assert quantised.populations[1].projections[0].weights.to_dense().tolist() == numbers.tolist()
    assert report.kept
    assert report.scales[0] == pytest.approx(0.3 / 64)
    assert not quantise_spiking(network, Grid(keep=False))[1][0].kept


def test_a_percentile_clips_the_largest():
    weights = np.linspace(-1, 1, 200).reshape(2, 100)
    weights[0, 0] = 40.0
    network = Network((Population("in", 100), layer("lif", 2, [to(0, weights)])))
    quantised, (report,) = quantise_spiking(network, Grid(percentile=99.0))
    numbers = quantised.populations[1].projections[0].weights.to_dense()
    assert report.clipped >= 1
    assert numbers[0, 0] == 127
    assert np.abs(numbers).max() == 127
    assert report.scales[0] < 1.01 / 127
    assert quantise_spiking(network, Grid())[1][0].scales[0] == pytest.approx(40 / 127)


def kernel_network(channels=3, factor=1.0, kernel="lif", **vectors):
    """A kernel behind a pool, and a dense layer over it."""
    rng = np.random.default_rng(7)
    taps = (rng.normal(0, 0.3, (channels, 2, 3, 3)) * np.array([1, 4, 0.1])[:channels, None, None, None]).astype(np.float32)
    conv = Convolution(taps * np.float32(factor), (2, 8, 8), padding=(1, 1, 1, 1), pool=(2, 2))
    units = channels * 16
    first = layer(kernel, units, [to(0, conv)], name="c", rate=0.875, threshold=0.5 * factor, **vectors)
    return Network((Population("in", 128), first, layer("lif", 4, [to(1, rng.normal(0, 0.3, (4, units)))], name="d", rate=0.75)))


def test_per_channel_each_channel_has_its_scale():
    network = kernel_network()
    whole, channels = (quantise_spiking(network, Grid(per_row=per_row, keep=False))[0] for per_row in (False, True))
    largest = [np.abs(of.populations[1].projections[0].weights.kernel.astype(int)).max(axis=(1, 2, 3)) for of in (whole, channels)]
    assert largest[0].tolist() != [127] * 3
    assert largest[1].tolist() == [127] * 3
    scales = np.abs(network.populations[1].projections[0].weights.kernel).max(axis=(1, 2, 3)) / 127
    np.testing.assert_allclose(channels.populations[1].vectors["threshold"], np.repeat(0.5 / scales, 16), rtol=1e-6)
    assert len(set(channels.populations[2].vectors["threshold"].tolist())) == 4  # a matrix: each unit


def test_a_pool_s_factor_goes_into_the_thresholds():
    """The mean over four is the sum, of weights that are a quarter: the same numbers, and thresholds four times as high."""
    (mean, of_mean), (total, of_sum) = (quantise_spiking(kernel_network(factor=f), Grid()) for f in (0.25, 1.0))
    means, totals = (of.populations[1].projections[0].weights.kernel for of in (mean, total))
    assert np.array_equal(means, totals)
    assert of_mean[0].scales[0] * 4 == of_sum[0].scales[0]
    network = kernel_network(factor=0.25)
    kept = replace(network.populations[1], vectors=kernel_network().populations[1].vectors)
    (apart, _) = quantise_spiking(replace(network, populations=(network.populations[0], kept, network.populations[2])), Grid())
    assert np.array_equal(apart.populations[1].vectors["threshold"], 4 * total.populations[1].vectors["threshold"])


def test_a_population_without_weights_has_the_scale_1():
    network = Network((Population("in", 2), layer("lif", 2, [to(0, np.zeros((2, 2)))], bias=0.5)))
    quantised, (report,) = quantise_spiking(network, Grid())
    assert report.scales == (1.0, 1.0)
    assert quantised.populations[1].vectors["bias"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kernel", ["li", "cuba_li"])
def test_an_integrator_sends_in_the_unit_that_it_had(kernel):
    vectors = {"rate": 0.5, "bias": 0.125, "gain": 2.0} | ({"synapse_rate": 0.5} if kernel == "cuba_li" else {})
    network = one_layer(kernel, **vectors)
    quantised, _ = quantise_spiking(network, Grid(powers_of_two=True, keep=False))
    assert quantised.populations[1].projections[0].weights.numeric == "int8"
    assert np.array_equal(played(quantised, events()), played(network, events()))


def test_what_hears_numbers_stays_in_float32():
    network = one_layer("li")
    heard = layer("lif", 1, [to(1, [[0.3, 0.4]])], name="q")
    network = replace(network, populations=(*network.populations, heard), outputs=(2,))
    quantised, (_, note) = quantise_spiking(network, Grid())
    assert quantised.populations[2].projections[0].weights.numeric == "float32"
    assert note.note == "left in float32: p sends float32, which does not go with int8 weights"
    check_network(quantised)
    kept, (first,) = quantise_spiking(one_layer(), Grid(), inputs="float32")
    assert kept.populations[0].payload == "float32"
    assert "in sends float32" in first.note
    again, (twice,) = quantise_spiking(quantise_spiking(one_layer(), Grid())[0], Grid())
    assert twice.note == "left as it is: its weights are int8"
    assert again.populations[1].projections[0].weights.numeric == "int8"


# ---- int32 states


@pytest.mark.parametrize("inclusive", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.7, 0.7000001, 93 / 127])
def test_an_int32_state_has_the_spikes_of_float32_where_thresholds_are_only_compared_with(inclusive, threshold):
    params = {"fire_at_threshold": inclusive}
    network = one_layer(params=params, weights=[[0.5, -1.0], [0.7, 0.3]], threshold=threshold)
    of_float, _ = quantise_spiking(network, Grid())
    of_int, _ = quantise_spiking(network, Grid(), state="int32")
    assert of_int.populations[1].kernel == "iaf"
    assert of_int.populations[1].vectors["threshold"].dtype == np.int32
    sent = played(of_int, events(seed=3))
    assert sent.sum() > 20
    assert np.array_equal(sent, played(of_float, events(seed=3)))


@pytest.mark.parametrize(
    ("network", "options", "line"),
    [
        (lambda: one_layer(rate=0.9), {"state": "int32"}, r"quantise: p leaks \(rate 0\.9 and leak 0 of unit 0\); an int32 state"),
        (
            lambda: one_layer("cuba_lif"),
            {"state": "int32"},
            r"quantise: p has a synaptic current; an int32 state is for",
        ),
        (lambda: one_layer(gain=[1, 0]), {}, r"quantise: p: what it hears is multiplied by 0 \(unit 1\); needs a gain above 0"),
        (lambda: one_layer(weights=[[1, np.inf], [0, 1]]), {}, r"quantise: p: 1 of 5 values are not finite"),
        (lambda: one_layer(gain=1e-38, threshold=1e3), {}, r"threshold of unit 0 becomes .*, too large for float32"),
        (lambda: one_layer(), {"state": "int16"}, r"quantise: state 'int16'; needs float32 or int32"),
        (lambda: one_layer(), {"inputs": "int8"}, r"quantise: inputs 'int8'; needs spike, count, float32"),
        (lambda: seeded_egru(3, (4,), 1.0, 1), {}, r"quantise: no population of spiking neurons .*; has egru"),
    ],
)
def test_what_cannot_be_gets_a_line(network, options, line):
    with pytest.raises(ModelError, match=line):
        quantise_spiking(network(), Grid(), **options)


# ---- in runs


def in_8_bits(state="float32", payload="spike"):
    """A kernel behind a pool, a layer that hears itself, an integrator that is read: in 8 bits."""
    many = {"multi_spike": 1.0, "fire_at_threshold": 1.0} if payload == "count" else {}
    params = {"reset": float(RESETS.index("subtract"))} | many
    rng, leak = np.random.default_rng(9), 0.875 if state == "float32" else 1.0
    conv = Convolution(rng.normal(0.05, 0.4, (3, 2, 3, 3)).astype(np.float32), (2, 8, 8), padding=(1, 1, 1, 1), pool=(2, 2))
    populations = (
        Population("in", 128), layer("lif", 48, [to(0, conv)], params, name="c", rate=leak, threshold=0.6),
        layer("lif", 10, [to(1, rng.normal(0, 0.5, (10, 48))), to(2, rng.normal(0, 0.3, (10, 10)), 1)], params, "d", rate=leak),
        layer("li", 3, [to(2, rng.normal(0, 0.5, (3, 10)))], name="e", rate=0.75),
    )  # fmt: skip
    return quantise_spiking(Network(populations, outputs=(2, 3)), Grid(), state=state)[0]


SPLITS = [("uniform", "csr", 3, 1), ("balanced", "packed", 9, 1), ("uniform", "conv", 20, 2), ("uniform", "dense", 61, 1)]


@pytest.mark.wide
@pytest.mark.slow_but("spike-int32", "count-float32")
@pytest.mark.parametrize("state", ["float32", "int32"])
@pytest.mark.parametrize("payload", ["spike", "count"])
def test_every_split_has_the_integer_reference_s_bits_and_one_hash(state, payload):
    network, hashes = in_8_bits(state, payload), set()
    assert {p.weights.numeric for n in network.layers for p in network.populations[n].projections} == {"int8"}
    for mapping, form, pes, chips in SPLITS:
        run, _, _ = run_graph(
            place(network, CHIP, mapping, form, pes, 1, chips), RandomInput(network, 1, 25, active=0.2), shuffle=3
        )
        assert run.counts.events(1) > 50
        hashes.add(run.events.sha256())
    assert len(hashes) == 1


def test_sequences_side_by_side_have_the_bits_of_each():
    network = in_8_bits()
    run, _, _ = run_graph(place(network, CHIP, "uniform", "conv", 7, 3, 1), RandomInput(network, 3, 20, fresh=0.1, idle=0.1))
    assert run.counts.events(1) > 50


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save(folder / "model.safetensors", Model(in_8_bits(), state="carried"))
    np.save(folder / "x.npy", events(30, 128, seed=4))
    return folder


def launched(files, folder, **options):
    folder.mkdir()
    done = Launcher(
        Options(checkpoint=str(files / "model.safetensors"), inputs=str(files / "x.npy"), verify=True, format="conv", **options),
        lambda _: None, lambda _: None, folder=folder,
    ).run()  # fmt: skip
    assert done.problem is None
    assert done.mismatch["difference"] is None
    return done


@pytest.mark.wide
def test_processes_have_the_hash_of_memory_and_of_an_offline_run(files, tmp_path):
    memory = launched(files, tmp_path / "mem", transport="mem", pes=5)
    processes = launched(files, tmp_path / "processes", pes=7)
    model = load(files / "model.safetensors")
    job = prepare_arrays(Options(pes=7, mapping="uniform", format="conv"), model, {"in": [np.load(files / "x.npy")]}, title="")
    offline = record(job.placement, job.source, job.readout)
    hashes = {of.report["events"]["sha256"] for of in (memory, processes)} | {offline.sha256}
    assert len(hashes) == 1


# ---- commands


@pytest.fixture
def float_file(tmp_path):
    save(tmp_path / "float.safetensors", Model(kernel_network(), state="carried"))
    return tmp_path / "float.safetensors"


def test_the_command_writes_a_checkpoint_in_8_bits_and_says_what_it_cost(float_file, tmp_path, capsys):
    assert main(["quantise", str(float_file), str(tmp_path / "8"), "--per-channel", "--percentile", "99.5"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:4] == ["population", "weights", "scale", "clipped"]
    assert [line.split()[0] for line in out[1:]] == ["c", "d", "written"]
    model = load(tmp_path / "8")
    assert {p.weights.numeric for n in model.network.layers for p in model.network.populations[n].projections} == {"int8"}
    facts = {"bits": 8, "percentile": 99.5, "per_channel": True, "state": "float32", "inputs": "spike"}
    assert model.provenance["quantised"] == facts


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--bits", "9"], "--bits 9: needs 8 (or 2 to 7), or float"),
        (["--bits", "float"], "quantise --bits float: does nothing; needs 8 (or 2 to 7)"),
        (["--percentile", "0"], "quantise: percentile 0.0; needs a number above 0, at most 100"),
        (["--input-events", "int8"], "quantise: inputs 'int8'; needs spike, count, float32"),
        (
            ["--int32-state"],
            "quantise: c leaks (rate 0.875 and leak 0 of unit 0); an int32 state is for neurons that do not, take float32",
        ),
    ],
)
def test_the_command_refuses_in_a_line(float_file, tmp_path, capsys, arguments, line):
    assert main(["quantise", str(float_file), str(tmp_path / "8"), *arguments]) == 2
    assert capsys.readouterr().err.strip().endswith(line)
    assert not (tmp_path / "8").exists()


def test_the_command_overwrites_nothing(float_file, capsys):
    assert main(["quantise", str(float_file), str(float_file)]) == 2
    assert "exists already; nothing is overwritten" in capsys.readouterr().err


def test_import_takes_bits(tmp_path, capsys):
    pytest.importorskip("h5py")
    from tests.tools import nir_files

    weights = np.random.default_rng(2).normal(0, 0.5, (4, 3))
    root = nir_files.chain(
        ("in", nir_files.port("Input", 3)), ("fc", nir_files.linear(weights)), ("lif", nir_files.lif(4)),
        ("out", nir_files.port("Output", 4)),
    )  # fmt: skip
    source = nir_files.write(tmp_path / "x.nir", root)
    assert main(["import", str(source), str(tmp_path / "8"), "--bits", "8"]) == 0
    assert load(tmp_path / "8").network.populations[1].projections[0].weights.numeric == "int8"
    assert main(["import", str(source), str(tmp_path / "f"), "--bits", "float"]) == 0
    assert load(tmp_path / "f").network.populations[1].projections[0].weights.numeric == "float32"
    capsys.readouterr()
    assert main(["import", str(source), str(tmp_path / "g"), "--per-channel"]) == 2
    assert "--per-channel: says how to quantise; needs --bits 8" in capsys.readouterr().err
