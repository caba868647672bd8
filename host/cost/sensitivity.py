"""Which uncertain constant moves which run by how much: the bars of several runs (`host/cost/tornado.py`) beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.cost.tornado import MEASURES, Bar
from host.cost.uncertain import Uncertain


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """One constant: by the name of each run that it moves, its bar there."""

    constant: Uncertain
    bars: Mapping[str, Bar]

    def swing(self) -> float:
        """Return the widest swing of any measure of any run."""
        return max(bar.swing(measure) for bar in self.bars.values() for measure in MEASURES)


def sensitivities(tornados: Mapping[str, Sequence[Bar]]) -> list[Sensitivity]:
    """Return what moves any of the runs, whose tornados are given by name, the widest swing first."""
    bars: dict[str, dict[str, Bar]] = {}
    for run, of_run in tornados.items():
        for bar in of_run:
            bars.setdefault(bar.constant.name, {})[run] = bar
    rows = [Sensitivity(constant=next(iter(of.values())).constant, bars=of) for of in bars.values()]
    return sorted(rows, key=lambda row: (-row.swing(), row.constant.name))
