"""What a run's messages put on the networks on chip: from a ledger's events and placement, by the price's message mode.

In each of its turns a shard sends to every other PE that listens to its population. A message is a number of flits (each a whole
packet of up to 128 payload bits); how often it is sent to the PEs of its own chip follows from the mode:

- `dma`, `packets`: once for every destination PE;
- `qpe`: once for every QPE with a destination: a flit's header names a QPE and has 4 destination-PE bits (CP via SV);
- `multicast`: once; routers copy it where routes part. A packet an event, with key and value, and one that says "done".

What a population sends without keys (`dense`) is its slice in every mode, in `multicast` cut into packets of four bytes.

What is for other chips travels as in `multicast` in every mode, which is assumed: to the chip's event router, over links
(`host/cost/link_traffic.py`), and from the far chip's event router to each of its PEs that listens. The first shard of a
population on a chip says "done" to other chips for all of them. In `multicast` events are in that packet already; in other
modes the core writes them once more. Everything here is an exact integer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from host.cost.chip_streams import PACKET_VALUE_BYTES, ChipStreams, listeners, turn_packets
from host.cost.cost_table import CostTable, sends_vectors
from host.cost.exchanges import Exchanges
from host.cost.formats import KEY_BYTES
from host.cost.ledger import Ledger, PopulationFacts
from host.cost.mesh_paths import SITE, TABLES, copies_in, hops_between, link_uses, way_in, way_out
from host.cost.transfer_moves import TransferMoves
from models.network import F64, I64, Array
from models.numerics import payload_bytes
from noc.chip import ChipSpec
from noc.mesh_routes import LINKS, Link

_NUMBER = {link: number for number, link in enumerate(LINKS)}


@dataclass(frozen=True, kw_only=True)
class NocTraffic:
    """Messages of every turn of every shard, in flits of `flit_bytes`; `exchanges` says whose they are.

    `turn_exchange` (turns,) the exchange of each; `flits` (positions, turns) of one message; `copies` (turns,) destination
    PEs; `sends` (turns,) times that the sender injects a message for its own chip; `outgoing` (positions, turns) packets that
    it also writes for other chips; `leaves` (turns,) whether other chips listen; `payload_bytes` (turns,) of all its
    messages, each counted once, and `event_bytes` (turns,) of one event with its key. `loads_by_table` (tables, positions,
    exchanges, links) flits that each exchange puts on each link of a mesh, in the order of `links` of the chips `link_chips`,
    by either route table (`host/cost/mesh_paths.py`); `drawn` is the table that counts and maps go by. `all_ports`
    (positions, exchanges) flits through the busiest port into a PE: out of one they take no longer than it sends. `hops`
    (tables, exchanges) are those to the farthest listener on a sender's own chip, or target of a transfer; `hops_away` those
    to event routers, on the mean, and from them to the farthest, of both chips together; `mean_hops` those around the busiest
    link: the mean of all ways, none where copies spread, whose busiest place is a port at the end. `transfers` is what
    `transfer_moves` has. `arrived_packets` and `arrived_bytes` (PEs,) what PEs got from other chips over the run. Inputs are
    on meshes here only where they come from another chip.
    """

    exchanges: Exchanges
    turn_exchange: I64
    flits: I64
    copies: I64
    sends: I64
    outgoing: I64
    leaves: Array
    payload_bytes: I64
    event_bytes: I64
    flit_bytes: int
    links: tuple[Link, ...]
    link_chips: I64
    loads_by_table: I64
    drawn: int
    all_ports: I64
    hops: I64
    hops_away: F64
    mean_hops: F64
    transfers: TransferMoves | None
    arrived_packets: I64
    arrived_bytes: I64
    peaks: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What the price of transit has reckoned from loads already (`host/cost/transit.py`)."""

    @property
    def all_loads(self) -> I64:
        """Flits on each link, (positions, exchanges, links), by the routes that are drawn."""
        return np.asarray(self.loads_by_table[self.drawn], np.int64)

    @property
    def loads(self) -> I64:
        """Flits that each exchange of a layer puts on each link, (positions, layers' exchanges, links)."""
        return np.asarray(self.all_loads[:, self.exchanges.layers], np.int64)

    @property
    def ports(self) -> I64:
        """Flits of each exchange of a layer through the busiest port into a PE, (positions, layers' exchanges)."""
        return np.asarray(self.all_ports[:, self.exchanges.layers], np.int64)

    @cached_property
    def sent(self) -> I64:
        """Flits that each turn injects, (positions, turns)."""
        return np.asarray(self.flits * self.sends + self.outgoing, np.int64)

    def mesh_loads(self) -> MeshLoads:
        """Return the flits of all positions."""
        of_all = self.all_loads.sum(axis=0)
        used = np.flatnonzero(of_all.any(axis=0))  # the other table's links are left out
        return MeshLoads(
            links=tuple(self.links[link] for link in used.tolist()), chips=self.link_chips[used],
            flits=of_all[self.exchanges.layers].sum(axis=0)[used], all_flits=of_all.sum(axis=0)[used],
        )  # fmt: skip

    def peak_flits(self, pipelined: bool, with_input: bool = False) -> I64:
        """Return the flits on the busiest link or port while a layer's messages are under way, (positions, layers' exchanges), by
        the routes that are drawn.

        Layers that run `pipelined` share the meshes with all that is sent in the same tick; `with_input`, what inputs bring in
        then, too.
        """
        if not pipelined or not len(self.flits):
            return np.asarray(np.maximum(self.loads.max(axis=2, initial=0), self.ports), np.int64)
        on_links, in_ports = (self.exchanges.sum_by_tick(loads, with_input) for loads in (self.all_loads, self.all_ports))
        of_tick = np.maximum(on_links.max(axis=1, initial=0), in_ports)
        return np.asarray(self.exchanges.of_positions(of_tick, len(self.flits)), np.int64)


