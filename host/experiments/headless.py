"""Runs without a monitor, one after another: what `paper` and sweeps have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from host.cluster import remote_backend
from host.commands.price import chip_for
from host.cost.cost_table import changed, load_table
from host.cost.ledger import Ledger
from host.cost.price import Priced, price
from host.launch.outcome import Outcome
from host.launch.recorded_run import run_into
from host.options import TRACE_POSITIONS, RunOptions
from host.workloads.registry import workload_of


def run_headless(
    folder: Path, options: RunOptions, observe: Callable[[dict[str, Any]], None] = lambda _: None, pictures: bool = False
) -> Outcome:
    """Run `options` and write the run folder, which must not exist; OSError where it cannot be.

    With `pictures` also report.html and the trace, which take a second.
    """
    folder.mkdir(parents=True)
    outcome = run_into(folder, options, observe=observe, remote=remote_backend(options))
    if outcome.report is not None and pictures:
        from host.show.figures import make_pictures  # a sweep that wants none need not import what draws

        make_pictures(folder, TRACE_POSITIONS, workload_of(options).part("page", "sections", lambda _: []))
    return outcome


def priced_at(ledger: Ledger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip at the shipped table, changed by `name=value` texts (`cost_table.changed`).

    As `launch.py price --set` does. HostError or ChipError, one line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = changed(load_table(), settings)
    return price(ledger, chip_for(ledger, None, clock, numbers), table)
