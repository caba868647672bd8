"""Chips that do the same, kept once: ledgers of machines with more PEs than anybody would list.

A price sees a chip through its own PEs and through what all others send it, so chips whose PEs sit at the same places, hold
the same shards and counted the same have the same cycles and the same loads on their meshes. One of them is kept; which
chips are like it is written down (`Ledger.alike`). What each of them puts on links between chips still is its own. The host's
chip is like no other: the input comes from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from host.cost.ledger import I64, Ledger
from models.network import Array
from noc.chip import PeId


def compressed(ledger: Ledger) -> Ledger:
    """Return the ledger with every set of chips that do the same kept once; nothing that is priced changes."""
    shard_chip = ledger.chip_of[ledger.table["pe"]]
    first: dict[Any, int] = {}
    alike = ledger.like.copy()
    host = next(chip for chip in range(ledger.chips) if chip not in ledger.down_chips)
    for chip in sorted(set(ledger.chip_of.tolist()) - {host}):
        pes, mine = np.flatnonzero(ledger.chip_of == chip), np.flatnonzero(shard_chip == chip)
        columns = [ledger.table["pe"][mine] - pes[0], *(v[mine] for name, v in sorted(ledger.table.items()) if name != "pe")]
        what = (tuple(ledger.pes[pe][1:] for pe in pes.tolist()), np.stack(columns).tobytes(), ledger.counts[:, mine].tobytes())
        kept = first.setdefault(what, chip)
        alike[ledger.like == chip] = kept
    return replace(_only(ledger, sorted(set(alike[alike >= 0].tolist()))), alike=alike)


def expanded(ledger: Ledger) -> Ledger:
    """Return the ledger with every chip of the machine listed: what `compressed` undoes."""
    pes: list[PeId] = []
    sources: list[int] = []  # the shard of `ledger` that each new one repeats, with its new PE
    places: list[int] = []
    for chip in np.flatnonzero(ledger.like >= 0).tolist():
        mine = np.flatnonzero(ledger.chip_of == ledger.like[chip])
        for pe in mine.tolist():
            shards = np.flatnonzero(ledger.table["pe"] == pe).tolist()
            sources += shards
            places += [len(pes)] * len(shards)
            pes.append(ledger.pes[pe]._replace(chip=chip))
    order = np.argsort(ledger.table["layer"][sources], kind="stable")
    return replace(
        _taken(ledger, np.array(sources, np.int64)[order], np.array(places, np.int64)[order]), pes=tuple(pes), alike=None
    )


def _only(ledger: Ledger, chips: list[int]) -> Ledger:
    """Return the ledger with the PEs of `chips` alone."""
    kept = np.flatnonzero(np.isin(ledger.chip_of, chips))
    number = np.full(len(ledger.pes), -1, np.int64)
    number[kept] = np.arange(len(kept))
    shards = np.flatnonzero(number[ledger.table["pe"]] >= 0)
    found = _taken(ledger, shards, number[ledger.table["pe"][shards]])
    return replace(found, pes=tuple(ledger.pes[pe] for pe in kept.tolist()))


def _taken(ledger: Ledger, shards: Array, pes: I64) -> Ledger:
    table = {name: column[shards] for name, column in ledger.table.items()} | {"pe": pes}
    return replace(ledger, counts=np.ascontiguousarray(ledger.counts[:, shards]), table=table)