@dataclass(frozen=True, kw_only=True)
class MeshLoads:
    """Flits on links of meshes over a run, (links,) each: `chips` they are on, `flits` of layers, and `all_flits`, those of inputs
    among them. Links without any are left out.
    """

    links: tuple[Link, ...]
    chips: I64
    flits: I64
    all_flits: I64

    def plus(self, other: MeshLoads) -> MeshLoads:
        """Return the sum of two parts of a run."""
        if self.links == other.links and np.array_equal(self.chips, other.chips):
            return replace(self, flits=self.flits + other.flits, all_flits=self.all_flits + other.all_flits)
        sums: dict[tuple[int, int], I64] = {}  # by chip and number of the link
        for one in (self, other):
            for link, chip, *flits in zip(one.links, one.chips.tolist(), one.flits.tolist(), one.all_flits.tolist(), strict=True):
                at = chip, _NUMBER[link]
                sums[at] = sums.get(at, np.zeros(2, np.int64)) + np.array(flits, np.int64)
        order = sorted(sums)
        flits_of = np.array([sums[at] for at in order], np.int64).reshape(-1, 2)
        return MeshLoads(
            links=tuple(LINKS[number] for _, number in order), chips=np.array([chip for chip, _ in order], np.int64),
            flits=flits_of[:, 0], all_flits=flits_of[:, 1],
        )  # fmt: skip


def event_bytes_of(population: PopulationFacts, table: CostTable) -> int:
    """Return the bytes of an event of a population, with its key where it has one."""
    if population.dense:
        return payload_bytes(population.payload)
    return int(table["event_bytes"]) if population.payload == "float32" else KEY_BYTES + payload_bytes(population.payload)


