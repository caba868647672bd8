"""Neuron models: one file each, found by name.

Contract of a kernel file. A kernel sees arena views and numbers; no PE, packet, chip, socket or clock.

- `PORTS`: name -> `PortSpec`: rows per unit of its weight matrices, and what sums it takes (`models/numerics.py`).
- `EMITS`: the payloads that its events may carry; a kernel with `DENSE = True` sends every unit's number at every position.
- `VECTORS`: name -> `Vector`: arrays that a population brings, their length a unit and numpy type.
- `DEFAULTS`: parameters.
- `COUNTS`: what a step counts beside its events and the work of its ports; `PER_UNIT`: name -> how much a unit's step adds,
  for those counts that do not depend on activity.
- `fields(units, lanes)`: what a shard keeps beside its ports, vectors, counts and the events that it sends.
- `stepper(mem, width, params)`: the step bound to a shard's arena views: `units`, each vector and field by its name,
  `<port>.sums` (lanes, rows), `counts`, `send_keys` and `send_values` (none for a spike, no keys for a dense kernel).
- `TRANSFERS`, where its PEs send bytes beside events, to each other, a DRAM or the host: a `TransferSpec` (`models/transfers.py`).
  The stepper then has an `exchange`, which runs once a tick, before the step if there is one, whether or not the population
  steps: it gets the number of transfers in the inbox and returns how many it put into the outbox. With those it may name ticks in
  which nothing is to be done, which it is spared then (`STANDS`); it is told how many that were. Arena views more: `inbox` and
  `outbox` (rows, `TRANSFER_WORDS`) uint32, `inbox_data` and `outbox_data` uint8, and `peers` uint32: which population each peer
  is of, or which other endpoint it is. What one exchange sends is in its peer's inbox at the next; a DATA, with the number of the
  READ that it answers, at the one after that. Numbers ascend within a tick.
  `EXCHANGE_COUNTS`, where there is something to count in an exchange: names; `exchange_counts`, uint32, is one view more, to be
  added to and never cleared. A ledger has what was added from step to step.
- `check(population)`, where a population of it may have numbers that cannot be: raises ModelError, one line that names it.
- `CONVENTIONS`, where other programs' numbers of the same names mean something else: pairs of words that a checkpoint states.
- `TOGETHER`, where so many units, one behind the other, must lie on the same PE: every mapping deals them together.
- `ticks(params)`, where a position takes more than one tick: how many. The sums of the ports are there at the first alone.

Sums are those of the position. What a port that hears `delay` positions late reads before a sequence has so many is zero. The
step runs once for each lane that is not idle, with the lane's number and how many events the lanes before it have sent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from models.families import family_path, member, member_names
from models.network import Array, Field
from models.transfers import TransferSpec

if TYPE_CHECKING:  # whoever only asks for names needs no compiler
    from models.compute.bound_calls import Call

__path__ = family_path(__path__, __name__)


class PortSpec(NamedTuple):
    """A port of a neuron model: `rows` of each weight matrix a unit has, and the types of sums that it takes.

    Nothing need feed one that `may_be_silent`; its sums are then no arena view.
    """

    rows: int
    sums: tuple[str, ...] = ("float32",)
    may_be_silent: bool = False


class Vector(NamedTuple):
    """An array that a population brings: so many numbers a unit, of a numpy type."""

    length: int = 1
    dtype: str = "<f4"


class Stepper(NamedTuple):
    """A kernel bound to one shard's arena views; `reset` and `step` are called a lane at a time, `exchange` once a tick."""

    reset: Call  # (lane): put back to its start what a segment boundary clears
    step: Call  # (lane, events of the lanes before, phase): step every unit, add to the counts, return the number of its events
    exchange: Call | None = None  # (transfers in the inbox, ticks spared): return how many are in the outbox


class Kernel(Protocol):
    """A module of this package that holds a neuron model."""

    PORTS: Mapping[str, PortSpec]
    EMITS: tuple[str, ...]
    VECTORS: Mapping[str, Vector]
    DEFAULTS: Mapping[str, float]
    COUNTS: tuple[str, ...]
    PER_UNIT: Mapping[str, int]

    def fields(self, units: int, lanes: int) -> list[Field]:
        """Return what a shard keeps beside its ports, vectors, counts and events."""

    def stepper(self, mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
        """Bind the step to a shard's arena views."""


def names() -> list[str]:
    """Return the names of all neuron models, ascending."""
    return member_names(sys.modules[__name__])


@cache  # a mapping asks for it once a shard
def named(name: str) -> Kernel:
    """Return the neuron model called `name`; ModelError where there is none, or more than one."""
    return cast(Kernel, member(sys.modules[__name__], name, "neuron model"))


def ticks_of(name: str, params: Mapping[str, float]) -> int:
    """Return how many ticks a position takes in a population of neuron model `name`; an input, "", takes 1."""
    kernel = named(name) if name else None
    return int(kernel.ticks({**kernel.DEFAULTS, **params})) if kernel is not None and hasattr(kernel, "ticks") else 1


def transfers_of(name: str) -> TransferSpec | None:
    """Return what a PE of neuron model `name` keeps for its transfers; None where it has none, as an input, ""."""
    spec: TransferSpec | None = getattr(named(name), "TRANSFERS", None) if name else None
    return spec


def exchange_counts_of(name: str) -> tuple[str, ...]:
    """Return what a neuron model `name` counts in its exchange; nothing where it has none."""
    return tuple(getattr(named(name), "EXCHANGE_COUNTS", ())) if name else ()


def is_dense(name: str) -> bool:
    """Tell whether a neuron model sends every unit's number at every position."""
    return bool(getattr(named(name), "DENSE", False))
