"""What a run's messages put on the networks on chip: from a ledger's events and placement, by the price's message mode.

A layer's shards send to every other PE of their layer and of the next one. A message is a number of flits (each a whole
packet of up to 128 payload bits); how often it is sent to the PEs of its own chip follows from the mode:

- `dma`, `packets`: once for every destination PE;
- `qpe`: once for every QPE with a destination: a flit's header names a QPE and has 4 destination-PE bits (CP via SV);
- `multicast`: once; routers copy it where routes part. A packet an event, with key and value, and one that says "done".

What is for other chips travels as in `multicast` in every mode, which is assumed: to the chip's event router, over links
(`host/cost/link_traffic.py`), and from the far chip's event router to each of its PEs that listens. The first shard of a layer on a
chip says "done" to other chips for all of them. In `multicast` events are in that packet already; in other modes the core
writes them once more.

Everything here is an exact integer. What it does not know: time, links between chips, and what the host sends or reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.cost.chip_streams import heard_by, runs_of, streams_of
from host.cost.cost_table import CostTable
from host.cost.ledger import I64, Ledger
from host.cost.mesh_paths import LINKS, SITE, crossed, hops_between, way_in, way_out
from models.network import Array
from noc.chip import ChipSpec
from noc.machine import Machine
from noc.xy_routes import Link


@dataclass(frozen=True)
class Traffic:
    """Messages of every shard, in flits. Layer 0 stands for the input.

    `flits` (positions, shards) of one message; `copies` (shards,) destination PEs; `sends` (shards,) times that the
    sender injects a message for its own chip; `outgoing` (positions, shards) packets that it writes for other chips
    beside; `leaves` (shards,) whether there are other chips that listen; `layer` (shards,) from 1. `loads` (positions,
    layers + 1, links) flits that each layer puts on each link of a mesh, in the order of `links` of the chips
    `link_chips`; `ports` (positions, layers + 1) flits through the busiest port between a PE and its router, in or out;
    `farthest` (layers + 1,) hops, on both chips together where it leads to another. `arrived_packets` and
    `arrived_events` (PEs,) what PEs got from other chips over the run. The input is on meshes only where it comes from
    another chip.
    """

    flits: I64
    copies: I64
    sends: I64
    outgoing: I64
    leaves: Array
    layer: I64
    links: tuple[Link, ...]
    link_chips: I64
    all_loads: I64
    all_ports: I64
    all_farthest: I64
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

    @property
    def farthest(self) -> I64:
        """Hops to the farthest listener of each layer, without the input, (layers,)."""
        return self.all_farthest[1:]

    @cached_property
    def sent(self) -> I64:
        """Flits that each shard injects, (positions, shards)."""
        return np.asarray(self.flits * self.sends + self.outgoing, np.int64)

    @property
    def input_busiest(self) -> I64:
        """Flits on the busiest link or port while the input goes to its chips, (positions,)."""
        return np.asarray(np.maximum(self.all_loads[:, 0].max(axis=1, initial=0), self.all_ports[:, 0]), np.int64)

    @property
    def input_farthest(self) -> int:
        """Hops of the input on the chip where it arrives."""
        return int(self.all_farthest[0])

    def busiest(self, side_by_side: bool, with_input: bool = False) -> I64:
        """Return the flits on the busiest link or port while a layer's messages are under way, (positions, layers).

        Layers that run `side_by_side` share the meshes: in a tick, layer l sends what it did at position t - l; `with_input`,
        the input of position t comes in beside.
        """
        if not side_by_side or not len(self.flits):
            return np.asarray(np.maximum(self.loads.max(axis=2, initial=0), self.ports), np.int64)
        on_links, in_ports = together(self.all_loads, with_input), together(self.all_ports, with_input)
        of_tick = np.maximum(on_links.max(axis=1, initial=0), in_ports)
        positions, layers = self.ports.shape
        return np.stack([of_tick[n : n + positions] for n in range(layers)], axis=1)


def together(loads: I64, with_input: bool) -> I64:
    """Return what each tick of a pipeline carries, (ticks, ...), of loads (positions, layers + 1, ...), layer 0 the input."""
    positions, layers = len(loads), loads.shape[1] - 1
    of_tick = np.zeros((positions + layers - 1, *loads.shape[2:]), np.int64)
    if with_input:
        of_tick[:positions] += loads[:, 0]
    for n in range(layers):
        of_tick[n : n + positions] += loads[:, n + 1]
    return of_tick


def traffic_of(ledger: Ledger, chip: ChipSpec, table: CostTable, machine: Machine) -> Traffic:
    """Return what `ledger`'s messages put on the meshes of the chips of `machine`, in the message mode of `table`."""
    shards, hears = ledger.table, heard_by(runs_of(ledger))
    shard_chip, own_chips = ledger.chip_of[shards["pe"]], sorted(set(ledger.chip_of.tolist()))
    meshes = _Meshes(ledger, message_flits(ledger, chip, table), table.settings["messages"], len(own_chips))
    between = streams_of(ledger, machine)
    for number, on_chip in enumerate(own_chips):
        here = np.flatnonzero(ledger.chip_of == on_chip)
        for n in range(len(ledger.layers) + 1):
            mine = np.flatnonzero((shard_chip == on_chip) & (shards["layer"] == n))
            listen = here[hears[here, n]]
            arriving = between.arriving[n, on_chip]
            if len(mine):
                meshes.send(n, number, mine, listen, bool(between.leaves[n, on_chip]))
            if len(listen) and (len(mine) or arriving):
                meshes.deliver(n, number, mine, listen, between.arriving_events[:, n, on_chip], int(arriving))
    used = np.flatnonzero(meshes.loads.any(axis=(0, 1)))
    return Traffic(
        meshes.flits, (hears.T @ ledger.times)[shards["layer"]] - 1, meshes.sends, meshes.outgoing, meshes.leaves, shards["layer"],
        tuple(LINKS[link % len(LINKS)] for link in used.tolist()), np.array(own_chips)[used // len(LINKS)],
        meshes.loads[:, :, used], meshes.ports, np.maximum(meshes.farthest, meshes.away + meshes.back),
        meshes.arrived_packets, meshes.arrived_events,
    )  # fmt: skip


def sends_vectors(table: CostTable) -> bool:
    """Tell whether a message holds the sender's whole slice of y, not events."""
    return table.settings["payload"] == "vector" and table.settings["messages"] != "multicast"


class _Meshes:
    """The sums of `Traffic`, as they grow chip by chip and layer by layer; `away` and `back` are hops to and from routers."""

    def __init__(self, ledger: Ledger, flits: I64, mode: str, chips: int) -> None:
        positions, shards, layers = ledger.positions, len(ledger.table["pe"]), len(ledger.layers) + 1
        self._pe, self._mode = ledger.table["pe"], mode
        self._site = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64)
        self._events = ledger.of("events").astype(np.int64)
        self.flits, self.outgoing = flits, np.zeros_like(flits)
        self.sends, self.leaves = np.zeros(shards, np.int64), np.zeros(shards, bool)
        self.loads, self.ports = (
            np.zeros((positions, layers, chips * len(LINKS)), np.int64),
            np.zeros((positions, layers), np.int64),
        )
        self.farthest, self.away, self.back = (np.zeros(layers, np.int64) for _ in range(3))
        self.arrived_packets, self.arrived_events = (np.zeros(len(ledger.pes), np.int64) for _ in range(2))

    def send(self, n: int, number: int, mine: I64, listen: I64, leaves: bool) -> None:
        """Add what the shards `mine` of layer `n` on a chip send to its PEs `listen`, and if it `leaves`, to its event router."""
        on_chip = self.loads[:, n, number * len(LINKS) : (number + 1) * len(LINKS)]
        froms, to = self._site[self._pe[mine]], np.bincount(self._site[listen], minlength=len(SITE))
        uses, self.sends[mine] = crossed(froms, to, self._mode)
        on_chip += _products(self.flits[:, mine], uses)
        self.farthest[n] = max(self.farthest[n], hops_between(froms, to))
        if leaves:
            self.leaves[mine] = True
            branch = way_out(froms)
            if self._mode == "multicast":  # the same packets go both ways; "done" for this chip's own PEs does not
                on_chip += _products(self._events[:, mine], branch & (uses == 0))
            else:
                self.outgoing[:, mine] = self._events[:, mine]
                on_chip += _products(self._events[:, mine], branch)
            self.outgoing[:, mine[0]] += 1
            on_chip += branch[0]
            self.away[n] = max(self.away[n], branch.sum(axis=1).max())
        out = self.flits[:, mine] * self.sends[mine] + self.outgoing[:, mine]
        self.ports[:, n] = np.maximum(self.ports[:, n], out.max(axis=1))

    def deliver(self, n: int, number: int, mine: I64, listen: I64, events: I64, streams: int) -> None:
        """Add what the PEs `listen` of a chip get of layer `n`: from the shards `mine` on their own chip, and from others
        `events` (positions,) and a "done" of each of their `streams`, over the chip's event router.
        """
        into = np.repeat(self.flits[:, mine].sum(axis=1)[:, None], len(listen), axis=1)
        into[:, np.searchsorted(listen, self._pe[mine])] -= self.flits[:, mine]  # what a PE sends itself does not travel
        if streams:
            came, ways = events + streams, way_in(self._site[listen])
            self.loads[:, n, number * len(LINKS) : (number + 1) * len(LINKS)] += came[:, None] * ways.any(axis=0)
            self.back[n] = max(self.back[n], ways.sum(axis=1).max())
            into += came[:, None]
            self.arrived_packets[listen] += came.sum()
            self.arrived_events[listen] += events.sum()
        self.ports[:, n] = np.maximum(self.ports[:, n], into.max(axis=1))


