"""The shipped spiking network: its size, its accuracy beside the float one's, and that the emulator answers as training did."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from host.launch.in_process import run_here
from host.workloads.snn.options import Options
from models import shipped
from models.checkpoint import load
from models.dvs.spike_frames import SpikeBins, spike_frames
from models.dvs.synthetic import open_synthetic
from models.foreign.request import ImportRequest
from models.importers import nir
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.reference import Reference

FOLDER = Path(shipped.__file__).parent
SAMPLES, LEAST = 3, 0.9  # of the emulator; the least share that is right


@pytest.fixture(scope="module")
def model():
    return load(FOLDER / "snn.safetensors")


@pytest.fixture(scope="module")
def record(model):
    return model.provenance["record"]


def test_it_has_the_papers_layers_in_8_bits_and_small_files(model):
    layers = [model.network.populations[n] for n in model.network.layers]
    assert [layer.units for layer in layers] == [3600, 3600, 392, 256, 11]
    assert [layer.kernel for layer in layers] == ["lif"] * 4 + ["li"]
    weights = [layer.projections[0].weights for layer in layers]
    assert sum(part.places for part in weights) == 25_504
    assert {part.numeric for part in weights} == {"int8"}
    assert all((FOLDER / name).stat().st_size < 1_000_000 for name in ("snn.safetensors", "snn.nir"))


def test_8_bits_lose_at_most_a_point_and_beat_what_sees_no_motion(record):
    share = record["accuracy"]
    assert set(share) == {"float", "int8 percentile 100", "int8 percentile 99.9", "int8 percentile 99", "int8 as trained"}
    assert share["int8 as trained"] >= share["float"] - 0.01
    assert share["int8 as trained"] >= LEAST
    assert share["int8 as trained"] - record["mean_frame_accuracy"] >= 0.25
    right = [a == b for a, b in zip(record["predictions"], record["labels"], strict=True)]
    assert share["int8 as trained"] == pytest.approx(np.mean(right))
    assert record["subjects"]["test"] == 8


def classes_of(network, bins, samples):
    reference, classes = Reference(network), []
    for sample in samples:
        rows = spike_frames(sample.events, bins).reshape(bins.steps, -1)
        sent = [reference.step({network.inputs[0]: row}, fresh=step == 0)[network.output][0] for step, row in enumerate(rows)]
        classes.append(int(np.mean(sent, axis=0, dtype=np.float64).argmax()))
    return classes


@pytest.mark.slow
def test_the_chip_and_the_reference_answer_as_training_did(model, record, tmp_path):
    bins = SpikeBins(**model.provenance["bins"])
    given = islice(open_synthetic("test", slice_us=bins.duration_us).samples(), SAMPLES)
    assert classes_of(model.network, bins, given) == record["predictions"][:SAMPLES]
    ran = run_here(Options(samples=1, pes=8, mapping="balanced", transport="mem"), tmp_path, lambda _: None, lambda _: None)
    assert ran.problem is None
    assert [one["prediction"] for one in ran.report["result"]["predictions"]] == record["predictions"][:1]
    assert ran.report["conservation"]["wrong"] == []


@pytest.mark.slow
def test_the_reference_reaches_the_accuracy_of_the_record_on_all_unseen_people(model, record):
    bins = SpikeBins(**model.provenance["bins"])
    given = open_synthetic("test", slice_us=bins.duration_us).samples()
    assert classes_of(model.network, bins, given) == record["predictions"]


def test_its_nir_file_is_the_same_network(model):
    pytest.importorskip("h5py")
    given = nir.read(FOLDER / "snn.nir", ImportRequest(importer="nir")).model.network
    network, report = quantise_spiking(given, Grid())
    assert all(done.kept for done in report)  # the grid of quantised training
    for n in network.layers:
        ours, theirs = (one.populations[n].projections[0].weights for one in (network, model.network))
        assert np.array_equal(ours.values, theirs.values)
