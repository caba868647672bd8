"""Recording readers, the project's and the made-up one of docs/extending.md: the same gestures are read alike from every layout."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from models.dvs import folder as door
from models.dvs import readers
from models.dvs.__main__ import main
from models.dvs.readers import Head
from models.dvs.samples import CLASSES, SPLITS, Damage, DvsError
from models.families import VARIABLE, member_names
from tests.tools.dvs_bytes import equal_events
from tests.tools.recordings import WRITERS, gestures_of

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
SETS = {"train": gestures_of(1, ("user01", "user02")), "test": gestures_of(2, ("user03",))}
SLICE_US = 100
every_reader = pytest.mark.parametrize("name", WRITERS)


def add_reader(folder, name, code):
    file = folder / "models" / "dvs" / "readers" / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)


@pytest.fixture
def user_folder(tmp_path_factory):
    """A folder of a user's own, whose readers are found; afterwards they are forgotten."""
    folder = tmp_path_factory.mktemp("mine")
    before = set(sys.modules)
    with mock.patch.dict(os.environ, {VARIABLE: str(folder)}), mock.patch.object(readers, "__path__", list(readers.__path__)):
        yield folder
    for name in set(sys.modules) - before:
        if name.startswith("models.dvs.readers."):
            del sys.modules[name]
            vars(readers).pop(name.rpartition(".")[2], None)


