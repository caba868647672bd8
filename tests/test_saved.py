"""`--save`: events, states, outputs and logits of a run in files of numpy; and no bit of the run is another for it."""

from __future__ import annotations

import errno
import hashlib
import json
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from host.run import saved as module
from host.run.saved import EVENT, SavedRun
from host.run_folder import read_report
from host.workloads.registry import prepare, workloads
from models.heads.language import log_likelihood
from tests.tools.examples import Example

pytestmark = pytest.mark.timeout(120)
# Of the workloads whose events are float32 numbers of gated units.
EVERYTHING = {"arrays": ("events", "states", "outputs"), "dvs": module.SAVED, "lm": module.SAVED}


@pytest.fixture(scope="module", params=tuple(EVERYTHING))
def kept(request, tmp_path_factory):
    """A workload's smallest run with everything saved: (its options, its folder, its report)."""
    folder = tmp_path_factory.mktemp(request.param)
    example = Example(workloads()[request.param], folder)
    chosen = {"transport": "mem", "batch": 2, "save": EVERYTHING[request.param]}
    ran = example.run(**chosen)
    return example.options(**chosen), ran.folder, read_report(ran.folder)


def opened(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def test_the_events_are_those_of_the_hash(kept):
    """Sorted by sequence, population and position they give the run's own SHA-256."""
    _, folder, report = kept
    file = opened(folder, "events")
    events, total = file["events"], hashlib.sha256()
    assert events.dtype == EVENT
    assert len(events) == report["events"]["count"]
    layers = [number for number, name in enumerate(file["populations"]) if number]
    for sequence in range(len(report["events"]["sequences"])):
        digests = []
        for layer in layers:
            here = events[(events["sequence"] == sequence) & (events["population"] == layer)]
            assert (np.diff(here["position"].astype(int)) >= 0).all()
            record = np.empty((len(here), 4), "<u4")
            record[:, 0], record[:, 1], record[:, 2] = here["position"], layer, here["unit"]
            record[:, 3] = here["value"].astype("<f4").view("<u4")
            digests.append(hashlib.sha256(record.tobytes()).digest())
        of_sequence = hashlib.sha256(b"".join(digests)).digest()
        assert of_sequence.hex() == report["events"]["sequences"][sequence]
        total.update(np.uint32(sequence).tobytes() + of_sequence)
    assert total.hexdigest() == report["events"]["sha256"]


def test_pandas_opens_a_raster_in_one_line(kept):
    pandas = pytest.importorskip("pandas")
    _, folder, report = kept
    frame = pandas.DataFrame(np.load(folder / "events.npz")["events"])  # the line of docs/run.md
    assert list(frame.columns) == ["sequence", "position", "phase", "population", "unit", "value"]
    assert len(frame) == report["events"]["count"]


def test_the_outputs_are_what_the_last_population_sends(kept):
    """A number for every unit and position, zero where there is no event."""
    _, folder, report = kept
    file, outputs = opened(folder, "events"), opened(folder, "outputs")
    lengths = outputs.pop("lengths")
    ((name, answers),) = outputs.items()
    last = len(file["populations"]) - 1
    assert name == "outputs"
    events = file["events"][file["events"]["population"] == last]
    spread = np.zeros_like(answers)
    spread[events["sequence"], events["position"], events["unit"]] = events["value"]
    assert np.array_equal(answers, spread)
    assert answers.shape[:2] == (len(report["events"]["sequences"]), lengths.max())


def test_the_states_are_those_after_the_step(kept):
    """Where a unit has fired its cell state is its value less its threshold, to the bit; elsewhere it is below the threshold."""
    options, folder, _ = kept
    file, states, network = opened(folder, "events"), opened(folder, "states"), prepare(options).placement.network
    lengths = states.pop("lengths")
    assert sorted(states) == sorted(f"{network.populations[n].name}.cell" for n in network.layers)
    for n in network.layers:
        layer = network.populations[n]
        cells, threshold = states[f"{layer.name}.cell"], layer.vectors["threshold"]
        assert cells.shape == (len(lengths), lengths.max(), layer.units)
        events = file["events"][file["events"]["population"] == n]
        where = events["sequence"], events["position"], events["unit"]
        assert np.array_equal(cells[where], events["value"].astype("f4") - threshold[events["unit"]])
        silent = np.ones(cells.shape, bool)
        silent[where] = False
        assert (cells <= threshold)[silent].all()


def test_saving_changes_no_bit_and_leaves_nothing_else(kept, tmp_path):
    options, folder, report = kept
    example = Example(workloads()[options.workload], tmp_path)
    plain = example.run(transport="mem", batch=2)
    assert read_report(plain.folder)["events"] == report["events"]
    extra = {path.name for path in folder.iterdir()} - {path.name for path in plain.folder.iterdir()}
    assert extra == {f"{name}.npz" for name in EVERYTHING[options.workload]} == set(report["saved"])
    assert all((folder / name).stat().st_size == size for name, size in report["saved"].items())
    assert options.save == tuple(json.loads((folder / "config.json").read_text())["save"])


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


def test_logits_of_a_prompt_are_those_of_the_words_that_were_drawn(language):
    options = {"text": None, "tokens": None, "prompt": "word1 word2", "generate": 4, "temperature": 0.0}
    ran = language.run(transport="mem", save=("logits",), **options)
    saved = opened(ran.folder, "logits")
    assert saved["word"].tolist() == [ran.report["result"]["generated"]]
    assert saved["logits"].shape[:2] == (1, 4)


def test_scores_of_gestures_are_there_after_every_frame(tmp_path):
    example = Example(workloads()["dvs"], tmp_path)
    ran = example.run(transport="mem", batch=2, save=("logits",))
    scores = opened(ran.folder, "logits")["scores"]
    for sample, prediction in enumerate(ran.report["result"]["predictions"]):
        assert scores[sample, -1].tolist() == pytest.approx(prediction["scores"])


# -- bounds


def test_what_is_kept_streams_to_disk(kept, tmp_path):
    """80 MB of rows take a few megabytes of memory, and nothing is left but the file that was asked for."""
    job = prepare(kept[0])
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


def test_a_disk_without_room_is_told_of_at_the_end_and_leaves_no_half_a_file(kept, tmp_path):
    """The run goes on: its report is worth more than what was to be kept."""
    saved = SavedRun(prepare(kept[0]), ["outputs"], tmp_path)
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


def test_rows_of_unequal_sequences_in_any_order_come_out_in_order(kept):
    saved = SavedRun(prepare(kept[0]), ["outputs"])
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
