"""`ChipRouter`: joins a tick's batches into one bundle per endpoint. Sans-I/O: takes a message, returns messages.

Which batches an endpoint waits for follows the network; which events it is given follows the routing table and nothing
else, so an entry that is missing loses events, and those are counted as dropped. Events of one population reach every
listener as one run in ascending key, merged here once, whatever order the batches came in. The host's bundle also
carries every population it waits for as a tap for hashing and monitoring: not packets of the chip, and not counted
unless the routing table names the host.

Nothing here blocks: the host's window bounds the ticks that can be open at once, and one more than that is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from noc.packet import (
    HOST,
    Answer,
    Batch,
    Bundle,
    Configure,
    Configured,
    Fault,
    Letter,
    Message,
    Outgoing,
    Query,
    Read,
    Reading,
    Section,
    Stop,
    Stopped,
)
from noc.routing import RoutingEntry, RoutingError, RoutingTable
from noc.wire import encode


@dataclass
class _Population:
    """A population's senders, where its events go, and how many it has carried."""

    number: int
    slots: dict[str, int]
    destinations: tuple[str, ...]
    copies: int  # how many endpoints the network wants each event delivered to
    events: dict[str, int]  # by sender
    groups: list[_Group] = field(default_factory=list)


@dataclass(eq=False)
class _Group:
    """Endpoints that wait for the same populations and are routed the same: they get the same bytes."""

    waits: tuple[int, ...]
    routed: frozenset[int]
    endpoints: tuple[str, ...]


class _Tick:
    """What is in of one tick."""

    __slots__ = ("columns", "missing", "runs", "waiting")

    def __init__(self, populations: dict[int, _Population], groups: list[_Group]) -> None:
        self.columns: dict[int, list[Section | None]] = {n: [None] * len(p.slots) for n, p in populations.items()}
        self.missing = {n: len(p.slots) for n, p in populations.items()}
        self.runs: dict[int, Section] = {}
        self.waiting = {id(group): len(group.waits) for group in groups}


