"""What a page is made of: what a run folder holds, with the ledger and its price where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.cost.link_traffic import machine_for
from host.cost.priced import Priced
from host.show.blocks import Figure, Html
from host.show.status import unit_of
from host.show.words import Words, stages_of
from noc.chip import ChipSpec
from noc.machine import Machine


@dataclass(frozen=True)
class PricedRun:
    """A run's ledger, and its price on a chip under a table of costs."""

    ledger: RunLedger
    priced: Priced
    chip: ChipSpec
    costs: CostTable

    @cached_property
    def machine(self) -> Machine:
        """The chips that the run was on."""
        return machine_for(self.ledger, self.chip)

    @property
    def steps(self) -> int:
        """Positions of sequences that were run: an idle lane is none."""
        return max(1, self.ledger.executions)

    @property
    def positions(self) -> dict[int, tuple[int, int]]:
        """Where each chip lies on the mesh."""
        return {chip: self.machine.positions[chip] for chip in self.machine.live}


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a page shows. Whatever a run lacks (one that failed has no report, an unpriced one no `run`) stays empty.

    `report`, `config` and `mapping` are the files of those names; `sections` and `figures` those of the run's workload; `files` the
    files of the folder and what they hold; `answers` is `answers.json`, empty where there is none.
    """

    name: str
    report: Mapping[str, Any]
    config: Mapping[str, Any]
    mapping: Sequence[Mapping[str, Any]] = ()
    files: Sequence[tuple[str, str]] = ()
    sections: Sequence[Html] = ()
    figures: Sequence[Figure] = ()
    run: PricedRun | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What one position of one sequence is called."""
        return unit_of(self.report)

    @cached_property
    def stages(self) -> dict[str, Words]:
        """What the stages of the run's layers are called, by name; {} of a run without a ledger."""
        if self.run is None:
            return {}
        ledger = self.run.ledger
        return stages_of(ledger.populations[number].kernel for number in ledger.layers)
