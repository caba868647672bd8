"""`verify`: compares each event of a run with the plain single-process reference, bit for bit, and names the first difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from host.mapping.placement import Placement
from host.workloads.contract import Feed
from host.workloads.lane_sets import read_lanes
from host.workloads.section_events import all_sending
from models.late_inputs import hear_late
from models.network import Array
from models.reference import Reference
from noc.packet import PHASE, Section


class _Difference(NamedTuple):
    """Where a run and the reference part, the smallest first, and what each has there."""

    position: int
    phase: int
    layer: int
    unit: int
    lane: int
    run: float
    reference: float


class Witness:
    """Steps the reference beside the run: the same inputs, position by position, one reference a lane.

    The reference knows nothing of inputs that are fed late: it hears the sources themselves. ModelError where a neuron model
    has no plain reference.
    """

    def __init__(self, placement: Placement) -> None:
        self._lanes = placement.request.lanes
        self._network = hear_late(placement.network, placement.late_inputs)
        self._sending = all_sending(self._network, self._lanes)
        self._references = [Reference(self._network) for _ in range(self._lanes)]
        self._feeds: dict[int, Feed] = {}
        self._expected: dict[int, list[Mapping[int, Array]]] = {}  # position -> lane -> layer -> (phases, units)
        self._awaited: dict[int, int] = {}  # position -> sections of it that are still to be compared
        self._sections = sum(self._sending[n].ticks for n in self._network.layers)
        self._next_position = 0
        self.compared = 0
        self._differences: list[_Difference] = []

    def see_input(self, feed: Feed) -> None:
        """Take one position's input as its source gives it, before it is fed."""
        self._feeds[feed.position] = feed

    def see_events(self, section: Section) -> None:
        """Compare one layer's events at one tick of a position."""
        if self._differences and section.position > self._differences[0].position:
            return
        while self._next_position <= section.position:
            self._step(self._feeds.pop(self._next_position))
        layer, position, phase = section.population, section.position, section.flags // PHASE
        have = self._sending[layer].spread(section, self._lanes)
        want = np.stack([sent[layer][phase] for sent in self._expected[position]])
        bits = f"u{have.itemsize}"
        bad = np.argwhere(have.view(bits) != want.astype(have.dtype).view(bits))
        self.compared += have.size
        if len(bad):
            lane, unit = min(((int(n[0]), int(n[1])) for n in bad), key=lambda at: at[::-1])
            difference = _Difference(position, phase, layer, unit, lane, have[lane, unit].item(), want[lane, unit].item())
            self._differences = sorted([*self._differences, difference])[:1]
        self._awaited[position] -= 1
        if not self._awaited[position]:
            del self._expected[position], self._awaited[position]

    def _step(self, feed: Feed) -> None:
        begin, reset, idle = read_lanes(feed.flags, feed.lanes, self._lanes)
        inputs = {
            n: self._sending[n].spread(Section(n, feed.flags, feed.position, *events, b""), self._lanes)
            for n, events in feed.events.items()
        }
        self._expected[feed.position] = [
            reference.step(
                {n: numbers[lane] for n, numbers in inputs.items()},
                fresh=bool(begin[lane]), reset=bool(reset[lane]), idle=bool(idle[lane]),
            )
            for lane, reference in enumerate(self._references)
        ]  # fmt: skip
        self._awaited[feed.position] = self._sections
        self._next_position += 1

    def finish(self) -> dict[str, Any]:
        """Return what was compared and the first difference, if any."""
        text = None
        if self._differences:
            first = self._differences[0]
            where = f"position {first.position}, {self._network.populations[first.layer].name}, unit {first.unit}"
            where += f", tick {first.phase}" if self._sending[first.layer].ticks > 1 else ""
            where += f", sequence {first.lane}" if self._lanes > 1 else ""
            text = f"first difference at {where}: run {first.run!r}, reference {first.reference!r}"
        return {"compared": self.compared, "difference": text}
