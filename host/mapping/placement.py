"""Placement: which PE of which chip runs which share, what travels where, and what the router is told.

`Placement` is the whole mapping: shares on named PEs with their SRAM regions, routing keys and table. Placing is a
plain function over the chip's usable PEs. Everything that does not fit is refused here, before any process starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from host.errors import Exit, HostError
from host.mapping.chip_assignment import seated
from host.mapping.expected_traffic import rates_of
from host.mapping.multicast import Exchange, Stream, configuration, streams_of
from host.mapping.sharding import Request, Share, check_room, holds, layout, strategy, too_small
from models import formats
from models.network import Network
from noc.chip import PES_PER_QPE, QPES, ChipSpec, PeId
from noc.machine import Machine, machine_of
from noc.packet import HOST, INPUT_POPULATION, Configure
from noc.routing_table import RoutingError
from pe.sram import Region, SramOverflow, SramSize, footprint


@dataclass(frozen=True)
class PlacedPe:
    """A PE in use: where it is, what it runs, and how its SRAM is laid out."""

    pe: PeId
    share: Share
    regions: tuple[Region, ...]

    @property
    def name(self) -> str:
        """The PE's endpoint name."""
        return str(self.pe)


@dataclass(frozen=True)
class Placement:
    """A network on chips, all like `chip`. `pes` are in ascending order of their chips."""

    network: Network
    chip: ChipSpec
    machine: Machine
    request: Request
    mapping: str
    pes: tuple[PlacedPe, ...]

    @cached_property
    def exchange(self) -> Exchange:
        """Return who sends and who hears what; the host taps every layer."""
        numbers = range(len(self.network.populations))
        senders: dict[int, list[str]] = {n: [] for n in numbers}
        wanted: dict[int, list[str]] = {n: [] for n in numbers}
        waits: dict[str, list[int]] = {}
        senders[INPUT_POPULATION].append(HOST)
        for placed in self.pes:
            name = placed.name
            for population, _ in placed.share:
                senders[population].append(name)
            waits[name] = sorted({p.source for n, _ in placed.share for p in self.network.populations[n].projections})
            for population in waits[name]:
                wanted[population].append(name)
        wanted[self.network.output].append(HOST)
        waits[HOST] = list(self.network.layers)
        keys = {n: self.network.populations[n].units * self.request.lanes for n in numbers}
        return Exchange(senders, wanted, waits, keys)

    @cached_property
    def streams(self) -> list[Stream]:
        """Return every stream of a population's events from one chip; RoutingError where their keys do not fit."""
        return streams_of(self.machine, self.exchange)

    def senders(self, population: int) -> list[str]:
        """Return the endpoints that send a population's events, in order."""
        return self.exchange.senders[population]

    def destinations(self, population: int) -> list[str]:
        """Return the endpoints that the network wants a population's events delivered to."""
        return self.exchange.wanted[population]

    def copies(self, placed: PlacedPe) -> dict[int, int]:
        """Return how many packets each event of each population on this PE makes: one for each other listener."""
        hears = self.exchange.waits[placed.name]
        return {n: len(self.destinations(n)) - (n in hears) for n, _ in placed.share}

    def configure(self, window: int) -> dict[int, Configure]:
        """Return what each chip's router must know; RoutingError where keys or a table do not fit."""
        return configuration(self.machine, self.exchange, self.streams, window, self.chip.router_entries)

    def worst(self) -> dict[str, int]:
        """Return bytes by role of the PE with the fewest free data bytes."""
        return min((footprint(p.regions, self.request.size) for p in self.pes), key=lambda used: used["free"])

    def deployed_bytes(self) -> int:
        """Return the bytes of weights and variables in the SRAM of all PEs."""
        used = [footprint(placed.regions, self.request.size) for placed in self.pes]
        return sum(roles["weights"] + roles["variables"] for roles in used)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a PE for `mapping.json` and `fit`: name, layers, units, bytes by role."""
        return [
            {
                "pe": placed.name,
                "layers": [self.network.populations[part.population].name for part in placed.share],
                "units": [part.units.tolist() for part in placed.share],
                "sram": footprint(placed.regions, self.request.size),
                "regions": [[r.name, r.offset, r.size_bytes, r.role] for r in placed.regions],
            }
            for placed in self.pes
        ]


def place(
    network: Network,
    chip: ChipSpec,
    mapping: str,
    form: str,
    pes: int | None,
    lanes: int = 1,
    chips: int = 1,
    rates: Mapping[int, float] | None = None,
    advise: bool = True,
) -> Placement:
    """Map `network` onto `chips` chips.

    Args:
        network: what to run.
        chip: the chip; PEs that are down are not used.
        mapping: name of a sharding strategy.
        form: name of a weight format.
        pes: how many PEs to use, or None to let the strategy choose.
        lanes: independent sequences side by side.
        chips: how many chips the machine has.
        rates: expected events a unit and position, of each population; None: as `host/mapping/expected_traffic.py` assumes.
        advise: find out what would fit where this does not, and say so: it takes many times as long as placing.

    Raises:
        ChipError: no machine has that many chips, or one is cut off.
        HostError: unknown strategy, more PEs than there are, or a shard that does not fit (with the smallest number of PEs
            that does, and the largest batch that does).
        ModelError: unknown format.

    """
    try:
        return _place(network, chip, mapping, form, pes, lanes, chips, rates or rates_of(network, {})[0])
    except HostError as error:
        if error.code is not Exit.DOES_NOT_FIT or not advise:
            raise
        fewer = largest_batch(network, _request(chip, machine_of(chip, chips), form, pes, lanes), mapping) if lanes > 1 else 0
        batch = f"; the largest batch that fits on these PEs is --batch {fewer}" if fewer else ""
        raise HostError(f"{error}{batch}{_what_fits(network, chip, lanes, chips)}", error.code) from error


def largest_batch(network: Network, request: Request, mapping: str) -> int:
    """Return the most sequences side by side that fit as `request` asks otherwise; 0: not even one."""
    low, high = 0, 1  # a batch that fits, and then one that does not
    while holds(network, replace(request, lanes=high), mapping):
        low, high = high, 2 * high
    while high - low > 1:  # each sequence needs memory of its own on every PE
        middle = (low + high) // 2
        low, high = (middle, high) if holds(network, replace(request, lanes=middle), mapping) else (low, middle)
    return low


def _what_fits(network: Network, chip: ChipSpec, lanes: int, chips: int) -> str:
    """Return the settings under which the network does fit, for the line that says it does not."""
    fits = []
    for mapping in ("uniform", "balanced"):  # the others deal as one of these
        for form in formats.names():
            with contextlib.suppress(HostError):
                placed = _place(network, chip, mapping, form, None, lanes, chips, rates_of(network, {})[0])
                fits.append(f"--mapping {mapping} --format {form} ({len(placed.pes)} PEs)")
    return f"; what fits: {', '.join(fits)}" if fits else ""


def _place(
    network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int, chips: int, rates: Mapping[int, float]
) -> Placement:
    machine = machine_of(chip, chips)
    usable = {number: chip.usable_pes(number) for number in machine.live}
    room = sum(map(len, usable.values()))
    have = "one chip has" if len(machine.live) == 1 else f"{len(machine.live)} chips have"
    if pes is not None and pes > room:
        down = len(machine.live) * len(QPES) * PES_PER_QPE - room
        less = f", {down} of them down" if down else ""
        raise HostError(f"--pes {pes}: {have} {room + down} PEs{less}", Exit.DOES_NOT_FIT)
    request = _request(chip, machine, form, pes, lanes)
    check_room(network, request)
    shares = strategy(mapping)(network, request)
    if len(shares) > room:
        raise HostError(f"mapping {mapping!r} needs {len(shares)} PEs, {have} {room}", Exit.DOES_NOT_FIT)
    seats = seated(mapping, network, request, machine, {on: len(pes) for on, pes in usable.items()}, shares, rates)
    free = {on: iter(pes) for on, pes in usable.items()}
    placed = []
    for number, (on, share) in enumerate(seats):
        pe = next(free[on])
        try:
            placed.append(PlacedPe(pe, share, tuple(layout(network, request, share, str(pe)))))
        except SramOverflow as error:
            raise too_small(network, request, [share for _, share in seats], number, error, mapping) from error
    placement = Placement(network, chip, machine, request, mapping, tuple(placed))
    try:
        placement.configure(1)
    except RoutingError as error:
        raise HostError(str(error), Exit.DOES_NOT_FIT) from error
    return placement


def _request(chip: ChipSpec, machine: Machine, form: str, pes: int | None, lanes: int) -> Request:
    size = SramSize(chip.sram_bytes, chip.bank_bytes, chip.program_bytes, chip.debug_bytes)
    available = sum(len(chip.usable_pes(number)) for number in machine.live)
    return Request(form, lanes, size, available, pes, len(machine.live))