@pytest.fixture(autouse=True)
def made_up_reader(user_folder):
    """The reader of the document, as it stands there."""
    name, code = re.search(r"^# models/dvs/readers/(\w+)\.py\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL).groups()
    add_reader(user_folder, name, code)


@pytest.fixture
def place(tmp_path, name):
    """Both splits in the layout of a reader."""
    where = tmp_path / "recordings"
    for split, gestures in SETS.items():
        WRITERS[name](where, split, gestures)
    return where


def test_the_suite_has_every_reader():
    assert sorted(WRITERS) == member_names(readers)


@pytest.mark.few(9)
@every_reader
@pytest.mark.parametrize("split", SPLITS)
def test_a_reader_gives_the_same_samples_from_its_layout(name, place, split):
    chosen = door.open_folder(place, split, SLICE_US)
    samples = list(chosen.samples())
    need = [(key, events.between(start, start + SLICE_US)) for key, events in SETS[split].items() for start in (0, SLICE_US)]
    assert len({sample.name for sample in samples}) == len(samples) == len(need)
    for sample in samples:
        key = sample.subject, sample.label
        (match,) = [number for number, one in enumerate(need) if one[0] == key and equal_events(one[1], sample.events)]
        del need[match]
    assert [sample.name for sample in chosen.samples()] == [sample.name for sample in samples]
    assert chosen.damages == []
    assert chosen.source.startswith(f"{readers.all_readers()[name].KIND} in {place}")


@every_reader
def test_only_its_reader_knows_a_layout(name, place):
    for split in SPLITS:
        assert door.most_certain(readers.all_readers(), door._head_of(place, split)) == [name]


@every_reader
def test_a_reader_keeps_its_contract(name, tmp_path):
    reader = readers.all_readers()[name]
    assert reader.KIND
    assert sorted(reader.LAYOUT) == sorted(SPLITS)
    (tmp_path / "file").write_bytes(b"anything")
    for path, start in ((tmp_path, b""), (tmp_path / "missing", b""), (tmp_path / "file", b"anything")):
        assert all(reader.probe(Head(path, split, start)) == 0 for split in SPLITS)


@pytest.mark.few(3)
@every_reader
def test_half_of_a_file_never_stops_the_rest(name, place, tmp_path):
    files = sorted(path for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file())
    for file in files:
        copy = tmp_path / "copy"
        (shutil.copytree if place.is_dir() else shutil.copy)(place, copy)
        broken = copy / file.relative_to(place)
        broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
        for split in SPLITS:
            chosen = door.open_folder(copy, split, SLICE_US)
            assert all(0 <= sample.label < len(CLASSES) for sample in chosen.samples())
            assert all(isinstance(damage, Damage) and "\n" not in str(damage) for damage in chosen.damages)
        shutil.rmtree(copy) if copy.is_dir() else copy.unlink()


def test_where_no_reader_fits_the_line_names_every_layout(tmp_path):
    with pytest.raises(DvsError) as caught:
        door.open_folder(tmp_path, "train")
    line = str(caught.value)
    assert all(reader.LAYOUT["train"] in line for reader in readers.all_readers().values())
    assert line.endswith("have none of them")
    (tmp_path / "file").write_text("anything")
    with pytest.raises(DvsError, match="have something that is no folder but a file"):
        door.open_folder(tmp_path / "file", "train")
    with pytest.raises(DvsError, match="have no such folder"):
        door.open_folder(tmp_path / "missing", "train")


def test_two_readers_that_are_as_certain_are_named(user_folder, tmp_path):
    for name in ("first", "second"):
        code = f"KIND, LAYOUT = {name!r}, {{'train': '{name}/', 'test': '{name}/'}}\ndef probe(head):\n    return 95\n"
        add_reader(user_folder, name, code)
    with pytest.raises(DvsError, match=r"need one layout, have first/ and second/; the readers first and second are as certain"):
        door.open_folder(tmp_path, "train")


def test_a_reader_without_a_layout_or_of_a_taken_name_is_named_in_a_line(user_folder, tmp_path):
    add_reader(user_folder, "half", "LAYOUT = {'train': 'half/'}\n")
    with pytest.raises(DvsError, match="recording reader 'half': LAYOUT lacks the split 'test'; needs train and test"):
        door.open_folder(tmp_path, "train")
    add_reader(user_folder, "tonic", "")
    with pytest.raises(DvsError, match="two members are called 'tonic'"):
        door.open_folder(tmp_path, "train")


def test_recordings_in_one_file_are_shown_and_a_file_of_aedat_alone_too(tmp_path, capsys):
    WRITERS["event_table"](tmp_path / "table.csv", "test", gestures_of(3, ("user05",)))
    assert main(["show", str(tmp_path / "table.csv")]) == 0
    assert "tables of events" in capsys.readouterr().out
    WRITERS["dvs128_gesture"](tmp_path / "set", "test", gestures_of(3, ("user05",)))
    assert main(["show", str(tmp_path / "set" / "user05_led.aedat")]) == 0
    assert "52 events" in capsys.readouterr().out


def labelled(folder, name):
    path = folder / "test" / "3" / name
    path.parent.mkdir(parents=True)
    return path


def columns(size, **more):
    return {"t": np.arange(size) * 100, "x": np.arange(size) % 128, "y": np.arange(size) % 128, "p": np.arange(size) % 2, **more}


def readings_of(folder):
    chosen = door.open_folder(folder, "test", 1000)
    return {sample.reading for sample in chosen.samples()}, [damage.why for damage in chosen.damages]


def test_a_sample_says_how_its_file_was_read(tmp_path):
    np.savez(labelled(tmp_path, "user01.npz"), **columns(30))
    said = "columns t, x, y, p, times in us (not said), 0 is OFF; sensor taken for DVS128, 128 x 128: the file does not say"
    (reading,), damages = readings_of(tmp_path)
    assert reading.startswith(said)
    assert damages == []


def test_another_sensor_is_scaled_or_refused_by_name(tmp_path):
    np.savez(labelled(tmp_path / "wide", "user01.npz"), **columns(400, x=np.arange(400) % 346, y=np.arange(400) % 260))
    ((reading,), _) = readings_of(tmp_path / "wide")
    assert "taken for DAVIS346, 346 x 260" in reading
    assert "its middle 260 x 260" in reading
    faery = pytest.importorskip("faery")
    array = np.zeros(30, faery.EVENTS_DTYPE)
    array["t"] = np.arange(30) * 100
    faery.events_stream_from_array(array, (34, 34)).to_file(labelled(tmp_path / "small", "user01.es"))
    said = "a sensor of 34 x 34: needs at least 128 x 128, which networks here were trained on"
    assert readings_of(tmp_path / "small") == (set(), [said])


def test_evt_3_is_read_as_evt_2(tmp_path):
    faery = pytest.importorskip("faery")
    array = np.zeros(30, faery.EVENTS_DTYPE)
    array["t"], array["x"], array["y"], array["on"] = np.arange(30) * 100, np.arange(30), 7, np.arange(30) % 3 == 0
    faery.events_stream_from_array(array, (128, 128)).to_file(labelled(tmp_path, "user01.raw"), version="evt3")
    first, *_ = door.open_folder(tmp_path, "test", 1000).samples()
    assert first.events.x.tolist() == list(range(10))
    assert first.events.p.tolist() == [n % 3 == 0 for n in range(10)]


def test_columns_without_names_and_folders_without_a_class_are_named(tmp_path):
    np.save(labelled(tmp_path, "user01.npy"), np.zeros((30, 4)))
    np.savez(tmp_path / "test" / "3" / "user02.npz", **columns(30))
    (tmp_path / "test" / "waving").mkdir()
    np.savez(tmp_path / "test" / "waving" / "user03.npz", **columns(30))
    readings, damages = readings_of(tmp_path)
    assert len(readings) == 1
    assert damages[0].startswith("holds an array (30, 4) without names of columns: which is time?")
    assert damages[1].startswith("need its folder's name to be a class, 0 to 10, or one of hand clapping")


def test_without_faery_a_line_says_what_to_install(tmp_path):
    labelled(tmp_path, "user01.es").write_bytes(b"Event Stream")
    with mock.patch.dict(sys.modules, {"faery": None}):
        assert readings_of(tmp_path) == (set(), ["is read by faery, which this Python lacks; pip install 'gennaker[events]'"])
