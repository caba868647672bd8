"""What each single setting of a price would change: a table of every other choice, priced from one ledger.

A choice is as `launch.py price --set` takes it, and its figures are those that this command prints. The table is made of what
there is to set (`CHOICES`, `CLOCKS`), so that a new setting has its rows without a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from host.cost.cost_table import CHOICES, CLOCKS, CostTable, apply_settings, load_table
from host.cost.ledger import RunLedger
from host.cost.price import price
from host.cost.priced import Priced
from host.cost.terms import chip_for
from host.errors import HostError
from noc.chip import ChipError, ChipSpec

PROGRAM_CHOICES = {"waiting_power_share": ("0", "1")}
"""Constants that a program decides, not a measurement: whether a PE that waits sleeps (0) or polls (1)."""

OTHERS = "others"
"""The value of a row for all other choices of a setting, where none of them was worked out."""


@dataclass(frozen=True)
class PricingTerms:
    """A ledger with how it is priced: with `settings` (texts of `--set`) and, where named, another chip and a user's costs.

    `alive` is called several times a price, for whoever must say that this goes on.
    """

    ledger: RunLedger
    settings: tuple[str, ...] = ()
    chip: str | None = None
    costs: Path | None = None
    alive: Callable[[], None] = lambda: None

    @cached_property
    def table(self) -> CostTable:
        """The cost table without the settings."""
        return load_table(self.costs, self.ledger.twins)

    def under(self, *texts: str) -> tuple[CostTable, ChipSpec]:
        """Return table and chip with further settings on top; HostError or ChipError, one line, for what cannot be meant."""
        names = {text.partition("=")[0] for text in texts}
        settings = [text for text in self.settings if text.partition("=")[0] not in names]
        table, clock, numbers = apply_settings(self.table, [*settings, *texts])
        if (key := (clock, tuple(numbers.items()))) not in self._chips:  # it takes as long as a small price
            self._chips[key] = chip_for(self.ledger, self.chip, clock, numbers)
        return table, self._chips[key]

    @cached_property
    def _chips(self) -> dict[tuple[str | None, tuple[tuple[str, float], ...]], ChipSpec]:
        return {}

    def price(self, *texts: str) -> Priced:
        """Return the price with further settings on top, without its bands."""
        table, chip = self.under(*texts)
        return price(self.ledger, chip, table, bands=False, alive=self.alive)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One row of the table: what one setting would cost. Times in s, energy in J, of the whole run; None where it is not priced.

    `group` is the setting, `value` the choice and `was` what the run has; `setting` is the text for `--set`, `flags` those of a run
    for what changes its placement. `moved_bytes`: messages on meshes, frames over links, and DRAM. `sram_bytes`: weights and
    variables of the fullest PE. Changes are shares of the run's figure (-0.56: 56 % less). `expected`: from expected counts
    of another placement, not from the recorded ones. `note`: what to know, or why there are no figures.
    """

    group: str
    value: str
    was: str
    setting: str | None = None
    flags: str | None = None
    time_s: float | None = None
    energy_j: float | None = None
    moved_bytes: int | None = None
    sram_bytes: int | None = None
    time_change: float | None = None
    energy_change: float | None = None
    bytes_change: float | None = None
    expected: bool = False
    note: str = ""


def moved_bytes(priced: Priced) -> int:
    """Return the bytes that a run moves: messages on meshes in whole flits, frames over links between chips, and DRAM."""
    work, links, over_links = priced.work, priced.links, 0.0
    if links is not None and links["busiest_packets"]:
        over_links = links["packets"] * (links["busiest_bytes"] / links["busiest_packets"])
    return round(work["message_bytes"] + work["dram_read_bytes"] + work.get("dram_written_bytes", 0) + over_links)


def choices(priced: Priced, table: CostTable) -> list[tuple[str, str, str]]:
    """Return (setting, choice, what the price has) of every choice that a price does not have, setting by setting."""
    settable: dict[str, tuple[Sequence[str], str]] = {"clock": (tuple(CLOCKS), _clock_of(priced.settings["clock_hz"]))}
    settable |= {name: (values, str(priced.settings[name])) for name, values in CHOICES.items()}
    for name, values in PROGRAM_CHOICES.items():
        settable[name] = values, f"{table[name]:g}"
    return [(name, value, was) for name, (values, was) in settable.items() for value in values if value != was]


def what_if(pricing: PricingTerms, priced: Priced, sram_bytes: int | None = None) -> list[Answer]:
    """Return a row for each other choice of each setting; a choice that this chip or network cannot mean says why in its note.

    `priced` is what `pricing` gives as it is; `sram_bytes` that of the run's fullest PE, which no price changes.
    """
    rows = []
    table, _ = pricing.under()
    for name, value, was in choices(priced, table):
        text = f"{name}={value}"
        row = Answer(group=name, value=value, was=was, setting=text, sram_bytes=sram_bytes)
        try:
            rows.append(compared(row, pricing.price(text), priced))
        except (HostError, ChipError) as error:
            rows.append(replace(row, note=str(error)))
    return rows


def compared(row: Answer, after: Priced, before: Priced) -> Answer:
    """Return a row with the figures of its price, beside those of the run as it is."""
    moved, was_moved = moved_bytes(after), moved_bytes(before)
    return replace(
        row, time_s=after.time_s, energy_j=after.energy_j, moved_bytes=moved, time_change=_change(before.time_s, after.time_s),
        energy_change=_change(before.energy_j, after.energy_j), bytes_change=_change(was_moved, moved),
    )  # fmt: skip


def best(rows: Iterable[Answer], least: float = 0.01) -> Answer | None:
    """Return the row that takes most off time x energy; None where none takes off at least that share."""

    def product(row: Answer) -> float:
        return (1 + (row.time_change or 0.0)) * (1 + (row.energy_change or 0.0))

    priced = [row for row in rows if row.time_s is not None]
    first = min(priced, key=product, default=None)
    return first if first is not None and product(first) <= 1 - least else None


def described(row: Answer) -> dict[str, Any]:
    """Return a row as JSON can hold it."""
    return dict(vars(row))


def _clock_of(hertz: Any) -> str:
    return f"{float(hertz) / 1e6:g}MHz"


def _change(before: float, after: float) -> float:
    return after / before - 1 if before else 0.0
