"""What a router knows of populations and their streams, and what is wrong with a section that does not belong to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from noc.packet import Configure, Section
from noc.payload import I64, Payload, payloads_of
from noc.routing_table import RoutingEntry, RoutingTable


class JoinError(ValueError):
    """What a sender or neighbour did wrong, in one line with its name and the tick."""


class Way(NamedTuple):
    """How a stream goes on over a link."""

    copies: int  # that it becomes beyond
    routed: bool
    tapped: bool  # whether the host's tap lies there


@dataclass(eq=False)
class Stream:
    """A population's events from one chip."""

    population: int
    source: int
    arrives_from: str  # a neighbour, or "" where it begins on this chip
    endpoints: frozenset[str]  # of this chip, by the routing table
    wanted: int  # copies that the network wants of each event, here and beyond
    ways: dict[str, Way]
    values: int  # that a section holds where the population is dense
    events: int = 0

    @property
    def given(self) -> int:
        """Copies that the routing table makes of each event, here and beyond."""
        return len(self.endpoints) + sum(way.copies for way in self.ways.values() if way.routed)


@dataclass(eq=False)
class Population:
    """What this chip has to do with a population: who sends it here, and which streams of it are awaited."""

    number: int
    payload: Payload
    slots: dict[str, int]
    values: dict[str, int]  # by sender, that a section holds where the population is dense
    order: I64 | None  # of the values of this chip's senders
    sources: tuple[int, ...] = ()  # chips whose streams are joined here, ascending; empty where nobody listens
    order_of_sources: I64 | None = None
    groups: list[Group] = field(default_factory=list)

    def merge(self, sections: list[Section]) -> Section:
        """Return the sections of all streams as one."""
        return self.payload.merge(sections, self.order_of_sources)


def population_of(number: int, payload: Payload, names: list[str]) -> Population:
    """Return a population that endpoints of this chip send, in this order."""
    values = {name: payload.values_of(name) for name in names}
    slots = {name: slot for slot, name in enumerate(names)}
    return Population(number, payload, slots, values, payload.order(names))


@dataclass(eq=False)
class Group:
    """Endpoints that wait for the same populations and are routed the same: they get the same bytes. One that may be sent transfers
    is a group of its own; groups of the same number `alike` get the same sections. `number`: its place among all.
    """

    waits: tuple[int, ...]
    routed: frozenset[tuple[int, int]]  # streams whose events they are given
    endpoints: tuple[str, ...]
    exchanges: bool
    alike: int
    number: int


class Heard(NamedTuple):
    """A population's section as groups hear it, and the chips whose part of it came to them and is lost, as it is not whole."""

    section: Section
    population: Population
    lost: tuple[int, ...]


class Arrived(NamedTuple):
    """A stream's section of a tick, and whether its events came as packets."""

    section: Section
    routed: bool


def read_streams(chip: int, message: Configure, table_entries: int) -> tuple[dict[int, Population], dict[tuple[int, int], Stream]]:
    """Return the populations and streams of a router's configuration; TypeError, ValueError, KeyError or RoutingError where that
    contradicts itself.
    """
    table = RoutingTable((RoutingEntry(k, m, tuple(d)) for k, m, d in message.routes), table_entries)
    payloads = payloads_of(message.payloads)
    populations = {number: population_of(number, payloads[number], names) for number, names in message.senders.items()}
    streams: dict[tuple[int, int], Stream] = {}
    for number, source, key, mask, arrives_from, here, beyond in message.streams:
        to = table.destinations_of_block(key, mask)
        ways = {link: Way(copies, link in to, bool(tap)) for link, (copies, tap) in beyond.items()}
        wanted = here + sum(way.copies for way in ways.values())
        endpoints = frozenset(name for name in to if name not in ways)
        values = payloads[number].values_of(source)
        streams[number, source] = Stream(number, source, arrives_from, endpoints, wanted, ways, values)
        population = populations.setdefault(number, population_of(number, payloads[number], []))
        if (source == chip) != (not arrives_from) or (source == chip and not population.slots):
            raise ValueError(f"stream of population {number} from chip {source} begins nowhere")
    for population in populations.values():
        if population.slots and (population.number, chip) not in streams:
            raise ValueError(f"population {population.number} has senders and no stream")
        if population.slots and sum(population.values.values()) != streams[population.number, chip].values:
            raise ValueError(f"population {population.number} has other units than its senders")
    return populations, streams


def check_agreement(what: str, parts: dict[str, Any], tick: int) -> list[Section]:
    """Return the sections in order; JoinError, naming two senders, where they are not of one position or name other lanes."""
    sections = list(parts.values())
    first = sections[0]
    _, flags, position, _, _, _, lanes = first
    for section in sections:
        if section.position != position or section.flags != flags or section.lanes != lanes:
            first_name, name = (next(name for name, part in parts.items() if part is one) for one in (first, section))
            alike = section.flags == first.flags and section.position == first.position
            have, need = (
                f"lanes {one.lanes.hex() or 'all alike'}" if alike else f"flags {one.flags}, position {one.position}"
                for one in (section, first)
            )
            raise JoinError(f"{what} of {name} at tick {tick}: {have}; needs {need} as {first_name}")
    return sections


def misfit_error(what: str, sender: str, tick: int, section: Section, need: str) -> JoinError:
    """Return the error for a section that is none of its population."""
    have = (
        f"{len(section.keys)} B of keys, {len(section.values)} B of values, {len(section.lanes)} B of lanes, flags {section.flags}"
    )
    return JoinError(f"{what} of {sender} at tick {tick}: section of population {section.population} has {have}; needs {need}")


def beyond_error(population: Population, parts: dict[str, Any], tick: int) -> JoinError:
    """Return the error for a key that is that of no unit; it names the first of the senders that has one."""
    sender = next(name for name, section in parts.items() if population.payload.is_beyond(section))
    key = int(np.frombuffer(parts[sender].keys, "<u4").max())
    what = f"section of population {population.number} has key {key}"
    return JoinError(f"batch of {sender} at tick {tick}: {what}; needs one below {population.payload.keys}")
