"""What is read from DRAM for inputs, and how long DRAMs take: bytes, and the way over the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import ChipStreams
from host.cost.cost_table import CostTable
from host.cost.exchanges import Exchanges
from host.cost.ledger import Ledger
from host.cost.mesh_paths import SITE, TABLES, Crossings, between_drams
from host.cost.noc_traffic import vector_bytes_of
from host.cost.transfer_moves import TransferMoves
from host.cost.transit import Peaks, mixed
from models.network import F64, I64
from noc.chip import ChipSpec
from noc.machine import Machine
from noc.mesh_routes import LINKS


@dataclass(frozen=True)
class InputReads:
    """What is read from DRAM for a position of an input.

    `readers` are the PEs of the host's chip that listen to it: each fetches its vector, of `vector_bytes`, from where it lies.
    If the input goes to other chips, it is read once more for them: for those of `first`, the layers' exchange that is the first
    to need it. `bytes` (layers' exchanges,) is what is read for each; of what readers fetch, `crossed` (tables, layers' exchanges,
    links) is on the mesh, over `hops` (tables, layers' exchanges) at most, and `port_flits` (layers' exchanges,) go to each PE.
    """

    readers: I64
    vector_bytes: int
    first: int
    bytes: I64
    crossed: Crossings
    hops: I64
    port_flits: I64


def input_reads(
    ledger: Ledger, machine: Machine, streams: ChipStreams, table: CostTable, number: int, flit_bytes: int
) -> InputReads:
    """Return what is read for a position of the input of this number, and what that puts on the mesh of the host's chip."""
    exchanges, ports = ledger.exchanges, ledger.ports
    hearing = np.unique(ports["shard"][ports["source"] == number])
    layers = ledger.shards["population"][hearing]
    at_host = ledger.chip_of[ledger.shards["pe"][hearing]] == ledger.representative_of[machine.host_chip]
    one = ledger.populations[number]
    vector_bytes = vector_bytes_of(one, ledger.lanes, one.units, table)
    reads = np.zeros(len(exchanges.layers), np.int64)
    # Each layer waits for what it hears before its step, in the first of its ticks.
    begins = {int(exchanges.population[e]): at for at, e in enumerate(exchanges.layers.tolist()) if not exchanges.phase[e]}
    shape = (len(TABLES), len(reads), len(LINKS))
    crossed, hops = Crossings(np.zeros(shape, np.int64), np.zeros(shape, np.int64)), np.zeros(shape[:2], np.int64)
    site, flits = np.array([SITE[pe.x, pe.y] for pe in ledger.pes], np.int64), -(-vector_bytes // flit_bytes)
    for layer in sorted(set(layers.tolist())):
        if ledger.populations[layer].beside in layers:
            continue  # its PEs have read it for the layer that it lies beside
        readers = np.unique(ledger.shards["pe"][hearing[at_host & (layers == layer)]])
        reads[begins[layer]] += len(readers) * vector_bytes
        if len(readers):
            uses, ways = between_drams(site[readers], to_dram=False)
            for total, of_readers in zip(crossed, uses, strict=True):
                total[:, begins[layer]] += -(-flits // 2) * of_readers.sum(axis=1)
            hops[:, begins[layer]] = ways.max(axis=1)
    first = min(set(layers.tolist()), key=lambda layer: (ledger.populations[layer].start, layer), default=None)
    place = 0 if first is None else begins[first]
    reads[place] += int(streams.leaves[exchanges.inputs[ledger.inputs.index(number)]].any()) * vector_bytes
    apart = np.array([ledger.populations[n].beside not in layers for n in layers.tolist()], bool)
    return InputReads(
        readers=ledger.shards["pe"][hearing[at_host & apart]], vector_bytes=vector_bytes, first=place, bytes=reads,
        crossed=crossed, hops=hops, port_flits=flits * (hops.max(axis=0) > 0),
    )  # fmt: skip


def reads_s(inputs: Sequence[InputReads], chip: ChipSpec, table: CostTable) -> F64:
    """Return how long all inputs' reads take, (layers' exchanges,): DRAM or mesh, whichever is longer, and the last flit's way."""
    if not inputs:
        return np.zeros(0)
    read_s = sum(one.bytes for one in inputs) / chip.dram_sustained_bytes_per_s
    crossed = Crossings(*(np.sum(parts, axis=0) for parts in zip(*(one.crossed for one in inputs), strict=True)))
    mesh_s = Peaks(crossed, np.sum([one.port_flits for one in inputs], axis=0)).busy_s(chip, table)
    latency_s = np.max([one.hops for one in inputs], axis=0) * chip.hop_cycles / chip.noc_clock_hz
    return mixed(np.maximum(read_s, mesh_s) + latency_s, table)


def dram_answers_s(transfers: TransferMoves, exchanges: Exchanges, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long the busiest DRAM takes until the last of what PEs ask has arrived, (positions, layers' exchanges)."""
    way_s = mixed(transfers.hops[:, exchanges.layers] * chip.hop_cycles / chip.noc_clock_hz, table)
    read_s = transfers.dram_bytes / chip.dram_sustained_bytes_per_s
    return np.where(read_s > 0, chip.dma_setup_cycles / chip.pe_clock_hz + read_s + way_s, 0.0)
