"""Ticks in a router: what its chip's endpoints and its neighbours send is joined, delivered and handed on.

A population's senders on this chip make one stream; streams of other chips arrive from a neighbour, each once a tick. All
streams over one link are handed on in one message, as soon as the last of them is in: links wait for each other only as
routes follow each other, which is never in a circle (`noc/machine.py`). A population is delivered when all its streams are
in, merged once into one ascending run, whatever order they came in.

What waits follows the network; which events go along follows the routing table and nothing else, so an entry that is
missing loses events, and those are counted as dropped. The host's bundle also carries every population it waits for as a
tap for hashing and monitoring: not packets of the chip, and not counted unless the routing table names the host.
Nothing here blocks: the host's window bounds the ticks that can be open at once, and one more than that is a fault.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from noc.packet import HOST, Batch, Bundle, Configure, Outgoing, Relay, Section
from noc.routing_table import RoutingEntry, RoutingTable


class JoinError(ValueError):
    """What a sender or neighbour did wrong, in one line with its name and the tick."""


class _Way(NamedTuple):
    """How a stream goes on over a link."""

    copies: int  # that it becomes beyond
    routed: bool
    tapped: bool  # whether the host's tap lies there


@dataclass(eq=False)
class _Stream:
    """A population's events from one chip."""

    population: int
    source: int
    arrives_from: str  # a neighbour, or "" where it begins on this chip
    endpoints: frozenset[str]  # of this chip, by the routing table
    wanted: int  # copies that the network wants of each event, here and beyond
    ways: dict[str, _Way]
    events: int = 0

    @property
    def given(self) -> int:
        """Copies that the routing table makes of each event, here and beyond."""
        return len(self.endpoints) + sum(way.copies for way in self.ways.values() if way.routed)


@dataclass(eq=False)
class _Population:
    """What this chip has to do with a population: who sends it here, and which streams of it are awaited."""

    number: int
    slots: dict[str, int]
    events: dict[str, int]  # by sender
    sources: tuple[int, ...] = ()  # chips whose streams are joined here, ascending; empty where nobody listens
    groups: list[_Group] = field(default_factory=list)


@dataclass(eq=False)
class _Group:
    """Endpoints that wait for the same populations and are routed the same: they get the same bytes."""

    waits: tuple[int, ...]
    routed: frozenset[tuple[int, int]]  # streams whose events they are given
    endpoints: tuple[str, ...]


class _Arrived(NamedTuple):
    section: Section
    routed: bool


class _Tick:
    """What is in of one tick."""

    __slots__ = ("columns", "due", "left", "missing", "parts", "relays", "runs", "waiting", "wanting")

    def __init__(self, join: Join) -> None:
        own = [population for population in join.populations.values() if population.slots]
        self.columns: dict[int, list[Section | None]] = {p.number: [None] * len(p.slots) for p in own}
        self.missing = {p.number: len(p.slots) for p in own}
        self.wanting = {p.number: len(p.sources) for p in join.populations.values()}
        self.parts: dict[int, dict[int, _Arrived]] = {}
        self.runs: dict[int, Section] = {}
        self.waiting = {id(group): len(group.waits) for group in join.groups}
        self.due = dict(join.streams_over)
        self.relays: dict[str, list[tuple[_Stream, Section, bool]]] = {link: [] for link in join.streams_over}
        self.left = len(join.streams)


