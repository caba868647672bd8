"""`RestartLog`: what a run needs to go on in new processes from its last segment boundary or snapshot: the input since then, and
what each layer that is heard late had emitted just before, or everybody's state.

At a boundary, where a segment begins in every lane, states and traces are zeroed, and all that is carried over is what layers
hear late: of a layer that somebody hears D positions late, the D positions before the boundary. So the new processes are
told that, get the same input again, and make the same events; those that the host has had already it leaves out, and
everything that was counted stays. Where states are carried on there is no boundary but a sequence's beginning; and where PEs
exchange transfers none but the run's, since what their exchange keeps is never zeroed. From there, and from a snapshot
(`host/run/machine_snapshots.py`), the input is fed again at the same ticks, so that nothing differs for whoever counts them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from host.run.machine_snapshots import Cut, cut_of, record_of
from host.workloads.contract import Feed
from host.workloads.lane_sets import read_lanes
from models.kernels import ticks_of
from models.network import I64, Network
from noc.packet import PHASE, Recall, Section


@dataclass
class _Boundary:
    """A position at which a run can go on: each lane's mark there, and what was emitted before it that is heard from it on."""

    marks: I64
    sections: list[Section] = field(default_factory=list)


class RestartLog:
    """Notes the input of a network of so many lanes, and the output of its layers, which the host hears all.

    `any_tick`: something happens at every tick, whatever is fed, so that no segment boundary is a beginning.
    """

    def __init__(self, network: Network, lanes: int, *, any_tick: bool = False) -> None:
        self._lanes, self._any_tick = lanes, any_tick
        self.cut: Cut | None = None  # the snapshot that a run would go on from
        self.next_position = 0  # of the input that comes next
        self._marks = np.zeros(lanes, np.int64)  # by lane: the position at which its sequence began
        delays: dict[int, int] = dict.fromkeys(network.layers, 0)  # by layer: how late it is heard at most
        for n in network.layers:
            for projection in network.populations[n].projections:
                if projection.source in delays:
                    delays[projection.source] = max(delays[projection.source], projection.delay)
        self._delays = delays
        self._last_phase = {n: ticks_of(network.populations[n].kernel, network.populations[n].params) - 1 for n in network.layers}
        self._latest = dict.fromkeys(network.layers, (-1, 0))  # by layer: position and tick in it
        self._recent = {n: deque[Section](maxlen=delays[n] * (self._last_phase[n] + 1)) for n in network.layers}
        self._feeds: dict[int, tuple[int, Feed]] = {}  # by position, with the tick at which it was fed
        self._boundaries: dict[int, _Boundary] = {}  # by position, ascending; the first is where a run would go on

    def add_input(self, feed: Feed, tick: int = 0) -> None:
        """Add a position's input, which is fed at `tick`."""
        is_first = not self.next_position
        self._feeds[feed.position] = tick, feed
        self.next_position = feed.position + 1
        begin, reset, _ = read_lanes(feed.flags, feed.lanes, self._lanes)
        self._marks[begin] = feed.position
        if (reset.all() and not self._any_tick) or is_first:
            heard = [s for n, sections in self._recent.items() for s in sections if s.position >= feed.position - self._delays[n]]
            self._boundaries[feed.position] = _Boundary(self._marks.copy(), heard)
            self._forget()

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values, for a host that goes on in another process."""
        return {
            "next_position": self.next_position, "marks": self._marks.tobytes(), "cut": record_of(self.cut) if self.cut else None,
            "latest": [[n, *latest] for n, latest in self._latest.items()],
            "recent": [list(section) for sections in self._recent.values() for section in sections],
            "feeds": [[tick, feed.position, feed.flags, feed.lanes, dict(feed.events)] for tick, feed in self._feeds.values()],
            "boundaries": [[at, one.marks.tobytes(), [list(s) for s in one.sections]] for at, one in self._boundaries.items()],
        }  # fmt: skip

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        self.next_position, self._marks = record["next_position"], np.frombuffer(record["marks"], np.int64).copy()
        self.cut = cut_of(record["cut"]) if record["cut"] else None
        self._latest = {n: (position, phase) for n, position, phase in record["latest"]}
        for row in record["recent"]:
            self._recent[row[0]].append(Section(*row))
        for tick, position, flags, lanes, events in record["feeds"]:
            self._feeds[position] = tick, Feed(position, flags, {n: (keys, values) for n, (keys, values) in events.items()}, lanes)
        for at, marks, sections in record["boundaries"]:
            self._boundaries[at] = _Boundary(np.frombuffer(marks, np.int64).copy(), [Section(*row) for row in sections])

    def add_again(self, feed: Feed, tick: int) -> None:
        """Note that a position's input is fed once more, at `tick`."""
        self._feeds[feed.position] = tick, feed

    def add_cut(self, cut: Cut) -> None:
        """Add a snapshot; it is kept where it is newer than the last boundary that every layer has come to."""
        reached = [boundary for boundary in self._boundaries if boundary <= self._through()]
        if not reached or reached[-1] <= cut.fed.next_position:
            self.cut = cut
            self._drop_before(cut.fed.next_position)

    def add_output(self, section: Section) -> bool:
        """Add a layer's section; False where it was added before."""
        layer, position = section.population, section.position
        if (position, section.flags // PHASE) <= self._latest[layer]:
            return False
        self._latest[layer] = position, section.flags // PHASE
        self._recent[layer].append(section)
        for boundary, before in self._boundaries.items():
            if boundary - self._delays[layer] <= position < boundary:
                before.sections.append(section)
        if position + 1 in self._boundaries:
            self._forget()
        return True

    def _through(self) -> int:
        """Return the position that every layer has come to."""
        return min(position + (phase == self._last_phase[n]) for n, (position, phase) in self._latest.items())

    def _forget(self) -> None:
        """Drop what lies before the last boundary that every layer has come to."""
        reached = [boundary for boundary in self._boundaries if boundary <= self._through()]
        if reached and (self.cut is None or reached[-1] > self.cut.fed.next_position):
            self.cut = None
            self._drop_before(reached[-1])

    def _drop_before(self, position: int) -> None:
        self._feeds = {at: fed for at, fed in self._feeds.items() if at >= position}
        for boundary in [boundary for boundary in self._boundaries if boundary < position]:
            del self._boundaries[boundary]

    @property
    def position(self) -> int:
        """Where the run would go on."""
        return self.cut.fed.next_position if self.cut else next(iter(self._boundaries), 0)

    @property
    def positions(self) -> int:
        """How many positions would be run again."""
        return len(self._feeds)

    def feeds(self) -> list[tuple[int, Feed]]:
        """Return the input from there on, as far as it has been fed, and at which tick; from a boundary at any."""
        if self.cut is None and self.position:
            return [(0, feed) for _, feed in self._feeds.values()]
        return list(self._feeds.values())

    def recalls(self) -> list[Recall]:
        """Return what the PEs must be told that hear a layer late, in order; nothing where a sequence begins in every lane."""
        boundary = self._boundaries.get(self.position)
        if self.cut is not None or boundary is None or (boundary.marks == self.position).all():
            return []
        recalls = []
        for section in sorted(boundary.sections, key=lambda s: (s.position, s.flags)):
            since = np.packbits(boundary.marks > section.position, bitorder="little").tobytes()
            recalls.append(Recall(section.population, section.position, section.flags, section.keys, section.values, since))
        return recalls


def goes_on(replay: RestartLog | None) -> dict[str, int]:
    """Return where a run would go on in new processes, as the launcher is told; {} of one that cannot."""
    return {} if replay is None else {"position": replay.position, "positions_again": replay.positions}
