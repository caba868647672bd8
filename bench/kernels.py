"""The kernels of every shard alone, one after another in one process: no PE, no message, no wait. The floors' work.

Bound to arrays of their own as a PE binds them (`pe/residents.py`); events arrive cut into FIFO-sized chunks before the clock
starts. The calls of all positions are listed ahead and made in one compiled loop, as a PE makes them without Python. So what is
measured is what the kernels cost, caches as one process that visits every shard in turn has them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from host.mapping.placement import Placement
from host.mapping.sharding import cut
from models.compute.bound_calls import Call, address_of, call_at, nothing
from models.compute.compiling import compiled
from models.network import Array
from models.numerics import payload_bytes
from models.shard import Shard
from noc.packet import FRESH, RESET, Section
from pe.layout import FIFO_EVENTS, pe_fields, size_of
from pe.residents import resident_of

_PLAIN, _FIRST_STEP, _STEP = range(3)  # kinds of calls: a step's events are counted, and it is given those of its shard before it
_Row = tuple[int, int, int, int, int, int]  # of a call: its code, its block, its three arguments, and its kind


class Heard(NamedTuple):
    """A section as kernels meet it: flags, and chunks of keys (or the first flat index of a dense section), values and events."""

    flags: int
    chunks: list[tuple[Array | int, Array | None, int]]


class Bound:
    """A shard's ports and step on arrays of its own."""

    def __init__(self, shard: Shard) -> None:
        views: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in pe_fields([size_of(shard)])}
        self._resident = resident_of(shard, views, copies=0)
        if shard.ticks > 1 or any(port.shape.phases > 1 for port in shard.ports):
            raise ValueError(f"population {shard.population}: takes several ticks a position; kernels are timed at one")
        self._lanes, self._begun_at = range(shard.lanes), 0
        self.ports = self._resident.listeners

    def calls(self, at: int, positions: Sequence[dict[int, Heard]]) -> Iterator[_Row]:
        """Yield the calls by which the shard hears and steps position `at` of those."""
        resident, flags = self._resident, positions[at][self._resident.trigger].flags
        if flags & FRESH:
            self._begun_at = at
        for port in self.ports:
            slot, began = port.slots[0], at - port.delay
            heard = positions[began].get(port.population) if began >= self._begun_at else None
            if heard is not None and heard.flags & RESET:
                yield from (_row(port.restart, lane) for lane in self._lanes)
            yield _row(slot.clear)
            for keys, values, count in heard.chunks if heard is not None else ():
                first = keys if isinstance(keys, int) else address_of(keys)
                yield _row(slot.receive, first, 0 if values is None else address_of(values), count)
            for lane in self._lanes:
                if slot.product is not nothing:
                    yield _row(slot.product, lane)
                if port.adds:
                    yield _row(slot.add, lane)
        for lane in self._lanes:
            if flags & RESET:
                yield _row(resident.reset, lane)
            yield _row(resident.step, lane, kind=_STEP if lane else _FIRST_STEP)


def _row(call: Call, first: int = 0, second: int = 0, count: int = 0, *, kind: int = _PLAIN) -> _Row:
    return call.address, address_of(call.block), first, second, count, kind


def bind(placement: Placement) -> list[Bound]:
    """Cut and bind every shard of a placement."""
    return [Bound(shard) for placed in placement.pes for shard in cut(placement.network, placement.request, placed.share)]


@compiled
def _make_calls(rows: Array) -> int:
    """Make the calls of these rows; return the number of events of their steps."""
    events = own_events = 0
    for row in range(rows.shape[0]):
        address, block, first, second, count, kind = rows[row]
        if kind == _PLAIN:
            call_at(address, block, first, second, count)
            continue
        if kind == _FIRST_STEP:
            own_events = 0
        sent = call_at(address, block, first, own_events, 0)
        own_events += sent
        events += sent
    return events


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
    need = sum(count for sections in heard for n in placement.network.layers for _, _, count in sections[n].chunks)
    order = [(shard, at) for shard in shards for at in range(len(heard))]
    order = order if alone else sorted(order, key=lambda turn: turn[1])
    rows = np.array([row for shard, at in order for row in shard.calls(at, heard)], np.int64)
    _make_calls(rows[:0])  # compiles it, or loads what was compiled
    began = time.thread_time()
    events = _make_calls(rows)
    elapsed_s = time.thread_time() - began
    assert events == need, f"the shards emitted {events} events; the recorded run {need}"
    return elapsed_s / len(positions)


def _chunks(placement: Placement, section: Section) -> list[tuple[Array | int, Array | None, int]]:
    source = placement.network.populations[section.population]
    item_bytes = payload_bytes(source.payload)
    keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, np.uint8)
    events = len(values) // item_bytes if source.dense else len(keys)
    chunks: list[tuple[Array | int, Array | None, int]] = []
    for first in range(0, events, FIFO_EVENTS):
        last = min(first + FIFO_EVENTS, events)
        part = values[item_bytes * first : item_bytes * last] if item_bytes else None
        chunks.append((first if source.dense else keys[first:last], part, last - first))
    return chunks
