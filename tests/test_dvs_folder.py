"""Folders of recordings: both layouts people have, cut into slices; one bad file is named and never stops the rest."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dvs.folder import open_folder
from models.dvs.labels import CSV_HEADER
from models.dvs.samples import DvsError, Events
from tests.tools.dvs_bytes import HEADER, aedat, event, packet

LIST = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}


def every(step, until, start=0):
    """A recording with an event at each multiple of `step`."""
    return aedat(packet(b"".join(event(t, 1, 2) for t in range(start, until, step))))


def recording(folder, name, raw, *spans):
    (folder / name).write_bytes(raw)
    lines = [CSV_HEADER, *(",".join(map(str, span)) for span in spans)]
    (folder / f"{name.removesuffix('.aedat')}_labels.csv").write_text("\n".join(lines) + "\n")


def listed(folder, *names, split="train"):
    (folder / LIST[split]).write_text("".join(f"{name}\n" for name in names))


def read(folder, split="train", slice_us=100):
    """Return the samples and one line for each damage."""
    chosen = open_folder(folder, split, slice_us)
    samples = list(chosen.samples())
    assert all("\n" not in str(damage) for damage in chosen.damages)
    return samples, chosen.damages


def names(samples):
    return [sample.name for sample in samples]


# --- DVS128 Gesture -----------------------------------------------------------------------------------------------------


def test_each_labelled_span_is_cut_into_whole_slices_from_its_start(tmp_path):
    recording(tmp_path, "user07_led.aedat", every(10, 1000), (3, 105, 405), (11, 500, 699))
    listed(tmp_path, "user07_led.aedat")
    samples, damages = read(tmp_path)
    assert names(samples) == ["user07_led.aedat[0]#0", "user07_led.aedat[0]#1", "user07_led.aedat[0]#2", "user07_led.aedat[1]#0"]
    assert [(sample.label, sample.subject) for sample in samples] == [(2, "user07")] * 3 + [(10, "user07")]
    assert [sample.events.t_us.tolist() for sample in samples] == [list(range(5, 100, 10))] * 3 + [list(range(0, 100, 10))]
    assert damages == []


def test_the_lists_say_what_is_train_and_what_is_test_and_in_which_order(tmp_path):
    for user in ("user01", "user02", "user03"):
        recording(tmp_path, f"{user}_lab.aedat", every(10, 200), (1, 0, 100))
    listed(tmp_path, "user03_lab.aedat", "user01_lab.aedat")
    listed(tmp_path, "user02_lab.aedat", split="test")
    assert [sample.subject for sample in read(tmp_path)[0]] == ["user03", "user01"]
    assert [sample.subject for sample in read(tmp_path, "test")[0]] == ["user02"]


def test_the_folder_that_the_archive_unpacks_to_is_found(tmp_path):
    inner = tmp_path / "DvsGesture"
    inner.mkdir()
    recording(inner, "user01_led.aedat", every(10, 200), (1, 0, 100))
    listed(inner, "user01_led.aedat")
    assert len(read(tmp_path)[0]) == 1


def test_samples_can_be_read_again_and_damages_are_those_of_the_latest_pass(tmp_path):
    recording(tmp_path, "user01_led.aedat", every(10, 500)[:-1], (1, 0, 400))
    listed(tmp_path, "user01_led.aedat")
    chosen = open_folder(tmp_path, "train", 100)
    assert names(chosen.samples()) == names(chosen.samples())
    assert len(chosen.damages) == 1


def test_a_recording_that_breaks_off_keeps_the_slices_before_the_damage_and_the_next_is_read(tmp_path):
    whole = every(10, 500)
    recording(tmp_path, "user01_led.aedat", whole[: len(HEADER) + 28 + 8 * 25], (1, 0, 400))  # events up to 240
    recording(tmp_path, "user02_led.aedat", whole, (1, 0, 400))
    listed(tmp_path, "user01_led.aedat", "user02_led.aedat")
    samples, (damage,) = read(tmp_path)
    assert [sample.subject for sample in samples] == ["user01"] * 2 + ["user02"] * 4
    assert damage.file.endswith("user01_led.aedat")
    assert damage.offset == len(HEADER) + 28 + 8 * 25


def test_a_quiet_end_is_no_damage_but_spans_after_the_recording_hold_nothing_and_are_counted(tmp_path):
    recording(tmp_path, "user01_led.aedat", every(10, 160), (1, 0, 200))
    recording(tmp_path, "user02_led.aedat", every(10, 160, start=5), (1, 0, 200), (2, 300, 700))
    listed(tmp_path, "user01_led.aedat", "user02_led.aedat")
    samples, (damage,) = read(tmp_path)
    assert names(samples) == [f"{user}_led.aedat[0]#{n}" for user in ("user01", "user02") for n in (0, 1)]
    assert damage.file.endswith("user02_led.aedat")
    assert damage.why.startswith("4 of 6 slices hold no event and are left out: labels from 0 s to 0.0007 s")


def test_a_label_of_thousands_of_years_ends_with_the_events_there_are(tmp_path):
    years = aedat(packet(event(5, 0, 0)), packet(event(0, 1, 1), overflow=2**28))
    recording(tmp_path, "user01_led.aedat", years, (1, 0, 10**18 - 1))
    listed(tmp_path, "user01_led.aedat")
    samples, _ = read(tmp_path)
    assert names(samples) == [f"user01_led.aedat[0]#{n}" for n in (0, 2**59 // 100)]


@pytest.mark.parametrize(
    "bad", ["0,0,100", "12,0,100", "1,100,100", "1,200,100", "1,0", "a,b,c", "1,-5,100", "1,0,1e3", "1,0," + "9" * 30]
)
def test_a_bad_line_of_labels_is_named_with_its_place_and_the_others_count(tmp_path, bad):
    recording(tmp_path, "user01_led.aedat", every(10, 400), (1, 0, 100), (bad,), (2, 100, 200))
    listed(tmp_path, "user01_led.aedat")
    samples, (damage,) = read(tmp_path)
    assert names(samples) == ["user01_led.aedat[0]#0", "user01_led.aedat[2]#0"]
    assert "user01_led_labels.csv" in str(damage)
    assert "line 3" in damage.why
    assert damage.offset == len(CSV_HEADER) + 1 + len("1,0,100\n")


def test_labels_without_their_header_or_missing_skip_the_recording(tmp_path):
    for user in ("user01", "user02", "user03"):
        recording(tmp_path, f"{user}_led.aedat", every(10, 400), (1, 0, 100))
    (tmp_path / "user01_led_labels.csv").write_text("1,0,100\n")
    (tmp_path / "user02_led_labels.csv").unlink()
    listed(tmp_path, "user01_led.aedat", "user02_led.aedat", "user03_led.aedat")
    samples, damages = read(tmp_path)
    assert [sample.subject for sample in samples] == ["user03"]
    assert [("need class,start" in damage.why, "no such file" in damage.why) for damage in damages] == [
        (True, False),
        (False, True),
    ]


def test_a_list_names_files_of_its_own_folder_and_anything_else_is_named_by_line(tmp_path):
    recording(tmp_path, "user01_led.aedat", every(10, 400), (1, 0, 100))
    recording(tmp_path, "user02_led.aedat", b"", (1, 0, 100))
    (tmp_path / "user02_led.aedat").unlink()
    listed(tmp_path, "../user09_led.aedat", "readme.txt", "", "user02_led.aedat", "user01_led.aedat")
    samples, damages = read(tmp_path)
    assert names(samples) == ["user01_led.aedat[0]#0"]
    assert [damage.why.split(":")[0] for damage in damages] == ["line 1", "line 2", "line 4"]
    assert [damage.offset for damage in damages] == [0, 20, 32]


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=200), which=st.sampled_from(["trials_to_train.txt", "user01_led_labels.csv", "user01_led.aedat"]))
def test_any_bytes_in_any_file_leave_the_next_recording_readable_or_are_named(tmp_path_factory, raw, which):
    folder = tmp_path_factory.mktemp("any")
    for user in ("user01", "user02"):
        recording(folder, f"{user}_led.aedat", every(10, 200), (1, 0, 100))
    listed(folder, "user01_led.aedat", "user02_led.aedat")
    (folder / which).write_bytes(raw)
    samples, _ = read(folder)
    if which != "trials_to_train.txt":
        assert "user02_led.aedat[0]#0" in names(samples)


# --- tonic --------------------------------------------------------------------------------------------------------------


def tonic(folder, user="user02_fluorescent", label=0, rows=None, raw=None, top="ibmGestureTrain"):
    place = folder / top / user
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{label}.npy"
    if raw is None:
        np.save(path, np.array(rows, np.float64))
    else:
        path.write_bytes(raw)
    return path


def milliseconds(step, until, start=0.0):
    return [[1, 2, i % 2, start + i * step] for i in range(round((until - start) / step))]


def test_tonics_files_hold_x_y_polarity_and_milliseconds_and_their_number_is_the_label(tmp_path):
    tonic(tmp_path, label=10, rows=[[3, 4, 1, 0.25], [5, 6, 0, 1.001], [7, 8, 1, 1.25], [5, 6, 0, 2.25]])
    samples, damages = read(tmp_path, slice_us=1000)
    assert [(sample.name, sample.label, sample.subject) for sample in samples] == [
        ("user02_fluorescent/10.npy#0", 10, "user02"), ("user02_fluorescent/10.npy#1", 10, "user02"),
    ]  # fmt: skip
    assert [tuple(part.tolist() for part in sample.events) for sample in samples] == [
        ([0, 751], [3, 5], [4, 6], [True, False]),
        ([0], [7], [8], [True]),
    ]
    assert damages == []


def test_slices_begin_at_the_first_event_as_tonics_do_and_an_incomplete_one_is_dropped(tmp_path):
    tonic(tmp_path, rows=milliseconds(0.01, 0.36, start=0.05))
    samples, _ = read(tmp_path, slice_us=100)
    assert [sample.events.t_us.tolist() for sample in samples] == [list(range(0, 100, 10))] * 3


def test_users_come_by_name_and_files_by_number_and_each_split_has_its_folder(tmp_path):
    for user, label in (("user03_led", 2), ("user03_led", 10), ("user02_led", 1)):
        tonic(tmp_path / "DVSGesture", user, label, milliseconds(0.01, 0.15))
    tonic(tmp_path / "DVSGesture", "user24_led", 0, milliseconds(0.01, 0.15), top="ibmGestureTest")
    assert names(read(tmp_path)[0]) == ["user02_led/1.npy#0", "user03_led/2.npy#0", "user03_led/10.npy#0"]
    assert names(read(tmp_path, "test")[0]) == ["user24_led/0.npy#0"]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_in_any_order_of_memory_are_read(tmp_path, dtype, order):
    path = tonic(tmp_path, rows=[[0, 0, 0, 0]])
    np.save(path, np.array([[1, 2, 1, 0], [3, 4, 0, 1], [3, 4, 0, 2]], dtype, order=order))
    (sample, _), _ = read(tmp_path, slice_us=1000)
    assert [part.tolist() for part in sample.events] == [[0], [1], [2], [True]]


def npy(shape, dtype="<f8", body=b"", version=(1, 0)):
    """A .npy file whose header says what it likes."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + body


