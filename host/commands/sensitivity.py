"""`launch.py sensitivity`: which uncertain constant moves which run by how much, in time, power and energy.

Without runs it is the paper's tables: their runs are made first, as by `launch.py paper`, and kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.commands._paper_runs import paper_parts, run_into
from host.commands._tornado import print_csv
from host.cost.ledger_file import open_ledger
from host.cost.sensitivity import Sensitivity, sensitivities
from host.cost.terms import terms_of
from host.cost.tornado import Bar, rows_of, tornado
from host.errors import Exit, HostError
from host.options import RunOptions
from host.run_folder import PRICED_SCHEMAS, new_folder, read_report
from host.show import sweep_plots
from host.show.uncertainty import sensitivity_text

HELP = "which uncertain constant moves which run by how much"
EXAMPLES = (("sensitivity", "of the paper's tables"),)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Each constant with a band at its two ends: by how many percent it moves each run.\nOnly what the runs use."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs (default: the paper's tables, run first)")
    parser.add_argument("--out", metavar="DIR", help="folder for the paper's runs; must not exist (default runs/sensitivity-TIME)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--csv", action="store_true", help="print CSV, a row a run and constant")
    parser.add_argument("--draw", metavar="PATH", help="draw the first run's, as PATH.svg and PATH.png")


def run(flags: dict[str, Any]) -> int:
    """Price, print and draw; HostError, one line, for what cannot be run or priced."""
    if flags["csv"] and flags["json"]:
        raise HostError("--csv and --json: choose one")
    if flags["out"] and flags["runs"]:
        raise HostError("--out: the folder of the paper's runs; leave out RUN, or --out")
    folders = [Path(folder) for folder in flags["runs"]] or _paper_runs(flags)
    bars: dict[str, list[Bar]] = {}
    for folder in folders:
        read_report(folder, PRICED_SCHEMAS)
        ledger = open_ledger(folder)
        bars[folder.name if folder.name not in bars else str(folder)] = tornado(ledger, *terms_of(ledger))
    _print(sensitivities(bars), bars, flags)
    if flags["draw"]:
        name, first = next(iter(bars.items()))
        sweep_plots.tornado(first, f"What moves the price of {name}", Path(flags["draw"]))
    return int(Exit.OK)


def _paper_runs(flags: Mapping[str, Any]) -> list[Path]:
    """Run what is behind the paper's tables; return the folders."""
    out = Path(flags["out"]) if flags["out"] else Path("runs") / time.strftime("sensitivity-%Y%m%d-%H%M%S", time.gmtime())
    parts = paper_parts("sensitivity", None, RunOptions.transport)
    folder = new_folder(out)
    runs = {name: one for part in parts for name, one in part.runs.items()}
    for name, one in runs.items():
        run_into(folder / name, one.options)
    return [folder / name for name in runs]


def _print(rows: Sequence[Sensitivity], bars: Mapping[str, Sequence[Bar]], flags: Mapping[str, Any]) -> None:
    records = [{"run": name, **row} for name, of_run in bars.items() for row in rows_of(of_run)]
    if flags["json"]:
        print(json.dumps({"order": [row.constant.name for row in rows], "constants": records}, indent=1, allow_nan=False))
    elif flags["csv"]:
        print_csv(records)
    else:
        print("\n".join(sensitivity_text(rows, list(bars))))
