"""`--save`: events, states, outputs and logits of a run in files of numpy; and no bit of the run is another for it.

Every workload's smallest run is tried, whatever it sends, and a network in 8 bits on arrays. A new
workload comes along by its name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from host.options import RunOptions
from host.run import saved as module
from host.run.saved import EVENT, SavedRun
from host.run_folder import read_report
from host.workloads.contract import Job
from host.workloads.lane_sets import read_lanes
from host.workloads.registry import prepare, workloads
from models.checkpoint import Model, save
from models.heads.language import log_likelihood
from models.kernels import ticks_of
from models.spiking_classifier import seeded_classifier
from tests.tools.examples import Example, Played, has_reference, launch
from tests.tools.grids import some

pytestmark = pytest.mark.timeout(120)
INT8 = "arrays, 8 bits"
"""A run of a spiking network in 8 bits on arrays: spikes alone, int8 weights."""


class Kept(NamedTuple):
    """A workload's smallest run with all saved that it computes."""

    example: Example
    options: RunOptions
    folder: Path
    report: dict[str, Any]
    job: Job

    def opened(self, name: str) -> dict[str, Any]:
        return opened(self.folder, name)

    @property
    def own(self) -> Sequence[str]:
        """What the workload itself computes on the host: answers instead of what outputs send, logits."""
        return getattr(self.job.readout, "saves", ())


