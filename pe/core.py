"""`Pe`: a processing element. Sans-I/O: it takes a message and returns messages.

All that a network keeps lies in its arena. A tick is compiled (`pe/tick.py`), and a process runs it from message to message
without this file (`pe/socket_loop.py`): here are a PE's life, and what it says where a message is not the bundle that was due.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from models import formats, kernels
from models.compute.bound_calls import nothing
from models.network import Array, ModelError, Shard, check_trace
from noc import packet
from noc.packet import Batch, Bundle, Load, Message, Outgoing, Recall, Section
from noc.wire import decode, encode
from pe.layout import pe_fields, prefix, size_of
from pe.lifecycle import LifecycleError, State, advance
from pe.sram import Arena, SramOverflow, SramSize, plan
from pe.tick import BEYOND, Listener, Resident, Tick


def _resident(shard: Shard, mem: Mapping[str, Array], copies: int) -> tuple[Resident, list[Listener]]:
    """Put a shard into SRAM; return it and its ports as a tick meets them. ModelError where it is no shard of its model."""
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
    ports = {p.name: form.port(mem, head + p.name, shard.lanes, p.source_units, p.trace) for p in shard.ports}
    stepper = kernel.stepper(mem, head, shard.width, {**kernel.DEFAULTS, **shard.params})
    resident = Resident(
        population=shard.population, trigger=next(p.source for p in shard.ports if p.name == kernel.PORTS[0]),
        copies=copies, reset=stepper.reset, step=stepper.step,
        forget=[port.clear for name, port in ports.items() if name != kernel.PORTS[0]],
        products=[port.product for port in ports.values() if port.product is not nothing],
        send_keys=mem[head + "send_keys"], send_values=mem[head + "send_values"], ledger=mem[head + "ledger"],
    )  # fmt: skip
    return resident, [
        Listener(p.source, shard.lanes * p.source_units, ports[p.name].restart, ports[p.name].clear, ports[p.name].receive)
        for p in shard.ports
    ]


class Pe:
    """One processing element: its endpoint name, `PE(x,y,p)@chip`, and its chip's router, to which it says everything."""

    def __init__(self, name: str, router: str) -> None:
        self.name = name
        self.state = State.BOOT
        self.arena: Arena | None = None
        self.tick: Tick | None = None  # once its shards are loaded
        self._to_router = (router,)
        self._heard: set[int] = set()  # populations that its ports listen to
        self._recurrent: dict[int, list[Listener]] = {}  # for the population of each shard, its ports that hear that population
        self._malformed = 0
        self._read_after = 0

    @property
    def done(self) -> bool:
        """Whether the PE has left."""
        return self.state is State.STOPPED

    def boot(self) -> Outgoing:
        """Say hello: the process is up."""
        return self._say(packet.Hello(os.getpid()))

    def malformed(self, sender: str, why: str) -> Outgoing:  # noqa: ARG002 - the contract's arguments
        """Count bytes that were no message."""
        self._malformed += 1
        return []

    def handle(self, sender: str, message: Message) -> Outgoing:  # noqa: ARG002 - a PE hears only its router
        """Take one message; return what goes out because of it."""
        out = self._handle(message)
        if self.tick is not None:
            self.tick.run(self.state is State.RUNNING)
        return out

    def _handle(self, message: Message) -> Outgoing:
        try:
            self.state = advance(self.name, self.state, message)
        except LifecycleError as error:
            return self._fault(str(error))
        match message:
            case Bundle() if self.state in (State.RUNNING, State.WAITING):
                return self._bundle(message)
            case Bundle() if self.state is State.READ:
                return self._bundle(message) + self._reading()
            case Load():
                return self._load(message)
            case Recall():
                return self._recall(message)
            case packet.Start():
                return self._start()
            case packet.Read():
                self._read_after = message.ticks
                return self._reading()
            case packet.Stop():
                return self._say(packet.Stopped())
        return []

    def _reading(self) -> Outgoing:
        """Hand the counters over, once all is counted that they are asked for."""
        if self.state is not State.READ or (self.tick.number if self.tick else 0) < self._read_after:
            return []
        return self._say(packet.Reading(self._counters()))

    def _counters(self) -> dict[str, int]:
        packets = self.tick.counters if self.tick else {"packets_sent": 0, "packets_delivered": 0}
        return {**packets, "malformed": self._malformed}

    def _say(self, message: Message) -> Outgoing:
        self.state = advance(self.name, self.state, message)
        return [(self._to_router, message)]

    def _fault(self, text: str) -> Outgoing:
        if self.state is State.STOPPED:
            return []
        self.state = State.FAULT
        return [(self._to_router, packet.Fault(text))]

    def _load(self, message: Load) -> Outgoing:
        try:
            size = SramSize(**message.spec)
            shards = [Shard.from_parts(parts) for parts in message.shards]
            self.arena = Arena(plan(self.name, pe_fields(map(size_of, shards)), size), size)
            loaded = [_resident(shard, self.arena.views, message.copies.get(shard.population, 0)) for shard in shards]
            residents, listeners = [one for one, _ in loaded], [port for _, ports in loaded for port in ports]
            self.tick = Tick(residents, listeners, self.arena.views["fifo.keys"], self.arena.views["fifo.values"])
        except (SramOverflow, ModelError, TypeError, ValueError, KeyError, OSError) as error:
            text = str(error)
            return self._fault(text if text.startswith(self.name) else f"{self.name}: {text}")
        self._heard = {port.population for port in listeners}
        self._recurrent = {one.population: [port for port in ports if port.population == one.population] for one, ports in loaded}
        return self._say(packet.Loaded([[r.name, r.offset, r.size_bytes, r.role] for r in self.arena.regions]))

    def _recall(self, message: Recall) -> Outgoing:
        """Let the ports that hear their own population take what it emitted before this process began."""
        assert self.arena is not None  # by the table, it is loaded
        fifo_keys, fifo_values = self.arena.views["fifo.keys"], self.arena.views["fifo.values"]
        keys, values = np.frombuffer(message.keys, "<u4"), np.frombuffer(message.values, "<f4")
        for port in self._recurrent.get(message.population, ()):
            if keys.size != values.size or keys.max(initial=0) >= port.keys:
                return self._fault(f"{self.name}: events to recall, of population {message.population}, are not of its units")
            port.clear()
            for first in range(0, keys.size, fifo_keys.size):
                count = min(fifo_keys.size, keys.size - first)
                fifo_keys[:count], fifo_values[:count] = keys[first : first + count], values[first : first + count]
                port.receive(fifo_keys, fifo_values, count)
        return []

    def _start(self) -> Outgoing:
        if self.tick is not None and self.tick.number:
            return []  # a second run goes on from the tick where the first one waited
        bubbles = tuple(Section(population, 0, 0, b"", b"", b"") for population in self._recurrent)
        return [(self._to_router, Batch(0, bubbles))]

    def _bundle(self, bundle: Bundle) -> Outgoing:
        if self.tick is None or bundle.tick != self.tick.number:
            need = self.tick.number if self.tick else 0
            return self._fault(f"{self.name}: bundle of tick {bundle.tick}; needs tick {need}")
        self.tick.run(True)  # by the table it may be answered, whatever the state
        answer = self.tick(encode(bundle))
        if isinstance(answer, bytes):
            return [(self._to_router, decode(answer))]
        heard = ", ".join(map(str, sorted(self._heard)))
        if answer == BEYOND:
            return self._fault(f"{self.name}: bundle of tick {bundle.tick} has an event of no unit; populations heard: {heard}")
        have = ", ".join(str(section.population) for section in bundle.sections)
        return self._fault(f"{self.name}: bundle of tick {bundle.tick} with populations {have}; needs each once, of {heard}")
