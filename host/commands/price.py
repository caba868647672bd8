"""`launch.py price`: what a recorded run would have cost under other prices, or on another chip, without running it.

Reads a run folder's ledger and writes nothing. A chip file replaces the run's chip and what the run overrode;
`--set` comes on top of everything.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from host.commands._model_kinds import kind_of
from host.commands._program_tables import show_price, terms_of
from host.commands._tornado import add_tornado, check_tornado, lines_on_ends, show_tornado
from host.commands._what_if import print_what_if
from host.cost.cost_table import apply_settings, load_table
from host.cost.cycles import LINKS, SEND, UNITS, WAIT
from host.cost.ledger import RunLedger
from host.cost.ledger_file import open_ledger
from host.cost.link_traffic import machine_for
from host.cost.machine_traffic import MachineTraffic, format_machine_traffic, machine_traffic
from host.cost.price import price
from host.cost.priced import Priced, price_block
from host.cost.terms import chip_for
from host.cost.what_if import PricingTerms
from host.errors import HostError
from host.mapping.chip_blocks import deal_chips
from host.mapping.tiling import LayerWork
from host.options import RunOptions
from host.run_folder import PRICED_SCHEMAS, read_report
from host.show.run_words import links_sentence
from host.show.text_table import Row, format_table
from noc.chip import ChipSpec, load_chip

HELP = "price a recorded run again, without running it"
EXAMPLES = (
    ("price RUN --what-if", "what is slow, what would help"),
    ("price RUN --set NAME=X", "what it would cost then"),
)
EPILOG = """\
--set NAME=VALUE, as often as needed:
  clock=150MHz|300MHz              with its supply and power states
  schedule=sequential|pipelined    layers one after another, or side by side
  messages=dma|packets|qpe|multicast
  payload=vector|events            a shard sends its whole slice, or its events
  exponential=soft|unit            newlib, or the chip's exponential unit
  dram=waited|prefetched   zero_skip=no|yes (csr)   dense_loop=dot|event (dense)
  beside=send_first|work_first     layers that share PEs: what they do first
  CONSTANT=NUMBER                  any constant of host/cost/costs.toml
  chip.NUMBER=NUMBER               any number of noc/spinnaker2.toml
of a DNN, without a run:
  share=none|once   overlap=none|double   resident=no|weights|activations
  mla_read_ports=1|2   softmax=table|exp_unit|library
  tiles=fastest|whole_depth

