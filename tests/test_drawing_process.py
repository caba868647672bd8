"""What is drawn beside something else: it is there when the block ends, nothing is left behind, and a failure is told of here."""

import os
import threading

import pytest

from host.commands import _drawing_process
from host.commands._drawing_process import draw_beside


@pytest.fixture
def alone(monkeypatch):
    """As in a command's own process: one thread, two cores."""
    monkeypatch.setattr(_drawing_process.threading, "active_count", lambda: 1)
    monkeypatch.setattr(_drawing_process.os, "sched_getaffinity", lambda _: {0, 1})


def writes_pid(path):
    return lambda: path.write_text(str(os.getpid()))


def test_another_process_draws_and_is_gone_at_the_end(alone, tmp_path):
    with draw_beside(writes_pid(tmp_path / "drawn")):
        pass
    pid = int((tmp_path / "drawn").read_text())
    assert pid != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_where_other_threads_run_this_process_draws_behind_the_block(tmp_path):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with draw_beside(writes_pid(tmp_path / "drawn")):
        assert not (tmp_path / "drawn").exists()
    end.set()
    thread.join()
    assert int((tmp_path / "drawn").read_text()) == os.getpid()


def test_what_fails_there_fails_here(alone, tmp_path):
    with pytest.raises(FileNotFoundError), draw_beside(writes_pid(tmp_path / "no" / "folder")):
        pass


def test_a_block_that_fails_ends_the_process(alone, tmp_path):
    def waits():
        (tmp_path / "pid").write_text(str(os.getpid()))
        threading.Event().wait()

    with pytest.raises(ValueError, match="of the block"), draw_beside(waits):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            os.sched_yield()
        raise ValueError("of the block")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_process_that_takes_too_long_is_ended_and_replaced(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(_drawing_process, "_LONGEST_S", 0.2)
    here = os.getpid()

    def waits_elsewhere():
        if os.getpid() != here:
            threading.Event().wait()
        (tmp_path / "drawn").write_text("here")

    with draw_beside(waits_elsewhere):
        pass
    assert (tmp_path / "drawn").read_text() == "here"
