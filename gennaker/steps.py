"""A session's source and readout: the input of one step at a time, and what the outputs say to it.

A lane runs one sequence behind another. `begin` lets the next step be the first of a new one; a lane that is idle takes no part
until then. Sequences are numbered in the order in which they begin, those of the first step by their lanes, so that a session has
the hash of a run at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from host.workloads.contract import Feed, Metric, Outputs, Progress, Source
from host.workloads.lane_sets import pack_lanes
from models.network import Array
from noc.packet import VALID


class _Turn(NamedTuple):
    """A sequence in a lane: the position at which it begins."""

    begin: int
    sequence: int


class StepSource(Source):
    """Hands out one position at a time, once `put` has given its events. `lanes`: how many sequences run side by side."""

    def __init__(self, lanes: int) -> None:
        self.lanes, self.position, self.ended = lanes, 0, False
        self._late = 0
        self._closed: Callable[[int], None] = _no_one
        self._events: Mapping[int, tuple[bytes, bytes]] | None = None
        self._begins = np.ones(lanes, bool)
        self._idle = np.zeros(lanes, bool)
        self._resting, self._any_begins = 0, True
        self._turns = [deque([_Turn(0, lane)]) for lane in range(lanes)]
        self._ended: deque[tuple[int, int]] = deque()  # position at which another one began, and the sequence
        self.next_sequence = lanes

    @property
    def idle(self) -> Any:
        """Which lanes take no part, (lanes,) bool."""
        return self._idle

    def close_after(self, positions: int, closed: Callable[[int], None]) -> None:
        """Call `closed` with the number of each sequence of which nothing more will come: so many positions after its last."""
        self._late, self._closed = positions, closed

    @property
    def resting(self) -> int:
        """How many lanes are idle."""
        return self._resting

    def begin(self, lane: int) -> None:
        """Let a lane begin a new sequence at the next step; one that has not taken a step goes on as it is."""
        self._idle[lane] = False
        self._count()
        if self._begins[lane]:
            return
        self._begins[lane] = True
        self._any_begins = True
        turns = self._turns[lane]
        self._ended.append((self.position, turns[-1].sequence))
        turns.append(_Turn(self.position, self.next_sequence))
        self.next_sequence += 1

    def rest(self, lane: int) -> None:
        """Let a lane be idle until it begins anew."""
        self._idle[lane] = True
        self._count()

    def _count(self) -> None:
        self._resting, self._any_begins = int(self._idle.sum()), bool(self._begins.any())

    def put(self, events: Mapping[int, tuple[bytes, bytes]]) -> None:
        """Give the events of the next position."""
        self._events = events

    def next(self) -> Feed | None:
        """Return the next position's input; None while there is none."""
        if self._events is None:
            return None
        flags, lanes = VALID, b""
        if self._any_begins or self._resting:
            begins = self._begins & ~self._idle
            for lane in np.flatnonzero(begins).tolist():
                if self._turns[lane][-1].begin != self.position:  # it was idle, or waited while others stepped
                    self._turns[lane][-1] = self._turns[lane][-1]._replace(begin=self.position)
            flags, lanes = pack_lanes(begins, begins, self._idle)
            self._begins &= self._idle
            self._any_begins = bool(self._begins.any())
        feed = Feed(self.position, flags, self._events, lanes)
        self._events = None
        self.position += 1
        while self._ended and self._ended[0][0] + self._late < self.position:
            self._close(self._ended.popleft()[1])
        return feed

    def record(self) -> dict[str, Any]:
        """Return where every lane is, as plain values."""
        return {
            "position": self.position, "next_sequence": self.next_sequence, "begins": self._begins.tolist(),
            "idle": self._idle.tolist(), "turns": [list(turns[-1]) for turns in self._turns],
        }  # fmt: skip

    def go_on_from(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        self.position, self.next_sequence = record["position"], record["next_sequence"]
        self._begins, self._idle = np.array(record["begins"], bool), np.array(record["idle"], bool)
        self._turns = [deque([_Turn(*turn)]) for turn in record["turns"]]
        self._count()

    def _close(self, sequence: int) -> None:
        for turns in self._turns:
            if len(turns) > 1 and turns[0].sequence == sequence:
                turns.popleft()
        self._closed(sequence)

    def exhausted(self) -> bool:
        """Tell whether the session is over."""
        return self.ended

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (sequence, position in it) of a lane."""
        for turn in reversed(self._turns[lane]):
            if position >= turn.begin:
                return turn.sequence, position - turn.begin
        return None


def _no_one(sequence: int) -> None:
    """Take no note of a sequence that is complete."""


class StepReadout:
    """Keeps what the outputs said last: `outputs` of `position`, -1 before any."""

    def __init__(self) -> None:
        self.position, self.outputs = -1, {}  # type: tuple[int, Outputs]

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take what all outputs say at a position."""
        self.position, self.outputs = position, outputs

    def progress(self) -> Progress:
        """Return how many positions were answered."""
        return Progress(self.position + 1, self.position + 1)

    def result(self) -> dict[str, Any]:
        """Return how many positions were answered."""
        return {"vectors": self.position + 1}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - nothing is scored
        """Return nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return nothing: what was answered is with the user."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Take nothing."""


class InputEvents:
    """Turns a step's numbers into an input's events: `payload` and `dense` as of its population."""

    def __init__(self, payload: str, dense: bool) -> None:
        self._is_spike, self._dense = payload == "spike", dense

    def __call__(self, rows: Array, idle: Sequence[bool] | None) -> tuple[bytes, bytes]:
        """Return keys and values of (lanes, units) numbers; a zero is no event but of a dense input, and no idle lane has any."""
        if idle is not None:
            rows = rows.copy()
            rows[idle] = 0
        if self._dense:
            return b"", rows.tobytes()
        flat = rows.reshape(-1)
        keys = np.flatnonzero(flat)
        values = b"" if self._is_spike else (flat if len(keys) == len(flat) else flat[keys]).tobytes()
        return keys.astype("<u4").tobytes(), values
