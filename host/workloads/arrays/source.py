"""Feeds arrays from DRAM: a vector of every sequence that runs at a position, to each input of the network.

The vectors lie in DRAM before the run begins, as those of the paper's gesture network, which a CNN makes beforehand (section
IV-C2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from host.workloads.rows_in_dram import RowsInDram


class ArraySource(Source):
    """Feeds the sequences of `plan` to each input that has a store: input -> its rows, one sequence behind the other.

    A sequence begins fresh; it has no segments. A lane without a sequence is idle.
    """

    def __init__(self, stores: Mapping[int, RowsInDram], plan: LanePlan) -> None:
        self._stores, self._plan = stores, plan
        self._first = np.cumsum([0, *plan.lengths[:-1]]).tolist()
        self.positions = plan.positions

    def feed_at(self, position: int) -> Feed:
        """Return a vector of every sequence that runs."""
        places = [self._plan.at(lane, position) for lane in range(self._plan.lanes)]
        rows = [None if place is None else self._first[place[0]] + place[1] for place in places]
        begin, idle = (np.array([test(place) for place in places]) for test in (_begins, lambda place: place is None))
        flags, lanes = pack_lanes(begin, begin, idle)
        return Feed(position, flags, {number: store.feed(rows) for number, store in self._stores.items()}, lanes)

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (sequence, position in it) of a lane; None where it is idle."""
        return self._plan.at(lane, position)


def _begins(place: tuple[int, int] | None) -> bool:
    return place is not None and place[1] == 0
