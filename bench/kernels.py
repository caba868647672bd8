"""The kernels of every shard alone, one after another in one process: no PE, no message, no wait. The floors' work.

Bound to arrays of their own by the contract of `models/formats` and `models/kernels`; events arrive cut into FIFO-sized
chunks before the clock starts. What entering compiled code from Python costs is measured with calls that do nothing, and taken
off: a PE enters it once for many ticks. So what is left is what the kernels cost, caches as one process that visits every
shard in turn has them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from host.mapping.placement import Placement
from host.mapping.sharding import cut
from models import formats, kernels
from models.compute.bound_calls import nothing
from models.network import Array, Shard
from noc.packet import FRESH, RESET, Section
from pe.layout import FIFO_EVENTS, pe_fields, prefix, size_of

_Chunks = list[tuple[Array, Array, int]]


class Bound:
    """A shard's ports and step on arrays of its own."""

    def __init__(self, shard: Shard) -> None:
        kernel, form, head = kernels.named(shard.kernel), formats.named(shard.format), prefix(shard.population)
        mem: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in pe_fields([size_of(shard)])}
        for port in shard.ports:
            for name, array in port.arrays.items():
                mem[f"{head}{port.name}.{name}"][...] = array
        for name, vector in (*shard.vectors.items(), ("units", shard.units)):
            mem[head + name][...] = vector
        self.trigger = next(port.source for port in shard.ports if port.name == kernel.PORTS[0])
        self.ports = [
            (p.source, form.port(mem, head + p.name, shard.lanes, p.source_units, p.trace), p.name == kernel.PORTS[0])
            for p in shard.ports
        ]
        self.stepper = kernel.stepper(mem, head, shard.width, {**kernel.DEFAULTS, **shard.params})

    def tick(self, heard: Mapping[int, tuple[int, _Chunks]], before: Mapping[int, tuple[int, _Chunks]]) -> int:
        """Hear and step one position; return the number of events. `heard` this position's, `before` the last one's."""
        flags = heard[self.trigger][0]
        for source, port, forward in self.ports:
            section_flags, chunks = (heard if forward else before).get(source, (0, ()))
            if section_flags & RESET:
                port.restart()
            port.clear()
            if forward or not flags & FRESH:
                for keys, values, count in chunks:
                    port.receive(keys, values, count)
        if flags & RESET:
            self.stepper.reset()
        for _, port, _ in self.ports:
            if port.product is not nothing:
                port.product()
        return self.stepper.step()


def bind(placement: Placement) -> list[Bound]:
    """Cut and bind every shard of a placement."""
    return [Bound(shard) for placed in placement.pes for shard in cut(placement.network, placement.request, placed.share)]


def kernels_s(shards: list[Bound], positions: list[dict[int, Section]], alone: bool = False) -> float:
    """Return CPU seconds a position of kernel time of all `shards`, on the events of a recorded run.

    AssertionError where the layers emit another number of events than in that run: then it was other work.

    Args:
        shards: every shard of the run (`bind`).
        positions: for each position the valid section of each population (`Recorded.positions`).
        alone: True runs all positions of a shard before the next shard's, so that its weights stay in the caches.

    """
    heard = [{number: (section.flags, _chunks(section)) for number, section in sections.items()} for sections in positions]
    need = sum(len(section.keys) // 4 for sections in positions for number, section in sections.items() if number)
    befores: list[dict[int, tuple[int, _Chunks]]] = [{}, *heard[:-1]]
    events = 0
    began = time.thread_time()
    if alone:
        for shard in shards:
            for now, before in zip(heard, befores, strict=True):
                events += shard.tick(now, before)
    else:
        for now, before in zip(heard, befores, strict=True):
            for shard in shards:
                events += shard.tick(now, before)
    elapsed = time.thread_time() - began
    assert events == need, f"the shards emitted {events} events; the recorded run {need}"
    return elapsed / len(positions) - _entering_s(shards, positions)


def _entering_s(shards: list[Bound], positions: list[dict[int, Section]]) -> float:
    """Return what the same number of calls into compiled code costs a position if they do nothing."""
    fifo = np.zeros(FIFO_EVENTS, np.uint32), np.zeros(FIFO_EVENTS, np.float32)
    without = with_events = 0
    for shard in shards:
        for source, port, _ in shard.ports:
            with_events += sum(len(_chunks(sections[source])) for sections in positions)
            without += (1 + (port.product is not nothing)) * len(positions)
        without += len(positions)
    began = time.thread_time()
    for _ in range(without):
        nothing()
    for _ in range(with_events):
        nothing(*fifo, 1)
    return (time.thread_time() - began) / len(positions)


def _chunks(section: Section) -> _Chunks:
    keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<f4")
    starts = range(0, len(keys), FIFO_EVENTS)
    return [(keys[i : i + FIFO_EVENTS], values[i : i + FIFO_EVENTS], len(keys[i : i + FIFO_EVENTS])) for i in starts]
