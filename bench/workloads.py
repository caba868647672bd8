"""`python -m bench.workloads [WORKLOAD ...]`: the unit of every workload on this machine, beside a peer library and the chip.

Each on PE processes, in one process (`--transport mem`), in the library that one would use without a chip (`bench/units`: on one
thread, and it emulates nothing), and as the cost model has it on the chip. Runs take turns; figures are medians.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

import bench.units
from bench.units import Unit
from host.errors import Exit
from host.launch.launcher import Launcher
from host.options import RunOptions
from host.show.text_table import format_table

COLUMNS = ("workload", "unit", "PEs", "processes, ms", "one process, ms", "peer", "its ms", "chip, ms", "x peer", "x chip")


class Row(NamedTuple):
    """What a workload's unit takes: milliseconds as processes, in one process, in the peer library, and modelled."""

    unit: Unit
    pes: int
    processes_ms: float
    one_process_ms: float
    peer_ms: float
    chip_ms: float


def names() -> list[str]:
    """Return the workloads that are measured."""
    return [module.name for module in pkgutil.iter_modules(bench.units.__path__)]


def measured(name: str, runs: int) -> Row:
    """Measure a workload's unit."""
    with tempfile.TemporaryDirectory() as folder:
        unit: Unit = importlib.import_module(f"bench.units.{name}").unit(Path(folder))
        done: dict[str, list[dict[str, Any]]] = {"zmq": [], "mem": []}
        peer_s = []
        for _ in range(runs):
            for transport, reports in done.items():
                reports.append(report_of(replace(unit.options, transport=transport)))
            peer_s.append(unit.peer_s())
    assert len({report["events"]["sha256"] for reports in done.values() for report in reports}) == 1
    units = unit.count(done["zmq"][0])
    own_s = {
        transport: statistics.median(report["emulation"]["run_s"] for report in reports) / units
        for transport, reports in done.items()
    }
    report = done["zmq"][0]
    return Row(
        unit=unit, pes=report["mapping"]["pes"], processes_ms=1e3 * own_s["zmq"], one_process_ms=1e3 * own_s["mem"],
        peer_ms=1e3 * statistics.median(peer_s), chip_ms=1e3 * report["modelled"]["time_s"] / units,
    )  # fmt: skip


def report_of(options: RunOptions) -> dict[str, Any]:
    """Run; return the report. AssertionError where it did not end well."""
    options.check()
    outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.code is Exit.OK, outcome.problem
    assert outcome.report is not None
    assert outcome.report["conservation"]["wrong"] == []
    return outcome.report


def table_row(name: str, row: Row) -> tuple[str, ...]:
    """Return a line of the table."""
    times = row.processes_ms, row.one_process_ms, row.peer_ms, row.chip_ms
    own, alone, peer, chip = (f"{ms:.3g}" for ms in times)
    ratios = f"{row.processes_ms / row.peer_ms:.1f}", f"{row.processes_ms / row.chip_ms:.1f}"
    return name, row.unit.name, str(row.pes), own, alone, row.unit.peer, peer, chip, *ratios


def measure(workloads: Sequence[str] = (), runs: int = 3) -> None:
    """Measure these workloads, or all, and print a table."""
    torch.set_num_threads(1)
    rows = [table_row(name, measured(name, runs)) for name in workloads or names()]
    print("\n".join(format_table([COLUMNS, *rows], left=(0, 1, 5))))


def _known(name: str) -> str:
    if name not in names():
        raise argparse.ArgumentTypeError(f"{name}: need one of {', '.join(names())}")
    return name


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", type=_known, metavar="WORKLOAD", help=f"of {', '.join(names())} (default: all)")
    parser.add_argument("--runs", type=int, default=3)
    flags = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f}; {flags.runs} runs of each", flush=True)
    measure(flags.workloads, flags.runs)


if __name__ == "__main__":
    main()
