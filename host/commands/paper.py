"""`launch.py paper`: the paper's tables and Figure 2, from runs of the emulator.

Each workload says which runs it needs and makes its chapter of them (`host/workloads/paper_chapter.py`). They go through the
same run path as its own commands, at the shipped prices; each keeps its folder.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.commands._model_argument import add_model, take_model
from host.commands._outlook import run_outlook
from host.commands._paper_runs import paper_parts, run_into
from host.cost.ledger import Ledger
from host.cost.ledger_file import load_ledger
from host.cost.price import price_positions
from host.cost.priced import PricedPositions
from host.cost.sensitivity import sensitivities
from host.cost.terms import terms_of
from host.cost.tornado import Bar, tornado
from host.errors import Exit, HostError
from host.options import RunOptions, transport_names
from host.run.silence import record_silence
from host.run_folder import new_folder
from host.show import sweep_plots
from host.show.summary import published
from host.show.text_table import format_markdown
from host.show.uncertainty import sensitivity_markdown
from host.workloads.paper_chapter import PaperChapter, PaperPart, PaperRun, PaperSection, deviation

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).with_name("paper_template.md").read_text(encoding="utf-8")
UNCHANGED = "as above"
CHANGES: Mapping[str, Sequence[str]] = {
    UNCHANGED: (),
    "branch refill of 2 cycles": ("branch_refill_cycles=2",),
    "one wait state of SRAM": ("chip.sram_wait_states=1",),
    "exponential unit": ("exponential=unit",),
    "messages written by the core": ("messages=packets",),
    "DRAM prefetched": ("dram=prefetched",),
    "all work before gates send": ("beside=work_first",),
    "waiting PEs sleep": ("waiting_power_share=0",),
    "layers pipelined": ("schedule=pipelined",),
    "300 MHz, 0.8 V": ("clock=300MHz",),
}
"""Names of changed settings -> what changes; none of them makes a price depend on activity, which a seed decides."""

HELP = "make the paper's tables and Figure 2, ours beside them"
EXAMPLES = (("paper", "the paper's tables, and ours"), ("paper --outlook", "what int8 and the MAC array buy"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_model(parser)
    parser.add_argument("--checkpoint", metavar="MODEL", help="as MODEL")
    parser.add_argument("--out", metavar="DIR", help="folder for tables, figure and runs; must not exist (default runs/paper-TIME)")
    transport = RunOptions.transport
    parser.add_argument(
        "--transport", default=transport, metavar="NAME", help=f"{' or '.join(transport_names())} (default {transport})"
    )
    parser.add_argument(
        "--outlook",
        action="store_true",
        help="instead: float32 beside int8, by weight format, of the shipped models (docs/int8.md)",
    )
    parser.add_argument("--write-docs", action="store_true", help="also refresh docs/paper.md, or docs/int8.md, and its figures")


def run(flags: dict[str, Any]) -> int:
    """Run, price, print and write; HostError, one line, for what cannot be run or written."""
    sweep_plots.require()
    take_model(flags)
    out = Path(flags["out"]) if flags["out"] else Path("runs") / time.strftime("paper-%Y%m%d-%H%M%S", time.gmtime())
    if out.exists():  # said before the seconds that parts take
        new_folder(out)
    if flags["outlook"]:
        if flags["checkpoint"]:
            raise HostError(f"paper --outlook: is of the shipped models, not of {flags['checkpoint']}; leave it out")
        return run_outlook(out, ROOT / "docs" if flags["write_docs"] else None)
    parts = paper_parts("paper", flags["checkpoint"], flags["transport"])
    folder = new_folder(out)
    runs = {name: run for part in parts for name, run in part.runs.items()}
    reports = {name: run_into(folder / name, run.options) for name, run in runs.items()}
    ledgers = [load_ledger(folder / name) for name in runs]
    prices = {
        change: [price_positions(ledger, *terms_of(ledger, settings)) for ledger in ledgers] for change, settings in CHANGES.items()
    }
    costs = dict(zip(runs, prices[UNCHANGED], strict=True))
    costs |= {name: one for part in parts for name, one in price_unrun(part).items()}
    chapters = [part.chapter(reports, costs) for part in parts]
    sections = sorted((section for chapter in chapters for section in chapter.sections), key=lambda section: section.place)
    changes = changes_table(list(runs.values()), prices)
    tornados = {name: tornado(ledger, *terms_of(ledger)) for name, ledger in zip(runs, ledgers, strict=True)}
    sensitivity = sensitivity_part(tornados, {name: one.heading.replace(", ms", "") for name, one in runs.items()})
    files = [folder / "paper.md"]
    files[0].write_text(document(sections, chapters, changes, sensitivity), encoding="utf-8")
    files += [file for chapter in chapters for file in chapter.draw(folder)]
    files += sweep_plots.tornado(
        next(iter(tornados.values())), "What moves the price of the language model", folder / "sensitivity"
    )
    if flags["write_docs"]:
        for file in files:
            shutil.copyfile(file, ROOT / "docs" / file.name)
    for section in sections:
        print(f"\n{section.title}\n{section.table}")
    print(f"\nOne setting or constant changed at a time\n{changes}")
    print(f"\n{sensitivity}")
    print(f"\nwritten      {', '.join(map(str, files))}, and the runs beside them")
    return int(Exit.OK)


def price_unrun(part: PaperPart) -> dict[str, PricedPositions]:
    """Return the prices of a part's placements that are not run."""
    ledgers: dict[int, Ledger] = {}
    costs = {}
    for name, one in part.unrun.items():
        key = id(one.placement)
        if key not in ledgers:
            ledgers[key] = record_silence(one.placement, one.positions)
        costs[name] = price_positions(ledgers[key], *terms_of(ledgers[key], one.settings))
    return costs


def changes_table(runs: Sequence[PaperRun], prices: Mapping[str, Sequence[PricedPositions]]) -> str:
    """Return how the time of each run, and the power of the first, move where one setting or constant is changed."""
    rows = []
    for name, costs in prices.items():
        cells = []
        for run, cost in zip(runs, costs, strict=True):
            ms = 1e3 * cost.time_s / run.options.batch
            cells.append(f"{ms:.1f} ({deviation(ms, run.published_ms)})")
        rows.append((name, *cells, f"{costs[0].power_w:.3f}"))
    return format_markdown(("Changed", *(run.heading for run in runs), "power, W"), rows)


def sensitivity_part(tornados: Mapping[str, Sequence[Bar]], headings: Mapping[str, str]) -> str:
    """Return which uncertain constant moves the time and the energy of which run, by how many percent, as Markdown."""
    rows = sensitivities(tornados)
    time, energy = (sensitivity_markdown(rows, headings, measure) for measure in ("time_s", "energy_j"))
    return f"Time, percent at the two ends of each constant:\n\n{time}\n\nEnergy:\n\n{energy}"


def document(sections: Sequence[PaperSection], chapters: Sequence[PaperChapter], changes: str, sensitivity: str) -> str:
    """Return `docs/paper.md`: tables, what misses and why, and what published data cannot decide."""
    return TEMPLATE.format(
        source=published()["source"], sections="\n\n".join(section.text for section in sections), changes=changes,
        sensitivity=sensitivity,
        misses="\n".join(chapter.misses for chapter in chapters),
        undecided="\n".join(chapter.undecided for chapter in chapters),
    )  # fmt: skip
