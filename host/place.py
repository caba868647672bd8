"""Placement: which PE of which chip runs which share, what travels where, and what the router is told.

`Placement` is the whole mapping: shares on named PEs with their SRAM regions, routing keys and table. Placing is a
plain function over the chip's usable PEs. Everything that does not fit is refused here, before any process starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host.errors import Exit, HostError
from host.shard import STRATEGIES, Request, Share, check_room, layout, strategy, too_small
from models.network import Network
from noc.chip import PES_PER_QPE, QPES, ChipSpec, PeId
from noc.machine import Machine, machine_of
from noc.packet import HOST, INPUT_POPULATION, Configure
from noc.routing import RoutingError, key_blocks
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

    def senders(self, population: int) -> list[str]:
        """Return the endpoints that send a population's events, in order."""
        if population == INPUT_POPULATION:
            return [HOST]
        return [placed.name for placed in self.pes if any(part.population == population for part in placed.share)]

    def waits(self) -> dict[str, list[int]]:
        """Return for each endpoint the populations it waits for; the host taps every layer."""
        hears = {
            placed.name: sorted({p.source for part in placed.share for p in self.network.populations[part.population].projections})
            for placed in self.pes
        }
        return {**hears, HOST: list(self.network.layers)}

    def destinations(self, population: int) -> list[str]:
        """Return the endpoints that the network wants a population's events delivered to."""
        hears = self.waits()
        wanted = [placed.name for placed in self.pes if population in hears[placed.name]]
        return [*wanted, HOST] if population == self.network.output else wanted

    def copies(self, placed: PlacedPe) -> dict[int, int]:
        """Return how many packets each event of each population on this PE makes: one for each other listener."""
        populations = [part.population for part in placed.share]
        return {n: sum(name != placed.name for name in self.destinations(n)) for n in populations}

    def configure(self, window: int) -> Configure:
        """Return what the router must know; RoutingError where keys or table do not fit."""
        numbers = range(len(self.network.populations))
        blocks = key_blocks(self.network.populations[n].units * self.request.lanes for n in numbers)
        return Configure(
            window,
            [[n, *blocks[n], self.senders(n)] for n in numbers],
            self.waits(),
            [[*blocks[n], self.destinations(n)] for n in numbers],
            {n: len(self.destinations(n)) for n in numbers},
        )

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


def place(network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int = 1, chips: int = 1) -> Placement:
    """Map `network` onto `chips` chips.

    Args:
        network: what to run.
        chip: the chip; PEs that are down are not used.
        mapping: name of a sharding strategy.
        form: name of a weight format.
        pes: how many PEs to use, or None to let the strategy choose.
        lanes: independent sequences side by side.
        chips: how many chips the machine has.

    Raises:
        ChipError: no machine has that many chips, or one is cut off.
        HostError: unknown strategy, more PEs than there are, or a shard that does not fit (with the smallest number that does).
        ModelError: unknown format.

    """
    try:
        return _place(network, chip, mapping, form, pes, lanes, chips)
    except HostError as error:
        if error.code is not Exit.DOES_NOT_FIT:
            raise
        raise HostError(f"{error}{_what_fits(network, chip, lanes, chips)}", error.code) from error


def _what_fits(network: Network, chip: ChipSpec, lanes: int, chips: int) -> str:
    """Return the settings under which the network does fit, for the line that says it does not."""
    fits = []
    for mapping in STRATEGIES:
        for form in ("csr", "packed"):
            with contextlib.suppress(HostError):
                placed = _place(network, chip, mapping, form, None, lanes, chips)
                fits.append(f"--mapping {mapping} --format {form} ({len(placed.pes)} PEs)")
    return f"; what fits: {', '.join(fits)}" if fits else ""


def _place(network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int, chips: int) -> Placement:
    machine = machine_of(chip, chips)
    usable = [chip.usable_pes(number) for number in machine.live]
    room = sum(map(len, usable))
    have = "one chip has" if len(machine.live) == 1 else f"{len(machine.live)} chips have"
    if pes is not None and pes > room:
        down = len(machine.live) * len(QPES) * PES_PER_QPE - room
        less = f", {down} of them down" if down else ""
        raise HostError(f"--pes {pes}: {have} {room + down} PEs{less}", Exit.DOES_NOT_FIT)
    size = SramSize(chip.sram_bytes, chip.bank_bytes, chip.program_bytes, chip.debug_bytes)
    request = Request(form, lanes, size, room, pes, len(machine.live))
    check_room(network, request)
    shares = strategy(mapping)(network, request)
    if len(shares) > room:
        raise HostError(f"mapping {mapping!r} needs {len(shares)} PEs, {have} {room}", Exit.DOES_NOT_FIT)
    placed = []
    for number, (pe, share) in enumerate(zip(_in_order(usable, len(shares)), shares, strict=True)):
        try:
            placed.append(PlacedPe(pe, share, tuple(layout(network, request, share, str(pe)))))
        except SramOverflow as error:
            raise too_small(network, request, shares, number, error, mapping) from error
    placement = Placement(network, chip, machine, request, mapping, tuple(placed))
    try:
        if len(network.populations) > chip.router_entries:
            raise RoutingError(f"needs {len(network.populations)} routing entries, the chip has {chip.router_entries}")
        placement.configure(1)
    except RoutingError as error:
        raise HostError(str(error), Exit.DOES_NOT_FIT) from error
    return placement


def _in_order(usable: Sequence[tuple[PeId, ...]], shares: int) -> list[PeId]:
    """Return a PE for each share, in order: chips are filled one after another, each with about as many shares."""
    chosen: list[PeId] = []
    for number, pes in enumerate(usable):
        left = shares - len(chosen)
        later = sum(map(len, usable[number + 1 :]))
        even = -(-left // (len(usable) - number))
        chosen += pes[: max(even, left - later)]
    return chosen
