"""What every projection of a network heard at each position, from the sections that were sent, and the work that this made."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.run.whole_layers import idle_lanes, lanes_of
from models.network import F32, I64, U32, Array, Network, Projection
from models.numerics import PAYLOADS
from models.schedule import schedule
from noc.packet import FRESH, PHASE, RESET, Section


class Hearing:
    """Takes each population's sections in ascending position, tick by tick; a layer's work at a position is counted when it steps."""

    def __init__(self, network: Network, lanes: int) -> None:
        self._network, self._lanes = network, lanes
        self._sent: dict[tuple[int, int], I64] = {}  # by population and position: events (lanes, units), over all ticks
        self._marks: dict[int, I64] = {}  # by layer: where each lane's sequence began
        projections = {(n, at): p for n in network.layers for at, p in enumerate(network.populations[n].projections)}
        self._traces = {
            key: np.zeros((lanes, network.populations[p.source].units), np.float32) for key, p in projections.items() if p.trace
        }
        self._traced: dict[tuple[int, int, int], Array] = {}  # by layer, projection and position: where its trace is not zero
        # Positions for which what was sent is kept: a layer steps no later than the schedule's depth.
        self._kept = max((p.delay for p in projections.values()), default=0) + schedule(network).depth
        self._macs: Mapping[tuple[int, int], list[U32]] = {key: [] for key in projections}
        self._heard: Mapping[tuple[int, int], list[int]] = {key: [] for key in projections}

    def add(self, section: Section) -> None:
        """Take a section of a population."""
        number, position = section.population, section.position
        values = self._dense_values(section)
        events = (values != 0).astype(np.int64)
        if section.flags >= PHASE:
            self._sent[number, position] = self._sent[number, position] + events
            return
        self._sent[number, position] = events
        self._sent.pop((number, position - self._kept), None)
        for (layer, at), trace in self._traces.items():
            projection = self._network.populations[layer].projections[at]
            if projection.source == number:
                trace[lanes_of(section, 1, RESET, self._lanes)] = 0
                self._fade(trace, projection, values)
                self._traced[layer, at, position] = trace != 0

    def _dense_values(self, section: Section) -> Array:
        """Return what each unit of each lane sent, (lanes, units); 1 for a spike, 0 where it was silent."""
        population = self._network.populations[section.population]
        values = np.zeros(self._lanes * population.units, PAYLOADS[population.payload] or np.uint8)
        if population.dense:
            values[: len(section.values) // values.itemsize] = np.frombuffer(section.values, values.dtype)
        else:
            sent = np.frombuffer(section.values, values.dtype) if PAYLOADS[population.payload] else 1
            values[np.frombuffer(section.keys, "<u4")] = sent
        return values.reshape(self._lanes, population.units)

    @staticmethod
    def _fade(trace: F32, projection: Projection, values: F32) -> None:
        """Keep the low-pass of what was sent, as `models/compute/lowpass.py` does: only where it is zero matters here."""
        keep = np.float32(projection.trace)
        np.multiply(trace, keep, out=trace)
        trace += (np.float32(1) - keep) * values

    def close(self, section: Section) -> None:
        """Count the work of a layer that has stepped: `section` is the first that it sent of a position."""
        number, position = section.population, section.position
        marks = self._marks.setdefault(number, np.zeros(self._lanes, np.int64))
        marks[lanes_of(section, 0, FRESH, self._lanes)] = position
        stepped = ~idle_lanes(section, self._lanes)
        population = self._network.populations[number]
        for at, projection in enumerate(population.projections):
            before = position - projection.delay
            if (number, at) in self._traces:
                active = self._traced.pop((number, at, position))[stepped].sum(axis=0)
            elif (events := self._sent.get((projection.source, before))) is None:
                active = np.zeros(projection.weights.shape[1], np.int64)
            else:
                hears = stepped & (marks <= before) if projection.delay else stepped
                active = events[hears].sum(axis=0)
            weights = projection.weights
            sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(active[weights.columns])])
            rows = sums[weights.extents[1:]] - sums[weights.extents[:-1]]
            self._macs[number, at].append(rows.reshape(-1, population.units).sum(axis=0).astype(np.uint32))
            self._heard[number, at].append(int(active.sum()))

    def counts(self, layer: int) -> tuple[tuple[U32, ...], tuple[U32, ...]]:
        """Return multiply-accumulates by projection, (positions, units), and elements that were not zero, (positions,)."""
        keys = [(layer, at) for at in range(len(self._network.populations[layer].projections))]
        macs = tuple(np.array(self._macs[key], np.uint32).reshape(-1, self._network.populations[layer].units) for key in keys)
        return macs, tuple(np.array(self._heard[key], np.uint32) for key in keys)
