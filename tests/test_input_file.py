"""A file that a user names is what it is read as, or one line says what it is; and no reader waits for an end that never comes."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest

from host.commands import _run_workload
from host.commands._run_workload import read_flags
from host.cost import cost_table
from host.cost.cost_table import load_table
from host.cost.ledger_file import load_ledger
from host.errors import HostError
from host.experiments.columns import columns_of
from host.experiments.experiment_file import read as read_experiment
from host.workloads.arrays.expected_input import ExpectedInput
from host.workloads.arrays.read_arrays import read_inputs
from host.workloads.lm.options import Options
from host.workloads.registry import workloads
from host.workloads.site import load_run_chip
from models.checkpoint import load
from models.dvs.folder import open_folder
from models.foreign.config import beside
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.input_file import InputError, foreign_kind, open_input, read_input
from models.text.corpus import text_file, wikitext
from models.training.common.log_plot import read_log
from tests.tools.dvs_bytes import aedat, event, packet

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"

FOREIGN = {
    "a Git LFS pointer": (POINTER, "a Git LFS pointer", "git lfs pull"),
    "an HTML page": (PAGE, "an HTML page", "download the file itself"),
    "an empty file": (b"", "empty", ""),
    "a pipe": (None, "is no file but a pipe", "write what comes from it to a file"),
    "a device": ("/dev/zero", "is no file but a device", ""),
}


def put(path: Path, content: bytes | str | None) -> Path:
    """Make `path` a file of these bytes, a link to a device, or a pipe that nobody writes into."""
    if content is None:
        os.mkfifo(path)
    elif isinstance(content, str):
        path.symlink_to(content)
    else:
        path.write_bytes(content)
    return path


def no_sample(folder):
    """The first damage of a folder of recordings that has no sample."""
    chosen = open_folder(folder, "test", 100)
    assert list(chosen.samples()) == []
    raise HostError(str(chosen.damages[0]))


def recordings(folder, name, content):
    """A folder with one recording, of which the file `name` has other content."""
    folder.mkdir()
    files = {
        "trials_to_test.txt": b"user01_led.aedat\n",
        "user01_led_labels.csv": b"class,startTime_usec,endTime_usec\n1,0,100\n",
        "user01_led.aedat": aedat(packet(event(5, 1, 1))),
    }
    for file, good in files.items():
        put(folder / file, content if file == name else good)
    no_sample(folder)


def numpy_file(folder, content):
    (folder / "ibmGestureTest" / "user01_led").mkdir(parents=True)
    put(folder / "ibmGestureTest" / "user01_led" / "0.npy", content)
    no_sample(folder)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Settings may come through a pipe; nobody writes into those of these tests."""
    for module in (_run_workload, cost_table):
        monkeypatch.setattr(module, "WAIT_S", 0.1)


def config_of_run(path, content):
    lm = workloads()["lm"]
    read_flags(lm, "lm", {"config": str(put(path, content)), "fault": []})


def experiment(path, content):
    read_experiment(put(path, content), columns_of, [])


def text_splits(path, content):
    path.mkdir()
    put(path / "test.txt", content)
    wikitext(path)


def config_beside(path, content):
    path.mkdir()
    put(path / "config.yaml", content)
    beside(path / "model.cpt")


def ledger(path, content):
    path.mkdir()
    put(path / "ledger.safetensors", content)
    load_ledger(path)


READERS = {
    "--text": lambda path, content: text_file(put(path, content)),
    "--wikitext": text_splits,
    "--checkpoint": lambda path, content: load(put(path, content)),
    "import": lambda path, content: import_model(put(path, content), ImportRequest()),
    "config.yaml": config_beside,
    "--chip-file": lambda path, content: load_run_chip(Options(chip_file=str(put(path, content)))),
    "--costs": lambda path, content: load_table(put(path, content)),
    "experiment": experiment,
    "--config": config_of_run,
    "--features": lambda path, content: read_inputs(put(path, content), [ExpectedInput("input", 4)], f"--features {path}"),
    "list": lambda path, content: recordings(path, "trials_to_test.txt", content),
    "labels": lambda path, content: recordings(path, "user01_led_labels.csv", content),
    "recording": lambda path, content: recordings(path, "user01_led.aedat", content),
    "numpy recording": numpy_file,
    "ledger": ledger,
    "training log": lambda path, content: read_log(put(path, content)),
}


@pytest.mark.few(12)
@pytest.mark.timeout(20)  # /dev/zero and a pipe have no end
@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_what_a_file_is_in_one_line(tmp_path, reader, kind):
    content, *words = FOREIGN[kind]
    if (reader, kind) in {("config.yaml", "a pipe"), ("config.yaml", "a device"), ("ledger", "a pipe"), ("ledger", "a device")}:
        pytest.skip("no file of that name, so none is looked for")
    path = tmp_path / "input.any"
    if reader == "numpy recording":
        path = tmp_path
    with pytest.raises(ValueError) as caught:  # HostError, ModelError, TextError, ChipError, DvsError
        READERS[reader](path, content)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    if reader == "recording" and kind in ("a pipe", "a device"):
        words = ["need a file, have something else"]
    if reader in ("--costs", "experiment", "--config") and kind == "a pipe":
        words = ["stalled: nobody has written into it for 0.1 s"]
    for word in words:
        assert word in line, line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"words", mtime=0), "compressed with gzip; unpack it first"),
        (b"%PDF-1.7\n", "a PDF; save its text"),
        ("\ufeffwords".encode("utf-16-le"), "a text in UTF-16; save it as UTF-8"),
        (b"404: Not Found", "what a download server answered, '404: Not Found'"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "the error that a download server answered with"),
        (b"\xef\xbb\xbf  <HTML lang=en>", "an HTML page"),
        (b"/annex/objects/MD5E-s3--9.aedat\n", "a git-annex pointer"),
    ],
)
def test_other_things_that_stand_in_a_files_place(content, words):
    assert foreign_kind(content).startswith(words)


@pytest.mark.parametrize("length", [0x8B1F, 0xFEFF, 0x088B1F, 100])
def test_a_header_of_safetensors_is_not_taken_for_something_else(length):
    """Its first eight bytes are a number, which may look like the beginning of any other file."""
    assert foreign_kind(struct.pack("<Q", length) + b'{"a":') == ""


@pytest.mark.parametrize("text", ["Not found was the last word.\n", "<p>html</p>", "version 1\n", "PDF is a format"])
def test_a_text_that_only_speaks_of_such_things_is_read(tmp_path, text):
    path = put(tmp_path / "a", text.encode())
    assert read_input(path, 100).decode() == text


def test_no_more_is_read_than_there_may_be(tmp_path):
    path = put(tmp_path / "a", b"x" * 11)
    assert len(read_input(path, 11)) == 11
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_input(path, 10)


def test_settings_may_come_through_a_pipe(tmp_path):
    ours, theirs = os.pipe()
    os.write(theirs, b"\xef\xbb\xbf[constants]\n")
    os.close(theirs)
    assert load_table(Path(f"/dev/fd/{ours}")).constants == load_table().constants
    os.close(ours)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    for path, words in (
        (tmp_path, "a folder"),
        (tmp_path / "a", "no such file"),
        ("a\0", "cannot be read"),
        ("a" * 300, "cannot be read"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            open_input(path)
        assert len(str(caught.value).splitlines()) == 1
