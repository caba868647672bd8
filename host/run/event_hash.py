"""The event stream's fingerprint: SHA-256 over (sequence, position, population, unit, value bits), and its counts.

Layers work on different positions at the same tick, so each (sequence, population) has a running digest fed in order of
position, and the stream's hash is taken over those digests in order. It therefore depends on no schedule, and a
sequence has the same digest whether it is run alone, within a batch, or after other sequences. A workload that runs
sequences one after another says with `SequenceAt` which one a lane is at.

An event's record is four words: position, population, unit, and the value's bits, those of a float32, a whole number with its
sign, 1 for a spike. Where a population takes several ticks for a position the tick stands behind the position. A dense
population has a record for each unit of every lane that is not idle, zeros too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from host.workloads.contract import side_by_side
from host.workloads.lane_sets import idle_lanes
from host.workloads.section_events import all_sending
from models.network import Network
from noc.packet import PHASE, Section

SequenceAt = Callable[[int, int], tuple[int, int] | None]
"""(lane, position of the run) -> (sequence, position in it), or None where the lane has none: its events count nothing."""


def _begin_resumable(*state: Any) -> Any:
    from host.run.resumable_sha256 import ResumableSha256  # compiled: whoever needs none loads no compiler

    return ResumableSha256(*state)


class EventStream:
    """Takes each population's events position by position. One that is `resumable` can go on in another process; it is slower."""

    def __init__(
        self, network: Network, lanes: int, sequence_at: SequenceAt = side_by_side, *, resumable: bool = False
    ) -> None:  # fmt: skip
        self._network = network
        self._begin: Callable[[], Any] = _begin_resumable if resumable else hashlib.sha256
        self._lanes = lanes
        self._sequence_at = sequence_at
        self._lane_edges = np.arange(lanes + 1)
        self._sending = all_sending(network, lanes)
        self._digests: dict[int, dict[int, Any]] = {}  # by sequence and layer
        for lane in range(lanes):  # those that a run begins with are there, however early it ends
            self._digest_of(sequence_at(lane, 0))
        self._events = dict.fromkeys(network.layers, 0)
        self._steps = dict.fromkeys(network.layers, 0)  # of all sequences
        self._positions = dict.fromkeys(network.layers, 0)

    def add(self, section: Section) -> int:
        """Take the events of one population at one tick of a position, lanes ascending; return how many of them count."""
        layer, sending = section.population, self._sending[section.population]
        keys, bits, width, phase = sending.keys_of(section), sending.bits_of(section), sending.units, section.flags // PHASE
        assert not len(keys) or keys[-1] < self._lanes * width, f"event key {keys[-1]} of population {layer}"
        idle = idle_lanes(section.lanes, self._lanes)
        places = [
            None if idle is not None and idle[lane] else self._sequence_at(lane, section.position) for lane in range(self._lanes)
        ]
        # The records of all lanes at once, of which each sequence takes its own.
        record, edges = np.empty((len(keys), 4 + (sending.ticks > 1)), "<u4"), [0, len(keys)]
        positions = [place[1] if place else 0 for place in places]
        record[:, 0], record[:, -3], record[:, -2], record[:, -1] = positions[0], layer, keys, bits
        if sending.ticks > 1:
            record[:, 1] = phase
        if self._lanes > 1:
            edges = np.searchsorted(keys, self._lane_edges * width).tolist()
            record[:, 0] = np.repeat(positions, np.diff(edges))
            record[:, -2] %= width
        raw, row_bytes, count = record.tobytes(), 4 * record.shape[1], 0
        for place, (first, last) in zip(places, pairwise(edges), strict=True):
            if place is None:
                continue
            self._digest_of(place)[layer].update(raw[first * row_bytes : last * row_bytes])
            self._steps[layer] += 1
            count += last - first
        self._events[layer] += count
        self._positions[layer] += not phase
        return count

    def _digest_of(self, place: tuple[int, int] | None) -> dict[int, Any]:
        if place is None:
            return {}
        if place[0] not in self._digests:
            self._digests[place[0]] = {layer: self._begin() for layer in self._network.layers}
        return self._digests[place[0]]

    def record(self) -> dict[str, Any]:
        """Return all of a resumable one as plain values."""
        digests = {sequence: [one.state for one in by_layer.values()] for sequence, by_layer in self._digests.items()}
        return {"digests": digests, "events": self._events, "steps": self._steps, "positions": self._positions}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        layers = self._network.layers
        for sequence, states in record["digests"].items():
            self._digests[sequence] = {n: _begin_resumable(state) for n, state in zip(layers, states, strict=True)}
        self._events, self._steps, self._positions = (dict(record[name]) for name in ("events", "steps", "positions"))

    def sequence_sha256(self, sequence: int) -> str:
        """Return the digest of one sequence: over its layers' digests in order."""
        layers = self._digests[sequence]
        return hashlib.sha256(b"".join(layers[layer].digest() for layer in self._network.layers)).hexdigest()

    def sha256(self) -> str:
        """Return the digest of the whole stream: over each sequence's number and digest in order."""
        total = hashlib.sha256()
        for sequence in sorted(self._digests):
            total.update(np.uint32(sequence).tobytes() + bytes.fromhex(self.sequence_sha256(sequence)))
        return total.hexdigest()

    def activity(self) -> list[float]:
        """Return for each layer the share of units that had an event."""
        slots = {n: self._steps[n] * self._network.populations[n].units for n in self._network.layers}
        return [self._events[n] / slots[n] if slots[n] else 0.0 for n in self._network.layers]

    def report(self) -> dict[str, Any]:
        """Return the report's `events` block."""
        return {
            "sha256": self.sha256(),
            "sequences": [self.sequence_sha256(sequence) for sequence in sorted(self._digests)],
            "count": sum(self._events.values()), "by_layer": list(self._events.values()),
            "sparsity_by_layer": [1.0 - share for share in self.activity()],
            "positions": max(self._positions.values(), default=0),
        }  # fmt: skip
