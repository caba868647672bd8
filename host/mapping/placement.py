"""Placement: which PE of which chip runs which share, how its SRAM is laid out, and what its router needs.

A network is mapped in three steps: units are dealt to shares and shares to chips (`host/mapping/strategies`), each share gets
the next free PE of its chip, and each PE's memory is laid out. Everything that does not fit is refused here, before any process
starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from host.errors import Exit, HostError
from host.mapping import advice, strategies
from host.mapping.chip_assignment import fill_in_order
from host.mapping.expected_traffic import rates_of
from host.mapping.multicast import Connectivity, Sent, Stream, configure_routers, plan_streams
from host.mapping.request import Request, Share, sram_size
from host.mapping.sharding import ShareTooLargeError, check_room, plan_share
from host.mapping.transfer_routes import Transfers
from models.graph_check import check_network
from models.kernels import transfers_of
from models.late_inputs import LateInput, feed_late
from models.network import U32, Network
from models.numerics import payload_bytes
from models.schedule import schedule
from noc.chip import PES_PER_QPE, QPES, ChipSpec, PeId
from noc.machine import Machine, machine_of
from noc.packet import HOST, Configure, chip_of, dram_name
from noc.routing_table import RoutingError
from pe.sram import Region, SramOverflow, footprint


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
    """A network on chips, all like `chip`. `pes` are in ascending order of their chips.

    Nothing in `network` hears an input late: there are inputs for it that are fed late (`late_inputs`, by number).
    """

    network: Network
    chip: ChipSpec
    machine: Machine
    request: Request
    mapping: str
    pes: tuple[PlacedPe, ...]
    late_inputs: Mapping[int, LateInput]

    @cached_property
    def connectivity(self) -> Connectivity:
        """Who sends and who listens to what; the host taps every layer, and PEs wait for what makes them step."""
        numbers = range(len(self.network.populations))
        senders: dict[int, list[str]] = {n: [HOST] if n in self.network.inputs else [] for n in numbers}
        listeners: dict[int, list[str]] = {n: [] for n in numbers}
        waits: dict[str, list[int]] = {}
        triggers = schedule(self.network).triggers
        for placed in self.pes:
            for population, _ in placed.share:
                senders[population].append(placed.name)
            sources = {source for n, _ in placed.share for source in self.network.sources(n)}
            waits[placed.name] = sorted(sources | {triggers[n] for n, _ in placed.share})
            for population in sources:
                listeners[population].append(placed.name)
        for output in self.network.outputs:
            listeners[output].append(HOST)
        waits[HOST] = list(self.network.layers)
        # Who exchanges transfers goes by the host's ticks, so that it is never ahead of what is counted.
        transfers = self.transfers
        for name in (*transfers.allowed, *transfers.drams):
            waits[name] = sorted({*waits.get(name, ()), self.network.inputs[0]})
        payloads = {n: self._sent(n) for n in numbers}
        return Connectivity(senders=senders, listeners=listeners, waits=waits, payloads=payloads, transfers=transfers)

    @cached_property
    def transfers(self) -> Transfers:
        """Who may send transfers to whom."""
        allowed = {placed.name: [name for name, _ in self.peers(placed)[2]] for placed in self.pes if self.peers(placed)}
        return Transfers(allowed=allowed, dram_bytes=self.chip.dram_bytes, dram_alignment_bytes=self.chip.dram_alignment_bytes)

    def peers(self, placed: PlacedPe) -> list[Any]:
        """Return what a PE must know of its peers, as in `Load`: PEs in the order of the placement, DRAMs by chip, then the host.

        HostError where it runs two populations that exchange transfers, or has more peers than its kernel knows.
        """
        network = self.network
        specs = {n: transfers_of(network.populations[n].kernel) for n, _ in placed.share}
        exchanging = [n for n, spec in specs.items() if spec is not None]
        if not exchanging:
            return []
        if len(exchanging) > 1:
            names = " and ".join(network.populations[n].name for n in exchanging)
            raise HostError(
                f"{placed.name}: {names} exchange transfers; needs one of them a PE: map them by 'uniform'", Exit.DOES_NOT_FIT
            )
        number = exchanging[0]
        spec, peers = specs[number], network.populations[number].peers
        assert spec is not None
        others = [(p.name, part.population) for p in self.pes if p is not placed for part in p.share if part.population in peers]
        chips = {chip_of(name) for name, _ in others} - {placed.pe.chip}
        stores = [(dram_name(placed.pe.chip), -1), *((dram_name(chip), -3) for chip in sorted(chips))] if spec.dram else []
        have = [*map(list, (*others, *stores, (HOST, -2)))]
        if len(have) > spec.most_peers:
            who = f"{placed.name} ({network.populations[number].name})"
            raise HostError(
                f"{who}: {len(have)} peers; its neuron model has room for {spec.most_peers}: use fewer PEs", Exit.DOES_NOT_FIT
            )
        return [number, network.inputs[0], have]

    def _sent(self, population: int) -> Sent:
        """Return what a population sends."""
        sent, shares = self.network.populations[population], dict[str, U32]()
        if sent.dense and population in self.network.inputs:
            shares = {HOST: np.arange(sent.units, dtype=np.uint32)}
        elif sent.dense:
            shares = {placed.name: part.units for placed in self.pes for part in placed.share if part.population == population}
        return Sent(value_bytes=payload_bytes(sent.payload), lanes=self.request.lanes, units=sent.units, shares=shares)

    @cached_property
    def streams(self) -> list[Stream]:
        """Every stream of a population's events from one chip; RoutingError where their keys do not fit."""
        return plan_streams(self.machine, self.connectivity)

    def senders(self, population: int) -> list[str]:
        """Return the endpoints that send a population's events, in order."""
        return self.connectivity.senders[population]

    def destinations(self, population: int) -> list[str]:
        """Return the endpoints that the network wants a population's events delivered to."""
        return self.connectivity.listeners[population]

    def copies(self, placed: PlacedPe) -> dict[int, int]:
        """Return how many packets each event of each population on this PE makes: one for each other listener."""
        own = self.connectivity.waits[placed.name]
        return {n: len(self.destinations(n)) - (n in own) for n, _ in placed.share}

    def configure(self, window: int) -> dict[int, Configure]:
        """Return what each chip's router must know; RoutingError where keys or a table do not fit."""
        entries = self.chip.router_entries
        return configure_routers(self.machine, self.connectivity, self.streams, window=window, table_entries=entries)

    def worst(self) -> dict[str, int]:
        """Return bytes by role of the PE with the fewest free data bytes."""
        return min((footprint(p.regions, self.request.size) for p in self.pes), key=lambda used: used["free"])

    def deployed_bytes(self) -> int:
        """Return the bytes of weights and variables in the SRAM of all PEs."""
        used = (footprint(placed.regions, self.request.size) for placed in self.pes)
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
    network: Network, chip: ChipSpec, mapping: str, form: str, pes: int | None, lanes: int = 1, chips: int = 1,
    rates: Mapping[int, float] | None = None, quick: bool = False,
) -> Placement:  # fmt: skip
    """Map `network` onto `chips` chips like `chip`; PEs that are down are not used.

    Args:
        network: what to run.
        chip: what each chip is like.
        mapping: name of a mapping strategy.
        form: name of a weight format.
        pes: how many PEs to use, or None to let the strategy choose.
        lanes: independent sequences side by side.
        chips: how many chips the machine has.
        rates: expected events a unit and position, of each population; None: as `host/mapping/expected_traffic.py` assumes.
        quick: leave out the search for the best chips, and for what would fit where this does not: they take many times as
            long as the rest.

    Raises:
        ChipError: no machine has that many chips, or one is cut off.
        HostError: unknown strategy, more PEs than there are, or a shard that does not fit (with the smallest number of PEs
            that does, and the largest batch that does).
        ModelError: unknown format, or a network that cannot run (`models/graph_check.py`).

    """
    check_network(network)
    network, late_inputs = feed_late(network)
    machine = machine_of(chip, chips)
    available, live = sum(len(chip.usable_pes(number)) for number in machine.live), len(machine.live)
    request = Request(format=form, lanes=lanes, size=sram_size(chip), available=available, pes=pes, chips=live)
    try:
        placement = _place(network, chip, machine, request, mapping, None if quick else rates or rates_of(network, {})[0])
        return replace(placement, late_inputs=late_inputs)
    except HostError as error:
        if quick or error.code is not Exit.DOES_NOT_FIT:
            raise

        def count_pes(other: str, other_form: str) -> int:
            return len(_place(network, chip, machine, replace(request, format=other_form, pes=None), other, None).pes)

        raise HostError(advice.explain(error, network, request, mapping, count_pes), error.code) from error