class ChipRouter:
    """The event router of one chip.

    Args:
        name: the router's endpoint name.
        table_entries: capacity of the multicast table (16,384 on the chip: data sheet, SpiNNMachine).

    """

    def __init__(self, name: str, table_entries: int) -> None:
        self.name = name
        self.done = False
        self._table_entries = table_entries
        self._window = 0
        self._populations: dict[int, _Population] = {}
        self._groups: list[_Group] = []
        self._next_tick: dict[str, int] = {}
        self._expects: dict[str, int] = {}  # sections in each endpoint's batch
        self._open: dict[int, _Tick] = {}
        self._malformed: dict[str, int] = {}

    def malformed(self, sender: str, why: str) -> Outgoing:  # noqa: ARG002 - the reason is for a debugger's eyes
        """Count bytes that were no message, or came from nobody we know; they change nothing else.

        Where they stood in for a batch, the tick does not complete, and the host's watch over stalled ticks names who
        is missing.
        """
        name = sender if sender in self._next_tick or sender == HOST else "stranger"
        self._malformed[name] = self._malformed.get(name, 0) + 1
        return []

    def undelivered(self, why: str) -> Outgoing:
        """Tell the host that an endpoint could not be reached or its queue was full: the run cannot go on."""
        return self._fault(why)

    def handle(self, sender: str, message: Message) -> Outgoing:
        """Take one message; return what goes out because of it."""
        if sender == HOST:
            return self._from_host(message)
        if sender not in self._next_tick:
            return self.malformed(sender, "not an endpoint of this chip")
        if isinstance(message, Batch):
            return self._batch(sender, message)
        return [((HOST,), Letter(sender, encode(message)))]

    def _from_host(self, message: Message) -> Outgoing:
        match message:
            case Batch() if HOST in self._next_tick:
                return self._batch(HOST, message)
            case Batch():
                return self._fault("a batch of host before any configuration")
            case Letter(peer, body):
                if peer not in self._next_tick:
                    return self._fault(f"a letter to {peer}, which is no endpoint of {self.name}")
                return [((peer,), body)]
            case Configure():
                return self._configure(message)
            case Query():
                return [((HOST,), self._answer())]
            case Read():
                return [((HOST,), self._letter(Reading(self._counters())))]
            case Stop():
                self.done = True
                return [((HOST,), self._letter(Stopped()))]
        return self.malformed(HOST, f"{type(message).__name__} is not for a router")

    def _letter(self, message: Message) -> Letter:
        return Letter(self.name, encode(message))

    def _fault(self, text: str) -> Outgoing:
        return [((HOST,), self._letter(Fault(f"{self.name}: {text}")))]

    # -- set-up -----------------------------------------------------------------------------------------------------------------

    def _configure(self, message: Configure) -> Outgoing:
        try:
            self._lay_out(message)
        except (TypeError, ValueError, KeyError) as error:
            why = str(error) if isinstance(error, RoutingError) else f"configuration is malformed ({error!r})"
            return self._fault(why)
        self._open = {}
        return [((HOST,), Configured())]

    def _lay_out(self, message: Configure) -> None:
        """Take a configuration over; TypeError, ValueError, KeyError or RoutingError where it contradicts itself."""
        table = RoutingTable((RoutingEntry(k, m, tuple(d)) for k, m, d in message.routes), self._table_entries)
        populations = {
            number: _Population(
                number,
                {name: slot for slot, name in enumerate(names)},
                table.destinations_of_block(key, mask),
                message.fanout[number],
                dict.fromkeys(names, 0),
            )
            for number, key, mask, names in message.senders
        }
        groups: dict[Any, list[str]] = {}
        for endpoint, waits in message.waits.items():
            if not isinstance(endpoint, str):
                raise TypeError(f"endpoint {endpoint!r} is no name")
            # What an endpoint alone sends reaches itself inside the endpoint: no packet, and nothing the table decides.
            routed = frozenset(
                n
                for n in waits
                if endpoint == HOST or endpoint in populations[n].destinations or set(populations[n].slots) == {endpoint}
            )
            groups.setdefault((tuple(populations[n].number for n in waits), routed, endpoint == HOST), []).append(endpoint)
        self._window, self._populations = message.window, populations
        self._groups = [_Group(waits, routed, tuple(names)) for (waits, routed, _), names in groups.items()]
        for population in populations.values():
            population.groups = [group for group in self._groups if population.number in group.waits]
        senders = {name for population in populations.values() for name in population.slots}
        self._expects = {name: sum(name in p.slots for p in populations.values()) for name in senders}
        self._next_tick = dict.fromkeys(sorted(senders | set(message.waits)), 0)

    # -- ticks ------------------------------------------------------------------------------------------------------------------

    def _batch(self, sender: str, batch: Batch) -> Outgoing:
        tick, sections = batch
        if tick != self._next_tick[sender] or len(sections) != self._expects.get(sender):
            need, have = f"tick {self._next_tick[sender]}, {self._expects.get(sender)} sections", f"{tick}, {len(sections)}"
            return self._fault(f"batch of {sender}: needs {need}; has {have}")
        self._next_tick[sender] = tick + 1
        state = self._open.get(tick)
        if state is None:
            # A layer without input runs one tick ahead of its listeners, so the line's depth adds to the window.
            if len(self._open) >= self._window + len(self._populations):
                return self._fault(
                    f"batch of {sender} at tick {tick}: {len(self._open)} ticks are open, the window is {self._window}"
                )
            state = self._open[tick] = _Tick(self._populations, self._groups)
        out: Outgoing = []
        for section in sections:
            population = self._populations.get(section.population)
            slot = population.slots.get(sender) if population else None
            if population is None or slot is None or state.columns[population.number][slot] is not None:
                return self._fault(
                    f"batch of {sender} at tick {tick}: a second or foreign section of population {section.population}"
                )
            state.columns[population.number][slot] = section
            state.missing[population.number] -= 1
            if not state.missing[population.number]:
                out += self._complete(tick, state, population)
        return out

    def _complete(self, tick: int, state: _Tick, population: _Population) -> Outgoing:
        """All batches of `population` are in: merge them, and let go every bundle that waited for this last."""
        sections = [section for section in state.columns[population.number] if section is not None]
        first = sections[0]
        for section, sender in zip(sections, population.slots, strict=True):
            if section.flags != first.flags or section.position != first.position:
                where = f"flags {section.flags}, position {section.position}"
                need = f"flags {first.flags}, position {first.position} as {next(iter(population.slots))}"
                return self._fault(f"batch of {sender} at tick {tick}: {where}; needs {need}")
            population.events[sender] += len(section.keys) // 4
        state.runs[population.number] = _merge(sections)
        out: Outgoing = []
        for group in population.groups:
            state.waiting[id(group)] -= 1
            if not state.waiting[id(group)]:
                del state.waiting[id(group)]
                bundle = Bundle(tick, tuple([self._deliver(state.runs[n], group) for n in group.waits]))
                out.append((group.endpoints, bundle))
        if not state.waiting:
            del self._open[tick]
        return out

    @staticmethod
    def _deliver(run: Section, group: _Group) -> Section:
        if group.endpoints == (HOST,):
            return run
        if run.population in group.routed:
            return run._replace(ledger=b"")
        return run._replace(keys=b"", values=b"", ledger=b"")

    # -- accounts ---------------------------------------------------------------------------------------------------------------

    def _answer(self) -> Answer:
        tick = min(self._next_tick.values(), default=0)
        return Answer(tick, [name for name, at in self._next_tick.items() if at == tick and name in self._expects])

    def _counters(self) -> dict[str, Any]:
        """Return copies by endpoint: taken in from each sender, handed to each destination, dropped of each sender.

        A copy to the sender itself stays in its PE and is no packet.
        """
        taken: dict[str, int] = {}
        handed: dict[str, int] = {}
        dropped: dict[str, int] = {}
        for population in self._populations.values():
            total = sum(population.events.values())
            for sender, events in population.events.items():
                to_itself = sender in population.slots and population.copies > 0 and self._hears(sender, population.number)
                wanted = population.copies - to_itself
                given = len(population.destinations) - (sender in population.destinations)
                taken[sender] = taken.get(sender, 0) + events * wanted
                dropped[sender] = dropped.get(sender, 0) + events * (wanted - given)
            for name in population.destinations:
                handed[name] = handed.get(name, 0) + total - population.events.get(name, 0)
        return {
            "packets_in": taken,
            "packets_out": handed,
            "packets_dropped": dropped,
            "malformed": self._malformed,
        }

    def _hears(self, endpoint: str, population: int) -> bool:
        return any(endpoint in group.endpoints and population in group.waits for group in self._groups)


def _merge(sections: list[Section]) -> Section:
    """Return one section with all events in ascending key; ledgers stay in the order of the senders."""
    if len(sections) == 1:
        return sections[0]
    keys = b"".join([section.keys for section in sections])
    values = b"".join([section.values for section in sections])
    if keys:
        unsorted = np.frombuffer(keys, "<u4")
        order = np.argsort(unsorted, kind="stable")
        keys = unsorted[order].tobytes()
        values = np.frombuffer(values, "<f4")[order].tobytes()
    ledger = b"".join([section.ledger for section in sections])
    return sections[0]._replace(keys=keys, values=values, ledger=ledger)