examples:
  python launch.py price RUN --what-if
  python launch.py price RUN --set clock=300MHz --set schedule=pipelined
  python launch.py price RUN --set waiting_power_share=0 --chip other.toml"""
_WIDTH = 78
_WIDTHS = {"egru_input": 12, "egru_internal": 14, UNITS: 11, SEND: 10, LINKS: 8, WAIT: 7, "all": 9}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = "Price a recorded run again: other settings, constants or another chip.\nRuns and writes nothing."
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", help="the folder of a run, or a quantised DNN (docs/dnn.md)")
    text = "a setting, constant or number of the chip"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)
    parser.add_argument("--costs", metavar="TOML", help="constants and settings to change, in the form of host/cost/costs.toml")
    parser.add_argument("--chip", metavar="NAME|TOML", help="another chip, instead of the run's and what it overrode")
    parser.add_argument("--machines", type=int, metavar="N", help="what N machines would send each other (docs/cluster.md)")
    parser.add_argument("--chips", type=int, metavar="N", help="of a DNN: the workers of so many chips")
    text = "the bottleneck, and what each single setting, format, mapping and number of chips would change"
    parser.add_argument("--what-if", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print the prices as JSON")
    add_tornado(parser)


def run(flags: Mapping[str, Any]) -> int:
    """Print the recorded and the new price; HostError or ChipError, one line each, for what cannot be priced."""
    check_tornado(flags)
    costs = Path(flags["costs"]) if flags["costs"] else None
    if (kind := kind_of(flags["run"])) is not None:
        return _price_program(*kind.works(flags["run"]), costs, flags)
    if flags["chips"] is not None:
        raise HostError("--chips: is of a DNN; a recorded run has chips of its own, and --what-if prices other numbers of them")
    folder = Path(flags["run"])
    report, ledger = read_report(folder, PRICED_SCHEMAS), open_ledger(folder)
    if flags["what_if"]:
        pricing = PricingTerms(ledger, settings=tuple(flags["set"]), chip=flags["chip"], costs=costs)
        print_what_if(folder, report, pricing, as_json=flags["json"])
        return 0
    table = load_table(costs, ledger.twins)
    table, preset, numbers = apply_settings(table, flags["set"])
    chip = chip_for(ledger, flags["chip"], preset, numbers)
    if flags["tornado"]:
        return show_tornado(folder, ledger, chip, table, flags)
    of_run = load_chip(ledger.chip["preset"], None, ledger.chip["facts"], "run")
    before = price(ledger, of_run, load_table(used=ledger.twins))
    after = price(ledger, chip, table)
    crossing_machines = _crossing(ledger, chip, flags["machines"]) if flags["machines"] else None
    if flags["json"]:
        both = {"run": str(folder), "recorded": price_block(before, ledger), "priced": price_block(after, ledger)}
        if crossing_machines is not None:
            both["machines"] = {**vars(crossing_machines), "token_bytes": crossing_machines.token_bytes}
        print(json.dumps(both, indent=1, allow_nan=False))
    else:
        print(_comparison(folder, report, ledger, before=before, after=after))
        print("\n".join(lines_on_ends(ledger, chip, table)))
        if crossing_machines is not None:
            print(format_machine_traffic(crossing_machines))
    return 0


def _price_program(title: str, works: Sequence[LayerWork], costs: Path | None, flags: Mapping[str, Any]) -> int:
    """Print what a scheduled network would cost; HostError for flags that are of recorded runs."""
    if beside := [name for name in ("machines", "what_if", "tornado") if flags.get(name)]:
        raise HostError(f"--{beside[0].replace('_', '-')}: is of recorded runs; a DNN is priced without one")
    RunOptions(**{"chips": flags["chips"]} if flags["chips"] is not None else {}).check()
    is_file = flags["chip"] is not None and Path(flags["chip"]).suffix == ".toml"
    terms = terms_of(
        flags["set"], chip=None if is_file else flags["chip"], chip_file=flags["chip"] if is_file else None, costs=costs,
        chips=flags["chips"],
    )  # fmt: skip
    return show_price(title, works, terms, as_json=flags["json"])


def _crossing(ledger: RunLedger, chip: ChipSpec, machines: int) -> MachineTraffic:
    """Return what so many machines would send each other; HostError for a number of them that makes no sense."""
    if not 1 <= machines <= ledger.chips:
        raise HostError(f"--machines {machines}: needs 1 to {ledger.chips}, the chips of the run")
    machine = machine_for(ledger, chip)
    blocks = deal_chips(machine.live, [-(-len(machine.live) // machines)] * machines)
    return machine_traffic(ledger, machine, blocks)


def _comparison(folder: Path, report: Mapping[str, Any], ledger: RunLedger, before: Priced, after: Priced) -> str:
    """Return the two prices side by side, as text."""
    partial = ", partial" if report.get("partial") else ""
    several = f" of {ledger.chips} chips" if ledger.chips > 1 else ""
    lanes = f" of {ledger.lanes} sequences" if ledger.lanes > 1 else ""
    lines = [
        f"run          {folder}: {ledger.positions} positions{lanes} on {len(ledger.pes)} PEs{several}, {ledger.format}{partial}",
        *_wrap("changed", _changes(before.settings, after.settings) or ["nothing"]),
        "",
    ]
    rows: list[Row] = [("", "recorded", "priced", "")]
    steps = max(1, ledger.executions)
    for name, unit, scale, field, band in (
        ("time", "ms", 1e3, "time_s", "time_band_s"),
        ("power", "mW", 1e3, "power_w", "power_band_w"),
        ("energy", "mJ", 1e3, "energy_j", "energy_band_j"),
    ):
        cells = [_with_band(getattr(one, field) * scale, [end * scale for end in getattr(one, band)]) for one in (before, after)]
        rows.append((f"{name}, {unit}", *cells, _ratio(getattr(before, field), getattr(after, field))))
        if field != "power_w":
            each = [f"{getattr(one, field) * scale / steps:.4g}" for one in (before, after)]
            rows.append((f"  a {report.get('unit', 'position')}, {unit}", *each, ""))
    lines += [line.rstrip() for line in format_table(rows, left=(0, 3), least=(18, 26, 26), separator="")]
    lines += ["", *_stage_table("recorded", before), "", *_stage_table("priced", after), "", *_links_line(after)]
    lines += _wrap("assumed", list(after.assumed) or ["nothing"])
    lines.append("bands: low and high ends of the uncertain constants (host/cost/costs.toml)")
    return "\n".join(lines)


def _with_band(value: float, band: list[float]) -> str:
    text = f"{value:.4g}"
    return text if band[0] == band[1] else f"{text} ({band[0]:.4g} to {band[1]:.4g})"


def _ratio(before: float, after: float) -> str:
    return f"  x{after / before:.2f}" if before > 0 and after != before else ""


def _stage_table(title: str, priced: Priced) -> list[str]:
    """Return a table of milliseconds by layer and stage, on each layer's critical PE."""
    several = all(LINKS in stages for stages in priced.stages_s.values())
    columns = (*priced.stages[:-1], *([LINKS] if several else []), WAIT, "all")
    widths = {stage: _WIDTHS.get(stage, len(stage) + 2) for stage in columns}
    rows = [(f"{title}, ms", *widths)]
    for layer, stages in priced.stages_s.items():
        cells = [1e3 * stages[stage] for stage in columns[:-1]]
        rows.append((f"{layer}  ", *(f"{cell:.3f}" for cell in (*cells, sum(cells)))))
    return format_table(rows, least=(14, *widths.values()), separator="")


def _links_line(priced: Priced) -> list[str]:
    """Return what crossed links between chips; nothing where none is crossed."""
    if priced.links is None:
        return []
    return _wrap("links", links_sentence(priced.links).split(" "), " ")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two prices' settings, as `name was -> is`."""
    changes = []
    for name in (*after, *(name for name in before if name not in after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            value = "as shipped" if now is None else f"{now:g}" if isinstance(now, float) else now
            changes.append(f"{name} {value}" if was is None else f"{name} {was} -> {value}")
    return changes


def _wrap(title: str, words: list[str], between: str = ", ") -> list[str]:
    """Return `title` and the words behind it, in as many lines as they need."""
    lines, line = [], f"{title:<13}"
    for word in (*(f"{word}{between}" for word in words[:-1]), words[-1]):
        if len(line) + len(word.rstrip()) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = 13 * " "
        line += word
    return [*lines, line.rstrip()]
