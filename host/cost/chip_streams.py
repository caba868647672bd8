"""Which chip sends and hears what: layer 0 is the input, from the host's chip, where the last layer is heard too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.ledger import Ledger
from models.network import I64, Array
from noc.machine import Machine


def listeners(ledger: Ledger) -> Array:
    """Return which PE listens to which layer, (PEs, layers + 1) bool."""
    listens = np.zeros((len(ledger.pes), len(ledger.layers) + 1), bool)
    for port in ledger.ports.values():
        listens[ledger.table["pe"], port.source] = True
    return listens


def sum_heard_on_chip(ledger: Ledger, values: I64) -> I64:
    """Return for each PE, (PEs,), the sum of a number of each shard, (shards,), over the shards of other PEs of its chip that it
    listens to.
    """
    pe, layer, listens = ledger.table["pe"], ledger.table["layer"], listeners(ledger)
    of_chip, own = np.zeros((ledger.chips, listens.shape[1]), np.int64), np.zeros(listens.shape, np.int64)
    np.add.at(of_chip, (ledger.chip_of[pe], layer), values)
    own[pe, layer] = values
    return np.asarray(((of_chip[ledger.chip_of] - own) * listens).sum(axis=1), np.int64)


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
    layer, stands, shard_chip = ledger.table["layer"], ledger.representative_of, ledger.chip_of[ledger.table["pe"]]
    sources, wanted = (np.zeros((len(ledger.layers) + 1, ledger.chips), bool) for _ in range(2))
    emitted = np.zeros((ledger.positions, *sources.shape), np.int64)
    np.add.at(np.moveaxis(emitted, 0, 2), (layer, shard_chip), ledger.of("events").astype(np.int64).T)
    sources[layer, shard_chip] = True
    for port in ledger.ports.values():
        wanted[port.source, shard_chip] = True
    sources, wanted = (array[:, stands] & (stands >= 0) for array in (sources, wanted))
    emitted = emitted[:, :, stands] * (stands >= 0)
    sources[0, machine.host_chip] = True
    emitted[:, 0, machine.host_chip] = ledger.input_events
    wanted[-1, machine.host_chip] = True
    return ChipStreams(sources=sources, wanted=wanted, emitted=emitted)
