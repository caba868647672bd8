"""Which chip sends and hears what: a ledger's shards, seen from chip to chip.

Layer 0 stands for the input, which comes from the host's chip. A layer is heard on every chip with PEs of its own or of the
next one, and the last layer on the host's chip too. Not known here: routes, time, and what happens inside a chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.ledger import Ledger
from models.network import I64, Array
from noc.machine import Machine


def runs_of(ledger: Ledger) -> Array:
    """Return which PE has units of which layer, (PEs, layers + 1) bool; none of layer 0, the input."""
    runs = np.zeros((len(ledger.pes), len(ledger.layers) + 1), bool)
    runs[ledger.table["pe"], ledger.table["layer"]] = True
    return runs


def listens_to(runs: Array) -> Array:
    """Return which PE listens to which layer, (PEs, layers + 1) bool: to its own and to the one before."""
    listens = runs.copy()
    listens[:, :-1] |= runs[:, 1:]
    return listens


def sum_heard_on_chip(ledger: Ledger, values: I64) -> I64:
    """Return for each PE, (PEs,), the sum of a number of each shard, (shards,), over the shards of other PEs of its chip that it
    listens to.
    """
    shards, runs = ledger.table, runs_of(ledger)
    of_chip = np.zeros((ledger.chips, runs.shape[1]), np.int64)
    np.add.at(of_chip, (ledger.chip_of[shards["pe"]], shards["layer"]), values)
    own = np.zeros(runs.shape, np.int64)
    own[shards["pe"], shards["layer"]] = values
    return np.asarray(((of_chip[ledger.chip_of] - own) * listens_to(runs)).sum(axis=1), np.int64)


@dataclass(frozen=True)
class ChipStreams:
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


def chip_streams(ledger: Ledger, machine: Machine) -> ChipStreams:
    """Return what the chips of `machine` send each other."""
    runs, layers, stands = runs_of(ledger), len(ledger.layers), ledger.representative_of
    sources, wanted = (np.zeros((layers + 1, ledger.chips), bool) for _ in range(2))
    emitted = np.zeros((ledger.positions, layers + 1, ledger.chips), np.int64)
    listens, events = listens_to(runs), ledger.of("events").astype(np.int64)
    shard_chip = ledger.chip_of[ledger.table["pe"]]
    for n in range(layers + 1):
        sources[n, ledger.chip_of[runs[:, n]]] = True
        wanted[n, ledger.chip_of[listens[:, n]]] = True
        for chip in np.flatnonzero(sources[n]):
            emitted[:, n, chip] = events[:, (ledger.table["layer"] == n) & (shard_chip == chip)].sum(axis=1)
    sources, wanted = (array[:, stands] & (stands >= 0) for array in (sources, wanted))
    emitted = emitted[:, :, stands] * (stands >= 0)
    sources[0, machine.host_chip] = True
    emitted[:, 0, machine.host_chip] = ledger.input_events
    wanted[-1, machine.host_chip] = True
    return ChipStreams(sources=sources, wanted=wanted, emitted=emitted)
