"""What of a price is uncertain: the constants and numbers of the chip that have a band, in use, each with its two ends.

A constant with a band is one of `costs.toml` or of a cost twin; a number of the chip stands in `noc/spinnaker2.toml` and is called
`chip.NAME` here, as in `launch.py price --set`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from host.cost.cost_table import CHIP_NUMBERS, EASING, CostTable, in_use
from noc.chip import ChipSpec

_CHIP = "chip."


@dataclass(frozen=True, kw_only=True)
class Uncertain:
    """A constant with a band: `words` say what it is; `at_end`, why its value lies on an end of the band, where it does."""

    name: str
    words: str
    value: float
    low: float
    high: float
    unit: str
    grade: str
    source: str
    at_end: str = ""
    of_power: bool = False

    @property
    def inside(self) -> bool:
        """Whether the value lies inside the band, on neither end."""
        return self.low < self.value < self.high


def uncertain(table: CostTable, chip: ChipSpec, facts: Iterable[str]) -> list[Uncertain]:
    """Return what is uncertain of a price in which `facts` hold of the run (`facts_of` in `host/cost/terms.py`)."""
    true = table.true(facts)
    constants = [
        Uncertain(
            name=name, words=one.words or name.replace("_", " "), value=one.value, low=one.low, high=one.high, unit=one.unit,
            grade=one.grade, source=one.source, at_end=one.at_end, of_power=one.of_power,
        )
        for name, one in table.constants.items()
        if one.low < one.high and in_use(one.used_when, true)
    ]  # fmt: skip
    for name, when in CHIP_NUMBERS.items():
        fact = chip.facts[name]
        if fact.low is not None and fact.high is not None and in_use(when, true):
            constants.append(
                Uncertain(
                    name=_CHIP + name, words=fact.words, value=float(getattr(chip, name)), low=fact.low, high=fact.high,
                    unit=fact.unit, grade=fact.grade, source=fact.note or fact.source, at_end=fact.at_end,
                )
            )  # fmt: skip
    return constants


def with_value(table: CostTable, chip: ChipSpec, name: str, value: float) -> tuple[ChipSpec, CostTable]:
    """Return the chip and the table with one constant, or number of the chip, at another value."""
    if name.startswith(_CHIP):
        return replace(chip, **{name.removeprefix(_CHIP): value}), table  # type: ignore[arg-type]  # the name is a field's
    moved = replace(table.constants[name], value=value)
    return chip, CostTable({**table.constants, name: moved}, table.settings)


def chip_at(chip: ChipSpec, end: str) -> ChipSpec:
    """Return the chip with its uncertain numbers where a price is "low" or "high" (a rate or depth is high where the price is low),
    or at their "value".
    """
    if end == "value":
        return chip
    moved: dict[str, float] = {}
    for name in CHIP_NUMBERS:
        fact = chip.facts[name]
        if fact.low is not None and fact.high is not None:
            eases = fact.unit.endswith("/s") or name in EASING
            moved[name] = fact.low if (end == "low") != eases else fact.high
    return replace(chip, **moved)  # type: ignore[arg-type]  # names are those of the fields
