"""The event stream's fingerprint: SHA-256 over (sequence, position, population, unit, float32 bits), and its counts.

Layers work on different positions at the same tick, so each (sequence, population) has a running digest fed in order of
position, and the stream's hash is taken over those digests in order. It therefore depends on no schedule, and a
sequence run alone has the same digest as within a batch.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from models.network import Network
from noc.packet import Section


class EventStream:
    """Takes each population's events position by position."""

    def __init__(self, network: Network, lanes: int) -> None:
        self._network = network
        self._lanes = lanes
        self._digests = {(lane, layer): hashlib.sha256() for lane in range(lanes) for layer in network.layers}
        self._events = dict.fromkeys(network.layers, 0)
        self._steps = dict.fromkeys(network.layers, 0)

    def add(self, section: Section) -> int:
        """Take the events of one population at one position, lanes ascending; return how many there are."""
        keys, bits = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<u4")
        layer, width = section.population, self._network.populations[section.population].units
        assert not len(keys) or keys[-1] < self._lanes * width, f"event key {keys[-1]} of population {layer}"
        edges = np.searchsorted(keys, np.arange(self._lanes + 1) * width)
        for lane in range(self._lanes):
            first, last = int(edges[lane]), int(edges[lane + 1])
            record = np.empty((last - first, 4), "<u4")
            record[:, 0], record[:, 1] = section.position, layer
            record[:, 2], record[:, 3] = keys[first:last] - np.uint32(lane * width), bits[first:last]
            self._digests[lane, layer].update(record.tobytes())
        self._events[layer] += len(keys)
        self._steps[layer] += 1
        return len(keys)

    def sequence_sha256(self, lane: int) -> str:
        """Return the digest of one sequence: over its layers' digests in order."""
        return hashlib.sha256(b"".join(self._digests[lane, layer].digest() for layer in self._network.layers)).hexdigest()

    def sha256(self) -> str:
        """Return the digest of the whole stream: over each sequence's number and digest in order."""
        total = hashlib.sha256()
        for lane in range(self._lanes):
            total.update(np.uint32(lane).tobytes() + bytes.fromhex(self.sequence_sha256(lane)))
        return total.hexdigest()

    def activity(self) -> list[float]:
        """Return for each layer the share of units that had an event."""
        populations = self._network.populations
        slots = {n: self._steps[n] * populations[n].units * self._lanes for n in self._network.layers}
        return [self._events[n] / slots[n] if slots[n] else 0.0 for n in self._network.layers]

    def report(self) -> dict[str, Any]:
        """Return the report's `events` block."""
        return {
            "sha256": self.sha256(),
            "sequences": [self.sequence_sha256(lane) for lane in range(self._lanes)],
            "count": sum(self._events.values()),
            "by_layer": list(self._events.values()),
            "sparsity_by_layer": [1.0 - share for share in self.activity()],
            "positions": max(self._steps.values(), default=0),
        }
