"""`launch.py price RUN --tornado`: what each uncertain constant moves, at its two ends."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.cost.price import price
from host.cost.terms import facts_of
from host.cost.tornado import rows_of, tornado
from host.cost.uncertain import Uncertain, uncertain
from host.errors import HostError
from host.show import sweep_plots
from host.show.uncertainty import format_ends, format_tornado, sentences_on_ends
from noc.chip import ChipSpec


def add_tornado(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the tornado to a parser."""
    parser.add_argument("--tornado", action="store_true", help="each uncertain constant at its two ends, the widest first")
    parser.add_argument("--csv", action="store_true", help="with --tornado: print it as CSV")
    parser.add_argument("--draw", metavar="PATH", help="with --tornado: draw it, as PATH.svg and PATH.png")


def check_tornado(flags: Mapping[str, Any]) -> None:
    """Raise HostError for flags that need another."""
    for name in ("csv", "draw"):
        if flags[name] and not flags["tornado"]:
            raise HostError(f"--{name}: needs --tornado")
    if flags["csv"] and flags["json"]:
        raise HostError("--csv and --json: choose one")


def show_tornado(folder: Path, ledger: RunLedger, chip: ChipSpec, table: CostTable, flags: Mapping[str, Any]) -> int:
    """Print the tornado of a recorded run at these prices, and draw it where asked to."""
    bars = tornado(ledger, chip, table)
    if flags["json"]:
        print(json.dumps({"run": str(folder), "constants": rows_of(bars)}, indent=1, allow_nan=False))
    elif flags["csv"]:
        print_csv(rows_of(bars))
    else:
        priced = price(ledger, chip, table)
        head = f"{1e3 * priced.time_s:.4g} ms, {1e3 * priced.power_w:.4g} mW, {1e3 * priced.energy_j:.4g} mJ"
        print(
            "\n".join([f"run          {folder}: {head}", "", *format_tornado(bars), "", *_on_ends([bar.constant for bar in bars])])
        )
    if flags["draw"]:
        sweep_plots.tornado(bars, f"What moves the price of {folder.name}", Path(flags["draw"]))
    return 0


def lines_on_ends(ledger: RunLedger, chip: ChipSpec, table: CostTable) -> list[str]:
    """Return lines on the constants in use whose value lies on an end of its band, and why; none where there are none."""
    return _on_ends(uncertain(table, chip, facts_of(ledger, linked=ledger.chips > 1)))


def _on_ends(constants: Sequence[Uncertain]) -> list[str]:
    sentences = sentences_on_ends(constants)
    return ["on an end of their band:", *format_ends(sentences)] if sentences else []


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print records as CSV, a head first."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
