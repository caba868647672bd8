"""Multicast streams: which population's events go from which chip to which others, over which links, and each router's part.

A population's events of one chip travel as one multicast stream along that chip's tree to every chip with a listener,
and are copied where routes part. The host's tap follows the same trees: each stream of a layer goes on to the host's chip,
for hashing and the monitor, whether or not packets do. A stream has a key block of its own, so that one routing entry a
stream serves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from noc.machine import Machine
from noc.packet import HOST, Configure, chip_of, router_name
from noc.routing_table import KEY_BITS, RoutingEntry, RoutingError, RoutingTable, key_blocks


@dataclass(frozen=True)
class Connectivity:
    """Who sends and who listens to what: `senders` population -> endpoints in order; `listeners` population -> endpoints that the
    network wants its events delivered to; `waits` endpoint -> populations it waits for; `keys` population -> how many keys.
    """

    senders: Mapping[int, list[str]]
    listeners: Mapping[int, list[str]]
    waits: Mapping[str, list[int]]
    keys: Mapping[int, int]


@dataclass
class Stream:
    """A population's events from one chip. `listeners`: chip -> endpoints that listen there; `tapped`: chips on the way to
    the host's; `to`: chip -> the neighbours it hands the stream on to; `came_from`: chip -> the neighbour before it;
    `copies`: chip -> deliveries there and beyond.
    """

    population: int
    source: int
    key: int
    mask: int
    listeners: dict[int, list[str]]
    to: dict[int, list[int]] = field(default_factory=dict)
    came_from: dict[int, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    tapped: set[int] = field(default_factory=set)


def plan_streams(machine: Machine, connectivity: Connectivity) -> list[Stream]:
    """Return every stream, by population and chip; RoutingError where their keys do not fit."""
    sources = [
        (population, chip)
        for population, names in connectivity.senders.items()
        for chip in sorted({_chip(machine, name) for name in names})
    ]
    blocks = key_blocks(connectivity.keys[population] for population, _ in sources)
    awaited = {population for populations in connectivity.waits.values() for population in populations}
    tapped = set(connectivity.waits.get(HOST, ()))
    listeners = {population: _by_chip(machine, connectivity.listeners[population]) for population in awaited}
    waiting: dict[int, set[int]] = {}
    for name, populations in connectivity.waits.items():
        for population in populations if name != HOST else ():
            waiting.setdefault(population, set()).add(_chip(machine, name))
    streams = []
    for (population, source), (key, mask) in zip(sources, blocks, strict=True):
        stream = Stream(population=population, source=source, key=key, mask=mask, listeners=listeners.get(population, {}))
        # Chips with PEs that step on its headers alone get the stream too, without its events.
        reaches = {*stream.listeners, *waiting.get(population, ())}
        links = machine.multicast(source, {*reaches, *([machine.host_chip] if population in tapped else [])})
        for link in links:
            stream.to.setdefault(link.chip, []).append(link.to)
            stream.came_from[link.to] = link.chip
        reached = [source, *(link.to for link in links)]
        for chip in reversed(reached):  # the far ones first, so that what lies beyond is known
            beyond = sum(stream.copies[other] for other in stream.to.get(chip, ()))
            stream.copies[chip] = len(stream.listeners.get(chip, ())) + beyond
        chip = machine.host_chip
        while population in tapped and chip != source:
            stream.tapped.add(chip)
            chip = stream.came_from[chip]
        streams.append(stream)
    return streams


def configure_routers(
    machine: Machine, connectivity: Connectivity, streams: Iterable[Stream], *, window: int, table_entries: int
) -> dict[int, Configure]:
    """Return what the router of each live chip must know; RoutingError where a table does not hold its entries."""
    senders: dict[int, dict[int, list[str]]] = {chip: {} for chip in machine.live}
    for population, names in connectivity.senders.items():
        for chip, local in _by_chip(machine, names).items():
            senders[chip][population] = local
    waits: dict[int, dict[str, list[int]]] = {chip: {} for chip in machine.live}
    for name, populations in connectivity.waits.items():
        waits[_chip(machine, name)][name] = populations
    passing, routes = ({chip: list[list[object]]() for chip in machine.live} for _ in range(2))
    for stream in streams:
        for chip in (stream.source, *stream.came_from):
            here = stream.listeners.get(chip, [])
            beyond = {router_name(to): [stream.copies[to], int(to in stream.tapped)] for to in stream.to.get(chip, ())}
            before = router_name(stream.came_from[chip]) if chip in stream.came_from else ""
            passing[chip].append([stream.population, stream.source, stream.key, stream.mask, before, len(here), beyond])
            onwards = [router_name(to) for to in stream.to.get(chip, ()) if stream.copies[to]]
            routes[chip].append([stream.key, stream.mask, [*here, *onwards]])
    for chip, entries in routes.items():
        try:
            RoutingTable((RoutingEntry(0, (1 << KEY_BITS) - 1, ()) for _ in entries), table_entries)
        except RoutingError as error:
            raise RoutingError(f"chip {chip}: {error}") from error
    return {
        chip: Configure(window=window, senders=senders[chip], waits=waits[chip], streams=passing[chip], routes=routes[chip])
        for chip in machine.live
    }


def _chip(machine: Machine, name: str) -> int:
    return machine.host_chip if name == HOST else chip_of(name)


def _by_chip(machine: Machine, names: Iterable[str]) -> dict[int, list[str]]:
    by_chip: dict[int, list[str]] = {}
    for name in names:
        by_chip.setdefault(_chip(machine, name), []).append(name)
    return by_chip
