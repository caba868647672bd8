"""Recording of a run's ledger: from the sections of its layers, or of counts that were computed, and its placement."""

from __future__ import annotations

import numpy as np

from host.cost.ledger import COUNTS, SHARD_COLUMNS, Ledger, machine_fields
from host.mapping.placement import Placement
from models.network import I64, U32
from noc.packet import Section


class Recorder:
    """Collects a run's ledger as its sections arrive, each layer in ascending position."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._parts: dict[int, list[bytes]] = {n: [] for n in placement.network.layers}
        self._input: list[int] = []

    def add_input(self, events: int) -> None:
        """Take in the number of input events of the next position."""
        self._input.append(events)

    def add(self, section: Section) -> None:
        """Take in a layer's counts at the next position."""
        self._parts[section.population].append(section.ledger)

    def ledger(self) -> Ledger:
        """Return the ledger of the positions that every layer has finished."""
        placement = self._placement
        done = min(len(parts) for parts in self._parts.values())
        by_layer = [
            np.frombuffer(b"".join(parts[:done]), "<u4").reshape(done, len(placement.senders(n)), 7)[:, :, [0, 3, 5, 4, 6, 1, 2]]
            for n, parts in self._parts.items()
        ]
        counts = np.concatenate(by_layer, axis=1)
        # As many at every position, by the kernels' contract (models/kernels), so kept once.
        exponentials = counts[:1, :, 6].sum(axis=0, dtype=np.int64)
        return assemble_ledger(placement, counts[:, :, : len(COUNTS)], np.array(self._input[:done], np.uint32), exponentials)


def shards_of(placement: Placement) -> list[tuple[int, int, U32]]:
    """Return (index of the PE, layer, units) of each shard, in the order of a ledger."""
    by_layer: dict[int, list[tuple[int, int, U32]]] = {n: [] for n in placement.network.layers}
    for number, pe in enumerate(placement.pes):
        for layer, units in pe.share:
            by_layer[layer].append((number, layer, units))
    return [shard for shards in by_layer.values() for shard in shards]


def assemble_ledger(placement: Placement, counts: U32, input_events: U32, exponentials: I64) -> Ledger:
    """Return the ledger of a placement, from (positions, shards, 5) counts and (shards,) exponentials a position."""
    network = placement.network
    rows = [_columns(placement, pe, layer, units) for pe, layer, units in shards_of(placement)]
    table = {name: np.array([row[i] for row in rows], np.int64) for i, name in enumerate(SHARD_COLUMNS[:-1])}
    return Ledger(
        counts=np.ascontiguousarray(counts), input_events=input_events, table={**table, "exponentials": exponentials},
        pes=tuple(placed.pe for placed in placement.pes), layers=tuple(network.populations[n].name for n in network.layers),
        input_units=network.populations[0].units, lanes=placement.request.lanes, format=placement.request.format,
        **machine_fields(placement.chip, placement.machine),
    )  # fmt: skip


def _columns(placement: Placement, pe: int, layer: int, units: U32) -> tuple[int, ...]:
    """Return a shard's row of the ledger's table, without its exponentials."""
    population = placement.network.populations[layer]
    weights, widths, rows = [], [], []
    for projection in population.projections:
        gates = projection.weights.shape[0] // population.units
        lengths = projection.weights.row_nonzeros.reshape(gates, population.units)
        weights.append(int(lengths[:, units].sum()))
        widths.append(placement.network.populations[projection.source].units)
        rows.append(gates * len(units))
    traced = any(projection.trace for projection in population.projections)  # the recurrent one never has one (`pe/core.py`)
    return (pe, layer, len(units), *rows, *weights, *widths, int(traced))
