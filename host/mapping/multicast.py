"""Multicast streams: which population's events go from which chip to which others, over which links, and each router's part.

A population's events of one chip travel as one multicast stream along that chip's tree to every chip with a listener,
and are copied where routes part. The host's tap follows the same trees: each stream of a layer goes on to the host's chip,
for hashing and the monitor, whether or not packets do. A stream has a key block of its own, so that one routing entry a
stream serves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from host.mapping.transfer_routes import Transfers, plan_transfers
from models.network import U32
from noc.machine import Machine
from noc.packet import HOST, Configure, chip_of, router_name
from noc.routing_table import KEY_BITS, RoutingEntry, RoutingError, RoutingTable, key_blocks


@dataclass(frozen=True)
class Sent:
    """What a population sends: bytes of a value, lanes, units; where it is dense, the units (ascending) of each sender."""

    value_bytes: int
    lanes: int
    units: int
    shares: Mapping[str, U32] = field(default_factory=dict)


@dataclass(frozen=True)
class Connectivity:
    """Who sends and who listens to what: `senders` population -> endpoints in order; `listeners` population -> endpoints that the
    network wants its events delivered to; `waits` endpoint -> populations it waits for; `payloads` population -> what it sends;
    and who may send transfers to whom.
    """

    senders: Mapping[int, list[str]]
    listeners: Mapping[int, list[str]]
    waits: Mapping[str, list[int]]
    payloads: Mapping[int, Sent]
    transfers: Transfers = field(default_factory=Transfers)


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
    payloads = connectivity.payloads
    blocks = key_blocks(payloads[population].lanes * payloads[population].units for population, _ in sources)
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
    depth, transfers = _depth(connectivity), plan_transfers(machine, connectivity.transfers)
    return {
        chip: Configure(
            window=window, senders=senders[chip], waits=waits[chip], streams=passing[chip], routes=routes[chip],
            payloads=_payloads(machine, connectivity, passing[chip]), depth=depth, transfers=transfers.get(chip, []),
        )
        for chip in machine.live
    }  # fmt: skip


def _payloads(machine: Machine, connectivity: Connectivity, passing: Iterable[list[Any]]) -> dict[int, list[Any]]:
    """Return what a router must know of the populations that it has to do with, as in `Configure`."""
    payloads = {}
    for population in sorted({stream[0] for stream in passing}):
        sent, shares = connectivity.payloads[population], dict[str | int, bytes]()
        for name, units in sent.shares.items():
            shares[name] = units.astype("<u4").tobytes()
        for chip, names in _by_chip(machine, sent.shares).items():
            shares[chip] = np.sort(np.concatenate([sent.shares[name] for name in names])).astype("<u4").tobytes()
        payloads[population] = [sent.value_bytes, sent.lanes, sent.units, shares]
    return payloads


def _depth(connectivity: Connectivity) -> int:
    """Return how many ticks an endpoint may be ahead of the host: one more than the least of all whose batches it waits for."""
    ahead = {HOST: 0}
    hears = {name: {sender for n in numbers for sender in connectivity.senders[n]} for name, numbers in connectivity.waits.items()}
    left = hears.keys() - ahead.keys()
    while left:
        nearer = {name: depths for name in left if (depths := [ahead[sender] for sender in hears[name] if sender in ahead])}
        if not nearer:  # whoever hears nothing of the host, by whatever way, is bound by nothing; no network has such a layer
            break
        ahead |= {name: 1 + min(depths) for name, depths in nearer.items()}
        left -= nearer.keys()
    return max(ahead.values())


def _chip(machine: Machine, name: str) -> int:
    return machine.host_chip if name == HOST else chip_of(name)


def _by_chip(machine: Machine, names: Iterable[str]) -> dict[int, list[str]]:
    by_chip: dict[int, list[str]] = {}
    for name in names:
        by_chip.setdefault(_chip(machine, name), []).append(name)
    return by_chip
