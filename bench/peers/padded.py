"""Batches of one length, for collectives that gather arrays of one shape: the count in front, then room for the most events.

With a bound on the events, one collective does what would otherwise take two: counts first, then as many events.
"""

from __future__ import annotations

import numpy as np

from bench.peers.exchange import EVENT, MOST

_HEAD_BYTES = 8  # the count, in as many bytes as keep the events aligned
_BYTES = _HEAD_BYTES + MOST * EVENT.itemsize


class Padding:
    """Buffers of one process: `own` (record bytes,) uint8 to send, `everybody` (processes * record bytes,) to hear into."""

    def __init__(self, processes: int) -> None:
        self.own = np.zeros(_BYTES, np.uint8)
        self.everybody = np.zeros(processes * _BYTES, np.uint8)
        rows = self.everybody.reshape(processes, _BYTES)
        self._counts = rows[:, :_HEAD_BYTES].view("<u8")
        self._events = rows[:, _HEAD_BYTES:].view(EVENT)
        self._slots = np.arange(MOST)

    def fill(self, batch: bytes) -> None:
        """Put `batch` into `own`."""
        self.own[:_HEAD_BYTES].view("<u8")[0] = len(batch) // EVENT.itemsize
        self.own[_HEAD_BYTES : _HEAD_BYTES + len(batch)] = np.frombuffer(batch, np.uint8)

    def run(self) -> bytes:
        """Return all events in `everybody`, in order of rank."""
        return self._events[self._slots < self._counts].tobytes()
