"""`launch.py dvs` as a user meets it: what they type, what they get, and one line with an exit code for what they get wrong."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from test_cli import KEYS

from host.cli import main
from host.run_folder import read_report
from models.checkpoint import Model, load, save
from models.dvs.samples import CLASSES
from models.dvs.synthetic import open_synthetic
from models.dvs.write_dataset import write_synthetic
from models.seeded import seeded_gesture
from tests.tools.command_lines import run_command
from tests.tools.gestures import SLICE_US, run, save_paper_sized, save_small

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints, and two recordings of eleven gestures each."""
    place = tmp_path_factory.mktemp("dvs")
    save_small(place / "small.safetensors")
    save_paper_sized(place / "paper.safetensors")
    write_synthetic(place / "set", train=0, test=1, lights=2, slice_us=SLICE_US)
    return place


@pytest.fixture
def launch(capfd, monkeypatch, tmp_path):
    """Return a function that runs `launch.py` in an empty folder, within this process."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        return run_command(main, arguments, capfd.readouterr)

    return go


@pytest.fixture
def dvs(launch, folder, tmp_path):
    """Return a function that runs `dvs` on the small model, and one that returns its report."""

    def go(*arguments, model="small.safetensors", pictures=False):
        leave_out = () if pictures else ("--no-pictures",)
        return launch("dvs", "--checkpoint", folder / model, "--transport", "mem", "--out", "out", *leave_out, *arguments)

    go.report = lambda: read_report(tmp_path / "out")
    return go


def metric(report, name):
    """The value of one of a report's metrics."""
    return next(one["value"] for one in report["metrics"] if one["name"] == name)


@pytest.mark.wide
def test_a_run_writes_its_folder_and_prints_what_it_did(dvs, tmp_path):
    done = dvs("--samples", 11, "--pes", 4, "--batch", 3, pictures=True)
    assert (done.returncode, done.stderr) == (0, "")
    report = dvs.report()
    for key in KEYS:  # those of every run are all there
        if key.startswith("result."):
            continue
        value = report
        for part in key.split("."):
            value = value[part]
    found = report["result"]
    assert found["samples"] == len(found["predictions"]) == 11
    assert found["classes"] == list(CLASSES)
    right = sum(one["prediction"] == one["label"] for one in found["predictions"])
    assert found["accuracy"] == right / 11
    assert [sum(row) for row in found["confusion"]] == [1] * 11  # each class once, rows are the truth
    assert sum(found["confusion"][place][place] for place in range(11)) == right
    known = [(s.name, s.subject, s.label) for s, _ in zip(open_synthetic("test", SLICE_US).samples(), range(11), strict=False)]
    assert [(one["name"], one["subject"], one["label"]) for one in found["predictions"]] == known
    for one in found["predictions"]:
        assert one["scores"].index(max(one["scores"])) == one["prediction"]
    assert metric(report, "sample_time") == pytest.approx(1e3 * report["modelled"]["time_s"] / 11)
    assert metric(report, "sample_energy") == pytest.approx(1e3 * report["modelled"]["energy_j"] / 11)
    for words in (
        report["events"]["sha256"],
        f"accuracy     {100 * right / 11:.1f} %: {right} of 11 samples",
        "60.19 ms",
        "56.20 ms",
    ):
        assert words in done.stdout
    assert json.loads((tmp_path / "out" / "config.json").read_text())["workload"] == "dvs"
    page = (tmp_path / "out" / "report.html").read_text()
    assert ">Gestures</h2>" in page
    assert all(name in page for name, _, _ in known)
    assert "a token" not in page


@pytest.mark.wide
def test_every_documented_key_is_in_the_report_and_the_other_way_round(dvs):
    dvs("--samples", 2, "--pes", 2)
    report, text = dvs.report(), (ROOT / "docs" / "report.md").read_text()
    documented = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    documented -= {"counters.tiles", "counters.layers"}  # of a scheduled DNN
    for block in ("events", "mapping", "counters", "emulation", "chip", "modelled", "neurobench"):
        have = {f"{block}.{key}" for key in report[block]}
        keys = {name for name in documented if name.startswith(f"{block}.") and name.count(".") == 1}
        assert have == {name for name in keys if not name.endswith(".json")}  # those are files


@pytest.mark.wide
def test_the_default_is_as_many_as_there_are_up_to_four_of_each_gesture(dvs, folder):
    assert dvs("--events", folder / "set", "--pes", 2, "--batch", 8).returncode == 0
    found = dvs.report()["result"]
    assert (found["samples"], found["samples_asked"]) == (22, None)


