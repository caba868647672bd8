"""Layers that lie beside each other on the same PEs: which of their work need not wait, and the time in which it is done.

Their PEs can work for a later layer of the group while messages of an earlier one travel: on ports whose sources are not of the
group, or are heard late. With `beside=send_first` (where layers follow one another) a PE does what the first layer needs, sends,
and goes on with that work; the rest waits until the last message has arrived. With `beside=work_first` it does all such work
before the first layer sends. Neither changes how much is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger
from models.network import F64, I64, Array


def groups_of(ledger: Ledger) -> list[tuple[int, ...]]:
    """Return the groups of layers that lie beside each other, each in the order in which it sends."""
    groups: dict[int, list[int]] = {}
    for number in ledger.layers:
        beside = ledger.populations[number].beside
        groups.setdefault(number if beside < 0 else beside, []).append(number)
    return [tuple(sorted(group, key=lambda n: ledger.populations[n].start)) for group in groups.values() if len(group) > 1]


def early_ports(ledger: Ledger) -> Array:
    """Return which ports a PE can work on before its group's first layer has sent, and need not before, (ports,) bool."""
    early = np.zeros(len(ledger.ports["shard"]), bool)
    population = ledger.shards["population"][ledger.ports["shard"]]
    for group in groups_of(ledger):
        later = np.isin(population, group[1:])
        waits = np.isin(ledger.ports["source"], group) & (ledger.ports["delay"] == 0)
        early |= later & ~waits
    return early


def turn_of_ports(ledger: Ledger, table: CostTable) -> I64:
    """Return the turn in which each port's work is done, (ports,): its shard's first, or with `work_first` that of the first
    layer of its group on the same PE.
    """
    turns = ledger.turns.first[ledger.ports["shard"]]
    if table.settings["beside"] != "work_first":
        return turns
    early, pe, population = early_ports(ledger), ledger.shards["pe"], ledger.shards["population"]
    turns = turns.copy()
    for group in groups_of(ledger):
        leads = {int(pe[shard]): shard for shard in np.flatnonzero(population == group[0]).tolist()}
        for port in np.flatnonzero(early & np.isin(population[ledger.ports["shard"]], group)).tolist():
            turns[port] = ledger.turns.first[leads[int(pe[ledger.ports["shard"][port]])]]
    return turns


class Overlap(NamedTuple):
    """One layer of a group whose PEs work while messages travel, (positions,) each but `ahead_s`.

    `clocked_s` is what it adds to the group's time by computing, `exposed_s` by what follows it being under way, `critical` its
    turn that ends last; `ahead_s` (positions, turns of the layer) is how much later than the layer each turn begins, or sooner.
    """

    column: int
    turns: I64
    clocked_s: F64
    exposed_s: F64
    critical: I64
    ahead_s: F64


def overlap(ledger: Ledger, group: Sequence[int], shard_s: F64, early_s: F64, after_s: F64) -> list[Overlap]:
    """Return the layers of a group as they follow one another with `send_first`.

    `shard_s` (positions, turns) is how long each turn computes and sends, `early_s` what of it need not wait; `after_s`
    (positions, layers' exchanges) how long a layer's messages travel.
    """
    exchanges, pe = ledger.exchanges, ledger.shards["pe"][ledger.turns.shard]
    numbers = [int(exchange) for n in group for exchange in np.flatnonzero(exchanges.population == n)]
    columns = [int(np.searchsorted(exchanges.layers, number)) for number in numbers]
    of_exchange = [np.flatnonzero(ledger.turns.exchange == number) for number in numbers]
    of_exchange = [turns[np.argsort(pe[turns], kind="stable")] for turns in of_exchange]

    def ends(travels: bool) -> list[F64]:
        """Return when each PE is done with each layer, (positions, PEs), since the group began."""
        done, arrived, out = np.zeros((len(shard_s), len(of_exchange[0]))), np.zeros((len(shard_s), 1)), []
        for column, turns in zip(columns, of_exchange, strict=True):
            done = np.maximum(done + early_s[:, turns], arrived) + (shard_s - early_s)[:, turns]
            arrived = done.max(axis=1, keepdims=True) + (after_s[:, column, None] if travels else 0.0)
            out.append(done)
        return out

    whole, bare = ends(travels=True), ends(travels=False)
    last, alone = (np.stack([done.max(axis=1) for done in all_ends]) for all_ends in (whole, bare))
    hidden = np.diff(last - alone, axis=0, append=0)  # what of a layer's messages the next one's end shows
    clocked = np.diff(alone, axis=0, prepend=0)
    layers, began = [], np.zeros(len(shard_s))
    for at, (column, turns) in enumerate(zip(columns, of_exchange, strict=True)):
        exposed = after_s[:, column] if at == len(columns) - 1 else hidden[at]
        critical = turns[np.argmax(whole[at], axis=1)]
        ahead = whole[at] - shard_s[:, turns] - began[:, None]
        layers.append(Overlap(column, turns, clocked[at], exposed, critical, ahead))
        began = began + clocked[at] + exposed
    return layers
