"""The feature workload: vectors in, no word and no read-out; the answers are the reference's."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from host.cli import main
from host.errors import HostError
from host.launch.launcher import Launcher
from host.workloads.arrays.options import Options
from host.workloads.arrays.vectors import VectorSource, load_features, save_features, seeded_features
from models.checkpoint import Model, save
from noc.packet import FRESH, RESET, VALID
from tests.tools.tiny import UNITS, tiny_network

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A bare stack of layers and three sequences of nine vectors."""
    folder = tmp_path_factory.mktemp("features")
    save(folder / "bare.safetensors", Model(tiny_network()))
    save_features(folder / "features.safetensors", seeded_features(3, 9, UNITS))
    return folder


def run(files, **options):
    chosen = {"checkpoint": str(files / "bare.safetensors"), "features": str(files / "features.safetensors")}
    chosen |= {"pes": 4, "transport": "mem"}
    chosen = Options(**chosen | options)
    chosen.check()
    return Launcher(chosen, lambda _: None, lambda _: None).run()


def test_every_event_is_the_reference_s_and_a_batch_is_its_sequences(files):
    done = run(files, batch=3, verify=True)
    assert done.problem is None
    assert done.mismatch["difference"] is None
    assert done.mismatch["compared"] == 3 * 9 * 68
    assert done.report["result"] == {"vectors": 27, "source": "features.safetensors", "note": ""}
    assert done.report["events"]["positions"] == 9
    for number, wanted in enumerate(done.report["events"]["sequences"]):
        one = files / f"one-{number}.safetensors"
        save_features(one, seeded_features(3, 9, UNITS)[number : number + 1])
        alone = run(files, features=str(one))
        assert alone.report["events"]["sequences"] == [wanted]
        assert alone.report["modelled"]["time_s"] > 0


def test_a_sequence_begins_fresh_and_has_no_segments():
    feeds = VectorSource({0: SimpleNamespace(feed=lambda rows: (rows.tolist(), b""))}, 2, 3)
    assert [feeds.next() for _ in range(4)] == [
        (0, VALID | FRESH | RESET, {0: ([0, 3], b"")}, b""), (1, VALID, {0: ([1, 4], b"")}, b""),
        (2, VALID, {0: ([2, 5], b"")}, b""), None,
    ]  # fmt: skip
    assert feeds.exhausted()


def test_fewer_frames_are_the_first_ones(files):
    assert run(files, tokens=4).report["result"]["vectors"] == 4
    path = files / "features.safetensors"
    assert (load_features(path, UNITS, 2, 4) == load_features(path, UNITS, 3, None)[:2, :4]).all()


def test_between_processes_too(files):
    assert run(files, transport="zmq").report["events"]["sha256"] == run(files).report["events"]["sha256"]


def test_a_sequence_does_not_depend_on_how_many_follow():
    assert (seeded_features(3, 5, 7)[:1] == seeded_features(1, 5, 7)).all()


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (None, "cannot be read"),
        (
            np.zeros((3, 9, UNITS + 1), np.float32),
            f"needs (sequences, frames, {UNITS}) of float32 for this network, has (3, 9, 21)",
        ),
        (np.zeros((1, 9, UNITS), np.float32), "needs 2 sequences, has 1"),
        (np.zeros((2, 3, UNITS), np.float32), "needs 5 frames, has 3"),
        (np.full((2, 9, UNITS), np.nan, np.float32), "numbers are not finite"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_line(tmp_path, array, line):
    path = tmp_path / "some.safetensors"
    if array is not None:
        save_features(path, array)
    with pytest.raises(HostError) as caught:
        load_features(path, UNITS, 2, 5)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"layers": (8, 8)}, "checkpoint and layers: choose one, layers is of a seeded network"),
        ({"checkpoint": None, "threshold": 0.1, "activity": 0.2}, "threshold and activity: choose one"),
        ({"checkpoint": None, "input": 8, "layers": (8, 8)}, "needs (sequences, frames, 8) of float32"),
    ],
)
def test_options_that_contradict_each_other_get_one_line(files, wrong, line):
    if "layers" in wrong and "checkpoint" in wrong:
        outcome = run(files, **wrong)
        assert (outcome.code, line in outcome.problem) == (2, True)
        return
    with pytest.raises(HostError, match=re.escape(line)):
        run(files, **wrong)


def test_a_seeded_network_on_seeded_numbers_needs_no_file(files):
    done = run(files, checkpoint=None, features=None, input=8, layers=(8, 8), tokens=3, verify=True)
    assert done.mismatch["difference"] is None
    assert done.report["result"]["vectors"] == 3


def test_sizes_that_are_none_get_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["features", "--layers", "8,b"])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert "argument --layers: needs sizes such as 64,64,20, has '8,b'" in error
