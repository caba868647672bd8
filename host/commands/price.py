"""`launch.py price`: what a recorded run would have cost under other prices, or on another chip, without running it.

Reads a run folder's ledger and writes nothing. A chip file replaces the run's chip and whatever the run overrode;
`--set` comes on top of everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.cost.cost_table import CLOCK_FACTS, changed, load_table
from host.cost.ledger import Ledger, load
from host.cost.link_traffic import machine_for
from host.cost.machine_traffic import MachineTraffic, format_machine_traffic, machine_traffic
from host.cost.price import LINKS, Priced, price
from host.errors import HostError
from host.mapping.chip_blocks import deal_chips
from host.run.report import SCHEMA, modelled
from noc.chip import ChipSpec, load_chip

_WIDTH = 78
_COLUMNS = {"egru_input": 12, "egru_internal": 14, "pointwise": 11, "broadcast": 10, LINKS: 8, "wait": 7, "all": 9}


def reprice(flags: Mapping[str, Any]) -> int:
    """Print the recorded and the new price; HostError or ChipError, one line each, for what cannot be priced."""
    folder = Path(flags["run"])
    report, ledger = _report(folder), load(folder)
    table = load_table(Path(flags["costs"]) if flags["costs"] else None)
    table, preset, numbers = changed(table, flags["set"])
    chip = chip_for(ledger, flags["chip"], preset, numbers)
    before = price(ledger, load_chip(ledger.chip["preset"], None, ledger.chip["facts"], "run"), load_table())
    after = price(ledger, chip, table)
    crossed = _crossed(ledger, chip, flags["machines"]) if flags["machines"] else None
    if flags["json"]:
        both = {"run": str(folder), "recorded": modelled(before, ledger), "priced": modelled(after, ledger)}
        if crossed is not None:
            both["machines"] = {**vars(crossed), "token_bytes": crossed.token_bytes}
        print(json.dumps(both, indent=1, allow_nan=False))
    else:
        print(_told(folder, report, ledger, before, after))
        if crossed is not None:
            print(format_machine_traffic(crossed))
    return 0


def _crossed(ledger: Ledger, chip: ChipSpec, machines: int) -> MachineTraffic:
    """Return what so many machines would send each other; HostError for a number of them that makes no sense."""
    if not 1 <= machines <= ledger.chips:
        raise HostError(f"--machines {machines}: needs 1 to {ledger.chips}, the chips of the run")
    machine = machine_for(ledger, chip)
    blocks = deal_chips(machine.live, [-(-len(machine.live) // machines)] * machines)
    return machine_traffic(ledger, machine, blocks)


def _report(folder: Path) -> dict[str, Any]:
    """Return the report of a run; HostError where there is none, or one of another schema."""
    if not folder.is_dir():
        raise HostError(f"run {folder}: is no folder")
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HostError(f"run {folder}: is incomplete: has no report.json") from error
    except (OSError, ValueError, RecursionError) as error:
        raise HostError(f"run {folder}: report.json cannot be read ({' '.join(str(error).split())[:120]})") from error
    have = report.get("schema") if isinstance(report, dict) else None
    if have != SCHEMA:
        raise HostError(f"run {folder}: report.json of schema {have!r}; needs {SCHEMA}")
    return dict(report)


def chip_for(ledger: Ledger, other: str | None, clock: str | None, numbers: Mapping[str, float]) -> ChipSpec:
    """Return the chip to price for: the run's or the one asked for, at the clock asked for, with `numbers` on top."""
    recorded: Mapping[str, float] = ledger.chip["facts"]
    preset, file = clock or ledger.chip["preset"], None
    if other is not None:
        recorded = {}
        if Path(other).suffix == ".toml" or Path(other).exists():
            file = Path(other)
        elif clock is None:
            preset = other
        else:
            raise HostError(f"--chip {other} and --set clock: choose one")
    if clock is not None:  # a clock that the run overrode gives way, with all that belongs to it
        recorded = {name: value for name, value in recorded.items() if name not in CLOCK_FACTS}
    return load_chip(preset, file, {**recorded, **numbers}, "run or --set")


# ---- what is printed


