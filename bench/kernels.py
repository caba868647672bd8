"""The kernels of every shard alone, one after another in one process: no PE, no message, no wait. The floors' work.

Bound to arrays of their own as a PE binds them (`pe/residents.py`); events arrive cut into FIFO-sized chunks before the clock
starts. What entering compiled code from Python costs is measured with calls that do nothing, and taken off: a PE enters it once
for many ticks. So what is left is what the kernels cost, caches as one process that visits every shard in turn has them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from host.mapping.placement import Placement
from host.mapping.sharding import cut
from models.compute.bound_calls import nothing
from models.network import Array
from models.numerics import payload_bytes
from models.shard import Shard
from noc.packet import FRESH, RESET, Section
from pe.layout import FIFO_EVENTS, pe_fields, size_of
from pe.residents import resident_of

_Chunks = list[tuple[Array | int, Array | None, int]]  # keys, or the first flat index of a dense section; values; events


class Heard(NamedTuple):
    """A section as kernels meet it."""

    flags: int
    chunks: _Chunks


class Bound:
    """A shard's ports and step on arrays of its own."""

    def __init__(self, shard: Shard) -> None:
        views: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in pe_fields([size_of(shard)])}
        self._resident = resident_of(shard, views, copies=0)
        if shard.ticks > 1 or any(port.shape.phases > 1 for port in shard.ports):
            raise ValueError(f"population {shard.population}: takes several ticks a position; kernels are timed at one")
        self._lanes, self._mark = range(shard.lanes), 0
        self.ports = self._resident.listeners
        self.calls = (
            sum(1 + shard.lanes * ((port.slots[0].product is not nothing) + port.adds) for port in self.ports) + shard.lanes
        )

    def step(self, at: int, positions: Sequence[dict[int, Heard]]) -> int:
        """Hear and step position `at` of those; return the number of events."""
        resident, flags = self._resident, positions[at][self._resident.trigger].flags
        if flags & FRESH:
            self._mark = at
        for port in self.ports:
            slot, began = port.slots[0], at - port.delay
            heard = positions[began].get(port.population) if began >= self._mark else None
            if heard is not None and heard.flags & RESET:
                for lane in self._lanes:
                    port.restart(lane=lane)
            slot.clear()
            for keys, values, count in heard.chunks if heard is not None else ():
                slot.receive(keys, values, count)
            for lane in self._lanes:
                if slot.product is not nothing:
                    slot.product(lane=lane)
                if port.adds:
                    slot.add(lane=lane)
        events = 0
        for lane in self._lanes:
            if flags & RESET:
                resident.reset(lane=lane)
            events += resident.step(lane=lane, before=events)
        return events


def bind(placement: Placement) -> list[Bound]:
    """Cut and bind every shard of a placement."""
    return [Bound(shard) for placed in placement.pes for shard in cut(placement.network, placement.request, placed.share)]


def kernels_s(placement: Placement, shards: list[Bound], positions: list[dict[int, Section]], alone: bool = False) -> float:
    """Return CPU seconds a position of kernel time of all `shards`, on the events of a recorded run.

    AssertionError where the layers emit another number of events than in that run: then it was other work.

    Args:
        placement: the run's.
        shards: every shard of the run (`bind`).
        positions: for each position the valid section of each population (`Recorded.positions`).
        alone: True runs all positions of a shard before the next shard's, so that its weights stay in the caches.

    """
    heard = [{n: Heard(section.flags, _chunks(placement, section)) for n, section in sections.items()} for sections in positions]
    layers = placement.network.layers
    need = sum(count for sections in heard for n in layers for _, _, count in sections[n].chunks)
    events = 0
    began = time.thread_time()
    if alone:
        for shard in shards:
            for at in range(len(heard)):
                events += shard.step(at, heard)
    else:
        for at in range(len(heard)):
            for shard in shards:
                events += shard.step(at, heard)
    elapsed = time.thread_time() - began
    assert events == need, f"the shards emitted {events} events; the recorded run {need}"
    return elapsed / len(positions) - _entering_s(shards, heard)


def _entering_s(shards: list[Bound], positions: list[dict[int, Heard]]) -> float:
    """Return what the same number of calls into compiled code costs a position if they do nothing."""
    fifo = np.zeros(FIFO_EVENTS, np.uint32), np.zeros(FIFO_EVENTS, np.float32)
    without = len(positions) * sum(shard.calls for shard in shards)
    with_events = sum(len(sections[port.population].chunks) for shard in shards for port in shard.ports for sections in positions)
    began = time.thread_time()
    for _ in range(without):
        nothing()
    for _ in range(with_events):
        nothing(*fifo, 1)
    return (time.thread_time() - began) / len(positions)


def _chunks(placement: Placement, section: Section) -> _Chunks:
    source = placement.network.populations[section.population]
    item_bytes = payload_bytes(source.payload)
    keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, np.uint8)
    events = len(values) // item_bytes if source.dense else len(keys)
    chunks: _Chunks = []
    for first in range(0, events, FIFO_EVENTS):
        last = min(first + FIFO_EVENTS, events)
        part = values[item_bytes * first : item_bytes * last] if item_bytes else None
        chunks.append((first if source.dense else keys[first:last], part, last - first))
    return chunks