def _place(
    network: Network, chip: ChipSpec, machine: Machine, request: Request, mapping: str, rates: Mapping[int, float] | None
) -> Placement:
    """Deal, seat and lay out; without `rates`, chips are filled in order."""
    have = "one chip has" if request.chips == 1 else f"{request.chips} chips have"
    if request.pes is not None and request.pes > request.available:
        down = request.chips * len(QPES) * PES_PER_QPE - request.available
        less = f", {down} of them down" if down else ""
        raise HostError(f"--pes {request.pes}: {have} {request.available + down} PEs{less}", Exit.DOES_NOT_FIT)
    check_room(network, request)
    strategy = strategies.named(mapping)
    deals = strategy.deals(network, request)
    if len(deals[0]) > request.available:
        raise HostError(f"mapping {mapping!r} needs {len(deals[0])} PEs, {have} {request.available}", Exit.DOES_NOT_FIT)
    usable = {number: chip.usable_pes(number) for number in machine.live}
    room = {number: len(pes) for number, pes in usable.items()}
    assign = strategy.assign_chips
    on_chips = assign(network, machine, deals, room, rates) if assign and rates else fill_in_order(deals[0], room)
    free = {number: iter(pes) for number, pes in usable.items()}
    pes = tuple(_lay_out(network, request, next(free[number]), share) for number, share in on_chips)
    placement = Placement(network=network, chip=chip, machine=machine, request=request, mapping=mapping, pes=pes, late_inputs={})
    try:
        placement.configure(1)
    except RoutingError as error:
        raise HostError(str(error), Exit.DOES_NOT_FIT) from error
    return placement


def _lay_out(network: Network, request: Request, pe: PeId, share: Share) -> PlacedPe:
    """Return a PE with the regions of its SRAM; ShareTooLargeError where the share does not fit."""
    try:
        return PlacedPe(pe=pe, share=share, regions=tuple(plan_share(network, request, share, str(pe))))
    except SramOverflow as error:
        layers = "+".join(network.populations[units.population].name for units in share)
        raise ShareTooLargeError(f"{error} ({layers})", share) from error
