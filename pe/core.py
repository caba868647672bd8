"""`Pe`: a processing element. Sans-I/O: it takes a message and returns messages.

All that a network keeps lies in its arena. A tick is compiled (`pe/tick.py`), and a process runs it from message to message
without this file (`pe/socket_loop.py`): here are a PE's life, and what it says where a message is not the bundle that was due.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from models.network import ModelError, in_one_line
from models.shard import Shard
from noc import packet
from noc.packet import PHASE, Batch, Bundle, Load, Message, Outgoing, Recall, Section
from noc.wire import decode, encode
from pe.bound_tick import Tick
from pe.layout import FIFO_EVENTS, mask_bytes, pe_fields, size_of
from pe.lifecycle import LifecycleError, State, advance
from pe.residents import exchange_of, resident_of
from pe.sram import Arena, SramOverflow, SramSize, plan
from pe.tick import BEYOND, CROWDED, FLOODED, WRONG
from pe.tick_records import Exchange, Listener, Resident

_NEVER = 1 << 62
_MALFORMED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What shards raise that are none: numpy and the packages below have many words for it."""


class Pe:
    """One processing element: its endpoint name, `PE(x,y,p)@chip`, and its chip's router, to which it says everything."""

    def __init__(self, name: str, router: str) -> None:
        self.name = name
        self.state = State.BOOT
        self.arena: Arena | None = None
        self.tick: Tick | None = None  # once its shards are loaded
        self._to_router = (router,)
        self._residents: list[Resident] = []
        self._boxes: Exchange | None = None
        self._early: list[Bundle] = []  # that came before the start: no more than there are ticks in flight
        self._malformed = 0
        self._read_after = 0
        self._began = False
        self._save_at = _NEVER  # the tick at which the host wants to know all
        self._first_batch: bytes | None = None  # where it goes on from a snapshot

    @property
    def done(self) -> bool:
        """Whether the PE has left."""
        return self.state is State.STOPPED

    @property
    def due(self) -> int:
        """The tick of the bundle that is to come next, once shards are loaded."""
        return (self.tick.number if self.tick else 0) + len(self._early)

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
            self.tick.run(self.state is State.RUNNING, self._save_at - 1)
        return out

    def run_to_reading(self) -> None:
        """Where counters are asked for, let the ticks that they wait for be answered without this file; then `take_reading`."""
        if self.state is State.READ and self.tick is not None:
            self.tick.run(True, min(self._save_at - 1, self._read_after))

    def take_reading(self) -> Outgoing:
        """Return the counters that are asked for, once the ticks that they wait for are through."""
        out = self._reading()
        if out and self.tick is not None:
            self.tick.run(False)
        return out

    def answer_bytes(self, raw: bytes) -> bytes | None:
        """Return the bytes of the batch that answers those of a bundle, if that is the one that is due; else None, and nothing is
        done.
        """
        if self.tick is None or self.state is not State.RUNNING:
            return None
        batch = self.tick(raw)
        return batch if isinstance(batch, bytes) else None

    def _handle(self, message: Message) -> Outgoing:
        try:
            self.state = advance(self.name, self.state, message)
        except LifecycleError as error:
            return self._fault(str(error))
        match message:  # the usual ones first: each class that is looked at is a page of memory that is copied
            case Load():
                return self._load(message)
            case packet.Start():
                return self._start()
            case packet.Read():
                self._read_after = message.ticks
                return self._reading()
            case packet.Stop():
                return self._say(packet.Stopped())
            case Bundle() if self.state is State.LOADED:
                self._early.append(message)
            case Bundle() if self.state in (State.RUNNING, State.WAITING):
                return self._bundle(message)
            case Bundle() if self.state is State.READ:
                return self._bundle(message) + self._reading()
            case Recall():
                return self._recall(message)
            case packet.Snapshot():
                return self._restore(message)
            case packet.Save(tick):
                return self._save(tick)
        return []

    def _reading(self) -> Outgoing:
        """Hand the counters over, once all is counted that they are asked for."""
        if self.state is not State.READ or (self.tick.number if self.tick else 0) < self._read_after:
            return []
        return self._say(packet.Reading(self._counters()))

    def _counters(self) -> dict[str, Any]:
        packets: dict[str, Any] = self.tick.counters if self.tick else {"packets_sent": 0, "packets_delivered": 0}
        return {**packets, **(self.tick.transfers if self.tick else {}), "malformed": self._malformed}

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
            size.check()
            shards = [Shard.from_parts(parts) for parts in message.shards]
            self.arena = Arena(plan(self.name, pe_fields(map(size_of, shards)), size), size)
            views, copies, probes = self.arena.views, message.copies, message.probes
            heard = set[tuple[int, int]]()
            self._residents = [
                resident_of(shard, views, copies.get(shard.population, 0), probes.get(shard.population, []), heard)
                for shard in shards
            ]
            self._boxes = self._exchange(shards, message.peers)
            self.tick = Tick(self._residents, FIFO_EVENTS, views.get("fifo.keys"), views.get("fifo.values"), self._boxes)
        except (SramOverflow, ModelError) as error:
            text = str(error)
            return self._fault(text if text.startswith(self.name) else f"{self.name}: {text}")
        except _MALFORMED as error:
            return self._fault(f"{self.name}: its shards are malformed ({in_one_line(error)})")
        return self._say(packet.Loaded([[r.name, r.offset, r.size_bytes, r.role] for r in self.arena.regions]))

    def _exchange(self, shards: list[Shard], plan: list[Any]) -> Exchange | None:
        """Return what the PE's transfers are made of; None where it has none."""
        if not plan:
            return None
        assert self.arena is not None
        population, clock, peers = plan
        at = [shard.population for shard in shards].index(population)
        return exchange_of(self.name, shards[at], self._residents[at], self.arena.views, peers, clock)

    def _recall(self, message: Recall) -> Outgoing:
        """Let the ports that hear a population late take what it emitted before this process began."""
        assert self.arena is not None  # by the table, it is loaded
        ports = [port for resident in self._residents for port in resident.listeners if port.delay]
        for port in (port for port in ports if port.population == message.population):
            if len(message.keys) % 4 or not _recall_section(port, message):
                return self._fault(f"{self.name}: events to recall, of population {message.population}, are not of its units")
        return []

    def _save(self, tick: int) -> Outgoing:
        """Say all that is needed to go on from `tick` when it comes; at once, and nothing, where it is past. Who has said what went
        wrong says no more.
        """
        if self.state is State.FAULT:
            return []
        if self.tick is None or tick <= self.tick.number:
            return self._say(packet.Snapshot(tick, b"", b"", []))
        self._save_at = min(tick, _NEVER)
        return []

    def _snapshot(self, batch: bytes) -> Outgoing:
        assert self.arena is not None and self.tick is not None
        memory = b"".join(view.tobytes() for view in self.arena.variables)
        return self._say(packet.Snapshot(self.tick.number, memory, batch, self.tick.counts))

    def _restore(self, message: packet.Snapshot) -> Outgoing:
        """Become what a PE with these shards was when it said so."""
        assert self.arena is not None and self.tick is not None  # by the table, it is loaded
        views, at = self.arena.variables, 0
        if len(message.memory) != (need := sum(view.nbytes for view in views)):
            return self._fault(f"{self.name}: a snapshot of {len(message.memory)} B; needs {need} B")
        for view in views:
            view[...] = np.frombuffer(message.memory, view.dtype, view.size, at).reshape(view.shape)
            at += view.nbytes
        try:
            self.tick.go_on(message.tick, message.counts)
            if not isinstance(decode(message.batch), Batch):
                raise ValueError("no batch")
        except (ArithmeticError, TypeError, ValueError) as error:
            return self._fault(f"{self.name}: a snapshot with {error}")
        self._first_batch = message.batch
        return []

    def _start(self) -> Outgoing:
        if self._began:
            return []  # a second run goes on from the tick where the first one waited
        self._began = True
        bubbles = tuple(Section(resident.population, 0, 0, b"", b"", b"") for resident in self._residents)
        first = Batch(0, bubbles) if self._first_batch is None else decode(self._first_batch)
        early, self._early = self._early, []
        return [(self._to_router, first), *(out for bundle in early for out in self._bundle(bundle))]

    def _bundle(self, bundle: Bundle) -> Outgoing:
        if self.tick is None or bundle.tick - bundle.passed != self.tick.number:
            need = self.tick.number if self.tick else 0
            return self._fault(f"{self.name}: bundle of tick {bundle.tick}; needs tick {need}")
        self.tick.run(True)  # by the table it may be answered, whatever the state
        answer = self.tick(encode(bundle))
        if isinstance(answer, bytes):
            saved: Outgoing = []
            if self.tick.number == self._save_at:
                saved, self._save_at = self._snapshot(answer), _NEVER
            elif self.tick.number > self._save_at:  # it was spared that tick before it was asked
                saved, self._save_at = self._say(packet.Snapshot(self._save_at, b"", b"", [])), _NEVER
            return [(self._to_router, decode(answer)), *saved]
        awaited = {port.population for resident in self._residents for port in resident.listeners}
        heard = ", ".join(map(str, sorted(awaited | {resident.trigger for resident in self._residents})))
        if answer == CROWDED:
            return self._fault(f"{self.name}: bundle of tick {bundle.tick} came sooner after the last than the schedule says")
        if answer == FLOODED and self._boxes is not None:
            sizes = [len(transfer.data) for transfer in bundle.transfers]
            came = f"{len(sizes)} transfers of {sum(sizes)} B"
            room = f"{len(self._boxes.inbox)} of {self._boxes.inbox_data.nbytes} B"
            return self._fault(f"{self.name}: bundle of tick {bundle.tick} has {came}; its inbox has room for {room}")
        if answer == WRONG:
            what = "what is no transfer to a peer, or events where its batch was to stand"
            return self._fault(f"{self.name}: at tick {bundle.tick} its kernel sent {what}")
        if answer == BEYOND:
            return self._fault(f"{self.name}: bundle of tick {bundle.tick} has an event of no unit; populations heard: {heard}")
        if bundle.transfers:
            senders = ", ".join(sorted({transfer.source for transfer in bundle.transfers}))
            heard += f", and transfers of its peers alone; has some of {senders}"
        have = ", ".join(str(section.population) for section in bundle.sections)
        return self._fault(f"{self.name}: bundle of tick {bundle.tick} with populations {have}; needs each once, of {heard}")


def _recall_section(port: Listener, message: Recall) -> bool:
    """Put a section that was before into its slot of a port; False where it is none of the port's."""
    slot, phase = port.slots[message.position % len(port.slots)], message.flags // PHASE
    keys = np.frombuffer(message.keys, np.uint8)
    values = np.frombuffer(message.values, np.uint8)
    events = len(values) // max(port.item_bytes, 1) if port.dense else len(keys) // 4
    if len(values) != events * port.item_bytes or (port.dense and (len(keys) or events not in (0, port.keys))):
        return False
    numbers = keys.view("<u4")
    if numbers.max(initial=0) >= port.keys or len(message.lanes) != mask_bytes(port.lanes):
        return False
    slot.more() if phase else slot.clear()
    if events:
        slot.receive(None if port.dense else numbers, values if len(values) else None, events)
    if port.closes:
        for lane in range(port.lanes):
            slot.product(lane=lane)
    since = np.unpackbits(np.frombuffer(message.lanes, np.uint8), count=port.lanes, bitorder="little")
    for lane in np.flatnonzero(since).tolist():
        slot.forget(lane=lane)
    return True
