"""What every projection of a network heard at each position, from the sections that were sent, and the work that this made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from host.workloads.lane_sets import read_lanes
from host.workloads.section_events import all_sending
from models.convolution import Convolution
from models.network import F32, I64, U32, Array, Network, Projection
from models.numerics import INTEGERS
from models.schedule import schedule
from noc.packet import PHASE, Section


class Heard(NamedTuple):
    """What a projection heard, over all lanes: multiply-accumulates (positions, units) uint32; elements that were not zero, and
    lanes that heard anything of a position of theirs, (positions,) uint32 each.

    `met`, where weights are a convolution's kernel that has zeros: elements of the kernel that events met, those zeros among them.
    """

    macs: U32
    elements: U32
    lanes: U32
    met: U32 | None = None


class Hearing:
    """Takes each population's sections in ascending position, tick by tick; a layer's work is counted when it steps."""

    def __init__(self, network: Network, lanes: int) -> None:
        self._network, self._lanes, self._sending = network, lanes, all_sending(network, lanes)
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
        self._meetings = {
            key: p.weights.meetings
            for key, p in projections.items()
            if isinstance(p.weights, Convolution) and not p.weights.kernel.all()
        }
        self._met: Mapping[tuple[int, int], list[U32]] = {key: [] for key in self._meetings}
        self._heard: Mapping[tuple[int, int], list[int]] = {key: [] for key in projections}
        self._lanes_heard: Mapping[tuple[int, int], list[int]] = {key: [] for key in projections}

    def add(self, section: Section) -> None:
        """Take a section of a population."""
        number, position = section.population, section.position
        values = self._sending[number].spread(section, self._lanes)
        events = (values != 0).astype(np.int64)
        if section.flags >= PHASE:
            self._sent[number, position] = self._sent[number, position] + events
            return
        self._sent[number, position] = events
        self._sent.pop((number, position - self._kept), None)
        for (layer, at), trace in self._traces.items():
            projection = self._network.populations[layer].projections[at]
            if projection.source == number:
                trace[read_lanes(section.flags, section.lanes, self._lanes)[1]] = 0
                self._fade(trace, projection, values)
                if projection.weights.numeric in INTEGERS:
                    self._traced[layer, at, position] = np.rint(trace * np.float32(1 << projection.trace_shift)) != 0
                else:
                    self._traced[layer, at, position] = trace != 0

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
        begin, _, idle = read_lanes(section.flags, section.lanes, self._lanes)
        marks[begin], stepped = position, ~idle
        population = self._network.populations[number]
        for at, projection in enumerate(population.projections):
            before = position - projection.delay
            hears = stepped & (marks <= before) & (before >= 0) if projection.delay else stepped
            if (number, at) in self._traces:
                active = self._traced.pop((number, at, position))[stepped].sum(axis=0)
            elif (events := self._sent.get((projection.source, before))) is None:
                active = np.zeros(projection.weights.shape[1], np.int64)
            else:
                active = events[hears].sum(axis=0)
            self._macs[number, at].append(_by_unit(projection.weights.products(active), population.units))
            if (number, at) in self._met:
                self._met[number, at].append(_by_unit(self._meetings[number, at](active), population.units))
            self._heard[number, at].append(int(active.sum()))
            self._lanes_heard[number, at].append(int(hears.sum()))

    def counts(self, layer: int) -> list[Heard]:
        """Return what each projection of a layer heard, in the population's order."""
        units, places = self._network.populations[layer].units, range(len(self._network.populations[layer].projections))
        return [
            Heard(
                macs=np.array(self._macs[layer, at], np.uint32).reshape(-1, units),
                elements=np.array(self._heard[layer, at], np.uint32), lanes=np.array(self._lanes_heard[layer, at], np.uint32),
                met=np.array(self._met[layer, at], np.uint32).reshape(-1, units) if (layer, at) in self._met else None,
            )
            for at in places
        ]  # fmt: skip


def _by_unit(rows: I64, units: int) -> U32:
    return np.asarray(rows.reshape(-1, units).sum(axis=0), np.uint32)
