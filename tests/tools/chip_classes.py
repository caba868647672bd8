"""Identical chips stored once, so that the ledger of a machine of 34,560 chips stays small.

A price sees a chip through its own PEs and through what all others send it, so chips whose PEs sit at the same places, hold
the same shards and counted the same have the same cycles and the same loads on their meshes. One of them represents all
(`Ledger.representatives`). What each of them puts on links between chips still is its own. The host's chip is like no
other: the input comes from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from host.cost.ledger import Ledger
from models.network import I64, Array
from noc.chip import PeId


def merge_identical_chips(ledger: Ledger) -> Ledger:
    """Return the ledger with one of every set of identical chips; nothing that is priced changes."""
    shard_chip = ledger.chip_of[ledger.shards["pe"]]
    first: dict[Any, int] = {}
    representatives = ledger.representative_of.copy()
    host = next(chip for chip in range(ledger.chips) if chip not in ledger.down_chips)
    for chip in sorted(set(ledger.chip_of.tolist()) - {host}):
        pes, shards = np.flatnonzero(ledger.chip_of == chip), np.flatnonzero(shard_chip == chip)
        ports, turns = np.flatnonzero(np.isin(ledger.ports["shard"], shards)), np.flatnonzero(np.isin(ledger.turns.shard, shards))
        columns = [ledger.shards["pe"][shards] - pes[0], ledger.shards["population"][shards], ledger.shards["units"][shards]]
        columns += [ledger.per_lane[name][shards] for name in sorted(ledger.per_lane)]
        columns += [column[ports] for name, column in sorted(ledger.ports.items()) if name != "shard"]
        sites = tuple(ledger.pes[pe][1:] for pe in pes.tolist())
        counts = ledger.events[:, turns].tobytes(), ledger.port_counts[:, ports].tobytes()
        key = sites, np.concatenate(columns).tobytes(), counts
        representatives[ledger.representative_of == chip] = first.setdefault(key, chip)
    kept = np.flatnonzero(np.isin(ledger.chip_of, representatives[representatives >= 0]))
    number = np.full(len(ledger.pes), -1, np.int64)
    number[kept] = np.arange(len(kept))
    shards = np.flatnonzero(number[ledger.shards["pe"]] >= 0)
    merged = _take_shards(ledger, shards, number[ledger.shards["pe"][shards]])
    return replace(merged, pes=tuple(ledger.pes[pe] for pe in kept.tolist()), representatives=representatives)


def list_all_chips(ledger: Ledger) -> Ledger:
    """Return the ledger with every chip of the machine listed: the inverse of `merge_identical_chips`."""
    pes: list[PeId] = []
    sources: list[int] = []  # the shard of `ledger` that each new one repeats
    new_pes: list[int] = []
    for chip in np.flatnonzero(ledger.representative_of >= 0).tolist():
        for pe in np.flatnonzero(ledger.chip_of == ledger.representative_of[chip]).tolist():
            shards = np.flatnonzero(ledger.shards["pe"] == pe).tolist()
            sources += shards
            new_pes += [len(pes)] * len(shards)
            pes.append(ledger.pes[pe]._replace(chip=chip))
    order = np.argsort(ledger.shards["population"][sources], kind="stable")
    listed = _take_shards(ledger, np.array(sources, np.int64)[order], np.array(new_pes, np.int64)[order])
    return replace(listed, pes=tuple(pes), representatives=None)


def _take_shards(ledger: Ledger, shards: Array, pes: I64) -> Ledger:
    """Return the ledger with the given shards, on the PEs of those numbers."""
    of_shard = [np.flatnonzero(ledger.ports["shard"] == shard) for shard in shards.tolist()]
    ports = np.concatenate(of_shard)
    columns = {name: column[ports] for name, column in ledger.ports.items()}
    columns["shard"] = np.repeat(np.arange(len(shards)), [len(numbers) for numbers in of_shard])
    turns = np.concatenate([np.flatnonzero(ledger.turns.shard == shard) for shard in shards.tolist()])
    return replace(
        ledger, shards={name: column[shards] for name, column in ledger.shards.items()} | {"pe": pes}, ports=columns,
        per_lane={name: amounts[shards] for name, amounts in ledger.per_lane.items()},
        events=np.ascontiguousarray(ledger.events[:, turns]), port_counts=np.ascontiguousarray(ledger.port_counts[:, ports]),
    )  # fmt: skip
