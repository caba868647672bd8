"""`Run`: the host's side of a run. Sans-I/O: takes a message, returns messages; owns no socket, clock, process or
randomness.

Life of a run: configure the routers, wait for every PE's hello, load each, start all, feed positions and read answers
tick by tick, ask everybody for their counters, stop the PEs and then the routers, the farthest first: they carry the others'
last words. All of it goes through the router of the host's own chip. The PEs' states are judged by the table they use
themselves (`pe/lifecycle.py`).

Ticks: the host sends one batch a tick (`host/run/feeding.py` says of what), at most `window` ahead of the bundles it has read.
It sends several at once where it can: a layer that hears only those before it then wakes once for all of them. `settle` hashes and
decodes what they brought (`host/run/intake.py`) while the next ticks are under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from host.errors import printable
from host.mapping.placement import PlacedPe, Placement
from host.mapping.sharding import cut
from host.run.accounts import Accounts
from host.run.arrivals import Arrivals
from host.run.dram_filling import DramFilling, Fills, check_fills
from host.run.event_hash import EventStream
from host.run.feeding import Feeding
from host.run.inputs import Inputs
from host.run.intake import Intake
from host.run.machine_snapshots import Cut, Fed, Snapshots
from host.run.overdue import Overdue
from host.run.recorder import Recorder
from host.run.recovery import RestartLog
from host.run.saved import SavedRun
from host.run.verify import Witness
from host.workloads.contract import Readout, Source
from models.schedule import schedule
from noc import packet
from noc.packet import Batch, Bundle, Letter, Message, Outgoing, Section, chip_of, router_name
from noc.wire import WireError, decode, encode
from noc.wiring import deepest_first
from pe.lifecycle import LifecycleError, State, advance

MIN_WINDOW = 4
TICKS_AT_ONCE = 8  # whose batches are sent together


class Run:
    """Drives a placed network: positions from a source, answers to a readout.

    Args:
        placement: the network on the chip.
        source: the input.
        readout: what takes the answers.
        late: tells for each tick whether the DRAM delivers nothing (a recoverable fault; also how a pause looks).
        witness: compares every input and every valid section of a layer with the reference, in order of position per layer.
        repeatable: keep what `prepare_restart` needs.
        snapshot_positions: where that would run so many positions again, ask everybody for a snapshot; 0: never.
        probes: layer -> fields that the readout observes (`Job.probes`).
        fills: what DRAMs hold before the first tick (`Job.fills`); HostError for what they cannot.
        recorder: keeps the ledger; None: in memory.
        snapshot: a snapshot to go on from, which another run of this placement has taken (`ask_snapshot`).
        saved: keeps what the network computes; its probes are the job's and its own.
        events: takes the hash of all events; None: a new one.

    """

    def __init__(
        self, placement: Placement, source: Source, readout: Readout, *, late: Callable[[int], bool] = lambda _: False,
        witness: Witness | None = None, repeatable: bool = False, snapshot_positions: int = 0,
        probes: Mapping[int, Sequence[str]] | None = None, fills: Fills | None = None, saved: SavedRun | None = None,
        snapshot: Cut | None = None, recorder: Recorder | None = None, events: EventStream | None = None,
    ) -> None:  # fmt: skip
        self.placement = placement
        self.source, self.readout = source, readout
        self.stored: dict[str, str] = {}  # PE -> SHA-256 of its load, where that comes from its machine's store
        network, lanes = placement.network, placement.request.lanes
        # A position needs so many ticks and one to come back; a window that deep keeps every layer busy while the next ones come.
        # Where PEs exchange transfers they hear each other's answers, so that there is nothing to take together.
        self._at_once = 1 if placement.transfers.allowed else TICKS_AT_ONCE
        self._deep = max(MIN_WINDOW, schedule(network).depth + 1)
        self.window = self._deep + self._at_once - 1
        self._more_ticks = 1 if placement.transfers.allowed else self._deep  # after which counters are read
        self.malformed_here = 0
        self.interrupted = False
        self.probes = saved.probes if saved is not None else probes or {}
        self.routers = [router_name(chip) for chip in deepest_first(placement.machine)]
        self._to_router = (router_name(placement.machine.host_chip),)
        self._placed: Mapping[str, PlacedPe] = {placed.name: placed for placed in placement.pes}
        self._fills: Fills = fills or {}
        check_fills(placement, self._fills)
        self.replay = RestartLog(network, lanes, any_tick=bool(placement.transfers.allowed)) if repeatable else None
        self.recorder = recorder or Recorder(placement)
        stream = getattr(readout, "stream", None) or events
        self.events = stream or EventStream(network, lanes, source.sequence_at, resumable=repeatable)
        self._intake = Intake(
            placement, readout, events=self.events, recorder=self.recorder, replay=self.replay, probes=self.probes, saved=saved,
            witness=witness,
        )  # fmt: skip
        self.counts, self.answers, self.recent = self._intake.counts, self._intake.answers, self._intake.recent
        self._snapshots: Snapshots | None = None
        if self.replay is not None and snapshot_positions:
            drams = placement.transfers.drams
            self._snapshots = Snapshots([*self._placed, *drams], self.replay, snapshot_positions, 2 * self._deep)
        self._configurations = placement.configure(self.window)
        self.inputs = Inputs(placement, source, self.recorder, witness, self.replay)
        self.feeding = Feeding(placement, self.inputs, late, self._snapshots)
        self._go_on, self._asked_parts = snapshot, dict[str, packet.Snapshot]()
        self._reset()

    def _reset(self) -> None:
        """Set what belongs to one set of routers and PEs."""
        self.phase = "starting"
        self.done = False
        self.fault: str | None = None
        self.states = {placed.name: State.BOOT for placed in self.placement.pes}
        self.pids: dict[str, int] = {}
        self.configured: set[str] = set()
        cut = self.replay.cut if self.replay else self._go_on
        self.feeding.begin(cut)
        self.completed = self.feeding.first_tick  # ticks whose bundle has been read
        self.overdue = Overdue(self.routers)
        self.accounts = Accounts(self.placement)
        self.answers.begin(cut.heard if cut else None)
        self._arrived = Arrivals(self.readout)
        self._recalls = self.replay.recalls() if self.replay else []
        self._parts: Mapping[str, packet.Snapshot] = cut.parts if cut else {}
        self.filling = DramFilling(self._fills, {name: self._parts[name] for name in self._parts.keys() - self._placed.keys()})

    def prepare_restart(self) -> int:
        """Prepare for new routers and PEs, which `begin` again; return the position that the run goes on at, from the last segment
        boundary or snapshot. Needs `repeatable`. Counters of packets, and their conservation, are those of the new processes alone.
        """
        assert self.replay is not None
        self.settle()
        self._reset()
        return self.replay.position

    def loads(self) -> Iterator[tuple[str, bytes]]:
        """Yield each PE's name and packed `Load`."""
        yield from ((placed.name, encode(self.load_of(placed))) for placed in self.placement.pes)

    def begin(self) -> Outgoing:
        """Configure the routers, the nearest first: the way to the others leads through them."""
        told, first = self._configurations, self.feeding.first_tick
        return [self._letter_to(name, told[chip_of(name)]._replace(first=first)) for name in reversed(self.routers)]

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
        return self.malformed(sender, "not for a host")

    def _letter(self, peer: str, message: Message) -> Outgoing:
        if isinstance(message, packet.Fault):
            self._fail(message.text)
            return []
        if peer in self.routers:
            return self._from_router(peer, message)
        if isinstance(message, packet.Filled):
            out: Outgoing = [self._letter_to(*piece) for piece in self.filling.written(peer)]
            return self._start() if self.filling.done and not out else out
        if isinstance(message, packet.Snapshot) and peer not in self.states:
            return self._add_snapshot(peer, message)
        if isinstance(message, packet.Peeked):
            return [self._letter_to(*question) for question in self._arrived.reads.take(peer, message)] + self.pump()
        if peer not in self.states:
            return self.malformed(peer, "not a PE of this run")
        try:
            self.states[peer] = advance(peer, self.states[peer], message)
        except LifecycleError as error:
            self._fail(str(error))
            return []
        match message:
            case packet.Hello(pid):
                self.pids[peer] = pid
                return self._send_load_by_hash(peer) if self.stored else self._to(peer, self.load_of(self._placed[peer]))
            case packet.Loaded():
                if all(state is State.LOADED for state in self.states.values()):
                    return self._start() if self.filling.done else [self._letter_to(*piece) for piece in self.filling.begin()]
            case packet.Snapshot():
                return self._add_snapshot(peer, message)
            case packet.Reading(counters):
                self.accounts.pes[peer] = counters
                return self._after_reading()
            case packet.Stopped():
                if all(state is State.STOPPED for state in self.states.values()):
                    return [self._letter_to(self.routers[0], packet.Stop())]
        return []

    def _from_router(self, peer: str, message: Message) -> Outgoing:
        match message:
            case packet.Configured():
                self.configured.add(peer)
                if len(self.configured) == len(self.routers):
                    self.phase = "loading"
            case packet.StallReport():
                self.overdue.note_answer(peer, message)
            case packet.Reading(counters):
                self.accounts.routers[peer] = counters
                return self._after_reading()
            case packet.Stopped():
                later = self.routers[self.routers.index(peer) + 1 :]
                self.done = not later
                return [self._letter_to(later[0], packet.Stop())] if later else []
        return []

    def _letter_to(self, peer: str, message: Message) -> tuple[tuple[str, ...], Message]:
        return self._to_router, Letter(peer, encode(message))

    def _to(self, name: str, message: Message) -> Outgoing:
        """Send `message` to a PE, in the state its life allows."""
        self.states[name] = advance(name, self.states[name], message)
        return [self._letter_to(name, message)]

    def _to_all(self, message: Message) -> Outgoing:
        return [out for name in self.states for out in self._to(name, message)]

    def _send_load_by_hash(self, name: str) -> Outgoing:
        """Have a PE given its load by its own router, which finds it on its machine."""
        self.states[name] = advance(name, self.states[name], packet.Load)
        return [self._letter_to(router_name(chip_of(name)), packet.Hand(name, self.stored[name]))]

    def load_of(self, placed: PlacedPe) -> packet.Load:
        """Return what a PE is loaded with: its shards, and what it must know of the run."""
        size = self.placement.request.size
        shards = [shard.to_parts() for shard in cut(self.placement.network, self.placement.request, placed.share)]
        probes = {part.population: list(self.probes.get(part.population, ())) for part in placed.share}
        configuration = self._configurations[chip_of(placed.name)]
        return packet.Load(
            shards=shards, copies=self.placement.copies(placed), spec=dict(vars(size)), probes=probes,
            peers=self.placement.peers(placed), in_flight=configuration.window + configuration.depth,
        )  # fmt: skip

    def _fail(self, text: str) -> None:
        if self.fault is None:
            self.fault, self.phase = printable(text), "failed"

    def _start(self) -> Outgoing:
        self.phase = "running"
        network, recalled = self.placement.network, []
        for name, placed in self._placed.items() if self._recalls else ():
            late = {p.source for part in placed.share for p in network.populations[part.population].projections if p.delay}
            recalled += [out for recall in self._recalls if recall.population in late for out in self._to(name, recall)]
        recalled += [out for name in self._placed if self._parts for out in self._to(name, self._parts[name])]
        return recalled + self._to_all(packet.Start()) + self.pump()

    @property
    def quiet(self) -> bool:
        """Whether everything that was fed has come back: the layers are a tick ahead of the host, which has sent nothing since."""
        return self.completed > self.feeding.issued

    def ask_snapshot(self) -> Outgoing:
        """Ask everybody what they need to go on from a tick by which all that was fed has gone through, and let bubbles run until
        then; `whole_snapshot` returns it when it has come. For a run that waits for its source.
        """
        self._asked_parts = {}
        self.feeding.needed = tick = self.feeding.issued + 2 * self._deep
        to_drams = [self._letter_to(name, packet.Save(tick)) for name in self.placement.transfers.drams]
        return to_drams + self._to_all(packet.Save(tick)) + self.pump()

    def whole_snapshot(self) -> Cut | None:
        """Return the snapshot that was asked for; None while a part of it is missing."""
        if len(parts := self._asked_parts) < len(self._placed) + len(self.placement.transfers.drams):
            return None
        fed = Fed(positions=self.feeding.positions, next_feed=0, needed=0, next_position=self.feeding.positions)
        return Cut(self.feeding.needed, fed, self.answers.heard, parts)

    def _add_snapshot(self, name: str, part: packet.Snapshot) -> Outgoing:
        if part.tick == self.feeding.needed and part.batch:
            self._asked_parts[name] = part
        if self._snapshots is not None:
            self._snapshots.add(name, part)
        return []

    def _ask_for_snapshot(self) -> Outgoing:
        asked = self.feeding.asks_of_snapshot()
        to_pes = [out for name, save in asked if name in self.states for out in self._to(name, save)]
        return to_pes + [self._letter_to(name, save) for name, save in asked if name not in self.states]

    def pump(self) -> Outgoing:
        """Return the batches that the window and the workload allow now, or the questions that end the run.

        Until as many ticks have come back as are sent together, nothing is sent: those under way keep every layer busy.
        """
        out: Outgoing = []
        feeding = self.feeding
        if self.window - (feeding.issued - self.completed) < self._at_once:
            return out
        while self.phase == "running" and feeding.issued - self.completed < self.window:
            exhausted = self.inputs.exhausted() or self.interrupted
            if exhausted and self.answers.positions == feeding.positions:
                if self.completed < feeding.issued:
                    return out  # the ticks in flight carry the last events to their listeners
                self.phase = "reading"
                # PEs are to hear their last layer's last events, too; and a PE without work, which is spared ticks that nobody has
                # asked for, may be further ahead of the host already. Who is asked answers after the last of these ticks.
                read = packet.Read(feeding.issued + self._more_ticks)
                out += self._to_all(read) + [self._letter_to(name, read) for name in self.routers]
                return out + [self._batch(feeding.bubbles) for _ in range(self._more_ticks)]
            out += self._ask_for_snapshot()
            sections = feeding.next_sections(exhausted)
            if sections is None:
                return out
            out.append(self._batch(sections))
        return out

    def _batch(self, sections: tuple[Section, ...]) -> tuple[tuple[str, ...], Message]:
        self.feeding.issued += 1
        return self._to_router, Batch(self.feeding.issued - 1, sections)

    @property
    def recent_input(self) -> Mapping[int, int]:
        """Each input's events of the position fed last, for the monitor."""
        return self.feeding.recent_input

    def _bundle(self, bundle: Bundle) -> Outgoing:
        if bundle.tick != self.completed:
            self._fail(f"host: bundle of tick {bundle.tick}; needs tick {self.completed}")
            return []
        self.completed += 1
        self.overdue.forget()
        self._arrived.add(bundle)
        if bundle.transfers:
            self.accounts.transfers.add(bundle)
        if self._snapshots is not None and self.completed == self._snapshots.tick:
            self._take_arrived()
            self._snapshots.note_heard(self.answers.heard)
        # Feed first, then settle: the PEs work on the next tick while the host decodes this one.
        return self.pump()

    def settle(self) -> Outgoing:
        """Hash and decode what has arrived; return the batches that the answers allow."""
        self._take_arrived()
        return [self._letter_to(*question) for question in self._arrived.reads.ask()] + self.pump()

    def _take_arrived(self) -> None:
        for section in self._arrived.sections(self._fail):
            self._intake.take(section, self.accounts)

    def _after_reading(self) -> Outgoing:
        if self.phase == "reading" and self.accounted:
            self.phase = "read"
        return []

    def stop(self) -> Outgoing:
        """Tell every PE to leave; the routers follow when all have."""
        self.phase = "stopping"
        alive = [name for name, state in self.states.items() if state not in (State.BOOT, State.STOPPING, State.STOPPED)]
        return [out for name in alive for out in self._to(name, packet.Stop())]

    def query(self) -> Outgoing:
        """Ask every router whose batch is missing."""
        self.overdue.note_question()
        return [self._letter_to(name, packet.Query()) for name in self.routers]

    def oldest_missing(self) -> tuple[int, list[str]] | None:
        """Return the oldest tick that waits and who has not sent their batch of it, as far as the routers have said."""
        return self.overdue.oldest(self.completed)

    @property
    def accounted(self) -> bool:
        """Whether every PE and every router have handed over their counters."""
        return self.accounts.are_whole

    def conservation(self) -> dict[str, Any]:
        """Return the accounts of copies after fan-out and of transfers, and every line of them that does not balance."""
        self.accounts.input_packets = self.feeding.input_packets
        return self.accounts.balance(self.feeding.issued)
