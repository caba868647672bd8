"""One engine at one size: run its keeper, and turn what the processes reported into figures."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench.peers.engines import named
from bench.peers.exchange import Report, Size, lap_ticks

_ENDING_S = 60.0  # for a keeper to end what is left
WARM_UP = 5


class TrialError(RuntimeError):
    """A trial that gave no figures; says in one line why."""


class Figures(NamedTuple):
    """What one trial gave. `tick_s`: the median lap's; `ready_s`: from the start of the engine until every process had heard its
    first tick; `uss_bytes`: the median process's; `events`: heard by all processes together, each found right.
    """

    size: Size
    tick_s: float
    ready_s: float
    uss_bytes: float
    events: int


def sized(engine: str, processes: int, ticks: int) -> Size:
    """Return the size of a trial, with no more ticks than the engine says are enough."""
    return Size(processes, min(ticks, getattr(named(engine), "MOST_TICKS", ticks)), WARM_UP)


def figures(size: Size, began_s: float, reports: list[Report]) -> Figures:
    """Return what the reports of all processes say together.

    A lap lasts from when the last process began it until the last process ended it.
    """
    ends = [max(report.laps_s[lap] for report in reports) for lap in range(len(reports[0].laps_s))]
    laps = [(end - begin) / lap_ticks(size) for begin, end in itertools.pairwise(ends)]
    ready_s = max(report.first_s for report in reports) - began_s
    uss = statistics.median(report.uss_bytes for report in reports)
    return Figures(size, statistics.median(laps), ready_s, uss, sum(report.events for report in reports))


def run(engine: str, size: Size, limit_s: float) -> Figures:
    """Run one trial and return its figures; TrialError where it fails or takes longer than `limit_s` seconds.

    Whatever ends the wait, Ctrl-C included, nothing of the trial is left when this returns.
    """
    arguments = [engine, *map(str, size), f"{limit_s:g}", str(os.getpid())]
    keeper = subprocess.Popen(
        [sys.executable, "-m", "bench.peers.trial_supervisor", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        start_new_session=True,
    )
    try:
        text, _ = keeper.communicate(timeout=limit_s + _ENDING_S)
    finally:
        keeper.terminate()
        keeper.wait(_ENDING_S)
    if keeper.returncode:
        raise TrialError(f"its keeper ended with code {keeper.returncode}")
    answer = json.loads(text)
    if "failed" in answer:
        raise TrialError(answer["failed"])
    return figures(size, answer["began_s"], [Report(*fields) for fields in answer["reports"]])
