"""Runs on real processes, as tests look at them: who is alive, which sockets are open, signals that hit, and the answer."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import psutil

from host.errors import Exit
from host.faults import Faults

SLOW = Faults({"PE(1,1,1)@0": 0.02})  # makes a run last long enough to be hit


def children() -> list[psutil.Process]:
    """Every descendant of this process that belongs to a run."""
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if re.match(r"PE\(|router@|host$", p.name()) and p.status() != psutil.STATUS_ZOMBIE
    ]


def sockets() -> list[str]:
    """The names of our abstract sockets that are open."""
    return [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "gennaker-" in line]


def gone(what, within_s: float = 2.0) -> bool:
    """Wait until `what()` is empty."""
    deadline = time.monotonic() + within_s
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