@pytest.mark.slow
def test_recordings_in_files_are_the_synthetic_ones(dvs, folder, tmp_path):
    assert dvs("--events", folder / "set", "--pes", 3).returncode == 0
    from_files = {one["name"]: one["scores"] for one in dvs.report()["result"]["predictions"]}
    shutil.rmtree(tmp_path / "out")
    assert dvs("--events", "synthetic", "--samples", 88, "--batch", 11, "--pes", 3).returncode == 0
    rendered = {one["name"]: one["scores"] for one in dvs.report()["result"]["predictions"]}
    both = from_files.keys() & rendered.keys()
    assert len(both) >= 5
    assert {name: from_files[name] for name in both} == {name: rendered[name] for name in both}


@pytest.mark.wide
def test_a_damaged_recording_is_named_with_its_byte_and_the_rest_still_runs(dvs, folder, tmp_path):
    shutil.copytree(folder / "set", tmp_path / "set")
    first, _ = sorted((tmp_path / "set").glob("*.aedat"))
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    done = dvs("--events", "set", "--samples", 22, "--pes", 2, "--batch", 4)
    assert (done.returncode, done.stderr) == (0, "")
    found = dvs.report()["result"]
    assert 11 <= found["samples"] < 22
    assert found["samples_asked"] == 22
    (line,) = found["damages"]
    assert first.name in line
    assert f"byte {first.stat().st_size}"[:9] in line
    assert f"damaged      {line}" in done.stdout
    assert f"of {found['samples']} samples of 22 asked for" in done.stdout


def test_where_nothing_can_be_read_the_run_is_refused_with_the_first_damage(dvs, folder, tmp_path):
    shutil.copytree(folder / "set", tmp_path / "set")
    for path in (tmp_path / "set").glob("*.aedat"):
        path.write_bytes(b"#!AER-DAT3.1\r\n")
    done = dvs("--events", "set", "--pes", 2)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--events set: no sample of the test split can be read: " in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.few(1)
@pytest.mark.parametrize("transport", ["mem", "zmq"])
def test_an_interrupted_run_keeps_what_was_known(folder, transport):
    struck = []

    def observe(status):
        if status["phase"] == "running" and status["metrics"][0]["value"] is not None and not struck:
            struck.append(os.kill(os.getpid(), signal.SIGINT))

    done = run(folder / "small.safetensors", observe, samples=300, pes=3, transport=transport)
    assert (done.code, done.problem) == (130, "interrupted")
    found = done.report["result"]
    assert done.report["partial"] is True
    assert 1 <= found["samples"] == len(found["predictions"]) < 300
    assert metric(done.report, "sample_time") > 0


@pytest.mark.wide
def test_the_monitor_is_told_the_frame_and_the_scores_as_they_rise(folder):
    seen = []
    run(folder / "small.safetensors", lambda status: seen.append(status["shown"]), samples=60, pes=2)
    assert {len(known["frame"]) for known in seen} == {64}
    assert all(len(known["scores"]) == 11 and 0 <= known["label"] < 11 for known in seen)
    assert [known["sample"] for known in seen] == sorted(known["sample"] for known in seen)
    assert seen[-1]["sample"] <= seen[-1]["samples"] == 60


# -- torch beside it


@functools.cache
def synthetic(samples):
    """Return the name and the first labels of the synthetic test set."""
    kind = open_synthetic("test", SLICE_US)
    return kind.source, [sample.label for sample, _ in zip(kind.samples(), range(samples), strict=False)]


def record(samples=22, **changed):
    """What a trainer leaves in a checkpoint: here that torch finds every sample's class."""
    source, labels = synthetic(samples)
    scores = [[1.0 if place == label else 0.0 for place in range(11)] for label in labels]
    known = {"events": source, "torch_predictions": labels, "labels": labels, "torch_scores": scores}
    return known | {"mean_frame_accuracy": 0.5} | changed


