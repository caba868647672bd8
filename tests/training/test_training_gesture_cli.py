"""The gesture trainer's command line: one command from a folder of recordings to a checkpoint that the emulator runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
pytest.importorskip("tqdm", reason="the trainer's extra is not installed")

from models.checkpoint import load  # noqa: E402 - needs torch
from models.dvs.folder import open_folder  # noqa: E402
from models.dvs.frames import FrameSpec, frames_of  # noqa: E402
from models.dvs.samples import CLASSES  # noqa: E402
from models.dvs.write_dataset import write_synthetic  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.gesture.conformance import emulate  # noqa: E402
from tests.tools.command_lines import Done, run_command  # noqa: E402

pytestmark = [pytest.mark.wide, pytest.mark.timeout(120)]
TINY = ("--width", 0.05, "--features", 8, "--hidden", "8,6", "--epochs", 1, "--batch", 8, "--threads", 1)


@pytest.fixture
def train(capfd, monkeypatch, tmp_path):
    """Return a function that runs `python -m models.training` in an empty folder, within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    threads = torch.get_num_threads()

    def go(*arguments: object) -> Done:
        return run_command(main, arguments, capfd.readouterr)

    yield go
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder in DVS128 Gesture's layout: two people to train on, of whom one's recording breaks off, one to test on."""
    folder = tmp_path_factory.mktemp("dvs128")
    write_synthetic(folder, train=2, test=1, lights=1, repetitions=1)
    broken = sorted(folder.glob("user0*.aedat"))[1]
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 3 // 4])
    return folder, broken.name


@pytest.mark.slow
def test_a_folder_of_recordings_becomes_a_checkpoint_that_the_emulator_runs(train, recordings, tmp_path):
    folder, broken = recordings
    done = train("gesture", "--events", folder, "--out", "run", *TINY)
    assert done.returncode == 0, done.stderr
    assert "checkpoint   run/model.safetensors" in done.stdout
    damage = next(line for line in done.stdout.splitlines() if "damaged" in line)
    assert broken in damage
    assert "byte" in damage
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["hidden"] == "8,6"

    model = load(tmp_path / "run" / "model.safetensors")
    record = model.gesture.record
    assert [population.units for population in model.network.populations] == [8, 8, 6]
    assert record["samples"]["test"] == len(record["torch_predictions"]) == len(record["labels"]) == 11
    assert 11 < record["samples"]["train"] + record["samples"].get("valid", 0) < 22
    assert 0 <= record["mean_frame_accuracy"] <= 1
    assert record["seconds"] >= 0
    assert not set(record["subjects"]["train"]) & set(record["subjects"]["test"])
    right = sum(a == b for a, b in zip(record["torch_predictions"], record["labels"], strict=True))
    assert record["accuracy"] == pytest.approx(right / 11)

    # What is recorded is what the stored weights do: rounded before they were scored.
    spec = FrameSpec(scale=model.gesture.scale)
    for number, sample in enumerate(open_folder(folder, "test").samples()):
        scores = emulate(model, frames_of(sample.events, spec)).scores
        np.testing.assert_allclose(scores, record["torch_scores"][number], atol=1e-4)
        assert CLASSES[sample.label] == CLASSES[record["labels"][number]]

    done = train("gesture-conform", "run/model.safetensors", "--events", folder)
    assert done.returncode == 0, done.stderr
    assert "11 of 11 the same as torch's" in done.stdout
    assert "DOES NOT AGREE" not in done.stdout
    assert "not the frames" not in done.stdout
    done = train("gesture-conform", "run/model.safetensors", "--events", folder, "--samples", 2, "--cache", "kept")
    assert "2 of 2 the same" in done.stdout

    # The same command finds the run complete, and its frames kept.
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = train("gesture", "--events", folder, "--out", "run", *TINY)
    assert again.returncode == 0, again.stderr
    assert broken in again.stdout  # kept frames still tell
    assert load(tmp_path / "run" / "model.safetensors").gesture.record == record
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns > before


def test_tonics_folder_is_trained_on(train, tmp_path):
    """x, y, polarity and milliseconds, in a file a gesture."""
    rng = np.random.default_rng(0)
    for top, users in (("ibmGestureTrain", ("user01_led", "user02_led")), ("ibmGestureTest", ("user24_led",))):
        for user in users:
            (tmp_path / "tonic" / top / user).mkdir(parents=True)
            for label in range(2):
                when = np.sort(rng.uniform(0, 1800, 3000))
                x, y = rng.integers(60 * label, 60 * label + 40, (2, 3000))
                rows = np.stack([x, y, rng.integers(0, 2, 3000), when], 1)
                np.save(tmp_path / "tonic" / top / user / f"{label}.npy", rows)
    done = train("gesture", "--events", "tonic", "--out", "run", "--variant", "plain", "--valid-subjects", 0, *TINY)
    assert done.returncode == 0, done.stderr
    model = load(tmp_path / "run" / "model.safetensors")
    assert model.gesture.trace == 0
    assert model.gesture.record["samples"] == {"train": 4, "test": 2}
    assert train("gesture-conform", "run/model.safetensors", "--events", "tonic").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--variant", "both"), "--variant 'both': needs one of trace, plain"),
        (("--hidden", "a"), "--hidden 'a': needs sizes such as 256,256"),
        (("--hidden", ""), "--hidden '': needs layers of 1 to 65,536 units"),
        (("--size", 48), "--size 48: needs one of 32, 64, 128"),
        (("--zoneout", 1.0), "--zoneout 1.0: needs a share from 0 to below 1"),
        (("--width", 0), "--width 0.0: needs a number above 0"),
        (("--epochs", 0), "--epochs 0: needs at least 1"),
        (("--turn", -1), "--turn -1.0: needs a number from 0"),
        (("--threshold-mean", 1.0), "--threshold-mean 1.0: needs a number between 0 and 1"),
        (("--activity-floor", 0.9), "--activity-floor 0.9: needs at most --activity-target"),
        (("--device", "abacus"), "--device abacus: torch"),
        (("--threads", -1), "--threads -1: needs 0"),
        (("--events", "nowhere"), "nowhere"),
        (("--epoch", 3), "unrecognized arguments"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(train, arguments, line):
    done = train("gesture", "--out", "run", *arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_people_in_both_splits_are_refused(train, tmp_path):
    rows = np.stack([np.arange(200) % 128, np.arange(200) % 128, np.ones(200), np.linspace(0, 1750, 200)], 1)
    for top in ("ibmGestureTrain", "ibmGestureTest"):
        (tmp_path / "tonic" / top / "user05_led").mkdir(parents=True)
        np.save(tmp_path / "tonic" / top / "user05_led" / "0.npy", rows)
    done = train("gesture", "--events", "tonic", "--out", "run", *TINY)
    assert done.returncode == 2
    assert "user05 is in both splits" in done.stderr


@pytest.mark.parametrize("checkpoint", ["nothing.safetensors", "tiny"])
def test_only_a_gesture_checkpoint_can_be_compared(train, checkpoint):
    from models.shipped import __file__ as shipped

    path = shipped.replace("__init__.py", "tiny.safetensors") if checkpoint == "tiny" else checkpoint
    done = train("gesture-conform", path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert ("needs a gesture classifier" if checkpoint == "tiny" else "nothing.safetensors") in done.stderr
