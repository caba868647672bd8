"""Every constant of the price and number of the chip, with its grade and source."""

from collections.abc import Iterable, Mapping
from typing import Any

from host.cost.cost_table import CostTable
from host.cost.terms import facts_of
from host.cost.uncertain import uncertain
from host.show.blocks import Html, details, paragraph, table
from host.show.content import Content
from host.show.uncertainty import sentences_on_ends
from host.show.words import name_of
from noc.chip import ChipSpec, describe

TITLE = "Constants"
ORDER = 90
GRADES = (
    "Grades: P read in a primary text, S second-hand, D derived here, C read from third-party code, NF looked for and not "
    "found, user changed by the user. Where no source gives a value it is assumed, and marked so. "
)


def build(content: Content) -> list[Html]:
    """Return the constants of a priced run."""
    if content.run is None:
        return []
    facts = facts_of(content.run.ledger, linked=content.run.ledger.chips > 1)
    return _constants(content.run.costs, content.run.chip, content.report, facts)


def _constants(costs: CostTable, chip: ChipSpec, report: Mapping[str, Any], facts: Iterable[str]) -> list[Html]:
    used = set((report.get("modelled") or {}).get("assumed", ()))
    note = GRADES + (f"Assumed and in use in this run: {', '.join(sorted(used))}." if used else "")
    banded = uncertain(costs, chip, facts)
    settings = ", ".join(f"{name_of(name)} {value}" for name, value in costs.settings.items())
    rows = [
        (name, f"{one.value:g}", f"{one.low:g} to {one.high:g}" if one.low < one.high else "", one.unit, one.grade, one.source)
        for name, one in costs.constants.items()
    ]
    constants = table(
        ("constant", "value", "band", "unit", "grade", "source"), rows, numeric=(1,), long=5,
        assumed={name for name, one in costs.constants.items() if one.assumed},
    )  # fmt: skip
    numbers = table(
        ("number of the chip", "value", "grade", "source"), describe(chip), long=3,
        assumed={name for name, fact in chip.facts.items() if fact.assumed},
    )  # fmt: skip
    summary = f"All {len(chip.facts)} numbers of the chip"
    ends = sentences_on_ends(banded)
    on_ends = [paragraph(f"Used at an end of their band, and why: {'; '.join(ends)}.")] * bool(ends)
    blocks = [paragraph(f"Settings: {settings}; chip {chip.name}."), paragraph(note, "faint"), *on_ends]
    return [*blocks, details(f"All {len(rows)} constants of the price", constants), details(summary, numbers)]