def _told(folder: Path, report: Mapping[str, Any], ledger: Ledger, before: Priced, after: Priced) -> str:
    partial = ", partial" if report.get("partial") else ""
    several = f" of {ledger.chips} chips" if ledger.chips > 1 else ""
    lanes = f" of {ledger.lanes} sequences" if ledger.lanes > 1 else ""
    lines = [
        f"run          {folder}: {ledger.positions} positions{lanes} on {len(ledger.pes)} PEs{several}, {ledger.format}{partial}",
        *_wrapped("changed", _changes(before.settings, after.settings) or ["nothing"]),
        "",
        f"{'':<18}{'recorded':>26}{'priced':>26}",
    ]
    steps = ledger.positions * ledger.lanes
    for name, unit, scale, field, band in (
        ("time", "ms", 1e3, "time_s", "time_band_s"),
        ("power", "mW", 1e3, "power_w", "power_band_w"),
        ("energy", "mJ", 1e3, "energy_j", "energy_band_j"),
    ):
        cells = [_banded(getattr(one, field) * scale, [value * scale for value in getattr(one, band)]) for one in (before, after)]
        lines.append(f"{name + ', ' + unit:<18}{cells[0]:>26}{cells[1]:>26}{_ratio(getattr(before, field), getattr(after, field))}")
        if field != "power_w":
            each = [f"{getattr(one, field) * scale / steps:.4g}" for one in (before, after)]
            lines.append(f"{'  a token, ' + unit:<18}{each[0]:>26}{each[1]:>26}")
    lines += ["", *_stages("recorded", before), "", *_stages("priced", after), "", *_links(after)]
    lines += _wrapped("assumed", list(after.assumed) or ["nothing"])
    lines.append("bands: low and high ends of the uncertain constants (host/cost/costs.toml)")
    return "\n".join(lines)


def _banded(value: float, band: list[float]) -> str:
    text = f"{value:.4g}"
    return text if band[0] == band[1] else f"{text} ({band[0]:.4g} to {band[1]:.4g})"


def _ratio(before: float, after: float) -> str:
    return f"  x{after / before:.2f}" if before > 0 and after != before else ""


def _stages(title: str, priced: Priced) -> list[str]:
    """Return a table of milliseconds by layer and stage, on each layer's critical PE."""
    name = max(14, *(len(layer) + 2 for layer in priced.stages_s))
    several = all(LINKS in stages for stages in priced.stages_s.values())
    widths = {stage: width for stage, width in _COLUMNS.items() if several or stage != LINKS}
    heads = "".join(f"{stage:>{width}}" for stage, width in widths.items())
    rows = [f"{title + ', ms':<{name}}{heads}"]
    for layer, stages in priced.stages_s.items():
        cells = [1e3 * stages[stage] for stage in widths if stage in stages]
        text = "".join(f"{cell:>{width}.3f}" for cell, width in zip((*cells, sum(cells)), widths.values(), strict=True))
        rows.append(f"{layer:<{name}}{text}")
    return rows


def _links(priced: Priced) -> list[str]:
    """Return a line on the busiest link between chips; nothing where none is crossed."""
    if priced.links is None:
        return []
    busiest, packets, share = (priced.links[f"busiest{what}"] for what in ("", "_packets", "_utilisation"))
    text = f"busiest {busiest} with {packets:,} packets, busy {100 * share:.2g} % of the time;"
    return [f"links        {text} {priced.links['crossed']} links are crossed"]


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs between two prices' settings, as `name was -> is`."""
    found = []
    for name in (*after, *(name for name in before if name not in after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            value = "as shipped" if now is None else f"{now:g}" if isinstance(now, float) else now
            found.append(f"{name} {value}" if was is None else f"{name} {was} -> {value}")
    return found


def _wrapped(title: str, words: list[str]) -> list[str]:
    """Return `title` and the words behind it, in as many lines as they need."""
    lines, line = [], f"{title:<13}"
    for word in (*(f"{word}, " for word in words[:-1]), words[-1]):
        if len(line) + len(word.rstrip()) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = 13 * " "
        line += word
    return [*lines, line.rstrip()]
