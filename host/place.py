"""Placement: which PE of the chip runs which share, what travels where, and what the router is told.

`Placement` is the whole mapping: shares on named PEs with their SRAM regions, routing keys and table. Placing is a
plain function over the chip's usable PEs. Everything that does not fit is refused here, before any process starts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

from host.errors import Exit, HostError
from host.shard import STRATEGIES, Request, Share, check_room, holds, layout, strategy, too_small
from models import formats
from models.network import Network
from noc.chip import ChipSpec, PeId
from noc.packet import HOST, INPUT_POPULATION, Configure
from noc.routing import RoutingError, RoutingTable, key_blocks
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
    """A network on a chip."""

    network: Network
    chip: ChipSpec
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


def place(network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int = 1) -> Placement:
    """Map `network` onto one chip.

    Args:
        network: what to run.
        chip: the chip; PEs that are down are not used.
        mapping: name of a sharding strategy.
        form: name of a weight format.
        pes: how many PEs to use, or None to let the strategy choose.
        lanes: independent sequences side by side.

    Raises:
        HostError: unknown strategy, more PEs than the chip has, or a shard that does not fit (with the smallest number of PEs
            that does, and the largest batch that does).
        ModelError: unknown format.

    """
    try:
        return _place(network, chip, mapping, form, pes, lanes)
    except HostError as error:
        if error.code is not Exit.DOES_NOT_FIT:
            raise
        fewer = largest_batch(network, _request(chip, form, pes, lanes), mapping) if lanes > 1 else 0
        batch = f"; the largest batch that fits on these PEs is --batch {fewer}" if fewer else ""
        raise HostError(f"{error}{batch}{_what_fits(network, chip, lanes)}", error.code) from error


def largest_batch(network: Network, request: Request, mapping: str) -> int:
    """Return the most sequences side by side that fit as `request` asks otherwise; 0: not even one."""
    low, high = 0, 1  # a batch that fits, and then one that does not
    while holds(network, replace(request, lanes=high), mapping):
        low, high = high, 2 * high
    while high - low > 1:  # each sequence needs memory of its own on every PE
        middle = (low + high) // 2
        low, high = (middle, high) if holds(network, replace(request, lanes=middle), mapping) else (low, middle)
    return low


def _what_fits(network: Network, chip: ChipSpec, lanes: int) -> str:
    """Return the settings under which the network does fit, for the line that says it does not."""
    fits = []
    for mapping in STRATEGIES:
        for form in formats.names():
            with contextlib.suppress(HostError):
                placed = _place(network, chip, mapping, form, None, lanes)
                fits.append(f"--mapping {mapping} --format {form} ({len(placed.pes)} PEs)")
    return f"; what fits: {', '.join(fits)}" if fits else ""


def _place(network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int) -> Placement:
    usable = chip.usable_pes()
    if pes is not None and pes > len(usable):
        down = sum(core.chip == 0 for core in chip.down_cores)
        less = f", {down} of them down" if down else ""
        raise HostError(f"--pes {pes}: one chip has {len(usable) + down} PEs{less}", Exit.DOES_NOT_FIT)
    request = _request(chip, form, pes, lanes)
    check_room(network, request)
    shares = strategy(mapping)(network, request)
    if len(shares) > len(usable):
        raise HostError(f"mapping {mapping!r} needs {len(shares)} PEs, the chip has {len(usable)}", Exit.DOES_NOT_FIT)
    placed = []
    for number, (pe, share) in enumerate(zip(usable, shares, strict=False)):
        try:
            placed.append(PlacedPe(pe, share, tuple(layout(network, request, share, str(pe)))))
        except SramOverflow as error:
            raise too_small(network, request, shares, number, error, mapping) from error
    placement = Placement(network, chip, request, mapping, tuple(placed))
    try:
        RoutingTable((), chip.router_entries)
        if len(network.populations) > chip.router_entries:
            raise RoutingError(f"needs {len(network.populations)} routing entries, the chip has {chip.router_entries}")
        placement.configure(1)
    except RoutingError as error:
        raise HostError(str(error), Exit.DOES_NOT_FIT) from error
    return placement


def _request(chip: ChipSpec, form: str, pes: int | None, lanes: int) -> Request:
    size = SramSize(chip.sram_bytes, chip.bank_bytes, chip.program_bytes, chip.debug_bytes)
    return Request(form, lanes, size, len(chip.usable_pes()), pes)
