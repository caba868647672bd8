"""Runs without a live monitor, one after another: what `paper` and `scale` have in common.

A run keeps its folder as `lm` does; `host/cost/repriced.py` says without running what it costs at other prices.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.launch.launcher import Cluster
from host.launch.outcome import Outcome
from host.options import TRACE_POSITIONS, RunOptions
from host.run.report import write_json


def run_into(
    folder: Path, options: RunOptions, observe: Callable[[dict[str, Any]], None] = lambda _: None, pictures: bool = False
) -> Outcome:
    """Run `options` on a cluster of its own and write the run folder, which must not exist; OSError where it cannot be.

    With `pictures` also report.html and the trace, which take a second.
    """
    folder.mkdir(parents=True)
    outcome = Cluster(options, lambda _: None, observe, folder=folder).run()
    if outcome.report is not None:
        write_json(folder / "config.json", options.resolved() | {"pes": len(outcome.mapping)})
        write_json(folder / "mapping.json", outcome.mapping)
        write_json(folder / "report.json", outcome.report)
        if pictures:
            from host.show.figures import make_pictures  # a sweep that wants none need not import what draws

            make_pictures(folder, TRACE_POSITIONS)
    return outcome
