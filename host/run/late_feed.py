"""What a source feeds, made ready for the network's inputs: those that hear others late, too (`models/late_inputs.py`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from host.mapping.placement import Placement
from host.workloads.contract import Feed
from host.workloads.lane_sets import Bools, read_lanes
from host.workloads.section_events import Sending, all_sending
from noc.packet import FRESH, RESET

Events = tuple[bytes, bytes]
_NONE = b"", b""


class LateFeed:
    """Adds to each position's feed what the inputs that are fed late hear, from the position `delay` before.

    A lane in which a sequence has begun since, or which is idle, hears nothing.
    """

    def __init__(self, placement: Placement) -> None:
        self._late, self._lanes = placement.late_inputs, placement.request.lanes
        self._sending: Mapping[int, Sending] = all_sending(placement.network, self._lanes)
        self._marks = np.zeros(self._lanes, np.int64)  # by lane: the position at which its sequence began
        most = max((late.delay for late in self._late.values()), default=0)
        self._before: deque[Mapping[int, Events]] = deque(maxlen=most + 1)  # the latest positions

    def completed(self, feed: Feed) -> Feed:
        """Return a position's feed with the late inputs; positions come in order, each once."""
        if feed.flags & FRESH:
            feed = feed._replace(flags=feed.flags | RESET)
        if not self._late:
            return feed
        begin, _, idle = read_lanes(feed.flags, feed.lanes, self._lanes)
        self._marks[begin] = feed.position
        self._before.append(feed.events)
        events = dict(feed.events)
        for number, (source, delay) in self._late.items():
            if delay < len(self._before):
                heard = self._before[-1 - delay].get(source, _NONE)
                events[number] = self._without(source, heard, (self._marks > feed.position - delay) | idle)
        return feed._replace(events=events)

    def _without(self, source: int, events: Events, lanes: Bools) -> Events:
        """Return an input's events without those of some lanes."""
        if not lanes.any():
            return events
        sending, (keys, values) = self._sending[source], events
        if sending.dense:
            numbers = np.frombuffer(values, sending.dtype).reshape(-1, sending.units).copy()
            numbers[lanes[: len(numbers)]] = 0
            return b"", numbers.tobytes()
        units = np.frombuffer(keys, "<u4")
        stay = ~lanes[units // sending.units]
        return units[stay].tobytes(), np.frombuffer(values, sending.dtype)[stay].tobytes() if sending.dtype else b""
