"""Cost twins of the neuron models: one file each, found by the name that the model has in `models/kernels`.

Contract of a twin: `PORT_STAGES`, the stage in which a layer works on each of its ports; `cycles(units, table)`, those of a
step of so many units, which is the stage `pointwise`; `UNIT_READ_BYTES` and `UNIT_WRITTEN_BYTES`, what a step moves of SRAM.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Protocol, cast

from host.cost.cost_table import CostTable
from host.errors import HostError
from models.network import F64, I64


class KernelCost(Protocol):
    """A module of this package."""

    PORT_STAGES: Mapping[str, str]
    UNIT_READ_BYTES: int
    UNIT_WRITTEN_BYTES: int

    def cycles(self, units: I64, table: CostTable) -> F64:
        """Return the cycles of a step of so many units, shaped as `units`."""


def names() -> list[str]:
    """Return the names of all neuron models that have a price, ascending."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache
def named(name: str) -> KernelCost:
    """Return the twin of the neuron model called `name`; HostError where there is none."""
    if name not in names():
        raise HostError(f"neuron model {name!r}: has no prices; have {', '.join(names())}")
    return cast(KernelCost, importlib.import_module(f"{__name__}.{name}"))