def pickled():
    stream = io.BytesIO()
    np.save(stream, np.array([[print, 1, 2, 3]], object))
    return stream.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\x03\x04" * 9,
        pickled(),
        npy((2**40, 4)),
        npy((2**62, 4), "<f8"),
        npy((-1, 4)),
        npy((1, 5), body=b"x" * 40),
        npy((4,), body=b"x" * 32),
        npy((1, 4), "<U8", b"x" * 128),
        npy((1, 4), "V8", b"x" * 32),
        npy((1, 4), body=b"x" * 31),
        npy((1, 4), body=b"x" * 33),
        npy("((((" * 800),
        npy((1, 4), version=(9, 9)),
        npy((1, 4))[:20],
    ],
)
def test_a_numpy_file_that_is_not_what_it_should_be_is_named_and_the_next_is_read(tmp_path, raw):
    tonic(tmp_path, "user01_led", raw=raw)
    tonic(tmp_path, "user02_led", rows=milliseconds(0.01, 0.15))
    samples, (damage,) = read(tmp_path)
    assert [sample.subject for sample in samples] == ["user02"]
    assert damage.file.endswith("0.npy")
    assert 0 <= damage.offset <= len(raw)


@pytest.mark.parametrize("bad", [[128, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, -1], [np.nan, 0, 0, 0], [0, 0, 0, np.inf]])
def test_rows_that_are_no_events_are_left_out_and_counted(tmp_path, bad):
    tonic(tmp_path, rows=[*milliseconds(0.01, 0.15)[:5], bad, *milliseconds(0.01, 0.15)[5:]])
    (sample,), (damage,) = read(tmp_path)
    assert sample.events.t_us.size == 10
    assert "row 5" in damage.why
    assert "1 rows left out" in damage.why


