"""What each uncertain constant moves: a recorded run priced again with one at a time at its low and at its high end.

A pure function of (ledger, chip, cost table). The ledger is read once, and what it moves worked out once, for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.cost.pricing import Pricing, Totals
from host.cost.terms import Terms, facts_of
from host.cost.uncertain import Uncertain, uncertain, with_value
from noc.chip import ChipSpec

MEASURES = ("time_s", "power_w", "energy_j")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One constant, and the run's totals with it at its low and at its high end; `recorded` are those of its value."""

    constant: Uncertain
    recorded: Totals
    at_low: Totals
    at_high: Totals

    def changes(self, measure: str) -> tuple[float, float]:
        """Return how far a measure moves with the constant at its low and at its high end, as shares of its value."""
        middle = getattr(self.recorded, measure)
        low, high = ((getattr(end, measure) - middle) / middle if middle else 0.0 for end in (self.at_low, self.at_high))
        return low, high

    def swing(self, measure: str) -> float:
        """Return how far apart the two ends lie, or an end and the value, as a share of the value."""
        ends = (0.0, *self.changes(measure))
        return max(ends) - min(ends)


def tornado(run: RunLedger, chip: ChipSpec, table: CostTable) -> list[Bar]:
    """Return a bar for each uncertain constant that moves this run's time, power or energy, the widest first.

    Raises what `price` raises.
    """
    constants = uncertain(table, chip, facts_of(run, linked=run.chips > 1))
    ends = [Terms(*with_value(table, chip, one.name, end), one.of_power) for one in constants for end in (one.low, one.high)]
    pricing = Pricing(run, chip, table, bands=False, others=[Terms(chip, table), *ends])
    for part in run.parts(pricing.margin):
        pricing.add(part)
    recorded, *totals = pricing.totals_of_others()
    bars = [
        Bar(constant=one, recorded=recorded, at_low=totals[2 * n], at_high=totals[2 * n + 1]) for n, one in enumerate(constants)
    ]
    in_play = [bar for bar in bars if any(bar.swing(measure) > 0 for measure in MEASURES)]
    return sorted(in_play, key=lambda bar: (-max(bar.swing(measure) for measure in MEASURES), bar.constant.name))


def rows_of(bars: Sequence[Bar]) -> list[dict[str, float | str]]:
    """Return a plain record a bar, for a table of numbers: the constant, and each measure at its two ends."""
    return [
        {
            "constant": bar.constant.name, "words": bar.constant.words, "unit": bar.constant.unit, "grade": bar.constant.grade,
            "value": bar.constant.value, "low": bar.constant.low, "high": bar.constant.high,
            **{f"{measure}_at_{end}": getattr(totals, measure)
               for measure in MEASURES for end, totals in (("low", bar.at_low), ("high", bar.at_high))},
        }
        for bar in bars
    ]  # fmt: skip
