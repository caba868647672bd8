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
from itertools import accumulate, groupby, pairwise
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


_MOST_WAITING, _MOST_WAITING_BYTES = 32, 1 << 17  # sections of a population that wait to be hashed, and their bytes
_PLACE_BYTES = 100  # that it takes to remember where a lane is


class EventStream:
    """Takes each population's events position by position. One that is `resumable` can go on in another process; it is slower."""

    def __init__(
        self, network: Network, lanes: int, sequence_at: SequenceAt = side_by_side, *, resumable: bool = False
    ) -> None:  # fmt: skip
        self._network = network
        self._begin: Callable[[], Any] = _begin_resumable if resumable else hashlib.sha256
        self._lanes = lanes
        self._sequence_at = sequence_at
        self._sending = all_sending(network, lanes)
        self._digests: dict[int, dict[int, Any]] = {}  # by sequence and layer
        # By layer: sections that are to be taken, with the place of each lane.
        self._waiting = {n: list[tuple[Section, list[tuple[int, int] | None]]]() for n in network.layers}
        self._waiting_bytes = dict.fromkeys(network.layers, 0)
        for lane in range(lanes):  # those that a run begins with are there, however early it ends
            self._digest_of(sequence_at(lane, 0))
        self._events = dict.fromkeys(network.layers, 0)
        self._steps = dict.fromkeys(network.layers, 0)  # of all sequences
        self._positions = dict.fromkeys(network.layers, 0)

    def add(self, section: Section) -> None:
        """Take the events of one population at one tick of a position, lanes ascending."""
        layer, lanes = section.population, self._lanes
        idle = idle_lanes(section.lanes, lanes)
        places = [None if idle is not None and idle[lane] else self._sequence_at(lane, section.position) for lane in range(lanes)]
        # What is asked of numpy for each section costs several times the hash of its events: many are taken at once.
        waiting = self._waiting[layer]
        waiting.append((section._replace(ledger=b""), places))
        self._waiting_bytes[layer] += len(section.keys) + len(section.values) + _PLACE_BYTES * lanes
        if len(waiting) == _MOST_WAITING or self._waiting_bytes[layer] > _MOST_WAITING_BYTES:
            self._take(layer)

    def settle(self) -> None:
        """Take all that waits."""
        for layer in self._waiting:
            self._take(layer)

    def _take(self, layer: int) -> None:
        """Put the sections of a population that wait into the digests of their sequences, and count them."""
        waiting, self._waiting[layer], self._waiting_bytes[layer] = self._waiting[layer], [], 0
        if not waiting:
            return
        sending, lanes, sections = self._sending[layer], self._lanes, [section for section, _ in waiting]
        width, phases = sending.units, [section.flags // PHASE for section in sections]
        keys = np.concatenate([sending.keys_of(section) for section in sections])
        joined = sections[0]._replace(
            keys=b"".join([section.keys for section in sections]), values=b"".join([section.values for section in sections])
        )
        assert not len(keys) or keys.max() < lanes * width, f"event key {keys.max()} of population {layer}"
        sizes = [sending.count_events(section.keys, section.values) for section in sections]
        edges = [0, *accumulate(sizes)]  # of the records of each lane of each section
        if lanes > 1:
            in_order = keys + np.repeat(np.arange(len(sections)) * (lanes * width), sizes)
            edges = np.searchsorted(in_order, np.arange(len(sections) * lanes + 1) * width).tolist()
        places = [place for _, of_lanes in waiting for place in of_lanes]
        record = np.empty((len(keys), 4 + (sending.ticks > 1)), "<u4")
        record[:, 0] = np.repeat([place[1] if place else 0 for place in places], np.diff(edges))
        record[:, -3], record[:, -2], record[:, -1] = layer, keys % width if lanes > 1 else keys, sending.bits_of(joined)
        if sending.ticks > 1:
            record[:, 1] = np.repeat(phases, sizes)
        raw, row_bytes = record.tobytes(), 4 * record.shape[1]
        # Of one sequence and one behind the other: one update.
        for _, parts in groupby(zip(places, pairwise(edges), strict=True), lambda part: part[0] and part[0][0]):
            (place, (first, last)), *others = parts
            if place is None:
                continue
            last = others[-1][1][1] if others else last
            self._digest_of(place)[layer].update(raw[first * row_bytes : last * row_bytes])
            self._steps[layer] += 1 + len(others)
            self._events[layer] += last - first
        self._positions[layer] += phases.count(0)

    def _digest_of(self, place: tuple[int, int] | None) -> dict[int, Any]:
        if place is None:
            return {}
        if place[0] not in self._digests:
            self._digests[place[0]] = {layer: self._begin() for layer in self._network.layers}
        return self._digests[place[0]]

    def record(self) -> dict[str, Any]:
        """Return all of a resumable one as plain values."""
        self.settle()
        digests = {sequence: [one.state for one in by_layer.values()] for sequence, by_layer in self._digests.items()}
        return {"digests": digests, "events": self._events, "steps": self._steps, "positions": self._positions}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        layers = self._network.layers
        self._waiting = {n: [] for n in layers}
        for sequence, states in record["digests"].items():
            self._digests[sequence] = {n: _begin_resumable(state) for n, state in zip(layers, states, strict=True)}
        self._events, self._steps, self._positions = (dict(record[name]) for name in ("events", "steps", "positions"))

    def sequence_sha256(self, sequence: int) -> str:
        """Return the digest of one sequence: over its layers' digests in order."""
        self.settle()
        layers = self._digests[sequence]
        return hashlib.sha256(b"".join(layers[layer].digest() for layer in self._network.layers)).hexdigest()

    def sha256(self) -> str:
        """Return the digest of the whole stream: over each sequence's number and digest in order."""
        self.settle()
        total = hashlib.sha256()
        for sequence in sorted(self._digests):
            total.update(np.uint32(sequence).tobytes() + bytes.fromhex(self.sequence_sha256(sequence)))
        return total.hexdigest()

    def activity(self) -> list[float]:
        """Return for each layer the share of units that had an event."""
        self.settle()
        slots = {n: self._steps[n] * self._network.populations[n].units for n in self._network.layers}
        return [self._events[n] / slots[n] if slots[n] else 0.0 for n in self._network.layers]

    def report(self) -> dict[str, Any]:
        """Return the report's `events` block."""
        self.settle()
        return {
            "sha256": self.sha256(),
            "sequences": [self.sequence_sha256(sequence) for sequence in sorted(self._digests)],
            "count": sum(self._events.values()), "by_layer": list(self._events.values()),
            "sparsity_by_layer": [1.0 - share for share in self.activity()],
            "positions": max(self._positions.values(), default=0),
        }  # fmt: skip
