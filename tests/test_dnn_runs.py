"""What a DNN that runs on PEs promises: every tensor as the plain reference has it, whatever the tiles, workers, passes, chips and
transport; a hash over whole tensors; and words for what goes wrong.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.launch.launcher import Launcher
from host.mapping.dnn_image import PROGRAM_AT, DnnImage
from host.run.run import Run
from host.workloads.dnn import METRICS
from host.workloads.dnn.options import Options
from host.workloads.dnn.scores import Scores, reported
from host.workloads.dnn.stream import TensorStream
from host.workloads.registry import prepare
from models import shipped
from models.dnn.evaluate import run_graph
from models.dnn.file import load_dnn, save_dnn
from models.dnn.program import BLOCK_WORDS, CONFIGURATION_WORDS
from models.dnn.reference import dequantised, quantised_inputs, run_network
from models.dnn.sample_set import check_labels
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.network import ModelError
from models.operators import operator
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_lower import DnnSettings
from noc.columns import Columns
from noc.dram_endpoint import DramEndpoint
from pe.compiled_columns import CompiledColumns
from tests.tools.grids import some
from tests.tools.losses import run_with_losses
from tests.tools.small_cnn import save_small_cnn

pytestmark = pytest.mark.timeout(240)
GOLDEN = Path(__file__).parent / "golden_dnn"
SAMPLES = 5


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    return save_small_cnn(tmp_path_factory.mktemp("cnn"), SAMPLES)


def options(folder, **chosen):
    made = Options(**{
        "checkpoint": str(folder / "cnn.safetensors"), "inputs": str(folder / "samples.npy"), "transport": "mem", "pes": 4,
        "batch": 2, "alone": True, **chosen,
    })  # fmt: skip
    made.check()
    return made


def launched(folder, **chosen):
    return Launcher(options(folder, **chosen), lambda _: None, lambda _: None).run()


@pytest.fixture(scope="module")
def truth(cnn):
    """The stream of the plain reference."""
    network = load_dnn(cnn / "cnn.safetensors").network
    samples, stream = np.load(cnn / "samples.npy"), TensorStream(2)
    for number, sample in enumerate(samples):
        run = run_network(network, quantised_inputs(network, {network.inputs[0]: sample[None]}))
        stream.add_sample(number, {n: run.tensors[one.output] for n, one in enumerate(network.operations)})
    return stream.report()


@pytest.mark.wide_but("{'share': 'once', 'pes': 10, 'batch': 5}")
@pytest.mark.parametrize(
    "chosen",
    some(
        [
            {}, {"pes": 2, "batch": 1}, {"pes": 8, "batch": 5}, {"pes": None, "batch": 3}, {"tiles": "fastest"},
            {"tiles": "smallest", "pes": 7}, {"resident": "weights"}, {"share": "once", "pes": 10, "batch": 5},
            {"share": "once", "resident": "weights"}, {"chips": 2, "pes": 9}, {"transport": "zmq"},
        ],
        lambda chosen: chosen.get("pes") not in {2, 8} and "resident" not in chosen and chosen.get("tiles") != "fastest",
    ),
    ids=str,
)  # fmt: skip
def test_every_tensor_is_that_of_the_plain_reference(cnn, truth, chosen):
    outcome = launched(cnn, **chosen)
    assert (outcome.code, outcome.problem) == (0, None)
    report = outcome.report
    assert report["events"] == truth
    assert report["conservation"]["wrong"] == []
    sent, delivered = (np.sum(list(report["conservation"]["transfers"][what].values()), axis=0) for what in ("sent", "delivered"))
    assert (sent == delivered).all()
    layers = report["result"]["layers"]
    passes = report["result"]["passes"]
    assert all(row["done_tiles"] >= passes * row["tiles"] for row in layers)  # a depthwise one begins anew with each sample
    moved = sum(store["read_bytes"] + store["written_bytes"] for store in report["conservation"]["transfers"]["dram"].values())
    assert 0 < sum(row["dram_bytes"] for row in layers) <= moved


def run_of(folder, **chosen):
    job = prepare(options(folder, **chosen))
    run = Run(job.placement, job.source, job.readout, repeatable=True, snapshot_positions=12, fills=job.fills)
    return run, job


@pytest.mark.few(1)
@pytest.mark.parametrize("columns", [Columns, CompiledColumns])
@pytest.mark.parametrize("losses", [(120,), (90, 60)], ids=str)
def test_a_run_that_loses_its_pes_and_drams_goes_on_to_the_same_tensors(cnn, truth, losses, columns):
    run, job = run_of(cnn)
    assert run_with_losses(run, losses, shuffle=5, make_columns=columns)
    assert job.readout.is_complete
    assert run.events.report() == truth
    assert run.conservation()["wrong"] == []


def test_a_lost_transfer_names_worker_layer_and_tile(cnn, monkeypatch):
    serve, left = DramEndpoint.serve, [60]

    def losing(self, transfers):
        answers = serve(self, transfers)
        left[0] -= len(answers)
        return answers if left[0] > 0 or left[0] + len(answers) <= 0 else answers[:-1]

    monkeypatch.setattr(DramEndpoint, "serve", losing)
    run, _ = run_of(cnn)
    with pytest.raises(AssertionError):
        run_with_losses(run)
    words = r"PE\(\d,\d,\d\)@0 \(worker \d\): layer \w+, tile \d+: 1 of the DATA that it asked for did not come"
    assert re.search(words, run.fault or ""), run.fault


@pytest.mark.parametrize("part", ["constants", "blocks"])
def test_one_byte_of_the_image_shows_in_the_hash_or_is_named(cnn, truth, monkeypatch, part):
    program = DnnImage.program

    def damaged(self, peers_of):
        raw = bytearray(program(self, peers_of))
        at = self.addresses
        place = at.constants + 200 if part == "constants" else at.configurations[0] + 4 * (CONFIGURATION_WORDS + BLOCK_WORDS)
        raw[place - PROGRAM_AT] ^= 0x40
        return bytes(raw)

    monkeypatch.setattr(DnnImage, "program", damaged)
    run, _ = run_of(cnn)
    with contextlib.suppress(AssertionError):
        run_with_losses(run)
    assert run.fault or run.events.report()["sha256"] != truth["sha256"]


@pytest.mark.wide
def test_verify_holds_every_number_to_the_reference(cnn, truth):
    outcome = launched(cnn, verify=True)
    assert outcome.code is Exit.OK
    assert outcome.mismatch == {"compared": truth["count"], "difference": None}


@pytest.mark.wide
def test_a_pass_may_be_filled_up_and_a_sample_has_its_own_hash(cnn, truth):
    alone = launched(cnn, batch=1, samples=3).report["events"]
    assert alone["sequences"] == truth["sequences"][:3]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"pes": 1}, "--pes 1: needs at least 2, a scheduler and a worker"),
        ({"pes": 900}, "--pes 900: 1 chips have 152 PEs"),
        ({"samples": 9}, "--samples 9: there are 5"),
        ({"checkpoint": "seeded"}, "MODEL seeded: is no DNN"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_in_one_line(cnn, chosen, words):
    with pytest.raises(HostError) as caught:
        prepare(options(cnn, **chosen))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(SAMPLES - 1, int), f"has {SAMPLES - 1} classes for {SAMPLES} samples"), (np.full(SAMPLES, 99), "beyond its"),
        (np.zeros((SAMPLES, 3), int), "labels have shape"), (np.full(SAMPLES, -1), "from 0"), (np.zeros(SAMPLES), "float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused_in_one_line(cnn, tmp_path, labels, words):
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(HostError, match="--labels") as caught:
        prepare(options(cnn, labels=str(tmp_path / "labels.npy")))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.wide
def test_scores_of_labels_a_place_come_back_from_a_snapshot_and_what_no_number_holds_is_none(tmp_path):
    model = import_dnn(GOLDEN / "lm.pt2", ImportRequest(importer="pt2", options={})).model
    entry = model.prepared.graph.inputs[0]
    samples = np.random.default_rng(1).integers(0, 11, (8, *entry.shape[1:]))
    network, _ = quantise_dnn(model.prepared, {entry.name: samples}, DnnSettings(equalise=True))
    save_dnn(tmp_path / "cnn.safetensors", replace(model, network=network))
    np.save(tmp_path / "samples.npy", samples)
    np.save(tmp_path / "labels.npy", np.random.default_rng(2).integers(-1, 11, samples.shape))
    chosen = options(tmp_path, labels=str(tmp_path / "labels.npy"))
    run, job = run_of(tmp_path, labels=chosen.labels)
    run_with_losses(run)
    again = prepare(chosen).readout
    again.restore(job.readout.snapshot())
    assert again.metrics(None) == job.readout.metrics(None)
    assert {one.name for one in again.metrics(None)} == {"accuracy", "perplexity"}
    beyond = [METRICS["perplexity"]._replace(value=np.inf, note="4 labels"), METRICS["accuracy"]._replace(value=50.0)]
    assert [one.value for one in reported(beyond)] == [None, 50.0]
    (output,) = network.outputs
    unjudged = Scores(network, 8, np.full(samples.shape, -1))
    assert [one.value for one in unjudged.metrics(np.arange(4))] == [None]
    with pytest.raises(ModelError, match="beyond its 11 classes"):
        check_labels(np.full(samples.shape, 50), 100, network.tensors[output].shape)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["vit", "lm"])
def test_transformers_run_as_the_reference_has_them(tmp_path, name):
    model = import_dnn(GOLDEN / f"{name}.pt2", ImportRequest(importer="pt2", options={})).model
    entry, rng = model.prepared.graph.inputs[0], np.random.default_rng(1)
    shape = (8, *entry.shape[1:])
    samples = rng.normal(size=shape).astype(np.float32) if entry.dtype == "float32" else rng.integers(0, 11, shape)
    settings = DnnSettings(scales="pow2", rounding="half-up", overflow="saturate", per_channel=False, equalise=True)
    network, _ = quantise_dnn(model.prepared, {entry.name: samples}, settings)
    save_dnn(tmp_path / "cnn.safetensors", replace(model, network=network))
    np.save(tmp_path / "samples.npy", samples[:2])
    (output,) = network.outputs
    labels = rng.integers(0, network.tensors[output].shape[-1], (2, *network.tensors[output].shape[1:-1]))
    if labels.ndim > 1:
        labels[0, :2] = -1
    np.save(tmp_path / "labels.npy", labels)
    outcome = launched(tmp_path, verify=True, labels=str(tmp_path / "labels.npy"), alone=False)
    assert (outcome.code, outcome.problem) == (Exit.OK, None)
    assert outcome.mismatch["difference"] is None
    answers = [
        dequantised(network, output, run_network(network, quantised_inputs(network, {entry.name: one[None]})).tensors[output])[0]
        for one in samples[:2]
    ]
    logits = np.stack(answers).astype(np.float64)
    metrics = {one["name"]: one["value"] for one in outcome.report["metrics"]}
    judged = labels >= 0
    assert outcome.report["result"]["classes"] == logits.argmax(axis=-1).tolist()
    assert metrics["accuracy"] == 100 * (logits.argmax(axis=-1) == labels)[judged].mean()
    assert ("perplexity" in metrics) == (labels.ndim > 1)
    if labels.ndim > 1:
        shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shares, np.maximum(labels, 0)[..., None], -1)[..., 0][judged]
        assert metrics["perplexity"] == pytest.approx(chosen.prod() ** (-1 / len(chosen)), rel=1e-6)
    exact = [run_graph(model.prepared.graph, {entry.name: one[None]})[model.prepared.graph.outputs[0]][0] for one in samples[:2]]
    agree = sum(np.array_equal(one.argmax(axis=-1), other.argmax(axis=-1)) for one, other in zip(exact, answers, strict=True))
    assert outcome.report["result"]["float"]["agree"] == agree


@pytest.mark.wide
def test_the_shipped_digits_run_from_end_to_end():
    made = Options(checkpoint="digits-cnn", samples=32, batch=16, pes=9, transport="mem")
    made.check()
    outcome = Launcher(made, lambda _: None, lambda _: None).run()
    assert (outcome.code, outcome.problem) == (0, None)
    result = outcome.report["result"]
    assert (result["samples"], result["passes"], result["float"]["agree"]) == (32, 2, 32)
    accuracy = next(metric for metric in outcome.report["metrics"] if metric["name"] == "accuracy")
    assert accuracy["value"] >= 96
    assert [row["operator"] for row in result["layers"]] == [
        "conv2d", "conv2d", "max_pool2d", "conv2d", "max_pool2d", "matmul", "matmul",
    ]  # fmt: skip
    network = load_dnn(Path(shipped.__file__).with_name("digits-cnn.safetensors")).network
    assert sum(row["macs"] for row in result["layers"]) == 32 * macs_of(network)


@pytest.mark.parametrize("samples", [2, pytest.param(360, marks=pytest.mark.slow)])
def test_the_shipped_vision_transformer_runs_from_end_to_end(samples):
    made = Options(checkpoint="digits-vit", samples=samples, batch=min(16, samples), pes=9, transport="mem", verify=samples < 9)
    made.check()
    outcome = Launcher(made, lambda _: None, lambda _: None).run()
    assert (outcome.code, outcome.problem) == (0, None)
    assert samples > 2 or outcome.mismatch["difference"] is None
    accuracy = next(metric for metric in outcome.report["metrics"] if metric["name"] == "accuracy")
    assert accuracy["value"] >= 97
    kinds = {row["operator"] for row in outcome.report["result"]["layers"]}
    assert {"conv2d", "concat", "layer_norm", "transpose", "batch_matmul", "softmax", "table", "slice", "add"} <= kinds


def macs_of(network):
    shapes = {name: one.shape for name, one in network.tensors.items()}
    return sum(operator(one.kind).work(one, [shapes[n] for n in one.inputs], shapes[one.output]).macs for one in network.operations)
