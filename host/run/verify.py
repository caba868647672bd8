"""`verify`: compares each event of a run with the plain single-process reference, bit for bit, and names the first difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from host.workloads.contract import Feed
from models.network import F32, Network
from models.reference import Reference
from noc.packet import FRESH, RESET, Section


class Witness:
    """Steps the reference beside the run: the same inputs, position by position, one reference a lane."""

    def __init__(self, network: Network, lanes: int) -> None:
        self._network, self._lanes = network, lanes
        self._references = [Reference(network) for _ in range(lanes)]
        self._feeds: dict[int, Feed] = {}
        self._expected: dict[int, list[list[F32]]] = {}  # position -> lane -> layer -> y
        self._next_position = 0
        self.compared = 0
        # (position, layer, unit, sequence, run, reference): layers report in the order of ticks, so the first is the smallest.
        self._differences: list[tuple[int, int, int, int, float, float]] = []

    def see_input(self, feed: Feed) -> None:
        """Take one position's input, before it is fed."""
        self._feeds[feed.position] = feed

    def see_events(self, section: Section) -> None:
        """Compare one layer's events at one position."""
        if self._differences and section.position > min(self._differences)[0]:
            return
        while self._next_position <= section.position:
            self._step(self._feeds.pop(self._next_position))
        layer = self._network.populations[section.population]
        keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<f4")
        have = np.zeros((self._lanes, layer.units), np.float32)
        have.reshape(-1)[keys] = values
        want = np.stack([outputs[section.population - 1] for outputs in self._expected[section.position]])
        bad = np.argwhere(have.view(np.uint32) != want.view(np.uint32))
        self.compared += have.size
        if len(bad):
            lane, unit = (int(n) for n in bad[0])
            values_there = float(have[lane, unit]), float(want[lane, unit])
            self._differences.append((section.position, section.population, unit, lane, *values_there))
        if section.population == self._network.output:
            del self._expected[section.position]

    def _step(self, feed: Feed) -> None:
        inputs = np.zeros((self._lanes, self._network.populations[0].units), np.float32)
        inputs.reshape(-1)[np.frombuffer(feed.keys, "<u4")] = np.frombuffer(feed.values, "<f4")
        for reference in self._references:
            if feed.flags & FRESH:
                reference.fresh()
            elif feed.flags & RESET:
                reference.segment()
        self._expected[feed.position] = [ref.step(inputs[lane]) for lane, ref in enumerate(self._references)]
        self._next_position += 1

    def finish(self) -> dict[str, Any]:
        """Return what was compared and the first difference, if any."""
        difference = None
        if self._differences:
            position, layer, unit, lane, have, want = min(self._differences)
            where = f"position {position}, layer {layer}, unit {unit}" + (f", sequence {lane}" if self._lanes > 1 else "")
            difference = f"first difference at {where}: run {have!r}, reference {want!r}"
        return {"compared": self.compared, "difference": difference}
