"""Feeds matched filters from DRAM: a snapshot a lane and position, each a sequence of its own."""

from __future__ import annotations

import numpy as np

from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from host.workloads.rows_in_dram import RowsInDram


class SnapshotSource(Source):
    """Feeds `count` rows of a store to input 0: snapshot position * lanes + lane in each lane, until there is none."""

    def __init__(self, store: RowsInDram, count: int, lanes: int) -> None:
        self._store, self.count, self.lanes = store, count, lanes
        self.positions = -(-count // lanes)

    def feed_at(self, position: int) -> Feed:
        """Return a snapshot's matched filter for every lane that has one."""
        rows = [self.snapshot_at(lane, position) for lane in range(self.lanes)]
        idle = np.array([row is None for row in rows])
        flags, lanes = pack_lanes(~idle, ~idle, idle)
        return Feed(position, flags, {0: self._store.feed(rows)}, lanes)

    def snapshot_at(self, lane: int, position: int) -> int | None:
        """Return which snapshot a lane runs at a position; None where it is idle."""
        number = position * self.lanes + lane
        return number if number < self.count else None

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (snapshot, 0) of a lane; None where it is idle."""
        number = self.snapshot_at(lane, position)
        return None if number is None else (number, 0)
