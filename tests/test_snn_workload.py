"""The workload of spiking networks: what it refuses, how it answers, what it says of steps, and what it shows."""

from __future__ import annotations

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.launch.in_process import run_here
from host.show.summary import published
from host.workloads.registry import prepare
from host.workloads.snn.options import Options
from host.workloads.snn.page import figures, sections
from host.workloads.snn.panel import PANEL, shaded
from host.workloads.snn.results import StepTimes, by_layer
from host.workloads.snn.summary import summary_lines
from models.checkpoint import Model, save
from models.convolution import Convolution
from models.dvs.samples import CLASSES
from models.kernels.li import FILL
from models.network import Network, Population, Projection, SparseRows
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.reference import Reference
from models.spiking import vectors_of
from models.spiking_classifier import seeded_classifier

NETWORK = seeded_classifier(len(CLASSES), channels=(3, 3, 2), hidden=8, size=16)
RNG = np.random.default_rng(4)
SPIKES = (RNG.random((3, 6, 512)) < 0.2).astype(np.uint8)
LABELS = np.array([3, 0, 10])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snn")
    save(folder / "net.safetensors", Model(NETWORK, segment=6, state="zeroed"))
    np.savez(folder / "x.npz", inputs=SPIKES, labels=LABELS)
    return folder


def options(files, **changes):
    chosen = Options(**{"checkpoint": str(files / "net.safetensors"), "inputs": str(files / "x.npz"), "pes": 5} | changes)
    chosen.check()
    return chosen


def expected_counts(network):
    counts = []
    for sample in SPIKES:
        reference = Reference(network)
        sent = [reference.step({0: row}, fresh=step == 0)[network.output][0] for step, row in enumerate(sample)]
        counts.append(np.sum(sent, axis=0, dtype=np.int64))
    return np.stack(counts)


def report_of(chosen, folder):
    outcome = run_here(chosen, folder, lambda _: None, lambda _: None)
    assert outcome.problem is None
    return outcome.report


@pytest.fixture(scope="module")
def report(files, tmp_path_factory):
    ran = options(files, bits=8, transport="mem", batch=2, membrane="lif3:3", raster="lif2", timer_us=100.0)
    return report_of(ran, tmp_path_factory.mktemp("run"))


@pytest.mark.wide
def test_the_answer_is_the_class_that_fires_most_on_the_reference_too(report):
    small, _ = quantise_spiking(NETWORK, Grid())
    counts, result = expected_counts(small), report["result"]
    assert counts.any()
    for row, one, label in zip(counts, result["predictions"], LABELS, strict=True):
        assert one["scores"] == row.tolist()
        assert one["prediction"] == row.argmax()
        assert one["tie"] == ((row == row.max()).sum() > 1)
        assert one["label"] == label
    assert result["ties"] == sum(one["tie"] for one in result["predictions"])
    assert [one["float"] for one in result["predictions"]] == expected_counts(NETWORK).argmax(1).tolist()
    assert sum(map(sum, result["confusion"])) == 3


def test_spikes_and_synaptic_events_are_those_of_each_layer_and_step(report):
    steps, rows = 3 * 6, by_layer(report)
    assert [name for name, *_ in rows] == [f"lif{n}" for n in range(1, 6)]
    assert [round(spikes * steps) for _, spikes, _ in rows] == report["events"]["by_layer"]
    assert [round(events * steps) for *_, events in rows] == report["counters"]["macs_by_layer"]
    metrics = {metric["name"]: metric["value"] for metric in report["metrics"]}
    assert metrics["spikes"] == pytest.approx(report["events"]["count"] / steps)
    assert metrics["synaptic_events"] == pytest.approx(report["counters"]["macs"] / steps)
    assert metrics["sample_energy"] * 3 == pytest.approx(1e3 * report["modelled"]["energy_j"])
    assert metrics["timer_energy"] * steps == pytest.approx(1e3 * report["modelled"]["energy_j"])  # no step leaves any rest


