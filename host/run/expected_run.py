"""The ledger that a placement would have at a stated activity, without a run: expected counts of any network.

Each unit sends an event as often as its population's rate says, and each weight is met as often as its source's units send one.
Counts are means, rounded once a shard and position: what chance adds to the busiest PE is not in them, so that prices are low by
that. What neuron models count by activity of their own is left at none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.ledger import Ledger
from host.cost.twins import twin
from host.errors import HostError
from host.mapping.placement import Placement
from host.mapping.sharding import row_lengths, stored_weights
from host.run.assembly import LayerSteps, assemble_ledger, shards_of
from host.run.step_counts import words_of
from models import kernels
from models.network import I64, Array
from models.schedule import schedule

_POSITIONS = 4


def expected_run(placement: Placement, rates: Mapping[int, float], positions: int = _POSITIONS) -> Ledger:
    """Return the expected ledger of so many positions; `rates`: events a unit and position of each population.

    HostError where PEs exchange transfers: what they send follows from what they compute.
    """
    network, lanes = placement.network, placement.request.lanes
    if any(kernels.transfers_of(network.populations[n].kernel) for n in network.layers):
        raise HostError("expected counts: PEs exchange transfers, which follow from what they compute; run it")
    steps = {n: _steps(placement, n, rates, positions) for n in network.layers}
    inputs = [round(rates[n] * network.populations[n].units * lanes) for n in network.inputs]
    return assemble_ledger(placement, steps, np.tile(np.array(inputs, np.uint32), (positions, 1)))


def _steps(placement: Placement, number: int, rates: Mapping[int, float], positions: int) -> LayerSteps:
    network, form, lanes = placement.network, placement.request.format, placement.request.lanes
    population, words, ticks = network.populations[number], words_of(network.populations[number]), schedule(network).ticks
    shares = [units for _, on, units in shards_of(placement) if on == number]
    sizes = np.array([len(units) for units in shares], np.int64)
    rows = np.zeros((positions, len(shares), ticks[number], words.size), np.uint32)
    rows[:, :, :, 0] = _rounded(rates[number] * lanes * sizes / ticks[number])[None, :, None]
    for place, name in enumerate(words.counts, start=1):
        if name in (per_unit := kernels.named(population.kernel).PER_UNIT):
            rows[:, :, :, place] = (per_unit[name] * lanes * sizes)[None, :, None]
    lengths, held = row_lengths(network, form, number), stored_weights(network, placement.request, number, shares)
    for place, projection in enumerate(population.projections):
        stored = np.array([lengths[place][units].sum() for units in shares], np.int64)
        source, gates = projection.source, projection.weights.shape[0] // population.units
        rate = min(rates[source], 1.0 if ticks[source] == 1 else float(ticks[source]))
        macs = _rounded(rate * lanes * stored)
        heard = np.full(len(shares), round(rate * lanes * network.populations[source].units))
        at = words.first_port + 2 * place
        rows[:, :, 0, at] = macs
        rows[:, :, 0, at + 1] = twin("formats", form).visited(macs, heard, held[place] * lanes * ticks[source], gates * sizes)
    return LayerSteps(rows=rows, stepped=np.full(positions, lanes, np.uint32))


def _rounded(numbers: Array) -> I64:
    """Round numbers of shards so that any run of them sums to the sum of its numbers within one."""
    return np.asarray(np.diff(np.floor(np.cumsum(numbers) + 0.5), prepend=0.0), np.int64)