def vector_bytes_of(population: PopulationFacts, lanes: int, units: int, table: CostTable) -> int:
    """Return the bytes of so many units' numbers, silent or not; of spikes, a bit each."""
    if population.payload == "spike":
        return -(-lanes * units // 8)
    value_bytes = int(table["value_bytes"]) if population.payload == "float32" else payload_bytes(population.payload)
    return lanes * units * value_bytes


def noc_traffic(
    ledger: Ledger, streams: ChipStreams, chip: ChipSpec, table: CostTable, transfers: TransferMoves | None = None
) -> NocTraffic:
    """Return what `ledger`'s messages and `transfers` put on the meshes of its chips, in the message mode of `table`; `streams`
    come from and go to other chips. A port that messages keep busiest is taken to be the one that transfers do.
    """
    listens, exchanges, turns = listeners(ledger), ledger.exchanges, ledger.turns
    turn_pe, turn_population = ledger.shards["pe"][turns.shard], ledger.shards["population"][turns.shard]
    turn_chip, own_chips = ledger.chip_of[turn_pe], sorted(set(ledger.chip_of.tolist()))
    flit_bytes = chip.payload_bits // 8
    payload, packets = _payload_bytes(ledger, table), turn_packets(ledger)
    multicast = table.settings["messages"] == "multicast"  # whose packets hold an event, and one more says "done"
    # Else at least one flit, because listeners wait for it.
    flits = packets + 1 if multicast else np.maximum(-(-payload // flit_bytes), 1)
    meshes = _Meshes(ledger, np.asarray(flits, np.int64), packets, table.settings["messages"], len(own_chips))
    packet_bytes = [PACKET_VALUE_BYTES if one.dense else event_bytes_of(one, table) for one in ledger.populations]
    for number, on_chip in enumerate(own_chips):
        here = np.flatnonzero(ledger.chip_of == on_chip)
        for n, population in enumerate(exchanges.population.tolist()):
            senders = np.flatnonzero((turn_chip == on_chip) & (turns.exchange == n))
            hearing = here[listens[here, population]]
            arriving = int(streams.arriving[n, on_chip])
            if len(senders):
                own = listens[turn_pe[senders], population]
                meshes.send(n, number, senders=senders, own=own, hearing=hearing, leaves=bool(streams.leaves[n, on_chip]))
            if len(hearing) and (len(senders) or arriving):
                came = streams.arriving_packets[:, n, on_chip]
                size = packet_bytes[population]
                meshes.deliver(n, number, senders=senders, hearing=hearing, packets=came, packet_bytes=size, streams=arriving)
    for (n, on_chip), crossed in transfers.mesh.items() if transfers else ():
        if on_chip in own_chips:
            meshes.add(n, own_chips.index(on_chip), crossed)
    if transfers:
        meshes.ports += transfers.ports
        meshes.hops, meshes.mean_hops = np.maximum(meshes.hops, transfers.hops), np.maximum(meshes.mean_hops, transfers.mean_hops)
    used = np.flatnonzero(meshes.loads.any(axis=(0, 1, 2)))
    return NocTraffic(
        exchanges=exchanges, turn_exchange=turns.exchange, flits=meshes.flits,
        copies=(listens.T @ ledger.multiplicity)[turn_population] - listens[turn_pe, turn_population], sends=meshes.sends,
        outgoing=meshes.outgoing, leaves=meshes.leaves, payload_bytes=payload.sum(axis=0),
        event_bytes=np.array([event_bytes_of(one, table) for one in ledger.populations], np.int64)[turn_population],
        flit_bytes=flit_bytes,
        links=tuple(LINKS[link % len(LINKS)] for link in used.tolist()), link_chips=np.array(own_chips)[used // len(LINKS)],
        loads_by_table=meshes.loads[..., used], all_ports=meshes.ports, drawn=int(table["nearest_routes_share"] >= 0.5),
        hops=meshes.hops, hops_away=meshes.away + meshes.back, mean_hops=meshes.mean_hops, transfers=transfers,
        arrived_packets=meshes.arrived_packets, arrived_bytes=meshes.arrived_bytes,
    )  # fmt: skip


def _payload_bytes(ledger: Ledger, table: CostTable) -> I64:
    """Return the payload bytes of one message of each turn, (positions, turns), before it is cut into flits."""
    events, shard = ledger.events.astype(np.int64), ledger.turns.shard
    payload = np.zeros(events.shape, np.int64)
    for number, one in enumerate(ledger.populations):
        of_it = np.flatnonzero(ledger.shards["population"][shard] == number)
        if one.dense or not sends_vectors(table.settings):
            payload[:, of_it] = events[:, of_it] * event_bytes_of(one, table)
        else:
            payload[:, of_it] = [
                vector_bytes_of(one, ledger.lanes, n, table) for n in ledger.shards["units"][shard[of_it]].tolist()
            ]
    return payload


class _Meshes:
    """The sums of `NocTraffic`, as they grow chip by chip and exchange by exchange; `away` and `back` are hops to and from event
    routers.
    """

    def __init__(self, ledger: Ledger, flits: I64, packets: I64, mode: str, chips: int) -> None:
        positions, turns, exchanges = ledger.positions, len(ledger.turns.shard), len(ledger.exchanges)
        self._pe, self._mode = ledger.shards["pe"][ledger.turns.shard], mode
        self._site = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64)
        self._packets = packets
        self.flits, self.outgoing = flits, np.zeros_like(flits)
        self.sends, self.leaves = np.zeros(turns, np.int64), np.zeros(turns, bool)
        self.loads = np.zeros((len(TABLES), positions, exchanges, chips * len(LINKS)), np.int64)
        self.ports = np.zeros((positions, exchanges), np.int64)
        self.hops = np.zeros((len(TABLES), exchanges), np.int64)
        self.mean_hops, self.away, self.back = (np.zeros((len(TABLES), exchanges)) for _ in range(3))
        self.arrived_packets, self.arrived_bytes = (np.zeros(len(ledger.pes), np.int64) for _ in range(2))

    def add(self, n: int, number: int, loads: I64) -> None:
        """Add what crosses the links of a chip in exchange `n`, (tables, positions, links)."""
        self.loads[:, :, n, number * len(LINKS) : (number + 1) * len(LINKS)] += loads

    def send(self, n: int, number: int, *, senders: I64, own: Array, hearing: I64, leaves: bool) -> None:
        """Add what turns `senders` of exchange `n` send on a chip to its PEs `hearing`, among them their `own`, and if it
        `leaves`, to its event router.
        """
        froms, to = self._site[self._pe[senders]], np.bincount(self._site[hearing], minlength=len(SITE))
        uses, self.sends[senders] = link_uses(froms, to, own, self._mode)
        self.add(n, number, _products(self.flits[:, senders], uses))
        farthest, mean = hops_between(froms, to)
        self.hops[:, n] = np.maximum(self.hops[:, n], farthest)
        if self._mode != "multicast":
            self.mean_hops[:, n] = np.maximum(self.mean_hops[:, n], mean)
        if leaves:
            self.leaves[senders] = True
            branch = way_out(froms)
            packets = self._packets[:, senders]
            if self._mode == "multicast":  # the same packets go both ways; "done" for this chip's own PEs does not
                loads = _products(packets, branch & (uses == 0))
            else:
                self.outgoing[:, senders] = packets
                loads = _products(packets, branch)
            self.outgoing[:, senders[0]] += 1
            self.add(n, number, loads + branch[:, None, 0])
            self.away[:, n] = np.maximum(self.away[:, n], branch.sum(axis=2).mean(axis=1))

    def deliver(self, n: int, number: int, *, senders: I64, hearing: I64, packets: I64, packet_bytes: int, streams: int) -> None:
        """Add what the PEs `hearing` of a chip get in exchange `n`: from the turns `senders` on their own chip, and from others
        `packets` (positions,) of `packet_bytes` and a "done" of each of their `streams`, over the chip's event router.
        """
        into = np.repeat(self.flits[:, senders].sum(axis=1)[:, None], len(hearing), axis=1)
        hears_itself = senders[np.isin(self._pe[senders], hearing)]
        into[:, np.searchsorted(hearing, self._pe[hears_itself])] -= self.flits[:, hears_itself]  # that does not travel
        if streams:
            came = packets + streams
            self.add(n, number, came[:, None] * copies_in(self._site[hearing])[:, None])
            self.back[:, n] = np.maximum(self.back[:, n], way_in(self._site[hearing]).sum(axis=2).max(axis=1))
            into += came[:, None]
            self.arrived_packets[hearing] += came.sum()
            self.arrived_bytes[hearing] += packet_bytes * packets.sum()
        self.ports[:, n] = np.maximum(self.ports[:, n], into.max(axis=1))


def _products(a: Array, b: Array) -> I64:
    """Return the integer matrix product, through float64: exact below 2**53, and faster; one row where all are alike."""
    if len(a) > 1 and (a[1:] == a[:1]).all():
        a = a[:1]
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64), np.int64)
