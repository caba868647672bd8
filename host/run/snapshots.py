"""`Snapshots`: the states of all PEs and DRAMs at one tick, from which a run can go on in new processes.

A tick is a consistent cut: what everybody keeps when it has made its batch of tick T, with those batches, is the whole state of
the machine, whatever the neuron models. The host names a tick that nobody has come to; where somebody was past it, that one says
so, and the host tries again with twice the time. It keeps the newest whole snapshot and the one that is being taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from noc import packet


class Fed(NamedTuple):
    """What the host had fed before a tick: how many positions, the tick from which the next may enter, the tick at which all of
    the last has come out, and the number of the next position.
    """

    positions: int
    next_feed: int
    needed: int
    next_position: int


class Heard(NamedTuple):
    """What the host had heard before a tick: how many positions were answered, and sections of outputs of those that were not."""

    answered: int
    sections: Mapping[int, int]


class Cut(NamedTuple):
    """A whole snapshot: its tick, what the host had done by then, and everybody's part by name."""

    tick: int
    fed: Fed
    heard: Heard
    parts: Mapping[str, packet.Snapshot]


class Snapshots:
    """Takes one snapshot at a time of the endpoints `names`, as soon as `most_positions` or more would be run again.

    `margin_ticks`: how far ahead of the host's next batch the tick lies that it asks for.
    """

    def __init__(self, names: Iterable[str], most_positions: int, margin_ticks: int) -> None:
        self.names = tuple(names)
        self._most_positions, self._margin_ticks = most_positions, margin_ticks
        self.forget()

    def forget(self) -> None:
        """Give up the one that is being taken."""
        self.tick = -1  # of the one that is being taken
        self._fed: Fed | None = None
        self._heard: Heard | None = None
        self._parts: dict[str, packet.Snapshot] = {}

    def begin(self, positions: int, issued: int) -> list[tuple[str, packet.Save]]:
        """Return whom to ask for which tick, where so many `positions` would be run again, after `issued` ticks."""
        if positions < self._most_positions or self.tick >= 0:
            return []
        self.tick = issued + self._margin_ticks
        return [(name, packet.Save(self.tick)) for name in self.names]

    def note_fed(self, fed: Fed) -> None:
        """Note what the host has fed before the tick."""
        self._fed = fed

    def note_heard(self, heard: Heard) -> None:
        """Note what the host has heard before the tick."""
        self._heard = heard

    def add(self, name: str, part: packet.Snapshot) -> None:
        """Add what an endpoint says; where the tick was past for it, the next one is asked for earlier."""
        if part.tick != self.tick:
            return  # of one that was given up
        if not part.batch:
            self.forget()
            self._margin_ticks *= 2
            return
        self._parts[name] = part

    def take(self) -> Cut | None:
        """Return the snapshot when it is whole, once."""
        if self._fed is None or self._heard is None or len(self._parts) < len(self.names):
            return None
        cut = Cut(self.tick, self._fed, self._heard, self._parts)
        self.forget()
        return cut