@pytest.mark.wide
def test_the_same_network_in_torch_stands_beside_it_where_the_checkpoint_has_it_on_record(dvs, tmp_path):
    save_small(tmp_path / "told.safetensors", record=record())
    done = dvs("--samples", 11, "--pes", 2, model=tmp_path / "told.safetensors")
    found = dvs.report()["result"]
    assert (found["baseline_accuracy"], found["mean_frame_accuracy"], found["baseline_note"]) == (1.0, 0.5, None)
    assert [one["baseline"] for one in found["predictions"]] == [one["label"] for one in found["predictions"]]
    agree = sum(one["prediction"] == one["label"] for one in found["predictions"])
    assert found["baseline_agreement"] == agree
    assert found["baseline_score_difference"] == pytest.approx(
        max(abs(score - (place == one["label"])) for one in found["predictions"] for place, score in enumerate(one["scores"]))
    )
    assert f"the same network in torch 100.0 %, ANOTHER class for {11 - agree} of 11 samples" in done.stdout
    assert "a logistic regression on the mean frame 50.0 %" in done.stdout


@pytest.mark.wide
@pytest.mark.parametrize(
    ("known", "flags", "why"),
    [
        (None, (), "has no record of torch"),
        pytest.param({"events": "other people"}, (), "is of other samples (other people, test)", marks=pytest.mark.slow),
        pytest.param({}, ("--split", "train"), "is of other samples", marks=pytest.mark.slow),
        pytest.param({"samples": 3}, (), "has 3 samples", marks=pytest.mark.slow),
        ({"labels": [0] * 22}, (), "is of samples in another order"),
        pytest.param({"torch_predictions": ["drums"] * 22}, (), "has 22 samples", marks=pytest.mark.slow),
    ],
)
def test_torch_is_null_with_a_reason_where_the_record_does_not_cover_the_samples(dvs, tmp_path, known, flags, why):
    save_small(tmp_path / "told.safetensors", record={} if known is None else record(**known))
    assert dvs("--samples", 5, "--pes", 2, *flags, model=tmp_path / "told.safetensors").returncode == 0
    found = dvs.report()["result"]
    assert (found["baseline_accuracy"], found["baseline_agreement"], found["baseline_score_difference"]) == (None, None, None)
    assert why in found["baseline_note"]


# -- what users do wrong

WRONG = [
    (("--samples", 0), 2, "--samples 0: needs a whole number of at least 1"),
    (("--batch", 0), 2, "--batch 0: needs a whole number of at least 1"),
    (("--split", "valid"), 2, "--split 'valid': have train, test"),
    (("--events", "nowhere"), 2, "--events nowhere: "),
    (("--pes", 200), 3, "--pes 200: one chip has 152 PEs"),
    (("--pes", 40), 3, "use at most --pes 32"),
    (("--format", "dens"), 2, "did you mean 'dense'?"),
    (("--tokens", 5), 2, "unrecognized arguments: --tokens"),
    (("--fault", "shuffle=x"), 2, "--fault 'shuffle=x'"),
    (("--trace-positions", -1), 2, "--trace-positions -1: needs at least 0"),
]


@pytest.mark.few(3)
@pytest.mark.parametrize(("arguments", "code", "line"), WRONG, ids=[" ".join(map(str, w[0])) for w in WRONG])
def test_a_wrong_flag_gets_one_line(dvs, tmp_path, arguments, code, line):
    done = dvs(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert line in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_fewer_pes_than_the_dense_shards_need_are_refused_by_dvs_and_by_fit(dvs, launch, folder, tmp_path):
    for done in (
        dvs("--pes", 48, model="paper.safetensors"),
        launch("fit", folder / "paper.safetensors", "--pes", 48, "--format", "dense"),
    ):
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        for words in ("PE(", "egru1", "use --pes 51 or more"):
            assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_refused_with_the_largest_that_does(dvs, tmp_path):
    one = ("--samples", 1, "--pes", 2, "--batch")
    done = dvs(*one, 5000)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert not (tmp_path / "out").exists()
    largest = int(done.stderr.split("the largest batch that fits on these PEs is --batch ")[1].split(";")[0])
    assert dvs(*one, largest + 1).returncode == 3
    assert dvs(*one, largest).returncode == 0


def test_a_checkpoint_without_a_classifier_and_one_of_other_classes_are_refused(dvs, folder, tmp_path):
    save(tmp_path / "bare.safetensors", Model(load(folder / "small.safetensors").network))
    save(tmp_path / "five.safetensors", seeded_gesture())
    for name, line in (("bare", "has no head and read-out for gestures"), ("five", "knows 5 classes, needs hand clapping, ")):
        done = dvs(model=tmp_path / f"{name}.safetensors")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert line in done.stderr


def test_help_reads_well(launch):
    done = launch("dvs", "--help")
    assert done.returncode == 0
    assert all(flag in done.stdout for flag in ("--events", "--samples", "--batch", "--checkpoint", "--pes", "--format"))
    assert "dvs" in launch("--help").stdout
