"""What operators of an integer network cost the core, one file a kind, by the names of `models/operators`.

Contract: `unit_cycles(work, table, settings) -> float`, of a unit of `CoreWork` beside the array; constants in
`host/cost/costs.toml`, settings in `host/cost/program_settings.py`. A kind whose sums the array makes has no file here unless
the core has a part in it: what leaves the array is priced by `host/cost/program_price.py`.
"""

from __future__ import annotations

import sys
from typing import Protocol, cast

from host.cost.cost_table import CostTable
from host.cost.program_settings import ProgramSettings
from host.errors import HostError
from models.dnn.work import CoreWork
from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)


class OperatorCost(Protocol):
    """A module of this package."""

    def unit_cycles(self, work: CoreWork, table: CostTable, settings: ProgramSettings) -> float:
        """Return the core's cycles of a unit."""


def operator_cost(kind: str) -> OperatorCost:
    """Return what a kind of operator costs; HostError where nothing says it."""
    if f"{__name__}.{kind}" not in sys.modules and kind not in (have := member_names(__name__)):
        raise HostError(f"operator {kind!r}: has no prices; have {', '.join(have)}")
    return cast(OperatorCost, member(__name__, kind, "operator"))
