"""Whatever is odd about a set of recordings is named and counted, changes no sample in silence, and never stops the set."""

from __future__ import annotations

import numpy as np
import pytest
from test_dvs_folder import every, listed, milliseconds, names, read, recording, tonic

from host.workloads.dvs.options import Options
from host.workloads.dvs.prepare import prepare
from tests.tools.dvs_bytes import HEADER, aedat, event, packet
from tests.tools.gestures import save_small


def one_recording(folder, raw, *spans):
    """Samples and damages of a set of one recording."""
    recording(folder, "user01_led.aedat", raw, *spans)
    listed(folder, "user01_led.aedat")
    samples, damages = read(folder)
    return names(samples), damages


# --- lists --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["user01_led.aedat", "./user01_led.aedat", "user02_link.aedat"])
def test_a_recording_that_is_listed_twice_is_taken_once_and_named(tmp_path, again):
    recording(tmp_path, "user01_led.aedat", every(10, 400), (1, 0, 100))
    (tmp_path / "user02_link.aedat").symlink_to("user01_led.aedat")
    listed(tmp_path, "user01_led.aedat", again)
    samples, (damage,) = read(tmp_path)
    assert names(samples) == ["user01_led.aedat[0]#0"]
    assert damage.why == f"line 2: {again.removeprefix('./')} again, as in line 1; taken once"
    assert damage.offset == len("user01_led.aedat\n")


def test_a_copy_under_another_name_is_named_and_both_are_kept(tmp_path):
    for user in ("user01", "user02"):
        recording(tmp_path, f"{user}_led.aedat", every(10, 400), (1, 0, 100))
    listed(tmp_path, "user01_led.aedat", "user02_led.aedat")
    samples, (damage,) = read(tmp_path)
    assert len(samples) == 2
    assert damage.why.startswith("line 2: user02_led.aedat holds the events of line 1")


def test_recordings_to_train_and_to_test_on_alike_are_named(tmp_path):
    for n, user in enumerate(("user01", "user02", "user03")):
        recording(tmp_path, f"{user}_led.aedat", every(10, 400, start=n), (1, 100, 200))
    listed(tmp_path, "user01_led.aedat", "user02_led.aedat")
    listed(tmp_path, "user03_led.aedat", "user02_led.aedat", "./user01_led.aedat", split="test")
    samples, (damage,) = read(tmp_path)
    assert len(samples) == 2
    assert damage.why == "line 1: user01_led.aedat and 1 more are in the other split's list, too"


def test_a_list_without_a_name_says_so(tmp_path):
    listed(tmp_path, "", " ")
    samples, (damage,) = read(tmp_path)
    assert (samples, damage.why) == ([], "names no recording")


# --- labels -------------------------------------------------------------------------------------------------------------


def test_a_label_that_stands_there_twice_is_taken_once(tmp_path):
    samples, (damage,) = one_recording(tmp_path, every(10, 400), (1, 0, 100), (2, 200, 300), (1, 0, 100))
    assert samples == ["user01_led.aedat[0]#0", "user01_led.aedat[1]#0"]
    assert damage.why == "line 4: the label of line 2 again, '1,0,100'; taken once"
    assert "labels.csv" in damage.file


@pytest.mark.parametrize("order", [((1, 0, 250), (2, 200, 400)), ((2, 200, 400), (1, 0, 250))])
def test_labels_that_overlap_are_named_and_change_no_sample(tmp_path, order):
    samples, (damage,) = one_recording(tmp_path, every(10, 400), *order)
    assert len(samples) == 4
    begins, ends = (3, 2) if order[0][0] == 1 else (2, 3)
    assert damage.why.startswith(
        f"line {begins}: labels overlap: class 2 begins at 0.0002 s, within that of class 1 in line {ends}"
    )
    assert "5e-05 s count for both" in damage.why


def test_labels_that_touch_or_are_out_of_order_do_not_overlap(tmp_path):
    assert one_recording(tmp_path, every(10, 400), (2, 200, 300), (1, 100, 200), (3, 0, 100))[1] == []


def test_labels_without_a_line_say_so(tmp_path):
    samples, (damage,) = one_recording(tmp_path, every(10, 400))
    assert (samples, damage.why) == ([], "has a header and no labels")


# --- labels against events ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "spans", "words"),
    [
        (every(10, 700, start=600), [(1, 0, 100), (2, 200, 300)], "no slice: labels end at 0.0003 s, events begin at 0.0006 s"),
        (every(10, 100), [(1, 600, 900)], "no slice: labels begin at 0.0006 s, events end at 9e-05 s"),
        (every(100, 400_000), [(1, 0, 90), (2, 300, 380)], "lasts 9e-05 s, a slice 0.0001 s; are the labels in milliseconds?"),
        (every(10, 160), [(1, 99, 150)], "no slice: the longest label lasts 5.1e-05 s, a slice 0.0001 s"),
        (aedat(packet(event(1, 5, 5, valid=0) * 7)), [(1, 0, 100)], "no slice: it holds no event, 7 that are marked as not valid"),
        (aedat(), [(1, 0, 100)], "no slice: it holds no event"),
    ],
)
def test_a_recording_that_gives_no_slice_says_why(tmp_path, raw, spans, words):
    samples, (damage,) = one_recording(tmp_path, raw, *spans)
    assert samples == []
    assert words in damage.why
    assert damage.file.endswith("user01_led.aedat")


