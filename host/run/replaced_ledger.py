"""The ledger that a recorded run would have under another placement of the same network: another format, mapping or more chips.

No event depends on the placement, so each layer's totals at each position stay as they were recorded. Where a layer keeps its
shares of units, so do its counts, to the last integer. Where it is dealt anew, its totals are dealt out: events and what kernels
count in proportion to units, multiply-accumulates in proportion to weights. That is *expected*: the new shares' own chance is
not in it, so that the busiest PE is no busier than its weights make it, and a price is low by that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from host.cost.ledger import MACS, VISITED, Ledger
from host.cost.twins import twin
from host.errors import HostError
from host.mapping.placement import Placement
from host.mapping.sharding import row_lengths, stored_weights
from host.run.assembly import LayerSteps, assemble_ledger, shards_of
from host.run.step_counts import words_of
from models import kernels
from models.network import F64, I64, U32, Array
from models.schedule import schedule


def replaced_ledger(ledger: Ledger, was: Placement, now: Placement) -> tuple[Ledger, bool]:
    """Return the ledger of placement `now` of what was recorded under placement `was`, and whether any of its counts is expected.

    HostError, one line, where the ledger is of another placement, or PEs exchange transfers, which follow from them.
    """
    network = now.network
    if not _is_of(ledger, was) or was.request.lanes != now.request.lanes:
        raise HostError("another placement: the recorded ledger is not of this network and placement; run it anew")
    if ledger.transfers.size or any(kernels.transfers_of(network.populations[n].kernel) for n in network.layers):
        raise HostError("another placement: PEs exchange transfers, which follow from the placement; needs a run")
    steps, expected = dict[int, LayerSteps](), False
    for number in network.layers:
        before, after = (_units_of(placement, number) for placement in (was, now))
        same = len(before) == len(after) and all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        expected |= not same
        steps[number] = _steps(ledger, number, now, shares=after, same=same)
    return assemble_ledger(now, steps, ledger.input_events), expected


def _is_of(ledger: Ledger, placement: Placement) -> bool:
    shards = shards_of(placement)
    return (
        ledger.format == placement.request.format and ledger.pes == tuple(placed.pe for placed in placement.pes)
        and ledger.shards["units"].tolist() == [len(units) for _, _, units in shards]
        and ledger.shards["population"].tolist() == [population for _, population, _ in shards]
    )  # fmt: skip


def _units_of(placement: Placement, number: int) -> list[U32]:
    return [units for _, population, units in shards_of(placement) if population == number]


def _steps(ledger: Ledger, number: int, now: Placement, shares: Sequence[U32], same: bool) -> LayerSteps:
    """Return what the shards of a layer count under the new placement."""
    network, form = now.network, now.request.format
    population, words, ticks = network.populations[number], words_of(network.populations[number]), schedule(network).ticks
    of_layer = np.flatnonzero(ledger.shards["population"] == number)
    turns = np.flatnonzero(np.isin(ledger.turns.shard, of_layer))
    stepped = ledger.stepped[:, ledger.layers.index(number)]
    units = np.array([len(share) for share in shares], np.float64)
    rows = np.zeros((ledger.positions, len(shares), ticks[number], words.size), np.uint32)

    def dealt(counts: Array, weights: F64) -> I64:
        """Deal (positions, shards, ...) counts of the recorded shards to the new ones."""
        return np.asarray(counts, np.int64) if same else _dealt(np.asarray(counts, np.int64).sum(axis=1), weights)

    by_turn = ledger.events[:, turns].reshape(ledger.positions, len(of_layer), ticks[number])
    rows[:, :, :, 0] = dealt(by_turn, units)
    for place, name in enumerate(words.counts, start=1):
        if name in (per_unit := kernels.named(population.kernel).PER_UNIT):
            rows[:, :, :, place] = (per_unit[name] * stepped.astype(np.int64)[:, None] * units.astype(np.int64))[:, :, None]
        elif name in ledger.by_turn:
            counts = ledger.by_turn[name][:, turns].reshape(ledger.positions, len(of_layer), ticks[number])
            rows[:, :, :, place] = dealt(counts, units)
    of_ports = np.flatnonzero(np.isin(ledger.ports["shard"], of_layer)).reshape(len(of_layer), words.ports)
    lengths, heard, keeps_form = row_lengths(network, form, number), ledger.port_work.heard, form == ledger.format
    held = stored_weights(network, now.request, number, shares)
    for place, projection in enumerate(population.projections):
        counts = ledger.port_counts[:, of_ports[:, place]]
        stored = np.array([lengths[place][share].sum() for share in shares], np.int64)
        at = words.first_port + 2 * place
        macs = dealt(counts[:, :, MACS], stored.astype(np.float64))
        rows[:, :, 0, at] = macs
        if same and keeps_form:
            rows[:, :, 0, at + 1] = counts[:, :, VISITED]
            continue
        gates = projection.weights.shape[0] // population.units
        lanes = stepped.astype(np.int64)[:, None] * ticks[projection.source]
        elements = heard[:, of_ports[0, place]][:, None]
        rows[:, :, 0, at + 1] = twin("formats", form).visited(macs, elements, held[place] * lanes, gates * units.astype(np.int64))
    return LayerSteps(rows=rows, stepped=stepped)


def _dealt(totals: I64, weights: F64) -> I64:
    """Deal (positions, ...) totals to shards by their weights: (positions, shards, ...) integers that add up to the totals."""
    if not weights.any():
        weights = np.ones_like(weights)
    edges = np.cumsum(weights) / weights.sum()
    shape = (1, len(weights), *[1] * (totals.ndim - 1))
    upto = np.floor(totals[:, None] * edges.reshape(shape) + 0.5).astype(np.int64)
    upto[:, -1] = totals
    return np.asarray(np.diff(upto, axis=1, prepend=np.zeros_like(upto[:, :1])), np.int64)
