"""What a run's messages put on the network on chip: from a ledger's events and placement, by the price's message mode.

A layer's shards send to every other PE of their layer and of the next one. A message is a number of flits (each a whole
packet of up to 128 payload bits); how often it is sent follows from the mode:

- `dma`, `packets`: once for every destination PE;
- `qpe`: once for every QPE with a destination: a flit's header names a QPE and has 4 destination-PE bits (CP via SV);
- `multicast`: once; routers copy it where routes part. A packet an event, with key and value, and one that says "done".

Everything here is an exact integer. What it does not know: time, and what the host sends or reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from host.cost_table import CostTable
from host.ledger import I64, Ledger
from models.network import Array
from noc.chip import ChipSpec, PeId
from noc.mesh import Link, path


@dataclass(frozen=True)
class Traffic:
    """Messages of every shard, in flits.

    `flits` (positions, shards) of one message; `copies` (shards,) destination PEs; `sends` (shards,) times that the
    sender injects a message; `hears` (shards, PEs) 1 where a PE gets a shard's messages; `layer` (shards,) from 1.
    `loads` (positions, layers, links) flits that each layer's messages put on each link, in the order of `links`;
    `ports` (positions, layers) flits through the busiest port between a PE and its router, in or out; `farthest`
    (layers,) hops.
    """

    flits: I64
    copies: I64
    sends: I64
    hears: I64
    layer: I64
    links: tuple[Link, ...]
    loads: I64
    ports: I64
    farthest: I64

    @cached_property
    def sent(self) -> I64:
        """Flits that each shard injects, (positions, shards)."""
        return np.asarray(self.flits * self.sends, np.int64)

    def busiest(self, side_by_side: bool) -> I64:
        """Return the flits on the busiest link or port while a layer's messages are under way, (positions, layers).

        Layers that run `side_by_side` share the mesh: in a tick, layer l sends what it did at position t - l.
        """
        if not side_by_side or not len(self.flits):
            return np.asarray(np.maximum(self.loads.max(axis=2, initial=0), self.ports), np.int64)
        positions, layers, links = self.loads.shape
        on_links, in_ports = np.zeros((positions + layers - 1, links), np.int64), np.zeros(positions + layers - 1, np.int64)
        for n in range(layers):
            on_links[n : n + positions] += self.loads[:, n]
            in_ports[n : n + positions] += self.ports[:, n]
        of_tick = np.maximum(on_links.max(axis=1, initial=0), in_ports)
        return np.stack([of_tick[n : n + positions] for n in range(layers)], axis=1)


def traffic_of(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Traffic:
    """Return what `ledger`'s messages put on the mesh of `chip` in the message mode of `table`."""
    mode, shards, layers = table.settings["messages"], ledger.table, len(ledger.layers)
    flits = message_flits(ledger, chip, table)
    of_layer = [sorted(set(shards["pe"][shards["layer"] == n].tolist())) for n in range(1, layers + 2)]
    index: dict[Link, int] = {}
    crossed: list[dict[int, int]] = []
    hears = np.zeros((len(shards["pe"]), len(ledger.pes)), np.int64)
    farthest, sends = np.zeros(layers, np.int64), []
    for shard, (pe, layer) in enumerate(zip(shards["pe"].tolist(), shards["layer"].tolist(), strict=True)):
        to = sorted({*of_layer[layer - 1], *of_layer[layer]} - {pe})
        hears[shard, to] = 1
        routes, count = _routes(ledger.pes[pe], [ledger.pes[other] for other in to], mode)
        sends.append(count)
        farthest[layer - 1] = max([farthest[layer - 1], *(len(_path(ledger.pes[pe], ledger.pes[other])) for other in to)])
        row: dict[int, int] = {}
        for link in (link for route in routes for link in route):
            number = index.setdefault(link, len(index))
            row[number] = row.get(number, 0) + 1
        crossed.append(row)
    uses = np.zeros((len(crossed), len(index)), np.int64)
    for shard, row in enumerate(crossed):
        uses[shard, list(row)] = list(row.values())
    loads = np.zeros((ledger.positions, layers, len(index)), np.int64)
    ports = np.zeros((ledger.positions, layers), np.int64)
    for n in range(layers):
        mine = shards["layer"] == n + 1
        loads[:, n] = _products(flits[:, mine], uses[mine])
        heard = _products(flits[:, mine], hears[mine]).max(axis=1, initial=0)
        ports[:, n] = np.maximum(heard, (flits * np.array(sends, np.int64))[:, mine].max(axis=1, initial=0))
    return Traffic(
        flits, hears.sum(axis=1), np.array(sends, np.int64), hears, shards["layer"], tuple(index), loads, ports, farthest
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
    events, layer = ledger.of("events").astype(np.int64), ledger.table["layer"]
    sums = np.stack([ledger.input_events, *(events[:, layer == n].sum(axis=1) for n in range(1, len(ledger.layers) + 1))], axis=1)
    if port == "input":
        return np.asarray(sums[:, layer - 1], np.int64)
    before = np.concatenate([np.zeros((min(1, len(sums)), sums.shape[1]), np.int64), sums[:-1]])
    return np.asarray(before[:, layer], np.int64)


@cache
def _between(a: tuple[int, int], b: tuple[int, int]) -> tuple[Link, ...]:
    return tuple(path(PeId(0, *a, 0), PeId(0, *b, 0)))


def _path(a: PeId, b: PeId) -> tuple[Link, ...]:
    return _between((a.x, a.y), (b.x, b.y))  # the same for all PEs of two QPEs


def _routes(source: PeId, to: list[PeId], mode: str) -> tuple[Iterable[Iterable[Link]], int]:
    """Return the links of each packet of a message, and how often the sender injects it."""
    if mode == "multicast":
        return [{link for other in to for link in _path(source, other)}], 1
    if mode == "qpe":
        to = list({(other.x, other.y): other for other in to}.values())
    return [_path(source, other) for other in to], len(to)


def _products(a: Array, b: Array) -> I64:
    """Return the integer matrix product, through float64: exact below 2**53, and many times as fast."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64), np.int64)
