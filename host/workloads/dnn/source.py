"""Feeds nothing but the host's clock: the first position starts the scheduler, and each further one lets PEs tell their counts."""

from __future__ import annotations

from host.workloads.contract import Feed, Source
from host.workloads.dnn.readout import DnnReadout
from noc.packet import FRESH, RESET, VALID


class ClockSource(Source):
    """A position a tick, until the readout has heard the last step; exhausted when it has all tensors."""

    def __init__(self, readout: DnnReadout) -> None:
        self._readout = readout
        self.positions = 0

    def next(self) -> Feed | None:
        """Return the next position; None where nothing is left to be done."""
        if self._readout.has_ended:
            return None
        self._next += 1
        return self.feed_at(self._next - 1)

    def feed_at(self, position: int) -> Feed:
        """Return a position without events."""
        return Feed(position, VALID if position else VALID | FRESH | RESET, {})

    def exhausted(self) -> bool:
        """Tell whether all tensors are here."""
        return self._readout.is_complete