def test_times_that_step_back_are_sorted_and_said(tmp_path):
    tonic(tmp_path, rows=[[1, 1, 1, 0.0], [2, 2, 1, 0.09], [3, 3, 1, 0.05], [4, 4, 1, 0.15]])
    (first,), (damage,) = read(tmp_path)
    assert first.events.x.tolist() == [1, 3, 2]
    assert "1 steps back" in damage.why


def test_a_file_whose_name_is_no_label_is_named(tmp_path):
    tonic(tmp_path, label=11, rows=milliseconds(0.01, 0.15))
    samples, (damage,) = read(tmp_path)
    assert samples == []
    assert "0 to 10" in damage.why


# --- neither ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "missing", "a\0b"])
def test_a_folder_with_neither_layout_is_refused_with_what_was_looked_for(tmp_path, path):
    where = str(tmp_path / path) if "\0" not in path else path
    with pytest.raises(DvsError, match=r"trials_to_test\.txt.*ibmGestureTest") as error:
        open_folder(where, "test")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("split", "slice_us", "word"), [("valid", 100, "train or test"), ("train", 0, "slice_us"), ("train", 1.5, "slice_us")]
)
def test_a_split_or_length_that_is_none_is_refused(tmp_path, split, slice_us, word):
    with pytest.raises(DvsError, match=word):
        open_folder(tmp_path, split, slice_us)


@settings(max_examples=50, deadline=None)
@given(times=st.lists(st.integers(0, 1000), max_size=30).map(sorted), start=st.integers(0, 1000), length=st.integers(1, 300))
def test_a_slice_holds_the_events_of_its_time_counted_from_its_start(times, start, length):
    t = np.array(times, np.int64)
    events = Events(t, *np.zeros((2, t.size), np.uint8), np.zeros(t.size, np.bool_))
    assert events.between(start, start + length).t_us.tolist() == [time - start for time in times if start <= time < start + length]
