"""Spikes as input: samples lie in the emulated DRAM, and a step of each streams from there.

Samples go through in rounds, as many side by side as there are lanes, each beginning fresh with membranes at their start; a last
round with fewer leaves lanes idle. The next round's are read while this one runs, a few at a time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np

from host.errors import Exit, HostError
from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.snn.samples import InputSample, Samples
from models.network import Array, Population
from noc.dram import Dram
from noc.packet import VALID


class KnownSample(NamedTuple):
    """A sample that was read: its name, who is seen, and its class where it is known."""

    name: str
    subject: str
    label: int | None


class SpikeSource(Source):
    """Feeds samples to the population `into`, which is number `number` of its network; `positions` counts those known so far.

    `on_sample` hears of each sample's numbers as it is read. HostError where two rounds of samples do not fit into DRAM.
    """

    def __init__(
        self, samples: Samples, dram: Dram, number: int, into: Population, lanes: int,
        on_sample: Callable[[Array], object] | None = None,
    ) -> None:  # fmt: skip
        self._on_sample, self._given, self._into, self._input = on_sample, samples, into, number
        self.lanes, self.steps = lanes, samples.steps
        self.limit, self.host_s, self.known = samples.limit, 0.0, list[KnownSample]()
        wide = 4 if into.payload in ("float32", "int32") else 2 if into.payload == "count" else 1
        each_bytes, need = dram.row_stride(wide * into.units) * self.steps, min(2 * lanes, max(self.limit, 1))
        self._slots = min(max(self.limit, 1), dram.room_bytes // each_bytes)
        if self._slots < need:
            have = f"room for {self._slots} in {dram.capacity_bytes:,} B"
            raise HostError(f"DRAM: spikes of {need} samples need {need * each_bytes:,} B, has {have}", Exit.DOES_NOT_FIT)
        self._rows = RowsInDram(dram, "spikes", self._slots * self.steps, into.units, into.payload)
        self._load(lanes)

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return the sample that a lane runs at a position and which of its steps, or None."""
        turn, step = divmod(position, self.steps)
        number = turn * self.lanes + lane
        return (number, step) if number < len(self.known) else None

    def feed_at(self, position: int) -> Feed:
        """Return a step of every sample of this round; load what falls due of the next round."""
        turn, step = divmod(position, self.steps)
        numbers = range(turn * self.lanes, min((turn + 1) * self.lanes, len(self.known)))
        flags, lanes = VALID, b""
        if step == 0 or len(numbers) < self.lanes:
            running = np.arange(self.lanes) < len(numbers)
            begin = running & (step == 0)
            flags, lanes = pack_lanes(begin, begin, ~running)
        feed = Feed(position, flags, {self._input: self._rows.feed(self._row(n, step) for n in numbers)}, lanes)
        self._load((turn + 1) * self.lanes + (step + 1) * self.lanes // self.steps - len(self.known))
        return feed

    def snapshot(self) -> bytes:
        """Return the next position, and how many samples are read."""
        return json.dumps([self._next, len(self.known)]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot; the samples are read again."""
        self._next, count = json.loads(snapshot)
        self._load(count - len(self.known))

    def _row(self, number: int, step: int) -> int:
        return number % self._slots * self.steps + step

    def _load(self, count: int) -> None:
        """Read up to `count` samples more into DRAM."""
        if count <= 0 and self.known:
            return
        began, target = time.perf_counter(), len(self.known) + count
        for sample in islice(self._given.samples, max(count, 0)):
            self._put(sample)
        if len(self.known) < target:
            self.limit = len(self.known)
        self.positions = -(-len(self.known) // self.lanes) * self.steps
        self.host_s += time.perf_counter() - began

    def _put(self, sample: InputSample) -> None:
        sent = sample.numbers.astype(self._rows.dtype)
        for step, row in enumerate(sent):
            self._rows.write(self._row(len(self.known), step), row)
        if self._on_sample is not None:
            self._on_sample(sample.numbers)
        self.known.append(KnownSample(sample.name, sample.subject, sample.label))
