"""`DramReads`: what a readout wants to see of DRAMs, asked piece by piece, beside the ticks and uncounted: no PE reads it."""

from __future__ import annotations

from collections import deque
from typing import Any

from host.workloads.contract import DramRead, ReadsDrams
from noc.packet import Peek, Peeked

PIECE_BYTES = 1 << 20


class DramReads:
    """Asks for what a readout wants, if it does (`ReadsDrams`), a piece at a time, and hands over whole reads."""

    def __init__(self, readout: Any) -> None:
        self._readout: ReadsDrams | None = readout if hasattr(readout, "wanted") else None
        self._waiting: deque[DramRead] = deque()
        self._content = bytearray()
        self._is_asked = False
        if self._readout is not None:
            self._readout.forget_reads()

    def ask(self) -> list[tuple[str, Peek]]:
        """Return the next question, by the DRAM's name; none while one is open."""
        if self._readout is None:
            return []
        self._waiting += self._readout.wanted()
        if self._is_asked or not self._waiting:
            return []
        self._is_asked, one, done = True, self._waiting[0], len(self._content)
        return [(one.dram, Peek(one.address + done, min(one.size_bytes - done, PIECE_BYTES)))]

    def take(self, dram: str, message: Peeked) -> list[tuple[str, Peek]]:
        """Take an answer; return the next question. An answer to nothing that was asked is none."""
        if not self._is_asked or not self._waiting:
            return []
        one = self._waiting[0]
        if dram != one.dram or message.address != one.address + len(self._content):
            return []
        self._is_asked = False
        self._content += message.data
        if len(self._content) >= one.size_bytes and self._readout is not None:
            self._readout.take_bytes(self._waiting.popleft(), bytes(self._content))
            self._content = bytearray()
        return self.ask()