def int8_arrays(folder: Path) -> Example:
    """Return a run of a spiking classifier in 8 bits, as `quantise` makes it, on arrays of spikes."""
    network = seeded_classifier(5, channels=(3, 3, 2), hidden=8, size=16)
    save(folder / "float.safetensors", Model(network, segment=8, state="zeroed"))
    done = launch("quantise", "float.safetensors", "int8.safetensors", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    spikes = np.random.default_rng(1).random((2, 8, network.populations[0].units)) < 0.2
    np.save(folder / "x.npy", spikes.astype(np.uint8))
    chosen = {"checkpoint": str(folder / "int8.safetensors"), "inputs": str(folder / "x.npy"), "pes": 5}
    return Example(workloads()["arrays"], folder, chosen)


@pytest.fixture(scope="module", params=some((*workloads(), INT8), lambda name: name not in {"dvs", "retrieval", "snn"}))
def kept(request, tmp_path_factory):
    """A workload's smallest run with everything saved."""
    folder = tmp_path_factory.mktemp(request.param.split(",")[0])
    example = int8_arrays(folder) if request.param == INT8 else Example(workloads()[request.param], folder)
    chosen = {"transport": "mem", "batch": 2}
    chosen["save"] = module.savable(prepare(example.options(**chosen)).readout)
    ran, options = example.run(**chosen), example.options(**chosen)
    return Kept(example, options, ran.folder, read_report(ran.folder), prepare(options))


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    """A run on arrays with everything saved."""
    example = Example(workloads()["arrays"], tmp_path_factory.mktemp("gated"))
    chosen = {"transport": "mem", "save": module.SAVED[:3]}
    ran, options = example.run(**chosen), example.options(**chosen)
    return Kept(example, options, ran.folder, read_report(ran.folder), prepare(options))


def opened(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def bits_of(values, payload):
    """Return an event's number as the hash has it: the bits of a float32, a whole number with its sign."""
    return values.astype("<f4").view("<u4") if payload == "float32" else values.astype("<i8").astype("<u4")


@pytest.mark.few(1)
def test_the_events_are_those_of_the_hash(kept):
    """Sorted by sequence, population, position and tick they give the run's own SHA-256, whatever an event carries."""
    if "events" not in kept.options.save:
        pytest.skip("its fingerprint is of tensors")
    file, network, report = kept.opened("events"), kept.job.placement.network, kept.report["events"]
    events, total = file["events"], hashlib.sha256()
    assert events.dtype == EVENT
    assert len(events) == report["count"] > 0
    for sequence, digest in enumerate(report["sequences"]):
        digests = []
        for layer in file["layers"]:
            population = network.populations[layer]
            here = events[(events["sequence"] == sequence) & (events["population"] == layer)]
            assert (np.diff(here["position"].astype(int)) >= 0).all()
            columns = [here["position"], np.full(len(here), layer), here["unit"], bits_of(here["value"], population.payload)]
            if ticks_of(population.kernel, population.params) > 1:
                columns.insert(1, here["phase"])
            digests.append(hashlib.sha256(np.stack(columns, axis=1).astype("<u4").tobytes()).digest())
        of_sequence = hashlib.sha256(b"".join(digests)).digest()
        assert of_sequence.hex() == digest
        total.update(np.uint32(sequence).tobytes() + of_sequence)
    assert total.hexdigest() == report["sha256"]


@pytest.mark.wide
def test_pandas_opens_a_raster_in_one_line(gated):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.load(gated.folder / "events.npz")["events"])  # the line of docs/run.md
    assert list(frame.columns) == ["sequence", "position", "phase", "population", "unit", "value"]
    assert len(frame) == gated.report["events"]["count"]


@pytest.mark.few(2)
def test_the_outputs_are_what_the_outputs_send(kept):
    """A number for every unit, position and tick, zero where there is no event; or the workload's own answers, by their names."""
    outputs, network = kept.opened("outputs"), kept.job.placement.network
    lengths = outputs.pop("lengths")
    assert outputs
    for answers in outputs.values():
        assert answers.shape[:2] == (len(kept.report["events"]["sequences"]), lengths.max())
    if outputs.keys() != {"outputs"}:
        assert "outputs" in kept.own
        return
    (answers,), events = outputs.values(), kept.opened("events")["events"]
    events = events[events["population"] == network.output]
    at = [events[name] for name in ("sequence", "position", "phase", "unit")]
    spread = np.zeros_like(answers)
    spread[tuple(at if answers.ndim == 4 else at[:2] + at[3:])] = events["value"]
    assert np.array_equal(answers, spread)


class Remembered(Played):
    """A job played on the plain reference, which keeps the states of each sequence: (layer, field) -> place -> (units,)."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.states: dict[tuple[int, str], dict[tuple[int, int], Any]] = defaultdict(dict)

    def _step(self, feed):
        section, network = super()._step(feed), self.job.placement.network
        idle = read_lanes(feed.flags, feed.lanes, len(self._references))[2]
        for lane, reference in enumerate(self._references):
            place = self.job.source.sequence_at(lane, feed.position)
            if place is None or idle[lane]:
                continue
            for n in network.layers:
                for holder in (reference._neurons[n], getattr(reference._neurons[n], "_currents", None)):
                    for field in ("cell", "v", "i"):
                        if hasattr(holder, f"_{field}"):
                            self.states[n, field][place] = getattr(holder, f"_{field}").copy()
        return section


def test_the_states_are_those_after_the_step(kept):
    """The plain reference's, to the bit, where it keeps one of that name."""
    if "states" not in kept.options.save:
        pytest.skip("its fingerprint is of tensors")
    states, network = kept.opened("states"), kept.job.placement.network
    lengths = states.pop("lengths")
    played = Remembered(prepare(kept.options))
    played.play(sys.maxsize)
    assert len(lengths) == len(kept.report["events"]["sequences"])
    for (n, field), places in played.states.items():
        array = states[f"{network.populations[n].name}.{field}"]
        assert array.shape == (len(lengths), lengths.max(), network.populations[n].units)
        assert len(places) == lengths.sum()
        assert all(np.array_equal(array[place], state) for place, state in places.items())


def test_what_a_workload_computes_is_kept(kept):
    """Scores, logits, actions: each row as the readout hands it on where the reference stands for the chip."""
    if not has_reference(kept.job.placement.network):
        pytest.skip("its plain reference is of tensors, tests/test_dnn_runs.py")
    played, rows = Played(prepare(kept.options)), []
    if kept.own:
        played.job.readout.save_rows_to(lambda *row: rows.append((*row[:-1], row[-1].copy())))
    played.play(sys.maxsize)
    files = {name: kept.opened(name) for name in kept.own}
    assert {name for name, *_ in rows} == set(kept.own)
    for name, of, sequence, position, row in rows:
        assert np.array_equal(files[name][of][sequence, position], row), (name, of, sequence, position)


@pytest.mark.few(1)
def test_saving_changes_no_bit_and_leaves_nothing_else(kept):
    """Beside a run that saves nothing, on other PEs."""
    plain = kept.example.run(transport="mem", batch=2, pes=kept.options.pes + 3)
    assert read_report(plain.folder)["events"] == kept.report["events"]
    extra = {path.name for path in kept.folder.iterdir()} - {path.name for path in plain.folder.iterdir()}
    assert extra == {f"{name}.npz" for name in kept.options.save} == set(kept.report["saved"])
    assert all((kept.folder / name).stat().st_size == size for name, size in kept.report["saved"].items())
    assert kept.options.save == tuple(json.loads((kept.folder / "config.json").read_text())["save"])


# -- logits


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    return Example(workloads()["lm"], tmp_path_factory.mktemp("words"))


def test_logits_give_each_token_s_perplexity(language):
    ran = language.run(transport="mem", batch=2, save=("logits",))
    saved, result = opened(ran.folder, "logits"), ran.report["result"]
    logits, target, nats = saved["logits"], saved["target"], saved["cross_entropy_nats"]
    assert logits.shape == (2, result["tokens"] // 2, result["vocabulary"])
    assert saved["lengths"].tolist() == [logits.shape[1]] * 2
    for lane in range(2):
        for position in range(logits.shape[1]):
            assert nats[lane, position] == -log_likelihood(logits[lane, position].copy(), int(target[lane, position]))
    assert nats.sum() == pytest.approx(result["cross_entropy_nats"], rel=1e-12)


@pytest.mark.wide
def test_logits_of_a_prompt_are_those_of_the_words_that_were_drawn(language):
    options = {"text": None, "tokens": None, "prompt": "word1 word2", "generate": 4, "temperature": 0.0}
    ran = language.run(transport="mem", save=("logits",), **options)
    saved = opened(ran.folder, "logits")
    assert saved["word"].tolist() == [ran.report["result"]["generated"]]
    assert saved["logits"].shape[:2] == (1, 4)


@pytest.mark.wide
def test_scores_of_gestures_are_there_after_every_frame(tmp_path):
    example = Example(workloads()["dvs"], tmp_path)
    ran = example.run(transport="mem", batch=2, save=("logits",))
    scores = opened(ran.folder, "logits")["scores"]
    for sample, prediction in enumerate(ran.report["result"]["predictions"]):
        assert scores[sample, -1].tolist() == pytest.approx(prediction["scores"])


# -- bounds


@pytest.mark.wide
def test_what_is_kept_streams_to_disk(gated, tmp_path):
    """80 MB of rows take a few megabytes of memory, and nothing is left but the file that was asked for."""
    job = gated.job
    saved = SavedRun(job, ["outputs", "events"], tmp_path)
    row, rows, told = np.arange(10_000, dtype="f4"), 2000, []  # 80 MB
    tracemalloc.start()
    for position in range(rows):
        saved.add_row("outputs", "y", position % 2, position // 2, row)
    size = saved.write_file("outputs", tmp_path / "y.npz", lambda: told.append(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    saved.close()
    assert size > rows * row.nbytes
    assert len(told) >= 80e6 / 4.2e6  # so that nobody takes a process that writes for one that stands still
    assert peak < 24e6
    assert [path.name for path in tmp_path.iterdir()] == ["y.npz"]
    with np.load(tmp_path / "y.npz") as file:
        assert file["y"].shape == (2, rows // 2, len(row))
        assert (file["y"] == row).all()


def test_a_disk_without_room_is_told_of_at_the_end_and_leaves_no_half_a_file(gated, tmp_path):
    """The run goes on: its report is worth more than what was to be kept."""
    saved = SavedRun(gated.job, ["outputs"], tmp_path)
    saved.add_row("outputs", "y", 0, 0, np.ones(3))
    ((_, rows),) = saved._rows["outputs"].items()

    def write(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows.spool, "_file", SimpleNamespace(write=write))
        saved.add_row("outputs", "y", 0, 1, np.ones(3))
    with pytest.raises(OSError, match="No space left on device"):
        saved.write(tmp_path)
    saved.close()
    assert not list(tmp_path.iterdir())


def test_rows_of_unequal_sequences_in_any_order_come_out_in_order(gated):
    saved = SavedRun(gated.job, ["outputs"])
    for sequence, position in ((2, 1), (0, 2), (0, 0), (2, 0), (0, 1)):
        saved.add_row("outputs", "y", sequence, position, np.float32([sequence, position]))
    arrays = saved.arrays("outputs")
    assert arrays["lengths"].tolist() == [3, 0, 2]
    assert arrays["y"][0].tolist() == [[0, 0], [0, 1], [0, 2]]
    assert not arrays["y"][1].any()
    assert arrays["y"][2].tolist() == [[2, 0], [2, 1], [0, 0]]


def test_sizes_of_small_files_are_no_zeros():
    from host.show.summary import _size

    assert [_size(size) for size in (300, 93_700, 1_234_567)] == ["0.3 kB", "93.7 kB", "1.23 MB"]
