"""`Run`: the host's side of a run. Sans-I/O: takes a message, returns messages; owns no socket, clock, process or
randomness.

Life of a run: configure the router, wait for every PE's hello, load each, start all, feed positions and read answers
tick by tick, ask everybody for their counters, stop everybody. The PEs' states are judged by the table they use
themselves (`pe/lifecycle.py`).

Ticks: the host sends one batch a tick, at most `window` ahead of the bundles it has read. While an input is missing (a word not yet
chosen, a DRAM that is late, a pause) its batch is a bubble. `settle` does the host's own work (hashing, decoding), so that the next
tick is already under way while it is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from host.events import EventStream, SequenceAt, side_by_side
from host.ledger import Recorder
from host.lm import Workload
from host.place import PlacedPe, Placement
from host.shard import cut
from noc.packet import (
    HOST,
    INPUT_POPULATION,
    LEDGER,
    VALID,
    Answer,
    Batch,
    Bundle,
    Configured,
    Fault,
    Hello,
    Letter,
    Load,
    Loaded,
    Message,
    Outgoing,
    Query,
    Read,
    Reading,
    Section,
    Start,
    Stop,
    Stopped,
    router_name,
)
from noc.wire import WireError, decode, encode
from pe.lifecycle import LifecycleError, State, advance

MIN_WINDOW = 4


class Run:
    """Drives a placed network through a workload.

    Args:
        placement: the network on the chip.
        workload: what to feed and what to do with the answers.
        late: for each tick at which the DRAM delivers nothing, True (a recoverable fault; also how a pause looks).
        witness: called with each valid section of a layer, in order of position per layer (`verify`).
        sequence_at: which sequence a lane runs at a position (`host/events.py`).

    """

    def __init__(
        self,
        placement: Placement,
        workload: Workload,
        late: Callable[[int], bool] = lambda _: False,
        witness: Callable[[Section], None] | None = None,
        sequence_at: SequenceAt = side_by_side,
    ) -> None:
        self.placement = placement
        self.workload = workload
        self.phase = "starting"
        self.done = False
        self.fault: str | None = None
        self.states = {placed.name: State.BOOT for placed in placement.pes}
        self.pids: dict[str, int] = {}
        self.events = EventStream(placement.network, placement.request.lanes, sequence_at)
        # A position needs a tick a layer and one to come back; a window that deep keeps every layer busy.
        self.window = max(MIN_WINDOW, len(placement.network.layers) + 1)
        self.completed = 0  # ticks whose bundle has been read
        self.missing: Answer | None = None
        self.malformed_here = 0
        self.interrupted = False
        self.readings: dict[str, dict[str, Any]] = {}
        self.totals = np.zeros((len(placement.network.populations), len(LEDGER)), np.int64)
        self.recorder = Recorder(placement)
        self.recent: dict[int, Section] = {}  # each layer's latest valid section, for the monitor
        self._router = router_name(0)
        self._to_router = (self._router,)
        self._placed: Mapping[str, PlacedPe] = {placed.name: placed for placed in placement.pes}
        self._late = late
        self._witness = witness
        self._issued = 0
        self._needed = 0  # ticks that must be issued for the position fed last to come out
        self._positions_fed = 0
        self._positions_answered = 0
        self._arrived: deque[Section] = deque()
        self._input_events = 0
        self._output_events = 0
        self._router_reading: dict[str, Any] = {}

    # -- messages ---------------------------------------------------------------------------------------------------------------

    def begin(self) -> Outgoing:
        """Configure the router."""
        return [(self._to_router, self.placement.configure(self.window))]

    def malformed(self, sender: str, why: str) -> Outgoing:  # noqa: ARG002 - the contract's arguments
        """Count bytes that were no message."""
        self.malformed_here += 1
        return []

    def handle(self, sender: str, message: Message) -> Outgoing:
        """Take one message; return what goes out because of it."""
        if isinstance(message, Bundle):
            return self._bundle(message)
        if isinstance(message, Letter):
            try:
                return self._letter(message.peer, decode(message.body))
            except WireError as error:
                return self.malformed(message.peer, str(error))
        if isinstance(message, Configured):
            self.phase = "loading"
            return []
        if isinstance(message, Answer):
            self.missing = message
            return []
        return self.malformed(sender, "not for a host")

    def _letter(self, peer: str, message: Message) -> Outgoing:
        if isinstance(message, Fault):
            self._fail(message.text)
            return []
        if peer == self._router:
            if isinstance(message, Reading):
                self._router_reading = message.counters
            self.done = isinstance(message, Stopped)
            return self._after_reading()
        if peer not in self.states:
            return self.malformed(peer, "not a PE of this run")
        try:
            self.states[peer] = advance(peer, self.states[peer], message)
        except LifecycleError as error:
            self._fail(str(error))
            return []
        match message:
            case Hello(pid):
                self.pids[peer] = pid
                return self._to(peer, self._load(self._placed[peer]))
            case Loaded():
                if all(state is State.LOADED for state in self.states.values()):
                    return self._start()
            case Reading(counters):
                self.readings[peer] = counters
                return self._after_reading()
            case Stopped():
                if all(state is State.STOPPED for state in self.states.values()):
                    return [(self._to_router, Stop())]  # it carried the others' last words
        return []

    def _to(self, name: str, message: Message) -> Outgoing:
        """Send `message` to a PE, in the state its life allows."""
        self.states[name] = advance(name, self.states[name], message)
        return [(self._to_router, Letter(name, encode(message)))]

    def _to_all(self, message: Message) -> Outgoing:
        return [out for name in self.states for out in self._to(name, message)]

    def _load(self, placed: PlacedPe) -> Load:
        size = self.placement.request.size
        shards = [shard.to_parts() for shard in cut(self.placement.network, self.placement.request, placed.share)]
        return Load(shards, self.placement.copies(placed), dict(vars(size)))

    def _fail(self, text: str) -> None:
        if self.fault is None:
            self.fault = text
            self.phase = "failed"

    # -- ticks ------------------------------------------------------------------------------------------------------------------

    def _start(self) -> Outgoing:
        self.phase = "running"
        return self._to_all(Start()) + self.pump()

    def pump(self) -> Outgoing:
        """Return the batches that the window and the workload allow now, or the questions that end the run."""
        out: Outgoing = []
        while self.phase == "running" and self._issued - self.completed < self.window:
            exhausted = self.workload.exhausted() or self.interrupted
            if exhausted and self._positions_answered == self._positions_fed:
                if self.completed < self._issued:
                    return out  # the ticks in flight carry the last events to their listeners
                self.phase = "reading"
                return out + self._to_all(Read()) + [(self._to_router, Read())]
            late = self._late(self._issued)
            feed = None if exhausted or late else self.workload.next()
            if feed is None and not late and self._issued >= self._needed:
                return out  # the way of what was fed is free; more bubbles would only stand before the next input
            if feed is None:
                section = Section(INPUT_POPULATION, 0, 0, b"", b"", b"")
            else:
                self._positions_fed += 1
                self._needed = self._issued + len(self.placement.network.layers)
                self._input_events += len(feed.keys) // 4
                self.recorder.fed(len(feed.keys) // 4)
                section = Section(INPUT_POPULATION, feed.flags, feed.position, feed.keys, feed.values, b"")
            out.append((self._to_router, Batch(self._issued, (section,))))
            self._issued += 1
        return out

    def _bundle(self, bundle: Bundle) -> Outgoing:
        if bundle.tick != self.completed:
            self._fail(f"host: bundle of tick {bundle.tick}; needs tick {self.completed}")
            return []
        self.completed += 1
        self.missing = None
        self._arrived.extend(section for section in bundle.sections if section.flags & VALID)
        # Feed first, then settle: the PEs work on the next tick while the host decodes this one.
        return self.pump()

    def settle(self) -> Outgoing:
        """Hash and decode what has arrived; return the batches that the answers allow."""
        while self._arrived:
            section = self._arrived.popleft()
            self.events.add(section)
            self.recent[section.population] = section
            self.recorder.add(section)
            ledger = np.frombuffer(section.ledger, "<u4").reshape(-1, len(LEDGER))
            self.totals[section.population] += ledger.sum(axis=0, dtype=np.int64)
            if self._witness is not None:
                self._witness(section)
            if section.population == self.placement.network.output:
                self._positions_answered += 1
                self._output_events += len(section.keys) // 4
                self.workload.answer(section)
        return self.pump()

    # -- the end ----------------------------------------------------------------------------------------------------------------

    def _after_reading(self) -> Outgoing:
        if self.phase == "reading" and self.accounted:
            self.phase = "read"
        return []

    def stop(self) -> Outgoing:
        """Tell every PE to leave; the router follows when all have."""
        self.phase = "stopping"
        out: Outgoing = []
        for name, state in self.states.items():
            if state not in (State.BOOT, State.STOPPING, State.STOPPED):
                out += self._to(name, Stop())
        return out

    def query(self) -> Outgoing:
        """Ask the router whose batch is missing."""
        return [(self._to_router, Query())]

    def malformed_counts(self) -> dict[str, int]:
        """Return how many messages that were none each endpoint got, by whom they came from."""
        counts = {name: reading["malformed"] for name, reading in self.readings.items() if reading["malformed"]}
        taken = self._router_reading.get("malformed", {})
        return counts | {f"{self._router} from {name}": number for name, number in taken.items()}

    @property
    def accounted(self) -> bool:
        """Whether every PE and the router have handed over their counters."""
        return bool(self._router_reading) and len(self.readings) == len(self.states)

    def conservation(self) -> dict[str, Any]:
        """Return the accounts of copies after fan-out, and every line of them that does not balance."""
        router, wrong = self._router_reading, []
        sent = {name: reading["packets_sent"] for name, reading in self.readings.items()}
        delivered = {name: reading["packets_delivered"] for name, reading in self.readings.items()}
        sent[HOST] = self._input_events * len(self.placement.destinations(INPUT_POPULATION))
        delivered[HOST] = self._output_events
        for name, have in sent.items():
            if have != router["packets_in"].get(name, 0):
                wrong.append(f"{name} sent {have} packets, {self._router} took in {router['packets_in'].get(name, 0)}")
        for name, have in delivered.items():
            if have != router["packets_out"].get(name, 0):
                wrong.append(f"{self._router} handed {router['packets_out'].get(name, 0)} packets to {name}, which got {have}")
        dropped = sum(router["packets_dropped"].values())
        if sum(sent.values()) != sum(delivered.values()) + dropped:
            wrong.append(f"sent {sum(sent.values())} is not delivered {sum(delivered.values())} + dropped {dropped}")
        if dropped:
            wrong.append(f"{dropped} packets were dropped for want of a routing entry")
        return {"sent": sent, "delivered": delivered, "dropped": router["packets_dropped"], "wrong": wrong}
