"""Which chip sends and hears what: a ledger's shards, seen from chip to chip.

Layer 0 stands for the input, which comes from the host's chip. A layer is heard on every chip with PEs of its own or of the
next one, and the last layer on the host's chip too. Not known here: routes, time, and what happens inside a chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.ledger import I64, Ledger
from models.network import Array
from noc.machine import Machine


def runs_of(ledger: Ledger) -> Array:
    """Return which PE has units of which layer, (PEs, layers + 1) bool; none of layer 0, the input."""
    runs = np.zeros((len(ledger.pes), len(ledger.layers) + 1), bool)
    runs[ledger.table["pe"], ledger.table["layer"]] = True
    return runs


def heard_by(runs: Array) -> Array:
    """Return which PE listens to which layer, (PEs, layers + 1) bool: to its own and to the one before."""
    hears = runs.copy()
    hears[:, :-1] |= runs[:, 1:]
    return hears


def heard_here(ledger: Ledger, values: I64) -> I64:
    """Return the sum of a number of each shard, (shards,), over those of its own chip that a PE listens to, but its own; (PEs,)."""
    shards, runs = ledger.table, runs_of(ledger)
    of_chip = np.zeros((ledger.chips, runs.shape[1]), np.int64)
    np.add.at(of_chip, (ledger.chip_of[shards["pe"]], shards["layer"]), values)
    own = np.zeros(runs.shape, np.int64)
    own[shards["pe"], shards["layer"]] = values
    return np.asarray(((of_chip[ledger.chip_of] - own) * heard_by(runs)).sum(axis=1), np.int64)


@dataclass(frozen=True)
class Streams:
    """What chips send each other: at a position, a chip's senders of a layer make one stream to all other chips that listen.

    `sources` and `wanted` (layers + 1, chips) bool: chips with senders of a layer, and those where it is heard. `emitted`
    (positions, layers + 1, chips) events of a chip's senders.
    """

    sources: Array
    wanted: Array
    emitted: I64

    @cached_property
    def leaves(self) -> Array:
        """Whether a layer's events from a chip are heard on another, (layers + 1, chips) bool."""
        return np.asarray(self.sources & (self.wanted.sum(axis=1, keepdims=True) > self.wanted))

    @cached_property
    def arriving(self) -> I64:
        """How many other chips send a layer, (layers + 1, chips)."""
        return np.asarray(self.sources.sum(axis=1, keepdims=True) - self.sources, np.int64)

    @cached_property
    def arriving_events(self) -> I64:
        """How many events those have, (positions, layers + 1, chips)."""
        return np.asarray(self.emitted.sum(axis=2, keepdims=True) - self.emitted, np.int64)


def streams_of(ledger: Ledger, machine: Machine) -> Streams:
    """Return what the chips of `machine` send each other."""
    runs, layers, like = runs_of(ledger), len(ledger.layers), ledger.like
    sources, wanted = (np.zeros((layers + 1, ledger.chips), bool) for _ in range(2))
    emitted = np.zeros((ledger.positions, layers + 1, ledger.chips), np.int64)
    hears, events = heard_by(runs), ledger.of("events").astype(np.int64)
    shard_chip = ledger.chip_of[ledger.table["pe"]]
    for n in range(layers + 1):
        sources[n, ledger.chip_of[runs[:, n]]] = True
        wanted[n, ledger.chip_of[hears[:, n]]] = True
        for chip in np.flatnonzero(sources[n]):
            emitted[:, n, chip] = events[:, (ledger.table["layer"] == n) & (shard_chip == chip)].sum(axis=1)
    sources, wanted = (array[:, like] & (like >= 0) for array in (sources, wanted))
    emitted = emitted[:, :, like] * (like >= 0)
    sources[0, machine.host_chip] = True
    emitted[:, 0, machine.host_chip] = ledger.input_events
    wanted[-1, machine.host_chip] = True
    return Streams(sources, wanted, emitted)