def test_steps_longer_than_the_timers_are_counted(report):
    timer, cost = report["result"]["timer"], report["modelled"]
    assert timer["steps"] == 12  # two rounds
    assert timer["mean_s"] * 12 == pytest.approx(cost["time_s"])  # one after another
    assert timer["overruns"] == 12
    times = StepTimes(100.0)
    times.add(np.array([5e-5, 1e-4, 2e-4]))
    assert (times.steps, times.overruns, times.longest_s) == (3, 1, 2e-4)
    assert times.mean_s == pytest.approx(3.5e-4 / 3)


def test_the_raster_and_the_membrane_are_the_first_samples(report):
    small, _ = quantise_spiking(NETWORK, Grid())
    reference, result = Reference(small), report["result"]
    sent = [reference.step({0: row}, fresh=step == 0) for step, row in enumerate(SPIKES[0])]
    assert result["raster"]["layer"] == "lif2"
    assert result["raster"]["spikes"] == [np.flatnonzero(row[2][0]).tolist() for row in sent]
    assert any(result["raster"]["spikes"])
    membrane = result["membrane"]
    assert (membrane["layer"], membrane["unit"], len(membrane["v"])) == ("lif3", 3, 6)
    assert [v > membrane["threshold"] for v in membrane["v"]] == [bool(row[3][0, 3]) for row in sent]


@pytest.mark.wide
def test_summary_and_page_say_what_a_network_file_does_not_and_stand_beside_the_published(report):
    lines = summary_lines(report, published())
    text = "\n".join(lines)
    assert "what a step lasted, order of channels and binning are not in it" in text
    assert "8 bits, the largest weight is the largest number; answer: most spikes" in text
    assert "0.765 mJ a step and 94.13 %" in text
    assert "not comparable: accuracy" in text
    assert "steps are longer than 100 us" in text
    assert {figure.name for figure in figures(report)} == {"spikes", "rates", "membrane", "confusion"}
    assert all(figure.svg for figure in figures(report))
    assert "in float" in sections(report)[0]


def test_the_panel_shows_raster_counts_and_membrane(files):
    job = prepare(options(files, bits=8, membrane="lif4:3"))
    shown = {**job.readout.progress().shown, "scores": [0, 2, *[0] * 9], "raster": [[0.0, 1.0], [0.5, 0.0]], "membrane": [0.0, 2.0]}
    lines = PANEL.lines(job.shown, shown, 80, 20)
    text = ["".join(span.text for span in line) for line in lines]
    assert text[0].startswith("sample 1 of 3, step 1 of 6")
    assert any("▸R ↻" in line for line in text)  # the true class of the first sample
    assert any("█" * 8 in line for line in text)
    assert text[-1].startswith("membrane lif4:3")
    assert all(len(line) <= 80 for line in text)
    membranes = PANEL.lines(job.shown, {**shown, "scores": [-0.001, 0.613, -2.5, *[0.0] * 8]}, 80, 20)
    written = " ".join("".join(span.text for span in line) for line in membranes)
    assert "0.61" in written
    assert "-2.50" in written
    assert "-0.0" not in written
    assert PANEL.lines({}, {}, 80, 20) == []
    assert shaded([[0.0, 0.6], [0.2, 0.0]], 2, 5) == [" ▒   ", "█    "]


