"""`Snapshots`: the states of all PEs and DRAMs at one tick, from which a run can go on in new processes.

A tick is a consistent cut: what everybody keeps when it has made its batch of tick T, with those batches, is the whole state of
the machine, whatever the neuron models. The host names a tick that nobody has come to; where somebody was past it, that one says
so, and the host tries again with twice the time. It keeps the newest whole snapshot and the one that is being taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

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


def record_of(cut: Cut) -> list[Any]:
    """Return a snapshot as plain values."""
    return [cut.tick, list(cut.fed), cut.heard.answered, dict(cut.heard.sections), {n: list(part) for n, part in cut.parts.items()}]


def cut_of(record: list[Any]) -> Cut:
    """Return the snapshot that `record_of` made a record of."""
    tick, fed, answered, sections, parts = record
    return Cut(tick, Fed(*fed), Heard(answered, sections), {name: packet.Snapshot(*part) for name, part in parts.items()})


class Restartable(Protocol):
    """What keeps the newest snapshot (`host/run/recovery.py`)."""

    @property
    def positions(self) -> int:
        """How many positions would be run again."""

    def add_cut(self, cut: Cut) -> None:
        """Add a snapshot."""


class Snapshots:
    """Takes one snapshot at a time of the endpoints `names` for `replay`, as soon as that would run `most_positions` or more again.

    `margin_ticks`: how far ahead of the host's next batch the tick lies that it asks for.
    """

    def __init__(self, names: Iterable[str], replay: Restartable, most_positions: int, margin_ticks: int) -> None:
        self.names, self._replay = tuple(names), replay
        self._most_positions, self._margin_ticks = most_positions, margin_ticks
        self.forget()

    def forget(self) -> None:
        """Give up the one that is being taken."""
        self.tick = -1  # of the one that is being taken
        self._fed: Fed | None = None
        self._heard: Heard | None = None
        self._parts: dict[str, packet.Snapshot] = {}

    def begin(self, issued: int) -> list[tuple[str, packet.Save]]:
        """Return whom to ask for which tick, after `issued` ticks, if a snapshot is due."""
        if self._replay.positions < self._most_positions or self.tick >= 0:
            return []
        self.tick = issued + self._margin_ticks
        return [(name, packet.Save(self.tick)) for name in self.names]

    def note_fed(self, fed: Fed) -> None:
        """Note what the host has fed before the tick."""
        self._fed = fed
        self._hand_over()

    def note_heard(self, heard: Heard) -> None:
        """Note what the host has heard before the tick."""
        self._heard = heard
        self._hand_over()

    def add(self, name: str, part: packet.Snapshot) -> None:
        """Add what an endpoint says; where the tick was past for it, the next one is asked for earlier."""
        if part.tick != self.tick:
            return  # of one that was given up
        if not part.batch:
            self.forget()
            self._margin_ticks *= 2
            return
        self._parts[name] = part
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand the snapshot over if it is whole."""
        if self._fed is not None and self._heard is not None and len(self._parts) == len(self.names):
            self._replay.add_cut(Cut(self.tick, self._fed, self._heard, self._parts))
            self.forget()
