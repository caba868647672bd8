"""Neuron models: one file each, found by name.

Contract of a kernel file: `GATES` (rows per unit of each weight matrix), `PORTS` (the first one's valid events make the
population step), `VECTORS` (per-unit arrays and their length in units), `DEFAULTS` (parameters), `LEDGER` (what a step
counts, in order), `fields(units, lanes)` (what a shard keeps in SRAM) and `stepper(mem, prefix, width, params)`. A kernel
sees arena views and numbers; no PE, packet, chip, socket or clock.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from models.network import Array, Field, ModelError

if TYPE_CHECKING:  # whoever only asks for names needs no compiler
    from models.compute.bound_calls import Call


class Stepper(NamedTuple):
    """A kernel bound to one shard's arena views."""

    reset: Call  # put back to its start what a segment boundary clears
    step: Call  # step every unit, fill the ledger, return the number of events in the send buffer


class Kernel(Protocol):
    """A module of this package that holds a neuron model."""

    GATES: int
    PORTS: tuple[str, ...]
    VECTORS: Mapping[str, int]
    DEFAULTS: Mapping[str, float]
    LEDGER: tuple[str, ...]

    def fields(self, units: int, lanes: int) -> list[Field]:
        """Return what a shard keeps beside its ports and vectors."""

    def stepper(self, mem: Mapping[str, Array], prefix: str, width: int, params: Mapping[str, float]) -> Stepper:
        """Bind the step to a shard's arena views, whose names begin with `prefix`."""


def names() -> list[str]:
    """Return the names of all neuron models, ascending."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache  # a mapping asks for it once a shard
def named(name: str) -> Kernel:
    """Return the neuron model called `name`; ModelError where there is none."""
    if name not in names():
        raise ModelError(f"unknown neuron model {name!r}: have {', '.join(names())}")
    return cast(Kernel, importlib.import_module(f"{__name__}.{name}"))
