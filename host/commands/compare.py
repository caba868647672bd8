"""`launch.py compare`: runs side by side, or a run beside what was measured on a board."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from host.commands._spikes import SpikeRow, compare_spikes
from host.cost.bottleneck import bottleneck_of
from host.cost.ledger_file import open_ledger
from host.cost.measured import ALL, UNITS, Beside, beside, read_measured
from host.cost.price import price
from host.cost.what_if import PricingTerms
from host.errors import HostError
from host.run_folder import PRICED_SCHEMAS, read_report
from host.show.quantities import format_change, format_ends, format_quantity
from host.show.run_figures import FigureOfRun, figures_of_run, format_side_by_side, side_by_side
from host.show.status import unit_of
from host.show.text_table import format_table, wrap_words
from host.workloads.priced_metrics import metric_value

HELP = "put runs side by side, or a run beside measured figures"
EXAMPLES = (
    ("compare RUN RUN ...", "runs side by side"),
    ("compare RUN --measured times.csv", "a run beside figures of a board"),
)
_COLUMNS = 80


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = "Put runs side by side; or one run beside figures that were measured on a board, with the model's bands."
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs; the others are compared with the first")
    parser.add_argument("--measured", metavar="CSV", help="times, energies and powers of a board (docs/answers.md)")
    parser.add_argument("--spikes", metavar="NPZ", help="events of a board: sequence, position, population, unit (docs/answers.md)")
    text = "price every run with this setting or constant, as `price` does"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the figures as JSON")
    form.add_argument("--csv", action="store_true", help="print the figures as CSV")


def run(flags: Mapping[str, Any]) -> int:
    """Print the comparison; HostError, one line, for what cannot be compared."""
    folders = list(map(Path, flags["runs"]))
    if flags["measured"] or flags["spikes"]:
        if len(folders) > 1:
            raise HostError(f"compare --measured, --spikes: needs one RUN, has {len(folders)}: {', '.join(flags['runs'])}")
        _compare_measured(folders[0], flags)
        return 0
    if len(folders) < 2:
        raise HostError(f"compare {folders[0]}: needs a second RUN, or --measured CSV, or --spikes NPZ")
    names = _short_names(flags["runs"])
    runs = [_figures(folder, flags["set"]) for folder in folders]
    rows = side_by_side(runs)
    if flags["json"]:
        print(json.dumps({"runs": names, "figures": [_record(*row) for row in rows]}, indent=1, allow_nan=False))
    elif flags["csv"]:
        _write_csv(["figure", "unit", *names], [[name, unit, *map(_value, of_runs)] for name, unit, of_runs in rows])
    else:
        print("\n".join(format_side_by_side(names, runs)))
    return 0


def _short_names(folders: Sequence[str]) -> list[str]:
    """Return the folders' names, without the part that all of them begin with."""
    paths = [Path(folder).resolve() for folder in folders]
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]


def _figures(folder: Path, settings: Sequence[str]) -> list[FigureOfRun]:
    report, ledger = read_report(folder, PRICED_SCHEMAS), open_ledger(folder)
    table, chip = PricingTerms(ledger, tuple(settings)).under()
    priced = price(ledger, chip, table)
    metrics = {metric["name"]: metric_value(report, metric["name"], priced) for metric in report["metrics"]}
    return figures_of_run(report, ledger, priced, bottleneck_of(priced, ledger), metrics)


def _value(one: FigureOfRun | None) -> Any:
    return None if one is None else one.value


def _record(name: str, unit: str, of_runs: Sequence[FigureOfRun | None]) -> dict[str, Any]:
    bands = [list(one.band) if one is not None and one.band is not None else None for one in of_runs]
    return {"figure": name, "unit": unit, "values": [_value(one) for one in of_runs], "bands": bands}


def _write_csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])


def _compare_measured(folder: Path, flags: Mapping[str, Any]) -> None:
    report, ledger = read_report(folder, PRICED_SCHEMAS), open_ledger(folder)
    rows: list[Beside] = []
    if flags["measured"]:
        path = Path(flags["measured"])
        figures, (table, chip) = read_measured(path), PricingTerms(ledger, tuple(flags["set"])).under()
        low, high = (price(ledger, chip, table.at(end, end), bands=False) for end in ("low", "high"))
        middle = price(ledger, chip, table)
        rows = beside(figures, middle, low, high, positions=max(ledger.executions, 1), who=f"--measured {path}")
    spikes = compare_spikes(Path(flags["spikes"]), folder, ledger) if flags["spikes"] else []
    if flags["json"]:
        figure_rows = [
            asdict(row) | {"unit": UNITS[row.quantity], "difference": row.difference, "inside": row.inside} for row in rows
        ]
        print(
            json.dumps(
                {"run": str(folder), "figures": figure_rows, "spikes": [asdict(row) for row in spikes]},
                indent=1,
                allow_nan=False,
            )
        )
    elif flags["csv"]:
        _write_csv(
            ["layer", "stage", "quantity", "unit", "measured", "modelled", "low", "high", "difference"],
            [
                [
                    row.layer,
                    row.stage,
                    row.quantity,
                    UNITS[row.quantity],
                    row.measured,
                    row.modelled,
                    row.low,
                    row.high,
                    row.difference,
                ]
                for row in rows
            ],
        )
    else:
        print("\n".join([*_measured_lines(rows, unit_of(report)), *([""] if rows and spikes else []), *_spike_lines(spikes)]))


def _measured_lines(rows: Sequence[Beside], unit: str) -> list[str]:
    if not rows:
        return []
    head = ["layer", "stage", "", "measured", "modelled", "band", "model", "in band"]
    cells = [
        [
            row.layer, row.stage, row.quantity, format_quantity(row.measured, UNITS[row.quantity]),
            format_quantity(row.modelled, UNITS[row.quantity]),
            format_ends(row.modelled, (row.low, row.high), UNITS[row.quantity]), format_change(row.difference),
            "yes" if row.inside else "no",
        ]
        for row in rows
    ]  # fmt: skip
    inside, worst = sum(row.inside for row in rows), max(rows, key=lambda row: abs(row.difference))
    where = "the whole run" if worst.layer == worst.stage == ALL else f"{worst.layer}, {worst.stage}"
    verdict = (
        f"{inside} of {len(rows)} figures lie in the model's band; the one that differs most is {worst.quantity} of {where}: "
        f"the model says {format_change(worst.difference)}. Times and energies are those a {unit}."
    )
    return [*(line.rstrip() for line in format_table([head, *cells], left=(0, 1, 2))), "", *wrap_words(verdict, _COLUMNS)]


def _spike_lines(rows: Sequence[SpikeRow]) -> list[str]:
    if not rows:
        return []
    head = ["layer", "events measured", "of the run", "in both", "first that differs"]
    cells = [
        [
            row.layer, f"{row.measured:,}", f"{row.modelled:,}", "" if row.both is None else f"{row.both:,}",
            "" if row.both is None else "none" if row.first is None else "sequence {}, position {}, unit {}".format(*row.first),
        ]
        for row in rows
    ]  # fmt: skip
    lines = [line.rstrip() for line in format_table([head, *cells], left=(0, 4))]
    if any(row.both is None for row in rows):
        lines += ["", "counts alone: the run kept no events; run it with --save events to compare each"]
    return lines
