"""What happens to the processes that compile a first run's kernels: the run goes on, and the next one compiles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from host.processes import first_compile
from models.compute.compiling import callback_count

ROOT = Path(__file__).resolve().parents[1]
COMPILES_S = 170  # with a few other things to do on the machine


def _run(folder, name):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "launch.py", "lm", "tiny", "--tokens", "2", "--pes", "2", "--no-monitor", "--no-pictures"]
    command += ["--out", str(folder / name)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def _compilers(launcher):
    """Return the process that compiles and the one that compiles for it, once both are there."""
    until = time.monotonic() + COMPILES_S
    while time.monotonic() < until and launcher.poll() is None:
        for server in psutil.Process(launcher.pid).children():
            for first in server.children():
                for second in first.children():
                    return first, second
        time.sleep(0.05)
    raise AssertionError("no second process compiles")


@pytest.mark.slow
@pytest.mark.timeout(2 * COMPILES_S)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: one process compiles all")
@pytest.mark.parametrize(("which", "number"), [(1, signal.SIGKILL), (1, signal.SIGSTOP), (0, signal.SIGKILL)])
def test_a_run_goes_on_whichever_compiler_ends_or_stands_still(which, number, tmp_path):
    with _run(tmp_path, "first") as launcher:
        compilers = _compilers(launcher)
        compilers[which].send_signal(number)
        said, complaint = launcher.communicate(timeout=COMPILES_S)
    assert launcher.returncode == 0, complaint
    assert complaint.count("\n") == 1
    assert "first compile" in said
    assert not any(process.is_running() for process in compilers)
    with _run(tmp_path, "next") as launcher:
        _, complaint = launcher.communicate(timeout=COMPILES_S)
    assert launcher.returncode == 0
    assert bool(complaint) == (which == 0)  # who was killed has not said that all is there: it is looked at once more


@pytest.mark.parametrize(("how", "is_done"), [("pass", True), ("exit(1)", False), ("import os; os.kill(os.getpid(), 9)", False)])
def test_another_process_has_done_its_part_where_it_ended_well(how, is_done):
    assert first_compile._wait_for(os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", how])) is is_done


def test_where_there_is_no_other_process_all_is_done():
    assert first_compile._wait_for(0)


@pytest.mark.parametrize("is_done", [True, False])
def test_what_another_process_has_not_done_is_looked_at_again(is_done, monkeypatch):
    """What it has done need not be loaded by the process that ends next."""
    begins, marks = [], []
    monkeypatch.setattr(first_compile, "_prepare", lambda: ({}, None))
    monkeypatch.setattr(first_compile, "_compile_in_two", lambda: is_done)
    monkeypatch.setattr(first_compile, "warm_up", lambda *, begin: begins.append(begin))
    monkeypatch.setattr(first_compile, "mark_cache_complete", marks.append)
    first_compile._compile(-1)
    assert begins == [callback_count() if is_done else 0]
    assert len(marks) == 1


_UNKEPT = """
import os
from host.processes import first_compile
reading, writing = os.pipe()
os.close(writing)  # no module is left
for is_writable in (True, False):
    first_compile.cache_is_writable = lambda: is_writable
    print(first_compile._wait_for(first_compile._begin_in_another([], reading)))
"""


def test_a_process_whose_code_cannot_be_kept_has_not_done_its_part():
    done = subprocess.run([sys.executable, "-c", _UNKEPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
