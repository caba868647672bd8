"""`Pe`: a processing element. Sans-I/O: takes a message, returns messages; owns no socket, clock, process or
randomness.

Everything it keeps between and during ticks lies in its arena. An arriving bundle is wire: its events are copied into
the event FIFO in chunks, and kernels see only arena views. A tick: hear each section (own population and the one
before), then step each shard whose input section is valid, then send one batch, with or without events.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from models import formats, kernels
from models.formats import Port, nothing
from models.network import Array, ModelError, Shard, check_trace
from noc.packet import (
    FRESH,
    RESET,
    VALID,
    Batch,
    Bundle,
    Fault,
    Hello,
    Load,
    Loaded,
    Message,
    Outgoing,
    Read,
    Reading,
    Recall,
    Section,
    Start,
    Stop,
    Stopped,
)
from pe.layout import FIFO_EVENTS, pe_fields, prefix, size_of
from pe.lifecycle import LifecycleError, State, advance
from pe.sram import Arena, SramOverflow, SramSize, plan

_FIFO_BYTES = 4 * FIFO_EVENTS
_RUNNING = State.RUNNING  # an enum member by attribute costs a failed look-up each time


def _bytes_of(view: Array) -> memoryview:
    return memoryview(view).cast("B")  # type: ignore[arg-type]  # an array is a buffer


class _Resident:
    """A shard in SRAM: its ports by name and its step. Keeps no array of its own."""

    def __init__(self, shard: Shard, mem: Mapping[str, Array]) -> None:
        kernel, form = kernels.named(shard.kernel), formats.named(shard.format)
        head = prefix(shard.population)
        for what, have, need in (
            ("ports", {port.name for port in shard.ports}, set(kernel.PORTS)),
            ("vectors", set(shard.vectors), set(kernel.VECTORS)),
        ):
            if have != need:
                raise ModelError(f"shard of population {shard.population}: {what} {sorted(have)}; needs {sorted(need)}")
        for port in shard.ports:
            check_trace(f"shard of population {shard.population}: port {port.name!r}", port.trace)
            if port.trace and port.source == shard.population:
                raise ModelError(f"shard of population {shard.population}: port {port.name!r} hears the trace of its own events")
            for name, array in port.arrays.items():
                mem[f"{head}{port.name}.{name}"][...] = array
        for name, vector in (*shard.vectors.items(), ("units", shard.units)):
            mem[head + name][...] = vector
        self.population = shard.population
        self.ports = {p.name: form.port(mem, head + p.name, shard.lanes, p.source_units, p.trace) for p in shard.ports}
        self.sources = {p.source: name for name, p in ((port.name, port) for port in shard.ports)}
        self.trigger = next(p.source for p in shard.ports if p.name == kernel.PORTS[0])
        self.products = [port.product for port in self.ports.values() if port.product is not nothing]
        self.recurrent = [port for name, port in self.ports.items() if name != kernel.PORTS[0]]
        self.stepper = kernel.stepper(mem, head, shard.width, {**kernel.DEFAULTS, **shard.params})
        # Bytes of the arena: cutting a memoryview costs a third of cutting an array.
        self.send_keys, self.send_values, self.ledger = (
            _bytes_of(mem[head + name]) for name in ("send_keys", "send_values", "ledger")
        )


class Pe:
    """One processing element.

    Args:
        name: its endpoint name, `PE(x,y,p)@chip`.
        router: its chip's router, where everything it says goes.

    """

    def __init__(self, name: str, router: str) -> None:
        self.name = name
        self.state = State.BOOT
        self.tick = 0
        self.arena: Arena | None = None
        self._to_router = (router,)
        self._residents: list[_Resident] = []
        self._copies: dict[int, int] = {}
        self._listeners: dict[int, list[Port]] = {}  # by population
        self._own_events: dict[int, int] = {}  # by population: what this PE itself sent at the last tick
        self._sent = 0
        self._delivered = 0
        self._malformed = 0
        self._read_after = 0

    @property
    def done(self) -> bool:
        """Whether the PE has left."""
        return self.state is State.STOPPED

    def boot(self) -> Outgoing:
        """Say hello: the process is up."""
        return self._say(Hello(os.getpid()))

    def malformed(self, sender: str, why: str) -> Outgoing:  # noqa: ARG002 - the contract's arguments
        """Count bytes that were no message."""
        self._malformed += 1
        return []

    def handle(self, sender: str, message: Message) -> Outgoing:  # noqa: ARG002 - a PE hears only its router
        """Take one message; return what goes out because of it."""
        if type(message) is Bundle and self.state is _RUNNING:  # the table's RUNNING row, without the cost of asking it
            return self._bundle(message)
        try:
            self.state = advance(self.name, self.state, message)
        except LifecycleError as error:
            return self._fault(str(error))
        match message:
            case Bundle() if self.state is State.WAITING:
                return self._bundle(message)
            case Bundle() if self.state is State.READ:
                return self._bundle(message) + self._reading()
            case Load():
                return self._load(message)
            case Recall():
                self._recall(message)
            case Start():
                return self._start()
            case Read():
                self._read_after = message.ticks
                return self._reading()
            case Stop():
                return self._say(Stopped())
        return []

    def _reading(self) -> Outgoing:
        """Hand the counters over, once all is counted that they are asked for."""
        if self.tick < self._read_after or self.state is not State.READ:
            return []
        return self._say(Reading(self._counters()))

    def _say(self, message: Message) -> Outgoing:
        self.state = advance(self.name, self.state, message)
        return [(self._to_router, message)]

    def _fault(self, text: str) -> Outgoing:
        if self.state is State.STOPPED:
            return []
        self.state = State.FAULT
        return [(self._to_router, Fault(text))]

    def _load(self, message: Load) -> Outgoing:
        try:
            size = SramSize(**message.spec)
            shards = [Shard.from_parts(parts) for parts in message.shards]
            self.arena = Arena(plan(self.name, pe_fields(map(size_of, shards)), size), size)
            self._residents = [_Resident(shard, self.arena.views) for shard in shards]
        except (SramOverflow, ModelError, TypeError, ValueError, KeyError, OSError) as error:
            text = str(error)
            return self._fault(text if text.startswith(self.name) else f"{self.name}: {text}")
        self._copies = message.copies
        keys, values = self.arena.views["fifo.keys"], self.arena.views["fifo.values"]
        self._fifo = keys, values, _bytes_of(keys), _bytes_of(values)
        for resident in self._residents:
            for source, name in resident.sources.items():
                self._listeners.setdefault(source, []).append(resident.ports[name])
        return self._say(Loaded([[r.name, r.offset, r.size_bytes, r.role] for r in self.arena.regions]))

    def _recall(self, message: Recall) -> None:
        """Let the ports that hear their own population take what it emitted before this process began."""
        fifo_keys, fifo_values, key_bytes, value_bytes = self._fifo
        for port in (p for resident in self._residents if resident.population == message.population for p in resident.recurrent):
            port.clear()
            for first in range(0, len(message.keys), _FIFO_BYTES):
                keys, values = (part[first : first + _FIFO_BYTES] for part in (message.keys, message.values))
                key_bytes[: len(keys)], value_bytes[: len(values)] = keys, values
                port.receive(fifo_keys, fifo_values, len(keys) // 4)

    def _start(self) -> Outgoing:
        if self.tick:
            return []  # a second run goes on from the tick where the first one waited
        bubbles = tuple(Section(r.population, 0, 0, b"", b"", b"") for r in self._residents)
        return [(self._to_router, Batch(0, bubbles))]

    # -- a tick -----------------------------------------------------------------------------------------------------------------

    def _bundle(self, bundle: Bundle) -> Outgoing:
        if bundle.tick != self.tick:
            return self._fault(f"{self.name}: bundle of tick {bundle.tick}; needs tick {self.tick}")
        heard: dict[int, Section] = {}
        for section in bundle.sections:
            if section.flags & VALID:
                heard[section.population] = section
                self._hear(section)
        self.tick += 1
        sections: tuple[Section, ...] = ()
        for resident in self._residents:
            sections += (self._step(resident, heard.get(resident.trigger)),)
        return [(self._to_router, Batch(self.tick, sections))]

    def _hear(self, section: Section) -> None:
        """Let every port that listens to the section's population take its events, FIFO by FIFO."""
        ports = self._listeners[section.population]
        if section.flags & RESET:
            for port in ports:
                port.restart()
        for port in ports:
            port.clear()
        keys, values = section.keys, section.values
        end = len(keys)
        if not end:
            return
        self._delivered += end // 4 - self._own_events.get(section.population, 0)
        fifo_keys, fifo_values, key_bytes, value_bytes = self._fifo
        if end <= _FIFO_BYTES:
            key_bytes[:end], value_bytes[:end] = keys, values
            for port in ports:
                port.receive(fifo_keys, fifo_values, end // 4)
            return
        for first in range(0, end, _FIFO_BYTES):
            stop = min(first + _FIFO_BYTES, end)
            key_bytes[: stop - first] = keys[first:stop]
            value_bytes[: stop - first] = values[first:stop]
            for port in ports:
                port.receive(fifo_keys, fifo_values, (stop - first) // 4)

    def _step(self, resident: _Resident, trigger: Section | None) -> Section:
        if trigger is None:
            self._own_events[resident.population] = 0
            return Section(resident.population, 0, 0, b"", b"", b"")
        if trigger.flags & RESET:
            resident.stepper.reset()
        if trigger.flags & FRESH:
            for port in resident.recurrent:
                port.clear()
        for product in resident.products:
            product()
        events = resident.stepper.step()
        self._own_events[resident.population] = events
        self._sent += events * self._copies.get(resident.population, 0)
        keys, values = resident.send_keys[: 4 * events].tobytes(), resident.send_values[: 4 * events].tobytes()
        return Section(resident.population, trigger.flags, trigger.position, keys, values, resident.ledger.tobytes())

    def _counters(self) -> dict[str, Any]:
        return {"packets_sent": self._sent, "packets_delivered": self._delivered, "malformed": self._malformed}
