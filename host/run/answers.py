"""`Answers`: gathers what the outputs say at a position until all of it is in, for the readout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import Any

from host.run.machine_snapshots import Heard
from host.workloads.contract import Readout
from noc.packet import Section


class Answers:
    """Gathers sections of `outputs`, so many a position, for `readout`.

    `positions` is how many were answered by the processes that run now. After a restart they say some things again, which are
    counted and not taken.
    """

    def __init__(self, readout: Readout, outputs: Sequence[int], sections_per_position: int) -> None:
        self._readout, self._outputs, self._whole = readout, outputs, sections_per_position
        self._watched: Container[int] = getattr(readout, "watched", ())
        self._sections: dict[int, dict[int, list[Section]]] = {}  # by position: of those of which not all are in
        self.begin(None)

    def begin(self, heard: Heard | None) -> None:
        """Count anew, for new processes that go on from where that much was heard; None: from the start."""
        self.positions = heard.answered if heard else 0
        self._counts = Counter(heard.sections if heard else ())

    @property
    def heard(self) -> Heard:
        """What has been counted."""
        return Heard(self.positions, dict(self._counts))

    def record(self) -> list[Any]:
        """Return what waits for the rest of its position, as plain values."""
        return [list(section) for by_output in self._sections.values() for sections in by_output.values() for section in sections]

    def restore(self, record: Sequence[Sequence[Any]]) -> None:
        """Go on from a record."""
        for row in record:
            self.take(Section(*row))

    def count(self, position: int) -> None:
        """Count a section."""
        self._counts[position] += 1
        if self._counts[position] == self._whole:
            del self._counts[position]
            self.positions += 1

    def see(self, section: Section) -> None:
        """Show the readout a section of a layer that it watches."""
        if section.population in self._watched:
            self._readout.see_events(section)  # type: ignore[attr-defined] # a readout that has `watched` has it

    def take(self, section: Section) -> None:
        """Take a section that is new; with the last of its position, the readout answers."""
        arrived = self._sections.setdefault(section.position, {n: [] for n in self._outputs})
        arrived[section.population].append(section)
        if sum(map(len, arrived.values())) == self._whole:
            self._readout.answer(section.position, self._sections.pop(section.position))
