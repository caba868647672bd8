"""Which chip sends and hears what: inputs come from the host's chip, where outputs are heard too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.ledger import Ledger
from models.network import I64, Array
from models.numerics import payload_bytes
from noc.machine import Machine

PACKET_VALUE_BYTES = 4  # a packet between chips holds a key and as many bytes of value


def listeners(ledger: Ledger) -> Array:
    """Return which PE listens to which population, (PEs, populations) bool."""
    listens = np.zeros((len(ledger.pes), len(ledger.populations)), bool)
    listens[ledger.shards["pe"][ledger.ports["shard"]], ledger.ports["source"]] = True
    return listens


def sum_heard_on_chip(ledger: Ledger, values: I64) -> I64:
    """Return for each PE, (PEs,), the sum of a number of each turn, (turns,), over the shards of other PEs of its chip that it
    listens to.
    """
    shard, listens = ledger.turns.shard, listeners(ledger)
    pe, population = ledger.shards["pe"][shard], ledger.shards["population"][shard]
    of_chip, own = np.zeros((ledger.chips, listens.shape[1]), np.int64), np.zeros(listens.shape, np.int64)
    np.add.at(of_chip, (ledger.chip_of[pe], population), values)
    np.add.at(own, (pe, population), values)
    return np.asarray(((of_chip[ledger.chip_of] - own) * listens).sum(axis=1), np.int64)


def packets_of(events: Array, payload: str, dense: bool) -> I64:
    """Return how many packets so many events are: one each, or without keys as many as their values fill."""
    if not dense:
        return np.asarray(events, np.int64)
    return np.asarray(-(-events.astype(np.int64) * payload_bytes(payload) // PACKET_VALUE_BYTES), np.int64)


def turn_packets(ledger: Ledger) -> I64:
    """Return how many packets the events of each turn are, (positions, turns)."""
    packets = ledger.events.astype(np.int64)
    population = ledger.shards["population"][ledger.turns.shard]
    for number, one in enumerate(ledger.populations):
        if one.dense:
            of_it = population == number
            packets[:, of_it] = packets_of(packets[:, of_it], one.payload, dense=True)
    return packets


@dataclass(frozen=True)
class ChipStreams:
    """What chips send each other: in each exchange, a chip's senders make one stream to all other chips that listen.

    `sources` and `listening` (exchanges, chips) bool: chips with senders, and those where it is heard. `emitted` (positions,
    exchanges, chips) packets of a chip's senders.
    """

    sources: Array
    listening: Array
    emitted: I64

    @cached_property
    def leaves(self) -> Array:
        """Whether what a chip sends is heard on another, (exchanges, chips) bool."""
        return np.asarray(self.sources & (self.listening.sum(axis=1, keepdims=True) > self.listening))

    @cached_property
    def arriving(self) -> I64:
        """How many other chips send, (exchanges, chips)."""
        return np.asarray(self.sources.sum(axis=1, keepdims=True) - self.sources, np.int64)

    @cached_property
    def arriving_packets(self) -> I64:
        """How many packets those send, (positions, exchanges, chips)."""
        return np.asarray(self.emitted.sum(axis=2, keepdims=True) - self.emitted, np.int64)


def chip_streams(ledger: Ledger, machine: Machine) -> ChipStreams:
    """Return what the chips of `machine` send each other."""
    exchanges, turns, stands = ledger.exchanges, ledger.turns, ledger.representative_of
    shard_chip = ledger.chip_of[ledger.shards["pe"]]
    sources, heard = np.zeros((len(exchanges), ledger.chips), bool), np.zeros((len(ledger.populations), ledger.chips), bool)
    emitted = np.zeros((ledger.positions, *sources.shape), np.int64)
    np.add.at(np.moveaxis(emitted, 0, 2), (turns.exchange, shard_chip[turns.shard]), turn_packets(ledger).T)
    sources[turns.exchange, shard_chip[turns.shard]] = True
    heard[ledger.ports["source"], shard_chip[ledger.ports["shard"]]] = True
    listening = heard[exchanges.population]
    sources, listening = (array[:, stands] & (stands >= 0) for array in (sources, listening))
    emitted = emitted[:, :, stands] * (stands >= 0)
    for place, (number, exchange) in enumerate(zip(ledger.inputs, exchanges.inputs.tolist(), strict=True)):
        one = ledger.populations[number]
        sources[exchange, machine.host_chip] = True
        emitted[:, exchange, machine.host_chip] = packets_of(ledger.input_events[:, place], one.payload, one.dense)
    listening[np.isin(exchanges.population, ledger.outputs), machine.host_chip] = True
    return ChipStreams(sources=sources, listening=listening, emitted=emitted)