@pytest.mark.parametrize(("factor", "unit"), [(1000, "milliseconds"), (1_000_000, "seconds"), (0.001, "nanoseconds")])
def test_labels_in_another_unit_are_asked_after(tmp_path, factor, unit):
    """Their end is about the last event's time in the unit that is asked after."""
    end = round(560_000_000 / factor)
    _, damages = one_recording(tmp_path, every(1_000_000, 600_000_000), (1, 0, end // 2), (2, 6 * end // 10, end))
    assert any(f"are the labels in {unit}? They need microseconds" in damage.why for damage in damages)


def test_labels_too_short_for_a_slice_are_counted_where_others_give_some(tmp_path):
    samples, (damage,) = one_recording(tmp_path, every(10, 400), (1, 0, 100), (2, 150, 200), (3, 250, 300))
    assert samples == ["user01_led.aedat[0]#0"]
    assert damage.why == "no slice of the label in line 3 of its labels and 1 more: it lasts 5e-05 s, a slice 0.0001 s"


def test_shifted_labels_that_reach_beyond_the_recording_are_counted(tmp_path):
    samples, (damage,) = one_recording(tmp_path, every(10, 430), (1, 0, 100), (2, 200, 300), (3, 400, 500))
    assert len(samples) == 3
    assert damage.why.startswith("1 of 3 slices lie outside the recording by more than half, the first [2]#0: labels from 0 s to")


def test_slices_that_a_break_loses_are_counted(tmp_path):
    raw = every(10, 500)[: len(HEADER) + 28 + 8 * 25]  # events up to 240
    _, (damage,) = one_recording(tmp_path, raw, (1, 0, 400), (2, 400, 500))
    assert damage.why.endswith("; 3 of 5 slices are lost")


# --- tonic --------------------------------------------------------------------------------------------------------------


def test_a_numpy_file_under_two_names_is_taken_once(tmp_path):
    path = tonic(tmp_path, label=1, rows=milliseconds(0.01, 0.15))
    (path.parent / "2.npy").hardlink_to(path)
    samples, (damage,) = read(tmp_path)
    assert names(samples) == ["user02_fluorescent/1.npy#0"]
    assert damage.why == "is user02_fluorescent/1.npy under another name; taken once"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.empty((0, 4)), "no slice: it holds no event"),
        (milliseconds(0.01, 0.05), "no slice: its events last 4e-05 s, a slice 0.0001 s; are its times in seconds?"),
        (milliseconds(10_000, 1_000_000), "are its times in microseconds? They need milliseconds"),
        ([[1, 1, 1, 0.0], [1, 1, 1, 0.25], [1, 1, 1, 0.45]], "2 of 4 slices hold no event and are left out"),
    ],
)
def test_numpy_files_that_give_less_than_they_seem_to_are_named(tmp_path, rows, words):
    tonic(tmp_path, rows=rows)
    _, (damage,) = read(tmp_path)
    assert words in damage.why


# --- who reads them -----------------------------------------------------------------------------------------------------


@pytest.mark.wide
def test_the_trainer_and_the_runner_read_the_same_samples_and_say_the_same_of_the_set(tmp_path):
    pytest.importorskip("torch")
    from models.training.gesture.commands import read as read_to_train

    second = 1_000_000
    recording(tmp_path, "user01_led.aedat", every(20_000, 4 * second), (1, 0, 2 * second), (2, second, 3 * second))
    recording(tmp_path, "user02_led.aedat", every(20_000, 4 * second, start=7), (3, 0, 2000))
    listed(tmp_path, "user01_led.aedat", "./user01_led.aedat", "user02_led.aedat", split="test")
    frames = read_to_train(str(tmp_path), "test", 32, tmp_path / "cache", lambda _: None)
    again = read_to_train(str(tmp_path), "test", 32, tmp_path / "cache", lambda _: None)
    checkpoint = save_small(tmp_path / "small.safetensors", slice_us=1_700_000)
    job = prepare(Options(checkpoint=str(checkpoint), events=str(tmp_path), batch=4, pes=2))
    ran = [(sample.name, sample.subject, sample.label) for sample in job.source.loaded]
    assert ran == list(zip(frames.names, frames.subjects, frames.labels.tolist(), strict=True))
    assert ran == [("user01_led.aedat[0]#0", "user01", 0), ("user01_led.aedat[1]#0", "user01", 1)]
    assert list(frames.damages) == list(again.damages) == job.readout.result()["damages"]
    for words in ("again, as in line 1; taken once", "labels overlap", "no slice"):
        assert sum(words in line for line in frames.damages) == 1
    assert len(frames.damages) == 3
