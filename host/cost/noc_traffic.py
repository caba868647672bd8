"""What a run's messages put on the networks on chip: from a ledger's events and placement, by the price's message mode.

A layer's shards send to every other PE of their layer and of the next one. A message is a number of flits (each a whole
packet of up to 128 payload bits); how often it is sent to the PEs of its own chip follows from the mode:

- `dma`, `packets`: once for every destination PE;
- `qpe`: once for every QPE with a destination: a flit's header names a QPE and has 4 destination-PE bits (CP via SV);
- `multicast`: once; routers copy it where routes part. A packet an event, with key and value, and one that says "done".

What is for other chips travels as in `multicast` in every mode, which is assumed: to the chip's event router, over links
(`host/cost/link_traffic.py`), and from the far chip's event router to each of its PEs that listens. The first shard of a layer on a
chip says "done" to other chips for all of them. In `multicast` events are in that packet already; in other modes the core
writes them once more. Everything here is an exact integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.chip_streams import ChipStreams, listeners
from host.cost.cost_table import CostTable, sends_vectors
from host.cost.ledger import Ledger
from host.cost.mesh_paths import LINKS, SITE, hops_between, link_uses, way_in, way_out
from models.network import I64, Array
from noc.chip import ChipSpec
from noc.xy_routes import Link


@dataclass(frozen=True)
class NocTraffic:
    """Messages of every shard, in flits of `flit_bytes`. Layer 0 stands for the input.

    `flits` (positions, shards) of one message; `copies` (shards,) destination PEs; `sends` (shards,) times that the
    sender injects a message for its own chip; `outgoing` (positions, shards) packets that it also writes for other chips;
    `leaves` (shards,) whether other chips listen; `payload_bytes` (shards,) of all its messages, each counted once, and
    `event_bytes` of one event with its key. `all_loads` (positions, layers + 1, links) flits that each layer puts on each link
    of a mesh, in the order of `links` of the chips `link_chips`; `all_ports` (positions, layers + 1) flits through the busiest
    port between a PE and its router, in or out; `farthest` (layers + 1,) hops to a listener, on both chips together where it is
    on another one. `arrived_packets` and `arrived_events` (PEs,) what PEs got from other chips over the run. The input is on
    meshes only where it comes from another chip.
    """

    flits: I64
    copies: I64
    sends: I64
    outgoing: I64
    leaves: Array
    payload_bytes: I64
    event_bytes: int
    flit_bytes: int
    links: tuple[Link, ...]
    link_chips: I64
    all_loads: I64
    all_ports: I64
    farthest: I64
    arrived_packets: I64
    arrived_events: I64

    @property
    def loads(self) -> I64:
        """Flits that each layer, without the input, puts on each link, (positions, layers, links)."""
        return self.all_loads[:, 1:]

    @property
    def ports(self) -> I64:
        """Flits of each layer, without the input, through the busiest port, (positions, layers)."""
        return self.all_ports[:, 1:]

    @cached_property
    def sent(self) -> I64:
        """Flits that each shard injects, (positions, shards)."""
        return np.asarray(self.flits * self.sends + self.outgoing, np.int64)

    @property
    def input_peak_flits(self) -> I64:
        """Flits on the busiest link or port while the input goes to its chips, (positions,)."""
        return np.asarray(np.maximum(self.all_loads[:, 0].max(axis=1, initial=0), self.all_ports[:, 0]), np.int64)

    def peak_flits(self, pipelined: bool, with_input: bool = False) -> I64:
        """Return the flits on the busiest link or port while a layer's messages are under way, (positions, layers).

        Layers that run `pipelined` share the meshes: in a tick, layer l sends what it did at position t - l; `with_input`,
        the input of position t comes in, too.
        """
        if not pipelined or not len(self.flits):
            return np.asarray(np.maximum(self.loads.max(axis=2, initial=0), self.ports), np.int64)
        on_links, in_ports = sum_by_tick(self.all_loads, with_input), sum_by_tick(self.all_ports, with_input)
        of_tick = np.maximum(on_links.max(axis=1, initial=0), in_ports)
        positions, layers = self.ports.shape
        return np.stack([of_tick[n : n + positions] for n in range(layers)], axis=1)


def sum_by_tick(loads: I64, with_input: bool) -> I64:
    """Return what each tick of a pipeline carries, (ticks, ...), of loads (positions, layers + 1, ...), layer 0 the input."""
    positions, layers = len(loads), loads.shape[1] - 1
    of_tick = np.zeros((positions + layers - 1, *loads.shape[2:]), np.int64)
    if with_input:
        of_tick[:positions] += loads[:, 0]
    for n in range(layers):
        of_tick[n : n + positions] += loads[:, n + 1]
    return of_tick


def noc_traffic(ledger: Ledger, streams: ChipStreams, chip: ChipSpec, table: CostTable) -> NocTraffic:
    """Return what `ledger`'s messages put on the meshes of its chips, in the message mode of `table`; `streams` come from and
    go to other chips.
    """
    shards, listens = ledger.table, listeners(ledger)
    shard_chip, own_chips = ledger.chip_of[shards["pe"]], sorted(set(ledger.chip_of.tolist()))
    event_bytes, flit_bytes = int(table["event_bytes"]), chip.payload_bits // 8
    payload_bytes = _payload_bytes(ledger, table, event_bytes)
    multicast = table.settings["messages"] == "multicast"  # whose packets hold an event, and one more says "done"
    # Else at least one flit, because listeners wait for it.
    flits = ledger.of("events").astype(np.int64) + 1 if multicast else np.maximum(-(-payload_bytes // flit_bytes), 1)
    meshes = _Meshes(ledger, np.asarray(flits, np.int64), table.settings["messages"], len(own_chips))
    for number, on_chip in enumerate(own_chips):
        here = np.flatnonzero(ledger.chip_of == on_chip)
        for n in range(len(ledger.layers) + 1):
            senders = np.flatnonzero((shard_chip == on_chip) & (shards["layer"] == n))
            hearing = here[listens[here, n]]
            arriving = int(streams.arriving[n, on_chip])
            if len(senders):
                meshes.send(n, number, senders, hearing, leaves=bool(streams.leaves[n, on_chip]))
            if len(hearing) and (len(senders) or arriving):
                events = streams.arriving_events[:, n, on_chip]
                meshes.deliver(n, number, senders, hearing, events=events, streams=arriving)
    used = np.flatnonzero(meshes.loads.any(axis=(0, 1)))
    return NocTraffic(
        flits=meshes.flits, copies=(listens.T @ ledger.multiplicity)[shards["layer"]] - 1, sends=meshes.sends,
        outgoing=meshes.outgoing, leaves=meshes.leaves,
        payload_bytes=payload_bytes.sum(axis=0), event_bytes=event_bytes, flit_bytes=flit_bytes,
        links=tuple(LINKS[link % len(LINKS)] for link in used.tolist()), link_chips=np.array(own_chips)[used // len(LINKS)],
        all_loads=meshes.loads[:, :, used], all_ports=meshes.ports,
        farthest=np.maximum(meshes.farthest, meshes.away + meshes.back),
        arrived_packets=meshes.arrived_packets, arrived_events=meshes.arrived_events,
    )  # fmt: skip


def _payload_bytes(ledger: Ledger, table: CostTable, event_bytes: int) -> I64:
    """Return the payload bytes of one message of each shard, (positions, shards), before it is cut into flits."""
    events = ledger.of("events").astype(np.int64)
    if not sends_vectors(table.settings):
        return events * event_bytes
    vector = ledger.lanes * ledger.table["units"] * int(table["value_bytes"])
    return np.array(np.broadcast_to(vector, events.shape), np.int64)


class _Meshes:
    """The sums of `NocTraffic`, as they grow chip by chip and layer by layer; `away` and `back` are hops to and from routers."""

    def __init__(self, ledger: Ledger, flits: I64, mode: str, chips: int) -> None:
        positions, shards, layers = ledger.positions, len(ledger.table["pe"]), len(ledger.layers) + 1
        self._pe, self._mode = ledger.table["pe"], mode
        self._site = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64)
        self._events = ledger.of("events").astype(np.int64)
        self.flits, self.outgoing = flits, np.zeros_like(flits)
        self.sends, self.leaves = np.zeros(shards, np.int64), np.zeros(shards, bool)
        self.loads = np.zeros((positions, layers, chips * len(LINKS)), np.int64)
        self.ports = np.zeros((positions, layers), np.int64)
        self.farthest, self.away, self.back = (np.zeros(layers, np.int64) for _ in range(3))
        self.arrived_packets, self.arrived_events = (np.zeros(len(ledger.pes), np.int64) for _ in range(2))

    def send(self, n: int, number: int, senders: I64, hearing: I64, leaves: bool) -> None:
        """Add what shards of layer `n` on a chip send to its PEs `hearing`, and if it `leaves`, to its event router."""
        on_chip = self.loads[:, n, number * len(LINKS) : (number + 1) * len(LINKS)]
        froms, to = self._site[self._pe[senders]], np.bincount(self._site[hearing], minlength=len(SITE))
        uses, self.sends[senders] = link_uses(froms, to, self._mode)
        on_chip += _products(self.flits[:, senders], uses)
        self.farthest[n] = max(self.farthest[n], hops_between(froms, to))
        if leaves:
            self.leaves[senders] = True
            branch = way_out(froms)
            if self._mode == "multicast":  # the same packets go both ways; "done" for this chip's own PEs does not
                on_chip += _products(self._events[:, senders], branch & (uses == 0))
            else:
                self.outgoing[:, senders] = self._events[:, senders]
                on_chip += _products(self._events[:, senders], branch)
            self.outgoing[:, senders[0]] += 1
            on_chip += branch[0]
            self.away[n] = max(self.away[n], branch.sum(axis=1).max())
        out = self.flits[:, senders] * self.sends[senders] + self.outgoing[:, senders]
        self.ports[:, n] = np.maximum(self.ports[:, n], out.max(axis=1))

    def deliver(self, n: int, number: int, senders: I64, hearing: I64, events: I64, streams: int) -> None:
        """Add what the PEs `hearing` of a chip get of layer `n`: from the shards `senders` on their own chip, and from others
        `events` (positions,) and a "done" of each of their `streams`, over the chip's event router.
        """
        into = np.repeat(self.flits[:, senders].sum(axis=1)[:, None], len(hearing), axis=1)
        into[:, np.searchsorted(hearing, self._pe[senders])] -= self.flits[:, senders]  # what a PE sends itself does not travel
        if streams:
            came, ways = events + streams, way_in(self._site[hearing])
            self.loads[:, n, number * len(LINKS) : (number + 1) * len(LINKS)] += came[:, None] * ways.any(axis=0)
            self.back[n] = max(self.back[n], ways.sum(axis=1).max())
            into += came[:, None]
            self.arrived_packets[hearing] += came.sum()
            self.arrived_events[hearing] += events.sum()
        self.ports[:, n] = np.maximum(self.ports[:, n], into.max(axis=1))


def _products(a: Array, b: Array) -> I64:
    """Return the integer matrix product, through float64: exact below 2**53, and many times as fast."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64), np.int64)
