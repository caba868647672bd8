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

ROOT = Path(__file__).resolve().parents[1]
COMPILES_S = 170  # with a few other things to do on the machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * COMPILES_S)]


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