class Join:
    """One configuration of a router, and its open ticks.

    Raises TypeError, ValueError, KeyError or RoutingError where the configuration contradicts itself.
    """

    def __init__(self, chip: int, message: Configure, table_entries: int) -> None:
        table = RoutingTable((RoutingEntry(k, m, tuple(d)) for k, m, d in message.routes), table_entries)
        self.populations = {
            number: _Population(number, {name: slot for slot, name in enumerate(names)}, dict.fromkeys(names, 0))
            for number, names in message.senders.items()
        }
        self.streams: dict[tuple[int, int], _Stream] = {}
        for number, source, key, mask, arrives_from, here, beyond in message.streams:
            to = table.destinations_of_block(key, mask)
            ways = {link: _Way(copies, link in to, bool(tap)) for link, (copies, tap) in beyond.items()}
            wanted = here + sum(way.copies for way in ways.values())
            endpoints = frozenset(name for name in to if name not in ways)
            self.streams[number, source] = _Stream(number, source, arrives_from, endpoints, wanted, ways)
            population = self.populations.setdefault(number, _Population(number, {}, {}))
            if (source == chip) != (not arrives_from) or (source == chip and not population.slots):
                raise ValueError(f"stream of population {number} from chip {source} begins nowhere")
        for population in self.populations.values():
            if population.slots and (population.number, chip) not in self.streams:
                raise ValueError(f"population {population.number} has senders and no stream")
        self._chip, self._window = chip, message.window
        # Each layer may run a tick ahead of the one behind it, wherever those are: the line's depth adds to the window.
        self._most_open = message.window + 1 + max(self.populations, default=0)
        self.groups = self._grouped(message.waits)
        for population in self.populations.values():
            population.groups = [group for group in self.groups if population.number in group.waits]
            if population.groups:
                population.sources = tuple(sorted(source for number, source in self.streams if number == population.number))
                if not population.sources:
                    raise ValueError(f"population {population.number} is awaited and never comes")
        sections = Counter(name for population in self.populations.values() for name in population.slots)
        relayed = Counter(stream.arrives_from for stream in self.streams.values() if stream.arrives_from)
        self._expects = {**sections, **relayed}
        self._next_tick = dict.fromkeys(sorted(self._expects), 0)
        self.endpoints = sections.keys() | message.waits.keys()
        self.streams_over = dict(sorted(Counter(link for stream in self.streams.values() for link in stream.ways).items()))
        self.links_out = dict.fromkeys(self.streams_over, 0)
        self.links_in = dict.fromkeys(sorted(relayed), 0)
        self._open: dict[int, _Tick] = {}

    def _grouped(self, waits: dict[str, list[int]]) -> list[_Group]:
        groups: dict[Any, list[str]] = {}
        for endpoint, numbers in waits.items():
            if not isinstance(endpoint, str):
                raise TypeError(f"endpoint {endpoint!r} is no name")
            routed = frozenset(
                key
                for key, stream in self.streams.items()
                if stream.population in numbers
                and (endpoint == HOST or endpoint in stream.endpoints or self._stays_inside(endpoint, stream.population))
            )
            waits_for = tuple(self.populations[n].number for n in numbers)
            groups.setdefault((waits_for, routed, endpoint == HOST), []).append(endpoint)
        return [_Group(numbers, routed, tuple(names)) for (numbers, routed, _), names in groups.items()]

    def _stays_inside(self, endpoint: str, population: int) -> bool:
        """Tell whether `endpoint` alone sends a population: its events reach it inside, without a packet or the table's say."""
        sources = [source for number, source in self.streams if number == population]
        return sources == [self._chip] and set(self.populations[population].slots) == {endpoint}

    def batch(self, sender: str, batch: Batch) -> Outgoing:
        """Take an endpoint's batch; return the bundles and relays that waited for it. JoinError where it breaks the rules."""
        tick, sections = batch
        state = self._take_turn("batch", sender, tick, len(sections))
        out: Outgoing = []
        for section in sections:
            population = self.populations.get(section.population)
            slot = population.slots.get(sender) if population else None
            if population is None or slot is None or state.columns[population.number][slot] is not None:
                raise JoinError(f"batch of {sender} at tick {tick}: a second or foreign section of population {section.population}")
            state.columns[population.number][slot] = section
            population.events[sender] += len(section.keys) // 4
            state.missing[population.number] -= 1
            if not state.missing[population.number]:
                parts = dict(zip(population.slots, state.columns[population.number], strict=True))
                joined = _Arrived(_merge(_agreeing("batch", parts, tick)), True)
                out += self._arrive(tick, state, self.streams[population.number, self._chip], joined)
        return out

    def relay(self, neighbour: str, relay: Relay) -> Outgoing:
        """Take what came over a link; return the bundles and relays that waited for it. JoinError as for a batch."""
        tick, heads, sections = relay
        state = self._take_turn("relay", neighbour, tick, len(sections))
        out: Outgoing = []
        seen = set()
        for (source, routed), section in zip(heads, sections, strict=True):
            stream = self.streams.get((section.population, source))
            if stream is None or stream.arrives_from != neighbour or stream in seen:
                what = f"population {section.population} from chip {source}"
                raise JoinError(f"relay of {neighbour} at tick {tick}: a second or foreign section of {what}")
            seen.add(stream)
            if routed:
                self.links_in[neighbour] += len(section.keys) // 4
            out += self._arrive(tick, state, stream, _Arrived(section, bool(routed)))
        return out

    def _take_turn(self, what: str, sender: str, tick: int, sections: int) -> _Tick:
        if tick != self._next_tick.get(sender) or sections != self._expects.get(sender):
            need, have = f"tick {self._next_tick.get(sender)}, {self._expects.get(sender)} sections", f"{tick}, {sections}"
            raise JoinError(f"{what} of {sender}: needs {need}; has {have}")
        self._next_tick[sender] = tick + 1
        state = self._open.get(tick)
        if state is None:
            if len(self._open) >= self._most_open:
                have = f"{len(self._open)} ticks are open, the window is {self._window}"
                raise JoinError(f"{what} of {sender} at tick {tick}: {have}")
            state = self._open[tick] = _Tick(self)
        return state

    def _arrive(self, tick: int, state: _Tick, stream: _Stream, arrived: _Arrived) -> Outgoing:
        """A stream of a tick is in: hand it on, and deliver its population if it was the last of it."""
        out: Outgoing = []
        section, count = arrived.section, len(arrived.section.keys) // 4
        if arrived.routed:
            stream.events += count
        for link, way in stream.ways.items():
            routed = arrived.routed and way.routed
            self.links_out[link] += count * routed
            onward = section
            if not way.tapped:  # beyond are only PEs, which need no ledger, and no events that are not for them
                onward = section._replace(ledger=b"") if routed else section._replace(keys=b"", values=b"", ledger=b"")
            state.relays[link].append((stream, onward, routed))
            state.due[link] -= 1
            if not state.due[link]:
                # In a fixed order, so that the same tick is the same bytes.
                parts = sorted(state.relays.pop(link), key=lambda part: (part[0].population, part[0].source))
                heads = [[s.source, int(goes)] for s, _, goes in parts]
                out.append(((link,), Relay(tick, heads, tuple([part for _, part, _ in parts]))))
        population = self.populations[stream.population]
        if population.sources:
            state.parts.setdefault(stream.population, {})[stream.source] = arrived
            state.wanting[stream.population] -= 1
            if not state.wanting[stream.population]:
                out += self._complete(tick, state, population)
        state.left -= 1
        if not state.left:
            del self._open[tick]
        return out

    def _complete(self, tick: int, state: _Tick, population: _Population) -> Outgoing:
        """All streams of `population` are in: merge them, and let go every bundle that waited for this last."""
        parts = state.parts[population.number]
        ordered = {source: parts[source].section for source in population.sources}
        state.runs[population.number] = _merge(_agreeing("stream", {f"chip {s}": part for s, part in ordered.items()}, tick))
        out: Outgoing = []
        for group in population.groups:
            state.waiting[id(group)] -= 1
            if not state.waiting[id(group)]:
                bundle = Bundle(tick, tuple([self._deliver(state, n, group) for n in group.waits]))
                out.append((group.endpoints, bundle))
        return out

    def _deliver(self, state: _Tick, population: int, group: _Group) -> Section:
        run = state.runs[population]
        if group.endpoints == (HOST,):
            return run
        parts = state.parts[population]
        given = [source for source, part in parts.items() if part.routed and (population, source) in group.routed]
        if len(given) == len(parts):
            return run._replace(ledger=b"")
        if not given:
            return run._replace(keys=b"", values=b"", ledger=b"")
        return _merge([parts[source].section for source in sorted(given)])._replace(ledger=b"")

    def missing(self) -> tuple[int, list[str]]:
        """Return the oldest tick that waits, and whose batches or relays it lacks."""
        tick = min(self._next_tick.values(), default=0)
        return tick, [name for name, at in self._next_tick.items() if at == tick]

    def through(self, ticks: int) -> bool:
        """Tell whether the first `ticks` ticks have come in and gone out whole."""
        return min(self._next_tick.values(), default=ticks) >= ticks and min(self._open, default=ticks) >= ticks

    def counters(self) -> dict[str, Any]:
        """Return copies by endpoint: taken in from each sender, handed to each destination, dropped of each sender (of a stream
        that passes: of its chip); and by neighbour, handed on and taken in over the link.

        A copy to the sender itself stays in its PE and is no packet.
        """
        taken: Counter[str] = Counter()
        handed: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        for stream in self.streams.values():
            population = self.populations[stream.population]
            own = {} if stream.arrives_from else population.events
            for sender, events in own.items():
                wanted = stream.wanted - any(sender in group.endpoints for group in population.groups)
                taken[sender] += events * wanted
                dropped[sender] += events * (wanted - stream.given + (sender in stream.endpoints))
            if stream.arrives_from:
                dropped[f"chip {stream.source}"] += stream.events * (stream.wanted - stream.given)
            for name in stream.endpoints:
                handed[name] += stream.events - own.get(name, 0)
        packets = {"packets_in": dict(taken), "packets_out": dict(handed), "packets_dropped": dict(dropped)}
        return {**packets, "links_out": self.links_out, "links_in": self.links_in}


def _agreeing(what: str, parts: dict[str, Any], tick: int) -> list[Section]:
    """Return the sections in order; JoinError, naming two senders, where they are not of one position."""
    first_name, first = next(iter(parts.items()))
    for name, section in parts.items():
        if section.flags != first.flags or section.position != first.position:
            where = f"flags {section.flags}, position {section.position}"
            need = f"flags {first.flags}, position {first.position} as {first_name}"
            raise JoinError(f"{what} of {name} at tick {tick}: {where}; needs {need}")
    return list(parts.values())


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
