"""What a run's messages put on the networks on chip: from a ledger's events and placement, by the price's message mode.

A layer's shards send to every other PE of their layer and of the next one. A message is a number of flits (each a whole
packet of up to 128 payload bits); how often it is sent to the PEs of its own chip follows from the mode:

- `dma`, `packets`: once for every destination PE;
- `qpe`: once for every QPE with a destination: a flit's header names a QPE and has 4 destination-PE bits (CP via SV);
- `multicast`: once; routers copy it where routes part. A packet an event, with key and value, and one that says "done".

What is for other chips travels as in `multicast` in every mode, which is assumed: to the chip's event router, over links
(`host/links.py`), and from the far chip's event router to each of its PEs that listens. The first shard of a layer on a
chip says "done" to other chips for all of them. In `multicast` events are in that packet already; in other modes the core
writes them once more.

Everything here is an exact integer. What it does not know: time, links between chips, and what the host sends or reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from host.chips import heard_by, runs_of, streams_of
from host.cost_table import CostTable
from host.ledger import I64, Ledger
from host.meshes import LINKS, SITE, crossed, hops_between, way_in, way_out
from models.network import Array
from noc.chip import ChipSpec
from noc.machine import Machine
from noc.mesh import Link


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
    shards, layers, mode = ledger.table, len(ledger.layers), table.settings["messages"]
    events, flits = ledger.of("events").astype(np.int64), message_flits(ledger, chip, table)
    hears, between = heard_by(runs_of(ledger)), streams_of(ledger, machine)
    sends, copies = np.zeros(len(shards["pe"]), np.int64), hears.T @ ledger.times
    outgoing, leaves = np.zeros_like(flits), np.zeros(len(sends), bool)
    own_chips = sorted(set(ledger.chip_of.tolist()))
    loads = np.zeros((ledger.positions, layers + 1, len(own_chips) * len(LINKS)), np.int64)
    ports, farthest = np.zeros((ledger.positions, layers + 1), np.int64), np.zeros(layers + 1, np.int64)
    back, away = np.zeros_like(farthest), np.zeros_like(farthest)
    arrived_packets, arrived_events = np.zeros(len(ledger.pes), np.int64), np.zeros(len(ledger.pes), np.int64)
    site = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64)
    shard_chip = ledger.chip_of[shards["pe"]]
    for number, on_chip in enumerate(own_chips):
        here = np.flatnonzero(ledger.chip_of == on_chip)
        at = slice(number * len(LINKS), (number + 1) * len(LINKS))
        for n in range(layers + 1):
            mine = np.flatnonzero((shard_chip == on_chip) & (shards["layer"] == n))
            listen = here[hears[here, n]]
            into = np.zeros((ledger.positions, len(listen)), np.int64)
            if len(mine):
                to = np.bincount(site[listen], minlength=len(SITE))
                froms = site[shards["pe"][mine]]
                uses, sends[mine] = crossed(froms, to, mode)
                loads[:, n, at] += _products(flits[:, mine], uses)
                farthest[n] = max(farthest[n], hops_between(froms, to))
                into += _heard(flits[:, mine], shards["pe"][mine], listen)
                if between.leaves[n, on_chip]:
                    leaves[mine] = True
                    branch = way_out(froms)
                    if mode == "multicast":  # the same packets go both ways; "done" for this chip's own PEs does not
                        loads[:, n, at] += _products(events[:, mine], branch & (uses == 0))
                    else:
                        outgoing[:, mine] += events[:, mine]
                        loads[:, n, at] += _products(events[:, mine], branch)
                    outgoing[:, mine[0]] += 1
                    loads[:, n, at] += branch[0]
                    away[n] = max(away[n], branch.sum(axis=1).max())
                out = flits[:, mine] * sends[mine] + outgoing[:, mine]
                ports[:, n] = np.maximum(ports[:, n], out.max(axis=1, initial=0))
            if len(listen) and between.arriving[n, on_chip]:
                came = between.arriving_events[:, n, on_chip] + between.arriving[n, on_chip]
                ways = way_in(site[listen])
                loads[:, n, at] += came[:, None] * ways.any(axis=0)
                back[n] = max(back[n], ways.sum(axis=1).max())
                into += came[:, None]
                arrived_packets[listen] += came.sum()
                arrived_events[listen] += between.arriving_events[:, n, on_chip].sum()
            ports[:, n] = np.maximum(ports[:, n], into.max(axis=1, initial=0))
    used = np.flatnonzero(loads.any(axis=(0, 1)))
    return Traffic(
        flits, copies[shards["layer"]] - 1, sends, outgoing, leaves, shards["layer"],
        tuple(LINKS[link % len(LINKS)] for link in used.tolist()), np.array(own_chips)[used // len(LINKS)], loads[:, :, used],
        ports, np.maximum(farthest, away + back), arrived_packets, arrived_events,
    )  # fmt: skip


def sends_vectors(table: CostTable) -> bool:
    """Tell whether a message holds the sender's whole slice of y, not events."""
    return table.settings["payload"] == "vector" and table.settings["messages"] != "multicast"


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


def _heard(flits: I64, pes: Array, listeners: Array) -> I64:
    """Return the flits that each listener gets of shards on its own chip, (positions, listeners): all but its own PE's.

    `flits` (positions, shards); `pes` (shards,) and `listeners` (listeners,) are PEs, each shard on another one.
    """
    own = np.zeros((len(flits), len(listeners)), np.int64)
    own[:, np.searchsorted(listeners, pes)] = flits
    return np.asarray(flits.sum(axis=1, keepdims=True) - own, np.int64)


def _products(a: Array, b: Array) -> I64:
    """Return the integer matrix product, through float64: exact below 2**53, and many times as fast."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64), np.int64)