def message_bytes(ledger: Ledger, table: CostTable) -> I64:
    """Return the payload bytes of one message of each shard, (positions, shards), before it is cut into flits."""
    events = ledger.of("events").astype(np.int64)
    if not sends_vectors(table):
        return np.asarray(events * int(table["event_bytes"]), np.int64)
    vector = ledger.lanes * ledger.table["units"] * int(table["value_bytes"])
    return np.array(np.broadcast_to(vector, events.shape), np.int64)


def message_flits(ledger: Ledger, chip: ChipSpec, table: CostTable) -> I64:
    """Return the flits of one message of each shard, (positions, shards): at least one, because its listeners wait for it."""
    if table.settings["messages"] == "multicast":
        return np.asarray(ledger.of("events").astype(np.int64) + 1, np.int64)
    return np.asarray(np.maximum(-(-message_bytes(ledger, table) // (chip.payload_bits // 8)), 1), np.int64)


def events_heard(ledger: Ledger, port: str) -> I64:
    """Return how many events each shard took in through a port for each position's step, (positions, shards).

    Through `input` those of the layer before at the same position; through `recurrent` its own layer's one before.
    """
    layer = ledger.table["layer"]
    events = ledger.of("events") * ledger.times[ledger.table["pe"]]
    sums = np.stack([ledger.input_events, *(events[:, layer == n].sum(axis=1) for n in range(1, len(ledger.layers) + 1))], axis=1)
    if port == "input":
        return np.asarray(sums[:, layer - 1], np.int64)
    before = np.concatenate([np.zeros((min(1, len(sums)), sums.shape[1]), np.int64), sums[:-1]])
    return np.asarray(before[:, layer], np.int64)


def _products(a: Array, b: Array) -> I64:
    """Return the integer matrix product, through float64: exact below 2**53, and many times as fast."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64), np.int64)
