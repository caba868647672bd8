"""Runs without a live monitor, one after another: what `paper` and `scale` have in common.

A run keeps its folder as `lm` does; what it costs can be asked again at other prices without running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from host.cluster import remote_backend
from host.commands.price import chip_for
from host.cost.cost_table import changed, load_table
from host.cost.ledger import Ledger
from host.cost.price import Priced, price
from host.launch.launcher import Launcher
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
    outcome = Launcher(options, lambda _: None, observe, folder=folder, remote=remote_backend(options)).run()
    if outcome.report is not None:
        write_json(folder / "config.json", options.resolved() | {"pes": len(outcome.mapping)})
        write_json(folder / "mapping.json", outcome.mapping)
        write_json(folder / "report.json", outcome.report)
        if pictures:
            from host.show.figures import make_pictures  # a sweep that wants none need not import what draws

            make_pictures(folder, TRACE_POSITIONS)
    return outcome


def priced_at(ledger: Ledger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip at the shipped table, changed by `name=value` texts (`cost_table.changed`).

    As `launch.py price --set` does. HostError or ChipError, one line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = changed(load_table(), settings)
    return price(ledger, chip_for(ledger, None, clock, numbers), table)
