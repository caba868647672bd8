"""`Feeding`: what the host puts into its batches, tick by tick: the next position where one may enter, else bubbles.

Positions lie as many ticks apart as the network's schedule says. Between them, and while input is missing (a word not yet
chosen, a DRAM that is late, a pause), a batch is bubbles; and where nothing that was fed has its way still to go, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from host.mapping.placement import Placement
from host.run.inputs import Inputs
from host.run.machine_snapshots import Cut, Fed, Snapshots
from host.workloads.contract import Feed
from host.workloads.section_events import all_sending
from models.schedule import schedule
from noc import packet
from noc.packet import Section


class Feeding:
    """Feeds `inputs`; `late` tells for each tick whether the DRAM delivers nothing; `snapshots` are taken on the way, if any.

    `issued`: ticks whose batch was made. `positions`: how many were fed. `needed`: ticks that must be issued for the last of them
    to come out. `input_packets`: copies of input events. `recent_input`: each input's events of the position fed last.
    """

    def __init__(self, placement: Placement, inputs: Inputs, late: Callable[[int], bool], snapshots: Snapshots | None) -> None:
        self._inputs, self._late, self._snapshots = inputs, late, snapshots
        self._schedule = schedule(placement.network)
        self._sending = all_sending(placement.network, placement.request.lanes)
        self._copies = {number: len(placement.destinations(number)) for number in placement.network.inputs}
        self.bubbles = tuple(Section(n, 0, 0, b"", b"", b"") for n in placement.network.inputs)
        self.recent_input: Mapping[int, int] = {}
        self.begin(None)

    def begin(self, cut: Cut | None) -> None:
        """Begin with new routers and PEs, at the tick of a snapshot or at the first."""
        self.first_tick = self.issued = cut.tick if cut else 0
        self.positions = cut.fed.positions if cut else 0
        self.needed = cut.fed.needed if cut else 0
        self._next_feed = cut.fed.next_feed if cut else 0  # the tick from which the next position may enter
        self.input_packets = 0
        self._inputs.begin()
        if self._snapshots is not None:
            self._snapshots.forget()

    def next_sections(self, is_exhausted: bool) -> tuple[Section, ...] | None:
        """Return what the next batch has, for `is_exhausted` bubbles alone; None where more bubbles would only stand before the
        next input: the way of what was fed is free.
        """
        late = self._late(self.issued) or self._inputs.is_early(self.issued)
        waits = is_exhausted or late or self.issued < self._next_feed
        feed = None if waits else self._inputs.next(self.issued)
        if feed is None and not late and self.issued >= self.needed:
            return None
        return self.bubbles if feed is None else self._feed(feed)

    def _feed(self, feed: Feed) -> tuple[Section, ...]:
        """Count a position's input; return its sections."""
        self.needed, self._next_feed = self.issued + self._schedule.depth, self.issued + self._schedule.interval
        self.positions += 1
        self.recent_input = {n: self._sending[n].count_events(*events) for n, events in feed.events.items()}
        self.input_packets += sum(n * self._copies[number] for number, n in self.recent_input.items())
        none = b"", b""
        return tuple(
            Section(bubble.population, feed.flags, feed.position, *feed.events.get(bubble.population, none), b"", feed.lanes)
            for bubble in self.bubbles
        )

    def asks_of_snapshot(self) -> list[tuple[str, packet.Save]]:
        """Note what has been fed before the tick of a snapshot; return whom to ask for one where too much would be run again."""
        if self._snapshots is None:
            return []
        if self.issued == self._snapshots.tick:
            self._snapshots.note_fed(Fed(self.positions, self._next_feed, self.needed, self._inputs.next_position))
        return self._snapshots.begin(self.issued)
