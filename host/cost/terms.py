"""On which chip and at which prices a run is priced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from host.cost.cost_table import CLOCK_FACTS, SCHEDULED, CostTable, apply_settings, load_table
from host.cost.ledger import NIBBLES, RunLedger
from host.cost.scheduled import is_scheduled
from host.errors import HostError, need_file
from noc.chip import ChipSpec, load_chip


class Terms(NamedTuple):
    """A chip and prices. `of_power`: they differ from those of the price itself in constants of power alone, which move no time."""

    chip: ChipSpec
    table: CostTable
    of_power: bool = False


def terms_of(run: RunLedger, settings: Iterable[str] = ()) -> tuple[ChipSpec, CostTable]:
    """Return a run's own chip and the shipped prices, with `name=value` texts as of `launch.py price --set`; HostError or
    ChipError, one line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = apply_settings(load_table(used=run.twins), settings)
    return chip_for(run, None, clock, numbers), table


def chip_for(run: RunLedger, other: str | None, clock: str | None, numbers: Mapping[str, float]) -> ChipSpec:
    """Return the chip to price for: the run's or the one asked for, at the clock asked for, with `numbers` on top."""
    recorded: Mapping[str, float] = run.chip["facts"]
    preset, file = clock or run.chip["preset"], None
    if other is not None:
        recorded = {}
        if Path(other).suffix == ".toml" or Path(other).exists():
            file = Path(other)
            need_file(file, f"--chip {other}")
        elif clock is None:
            preset = other
        else:
            raise HostError(f"--chip {other} and --set clock: choose one")
    if clock is not None:  # a clock that the run overrode gives way, with all that belongs to it
        recorded = {name: value for name, value in recorded.items() if name not in CLOCK_FACTS}
    return load_chip(preset, file, {**recorded, **numbers}, "run or --set")


def facts_of(run: RunLedger, linked: bool) -> list[str]:
    """Return what a run has that constants may be in use for (`Constant.used_when`); `linked`: anything crosses links."""
    facts = [*run.twins]
    facts += ["weights=int8"] if (run.ports["weight_bytes"] == 1).any() else []
    facts += ["weights=int4"] if NIBBLES in run.ports else []
    facts += ["sums=added"] if run.ports["adds"].any() else []
    facts += ["traces"] if run.ports["trace"].any() else []
    facts += ["transfers"] if run.has_transfers else []
    facts += [SCHEDULED] if is_scheduled(run) else []
    return facts + (["links"] if linked else [])