@pytest.mark.wide
def test_a_readout_that_sends_its_membrane_answers_with_it(files, tmp_path):
    weights = SparseRows.from_dense(np.eye(11, 8, dtype=np.float32))
    hidden = Population(
        "spiking", 8, kernel="lif", payload="spike",
        projections=(Projection(source=0, port="input", weights=SparseRows.from_dense(np.ones((8, 512), np.float32) / 40)),),
        vectors=NETWORK.populations[4].vectors, params=NETWORK.populations[4].params,
    )  # fmt: skip
    out = Population(
        "out", 11, kernel="li", dense=True, projections=(Projection(source=1, port="input", weights=weights),),
        vectors=vectors_of(11, FILL, rate=np.float32(0.5)), params={"form": 0.0},
    )  # fmt: skip
    network = Network((Population("input", 512, payload="spike"), hidden, out))
    save(tmp_path / "li.safetensors", Model(network, segment=6, state="zeroed"))
    model = str(tmp_path / "li.safetensors")
    for how in (None, "mean", "last", "max"):
        (tmp_path / str(how)).mkdir()
        ran = report_of(options(files, checkpoint=model, answer=how, transport="mem", pes=2), tmp_path / str(how))
        assert ran["result"]["answer"] == (how or "mean")
        assert ran["result"]["predictions"][0]["tie"]  # eight alike
        assert [spikes for _, spikes, _ in by_layer(ran)][1] == 0.0  # eleven membranes a step, no spike
    with pytest.raises(HostError, match="--answer counts: the output out sends its membrane; use mean, last or max"):
        prepare(options(files, checkpoint=model, answer="counts"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"percentile": 99.0}, "--percentile: needs --bits"),
        ({"size": 16}, "--inputs and --size: choose one"),
        ({"denoise_ms": 0.0}, "--inputs and --denoise-ms: choose one"),
        ({"inputs": None, "binary": True, "count": True}, "--binary and --count: choose one"),
        ({"inputs": None}, "--size 32, --polarity off-on: make 2 x 32 x 32 = 2,048 inputs, the network has 512"),
        ({"raster": "lif9"}, "--raster lif9: .* has layers that spike lif1, lif2, lif3, lif4, lif5"),
        ({"membrane": "lif4:8"}, "--membrane lif4:8: needs LAYER:UNIT; .* lif4:0 to 7"),
        ({"answer": "last"}, "--answer last: the output lif5 sends spikes; use counts"),
        ({"steps": 7}, "inputs has 6 steps, --steps asks for 7"),
        ({"inputs": "none.npz"}, "--inputs none.npz: cannot be read .no such file."),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_line(files, changes, line):
    with pytest.raises(HostError, match=line) as caught:
        prepare(options(files, **changes))
    assert "\n" not in str(caught.value)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"inputs": SPIKES * 2, "labels": LABELS}, "inputs needs 0 or 1 .spikes., has 0 to 2"),
        ({"inputs": SPIKES[:, :, :500]}, r"inputs \(3, 6, 500\) has 500 numbers a step of 3 samples, the network has 512 inputs"),
        ({"inputs": SPIKES, "labels": LABELS + 1}, "labels need 3 whole numbers from 0 to 10"),
        ({"a": SPIKES, "b": SPIKES}, "needs an array called inputs or x, has a, b"),
        ({"inputs": SPIKES.astype(str)}, "inputs needs numbers"),
    ],
)
def test_a_file_of_other_inputs_is_refused_in_a_line(files, tmp_path, arrays, line):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(HostError, match=line):
        prepare(options(files, inputs=str(tmp_path / "wrong.npz"), bits=8))


def test_the_published_sizes():
    network = seeded_classifier(len(CLASSES))
    weights = [network.populations[n].projections[0].weights for n in network.layers]
    assert sum(part.places for part in weights) == 25_504
    assert [network.populations[n].units for n in network.layers] == [3600, 3600, 392, 256, 11]
    assert [type(part) is Convolution for part in weights] == [True] * 4 + [False]


@pytest.mark.wide
def test_a_nir_file_is_loaded_and_run_in_python_with_the_same_spikes(tmp_path):
    pytest.importorskip("h5py")
    import gennaker as gk
    from models.exporters.nir import write

    write(tmp_path / "net.nir", Model(NETWORK), [])
    model = gk.load(tmp_path / "net.nir")
    result = model.fit(pes=5, format="conv").run(SPIKES.astype(np.float32), transport="mem")
    assert (np.asarray(result.outputs).sum(axis=1) == expected_counts(NETWORK)).all()


@pytest.mark.wide
def test_a_network_in_a_nir_file_answers_as_its_checkpoint_does(files, tmp_path, report):
    pytest.importorskip("h5py")
    from models.exporters.nir import write

    write(tmp_path / "net.nir", Model(NETWORK), [])
    ran = report_of(options(files, checkpoint=str(tmp_path / "net.nir"), bits=8, transport="mem", alone=True), tmp_path)
    assert ran["events"]["sequences"] == report["events"]["sequences"]
    assert [one["scores"] for one in ran["result"]["predictions"]] == [one["scores"] for one in report["result"]["predictions"]]
