"""Runs on real processes, as tests look at them: who is alive, which sockets are open, signals that hit, and the answer.

Others may run on the same machine, another run of this suite included. So whatever this process starts is marked, and what is
looked for on the whole machine is looked for in what has the mark.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from host.errors import Exit
from host.faults import Faults
from tests.tools.work import crowding

MARK = "GENNAKER_STARTED_BY_TESTS"  # in the environment of everything that this process starts

os.environ[MARK] = secrets.token_hex(8)

SLOW = Faults({"PE(1,1,1)@0": 0.02})  # makes a run last long enough to be hit


def children() -> list[psutil.Process]:
    """Every descendant of this process that belongs to a run."""
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if re.match(r"PE\(|PE server$|router@|host$", p.name()) and p.status() != psutil.STATUS_ZOMBIE
    ]


def processes(started_here: bool) -> Iterator[Path]:
    """Yield the folders in /proc of this process and what it has started, orphans included; or those of all others."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            marked = mark in (folder / "environ").read_bytes().split(b"\0")
            if (marked or folder.name == str(os.getpid())) == started_here:
                yield folder


_earlier = set[str]()  # sockets that were open before the test that runs now


def note_sockets() -> None:
    """Take down what is open before a test, which looks only at what its own run has made."""
    _earlier.clear()
    _earlier.update(_named())


def _named() -> dict[str, str]:
    """The names of abstract sockets of runs on this machine, by what a descriptor of each is called."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return {f"socket:[{words[6]}]": words[-1] for words in lines if "gennaker-" in words[-1]}


def sockets() -> list[str]:
    """The names of abstract sockets of runs that a process started here has opened since the test began."""
    names = {handle: name for handle, name in _named().items() if handle not in _earlier}
    opened = set()
    for folder in processes(started_here=True) if names else ():
        for descriptor in (folder / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                opened.add(str(descriptor.readlink()))
    return [name for handle, name in names.items() if handle in opened]


def shared_memory() -> set[str]:
    """This user's files in shared memory, but for those that another program has mapped."""
    files = set()
    for path in Path("/dev/shm").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_uid == os.getuid():
                files.add(str(path))
    for folder in processes(started_here=False) if files else ():
        with contextlib.suppress(OSError):
            files -= {line.split()[-1] for line in (folder / "maps").read_text().splitlines() if "/dev/shm/" in line}
    return files


def gone(what, within_s: float = 2.0) -> bool:
    """Wait until `what()` is empty."""
    deadline = time.monotonic() + within_s * crowding()
    while what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not what()


def hit(run, name: str, number: int, phase: str = "running", **options):
    """Run, send a signal to process `name` when it starts or when ticks run, and return (outcome, seconds from signal to end)."""
    pids: dict[str, int] = {}
    struck: list[float] = []

    def strike() -> None:
        if not struck:
            os.kill(pids[name], number)
            struck.append(time.monotonic())

    def started(process: str, pid: int) -> None:
        pids[process] = pid
        if phase == "starting" and process == name:
            strike()

    def observe(status) -> None:
        if status["phase"] == "running" and status["tick"] > 3:
            strike()

    outcome = run(started=started, observe=observe, pes=25, tokens=150, faults=SLOW, **options)
    return outcome, time.monotonic() - struck[0]


MODEL_COUNTERS = ("events", "macs", "units", "exponentials", "macs_by_layer")


def answer(outcome):
    """What must be the same everywhere."""
    assert outcome.code is Exit.OK, outcome.problem
    report = outcome.report
    assert report["conservation"]["wrong"] == []
    return report["events"]["sha256"], [report["counters"][name] for name in MODEL_COUNTERS], report["result"]["perplexity"]
