"""The kernels of every shard alone, one after another in one process: no PE, no message, no wait. The floors' work.

Bound to arrays of their own by the contract of `models/formats` and `models/kernels`; events arrive cut into FIFO-sized
chunks before the clock starts. So what is measured is what the kernels cost with all their calls, caches as one
process that visits every shard in turn has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from host.place import Placement
from host.shard import cut
from models import formats, kernels
from models.compiled import compiled
from models.formats import nothing
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


def kernels_s(
    shards: list[Bound], positions: list[dict[int, Section]], clock: Callable[[], float] = time.perf_counter, alone: bool = False
) -> float:
    """Return seconds a position of kernel time of all `shards`, on the events of a recorded run.

    AssertionError where the layers emit another number of events than in that run: then it was other work.

    Args:
        shards: every shard of the run (`bind`).
        positions: for each position the valid section of each population (`Recorded.positions`).
        clock: what tells the seconds.
        alone: True runs all positions of a shard before the next shard's, so that its weights stay in the caches.

    """
    heard = [{number: (section.flags, _chunks(section)) for number, section in sections.items()} for sections in positions]
    need = sum(len(section.keys) // 4 for sections in positions for number, section in sections.items() if number)
    befores: list[dict[int, tuple[int, _Chunks]]] = [{}, *heard[:-1]]
    events = 0
    began = clock()
    if alone:
        for shard in shards:
            for now, before in zip(heard, befores, strict=True):
                events += shard.tick(now, before)
    else:
        for now, before in zip(heard, befores, strict=True):
            for shard in shards:
                events += shard.tick(now, before)
    elapsed = clock() - began
    assert events == need, f"the shards emitted {events} events; the recorded run {need}"
    return elapsed / len(positions)


def entering_s(shards: list[Bound], positions: list[dict[int, Section]], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how many of those seconds a position go into entering compiled code: the same calls with the same arguments to a
    kernel that does nothing.
    """
    calls: list[list[Any]] = []
    fifo = np.zeros(FIFO_EVENTS, np.uint32), np.zeros(FIFO_EVENTS, np.float32)
    for shard in shards:
        own = []
        for source, port, _ in shard.ports:
            chunks = round(np.mean([len(_chunks(sections[source])) for sections in positions]))
            own += [_emptied(port.clear, ())] + [_emptied(port.receive, (*fifo, 1))] * chunks
            own += [_emptied(port.product, ())] * (port.product is not nothing)
        own.append(_emptied(shard.stepper.step, ()))
        calls.append([call for call in own if call is not None])
        for call in calls[-1]:
            call()  # compiles each signature once
    began = clock()
    for own in calls:
        for _ in positions:
            for call in own:
                call()
    return (clock() - began) / len(positions)


def _emptied(call: Any, more: tuple[Any, ...]) -> Any:
    """Return the call to `_nothing` with the arguments of a bound kernel; None where it is no compiled one."""
    if not isinstance(call, partial) or not hasattr(call.func, "signatures"):
        return None
    return partial(_nothing, *call.args, *more)


@compiled
def _nothing(*_: Any) -> None:
    return


def _chunks(section: Section) -> _Chunks:
    # Copies, as in a PE's FIFO: a kernel called with the wire's read-only arrays would be another specialisation.
    keys, values = np.frombuffer(section.keys, "<u4").copy(), np.frombuffer(section.values, "<f4").copy()
    starts = range(0, len(keys), FIFO_EVENTS)
    return [(keys[i : i + FIFO_EVENTS], values[i : i + FIFO_EVENTS], len(keys[i : i + FIFO_EVENTS])) for i in starts]
