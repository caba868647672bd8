"""What comes through a pipe is read to its end and kept with the run; who writes nothing, or never stops, ends the wait."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from host.cli import main
from host.commands import _piped_inputs
from host.commands._piped_inputs import keep_piped_inputs
from host.errors import Exit, HostError
from host.run_folder import read_report
from host.workloads.dvs.options import Options as DvsOptions
from host.workloads.lm.example import smallest
from host.workloads.lm.options import Options

pytestmark = pytest.mark.timeout(60)
TEXT = b"word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 word11 word12 word13 word14\n"


@pytest.fixture
def pipe(tmp_path):
    """A pipe with a name that nobody writes into yet."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def writing(path, content, times=1):
    """Write into a pipe from a thread, until nobody reads any more."""

    def write():
        try:
            with path.open("wb", buffering=0) as file:  # waits for a reader
                for _ in range(times):
                    file.write(content)
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_pipe_is_read_to_its_end_into_the_folder(pipe, out):
    writer = writing(pipe, TEXT, times=10_000)  # a good deal more than a pipe holds
    options = keep_piped_inputs(Options(text=str(pipe)), out)
    writer.join()
    assert options.text == str(out / "text_from_pipe")
    assert (out / "text_from_pipe").read_bytes() == TEXT * 10_000


def test_a_descriptor_of_this_process_is_read(tmp_path, out):
    """As the shell hands on what `<(zcat book.gz)` makes, or a file that it has open."""
    ours, theirs = os.pipe()
    os.write(theirs, TEXT)
    os.close(theirs)  # the writer is gone before anybody looks
    (tmp_path / "a").write_bytes(TEXT)
    with (tmp_path / "a").open("rb") as file:
        for descriptor in (ours, file.fileno()):
            options = keep_piped_inputs(Options(text=f"/dev/fd/{descriptor}", stall_s=20.0), out)
            assert Path(options.text).read_bytes() == TEXT
    os.close(ours)


def test_a_pipe_that_nobody_writes_into_ends_the_wait_and_leaves_nothing(pipe, out):
    began = time.monotonic()
    with pytest.raises(HostError, match=r"^--text .*pipe: stalled: nobody has written into it for 0.2 s$") as caught:
        keep_piped_inputs(Options(text=str(pipe), stall_s=0.2), out)
    assert caught.value.code == Exit.STALLED
    assert time.monotonic() - began < 20
    assert list(out.iterdir()) == []


def test_a_writer_that_stops_without_closing_ends_the_wait(pipe, out):
    holder = os.open(pipe, os.O_RDWR)
    os.write(holder, TEXT)
    with pytest.raises(HostError, match="stalled"):
        keep_piped_inputs(Options(text=str(pipe), stall_s=0.2), out)
    os.close(holder)


def test_a_writer_that_never_stops_is_cut_off_and_nothing_is_kept(pipe, out, monkeypatch):
    monkeypatch.setattr(_piped_inputs, "MOST_BYTES", 1 << 20)
    writer = writing(pipe, bytes(1 << 16), times=1 << 40)
    with pytest.raises(HostError, match="more than 1,048,576 bytes came through"):
        keep_piped_inputs(Options(text=str(pipe)), out)
    writer.join()
    assert list(out.iterdir()) == []


def test_files_folders_and_what_is_not_there_stay_as_they_are(tmp_path, out, pipe):
    (tmp_path / "text").write_bytes(TEXT)
    texts = [Options(text=name) for name in (str(tmp_path / "text"), "missing", "/dev/zero")]
    for options in (*texts, DvsOptions(events=str(pipe))):
        assert keep_piped_inputs(options, out) == options
    assert list(out.iterdir()) == []


@pytest.mark.wide
def test_a_run_on_a_pipe_can_be_repeated_from_its_folder(pipe, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [f"--{name}={value}" for name, value in (smallest(tmp_path) | {"text": pipe}).items()]
    shared = ["--transport", "mem", "--no-pictures", "--no-monitor"]
    writer = writing(pipe, TEXT)
    assert main(["lm", *flags, *shared, "--out", "first"]) == 0
    writer.join()
    assert main(["lm", "--config", "first/config.json", *shared, "--out", "second"]) == 0
    first, second = (read_report(tmp_path / name) for name in ("first", "second"))
    assert first["events"]["sha256"] == second["events"]["sha256"]
    assert first["result"]["source"] == "text_from_pipe"
    capfd.readouterr()


def test_a_run_that_is_refused_keeps_nothing_of_a_pipe(pipe, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [f"--{name}={value}" for name, value in (smallest(tmp_path) | {"text": pipe}).items()]
    writing(pipe, b"\xff\xff\xff")
    assert main(["lm", *flags, "--transport", "mem", "--no-pictures", "--no-monitor", "--out", "out"]) == 2
    assert "need UTF-8, have byte 0xff" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
