"""What a run's transfers move: from the ledger's counts of each position to flits, packets between chips, and bytes of DRAM.

A transfer within a chip is a DMA, in every message mode; a READ of the chip's own DRAM is one of the bytes that it brings. What
goes to another chip travels as its events do, which is assumed: packets of four bytes that the core writes, to the event router,
over the links of its chip's tree, and from the far event router to the PE. A READ over links is one packet, and its answer
takes the way back from there. What a DRAM moves comes from and goes to both of its interfaces alike. The way to the host ends at
its chip.

The ledger has messages and bytes of each sender, target and position: those of one are taken to be alike, and all of them to be
sent at once, in the first exchange of the layer's step at the position. Everything here is an exact integer under that.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import PACKET_VALUE_BYTES
from host.cost.ledger import BYTES, MESSAGES, READ_BYTES, READS, Ledger
from host.cost.mesh_paths import DRAMS, ROUTER_PORT, SITE, TABLES, between_drams, hops_between, link_uses, way_in, way_out
from host.cost.router_flows import PortPairs
from models.network import F64, I64
from noc.machine import Machine
from noc.mesh_routes import LINKS

Crossing = tuple[int, int, int, I64]  # an exchange, a chip, another one, and packets (positions,)


@dataclass(frozen=True)
class TransferMoves:
    """`dma_messages`, `dma_flits`, `packet_messages` and `packets` (positions, shards) of senders; `dram_bytes` (positions,
    layers' exchanges) of the busiest DRAM; `mesh` maps (exchange, chip) to flits (tables, positions, links of a mesh),
    `ports` (positions, exchanges) flits of the busiest port into a PE, `pairs` by (exchange, chip) the same by where they go;
    `hops` (tables, exchanges) of the longest way on a mesh, and `mean_hops` of all ways; `crossings` between chips. Bytes
    over the run by PE: `read_bytes` and `written_bytes` of SRAM, `dram_read_bytes` and `dram_written_bytes` of DRAMs by who
    asked.
    """

    dma_messages: I64
    dma_flits: I64
    packet_messages: I64
    packets: I64
    dram_bytes: I64
    mesh: dict[tuple[int, int], I64]
    pairs: dict[tuple[int, int], PortPairs]
    ports: I64
    hops: I64
    mean_hops: F64
    crossings: list[Crossing]
    read_bytes: I64
    written_bytes: I64
    dram_read_bytes: I64
    dram_written_bytes: I64


def transfer_moves(ledger: Ledger, machine: Machine, flit_bytes: int) -> TransferMoves | None:
    """Return what the transfers of a run move; None where there are none."""
    if not ledger.has_transfers:
        return None
    peers, counts, positions = ledger.peers, ledger.transfers.astype(np.int64), ledger.positions
    exchange_of = {int(n): e for e, n in reversed(list(enumerate(ledger.exchanges.population.tolist())))}  # the first of each
    shard = peers["shard"]
    sender, target = ledger.shards["pe"][shard], peers["pe"]
    exchange = np.array([exchange_of[n] for n in ledger.shards["population"][shard].tolist()], np.int64)
    at_host = peers["chip"] < 0
    from_chip, to_chip = ledger.chip_of[sender], np.where(at_host, machine.host_chip, peers["chip"])
    here, is_dram = (from_chip == to_chip) & ~at_host, (target < 0) & ~at_host
    sent, size = counts[:, :, MESSAGES], counts[:, :, BYTES]
    reads, read_bytes = counts[:, :, READS], counts[:, :, READ_BYTES]
    flits, answer_flits = _cut(sent, size, flit_bytes), _cut(reads, read_bytes, flit_bytes)
    packets, answer_packets = _cut(sent, size, PACKET_VALUE_BYTES) + reads, _cut(reads, read_bytes, PACKET_VALUE_BYTES)
    shards, pes = len(ledger.shards["pe"]), len(ledger.pes)
    into = np.zeros((positions, len(ledger.exchanges), pes), np.int64)
    stores: dict[tuple[int, int], I64] = defaultdict(lambda: np.zeros(positions, np.int64))
    meshes = _MeshSums(positions, len(ledger.exchanges))
    crossings: list[Crossing] = []
    site = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64)
    core = np.array([pe.p for pe in ledger.pes], np.int64)
    has_any = np.asarray(counts.any(axis=(0, 2)))  # workers may know many peers, and send to few
    for row, (e, pe, to) in enumerate(zip(exchange.tolist(), sender.tolist(), target.tolist(), strict=True)):
        if not has_any[row]:
            continue
        chip, other = int(from_chip[row]), int(to_chip[row])
        into[:, e, pe] += answer_flits[:, row] if here[row] else answer_packets[:, row]
        if is_dram[row]:
            stores[e, other] += size[:, row] + read_bytes[:, row]
        elif to >= 0:
            into[:, e, to] += flits[:, row] if here[row] else packets[:, row]
        if here[row] and to >= 0:
            only = np.bincount(site[[to]], minlength=len(SITE))
            uses = link_uses(site[[pe]], only, np.zeros(1, np.int64), "dma")[0]
            meshes.add(e, chip, flits[:, row], uses, hops_between(site[[pe]], only)[0][:, None])
            meshes.pair(e, chip, flits[:, row], (site[pe], core[pe]), (site[to], core[to]))
        elif here[row]:
            for amount, to_dram in ((flits[:, row], True), (answer_flits[:, row], False)):
                uses, ways = between_drams(site[[pe]], to_dram)
                half = -(-amount // len(DRAMS))
                meshes.add(e, chip, half, uses, ways[:, 0])
                following = np.maximum(half - reads[:, row], 0) * (not to_dram)  # a DRAM sends faster than a PE takes
                for dram in DRAMS:
                    own, other_end = (site[pe], core[pe]), (dram, 0)
                    start, goal = (own, other_end) if to_dram else (other_end, own)
                    meshes.pair(e, chip, half, start, goal, following)
        if chip != other:
            meshes.add(e, chip, packets[:, row], way_out(site[[pe]]))
            meshes.pair(e, chip, packets[:, row], (site[pe], core[pe]), (ROUTER_PORT[site[pe]], 0))
            meshes.add(e, chip, answer_packets[:, row], way_in(site[[pe]]))
            meshes.pair(e, chip, answer_packets[:, row], (ROUTER_PORT[site[pe]], 0), (site[pe], core[pe]))
            if to >= 0:
                meshes.add(e, other, packets[:, row], way_in(site[[to]]))
                meshes.pair(e, other, packets[:, row], (ROUTER_PORT[site[to]], 0), (site[to], core[to]))
            crossings += [(e, chip, other, packets[:, row]), (e, other, chip, answer_packets[:, row])]
    layers = ledger.exchanges.layers
    dram_bytes = np.zeros((positions, len(layers)), np.int64)
    for (e, _), amount in stores.items():
        column = int(np.searchsorted(layers, e))
        dram_bytes[:, column] = np.maximum(dram_bytes[:, column], amount)
    totals = counts.sum(axis=0)
    with_target = np.flatnonzero(target >= 0)
    arrived = _add(pes, sender, totals[:, READ_BYTES]) + _add(pes, target[with_target], totals[with_target, BYTES])
    return TransferMoves(
        dma_messages=_by_shard(shards, shard, (sent + reads) * here),
        dma_flits=_by_shard(shards, shard, (flits + answer_flits) * here),
        packet_messages=_by_shard(shards, shard, (sent + reads) * ~here), packets=_by_shard(shards, shard, packets * ~here),
        dram_bytes=dram_bytes, mesh=meshes.sums, pairs=meshes.pairs(), ports=into.max(axis=2), hops=meshes.hops,
        mean_hops=meshes.mean_hops(), crossings=crossings,
        read_bytes=_add(pes, sender, totals[:, BYTES]), written_bytes=arrived,
        dram_read_bytes=_add(pes, sender, totals[:, READ_BYTES] * is_dram),
        dram_written_bytes=_add(pes, sender, totals[:, BYTES] * is_dram),
    )  # fmt: skip


class _MeshSums:
    """What transfers put on meshes, as it grows: `sums` by exchange and chip, and the `hops` of the longest way."""

    def __init__(self, positions: int, exchanges: int) -> None:
        self._shape = (len(TABLES), positions, len(LINKS))
        self.sums: dict[tuple[int, int], I64] = {}
        self.hops = np.zeros((len(TABLES), exchanges), np.int64)
        self._all_hops, self._ways = np.zeros((len(TABLES), exchanges), np.int64), np.zeros(exchanges, np.int64)
        self._pairs: dict[tuple[int, int], list[tuple[tuple[int, int], tuple[int, int], I64, I64]]] = defaultdict(list)

    def add(self, exchange: int, chip: int, flits: I64, uses: I64, hops: I64 | None = None) -> None:
        """Add `flits` (positions,) of one sender, whose `uses` are (tables, 1, links), over so many `hops` (tables, ways).

        A DRAM has two ways, and what comes by the nearer one is there first: the mean is of these.
        """
        if not flits.any():
            return
        old = self.sums.get((exchange, chip), np.zeros(self._shape, np.int64))
        self.sums[exchange, chip] = old + flits[None, :, None] * uses
        ways = uses.sum(axis=2) if hops is None else hops
        self.hops[:, exchange] = np.maximum(self.hops[:, exchange], ways.max(axis=1))
        self._all_hops[:, exchange] += ways.min(axis=1)
        self._ways[exchange] += 1

    def pair(
        self, exchange: int, chip: int, flits: I64, start: tuple[int, int], goal: tuple[int, int], following: I64 | None = None
    ) -> None:
        """Note between which ports, a site and a number each, so many `flits` (positions,) go, and how many of them follow another
        in a train.
        """
        if flits.any():
            self._pairs[exchange, chip].append((start, goal, flits, np.zeros_like(flits) if following is None else following))

    def pairs(self) -> dict[tuple[int, int], PortPairs]:
        """Return all that was noted, by exchange and chip."""
        return {
            key: PortPairs(
                starts=np.array([row[0] for row in rows], np.int64), goals=np.array([row[1] for row in rows], np.int64),
                flits=np.stack([row[2] for row in rows], axis=1), following=np.stack([row[3] for row in rows], axis=1),
            )
            for key, rows in self._pairs.items()
        }  # fmt: skip

    def mean_hops(self) -> F64:
        """Return the mean over all ways, (tables, exchanges)."""
        return self._all_hops / np.maximum(self._ways, 1)


def _cut(messages: I64, size_bytes: I64, part_bytes: int) -> I64:
    """Return how many parts so many messages of so many bytes in all are, at least one each."""
    mean = -(-size_bytes // np.maximum(messages, 1))
    return np.asarray(messages * np.maximum(-(-mean // part_bytes), 1), np.int64)


def _by_shard(shards: int, shard: I64, values: I64) -> I64:
    out = np.zeros((len(values), shards), np.int64)
    np.add.at(out.T, shard, np.asarray(values, np.int64).T)
    return out


def _add(size: int, places: I64, values: I64) -> I64:
    out = np.zeros(size, np.int64)
    np.add.at(out, places, values)
    return out
