"""Runs without a monitor, one after another: what `paper` and sweeps have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.cluster import remote_backend
from host.launch.outcome import Outcome
from host.launch.recorded_run import run_into
from host.options import TRACE_POSITIONS, RunOptions
from host.workloads.registry import workload_of


def run_headless(
    folder: Path, options: RunOptions, observe: Callable[[dict[str, Any]], None] = lambda _: None, pictures: bool = False
) -> Outcome:
    """Run `options` and write the run folder, which must not exist, and with `pictures` report.html and the trace."""
    folder.mkdir(parents=True)
    outcome = run_into(folder, options, observe=observe, remote=remote_backend(options))
    if outcome.report is not None and pictures:
        from host.show.pictures import make_pictures  # a sweep that wants none need not import what draws

        make_pictures(folder, TRACE_POSITIONS, workload_of(options).page())
    return outcome
