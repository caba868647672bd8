"""A recorded run at other prices, or on another chip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from host.cost.cost_table import CLOCK_FACTS, apply_settings, load_table
from host.cost.ledger import Ledger
from host.cost.price import Priced, price
from host.errors import HostError
from noc.chip import ChipSpec, load_chip


def price_at(ledger: Ledger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip at the shipped table, with `name=value` texts applied as by `launch.py price --set`.

    HostError or ChipError, one line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = apply_settings(load_table(), settings)
    return price(ledger, chip_for(ledger, None, clock, numbers), table)


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
