"""Which sequence runs in which lane and when: sequences of any lengths, in a number of lanes.

Each sequence, in order, goes to the lane that is free first, of several the lowest; so lane l begins with sequence l, and sequences
of one length run in rounds. Which lane a sequence gets changes no bit of its answers.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple


class _Turn(NamedTuple):
    """A sequence in a lane: the position of the run at which it begins, and at which the lane is free again."""

    begin: int
    end: int
    sequence: int


class LanePlan:
    """The turns of sequences of `lengths` positions, each at least 1, in `lanes` lanes."""

    def __init__(self, lengths: Sequence[int], lanes: int) -> None:
        self.lengths, self.lanes = tuple(lengths), lanes
        self._turns: list[list[_Turn]] = [[] for _ in range(lanes)]
        free = [(0, lane) for lane in range(lanes)]
        for sequence, length in enumerate(lengths):
            begin, lane = heapq.heappop(free)
            self._turns[lane].append(_Turn(begin, begin + length, sequence))
            heapq.heappush(free, (begin + length, lane))
        self._begins = [[turn.begin for turn in turns] for turns in self._turns]

    @cached_property
    def positions(self) -> int:
        """How many positions the run has."""
        return max((turns[-1].end for turns in self._turns if turns), default=0)

    def at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (sequence, position in it) of a lane at a position of the run; None where the lane is idle."""
        place = bisect_right(self._begins[lane], position) - 1
        if place < 0 or position >= self._turns[lane][place].end:
            return None
        turn = self._turns[lane][place]
        return turn.sequence, position - turn.begin
