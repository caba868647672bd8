"""What is read from DRAM for inputs, and how long DRAMs take: bytes, and the way over the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import ChipStreams
from host.cost.cost_table import CostTable
from host.cost.exchanges import Exchanges
from host.cost.ledger import Ledger
from host.cost.mesh_paths import DRAMS, SITE, TABLES, between_drams
from host.cost.noc_traffic import vector_bytes_of
from host.cost.router_flows import PortPairs
from host.cost.transfer_moves import TransferMoves
from host.cost.transit import blocked, mixed, pairs_cycles, port_noc_cycles
from models.network import F64, I64
from noc.chip import ChipSpec
from noc.machine import Machine


@dataclass(frozen=True)
class InputReads:
    """What is read from DRAM for a position of an input.

    `readers` are the PEs of the host's chip that listen to it: each fetches its vector, of `vector_bytes`, from where it
    lies. If the input goes to other chips, it is read once more for them: for those of `first`, the layers' exchange that is
    the first to need it. `bytes` (layers' exchanges,) is what is read for each; `pairs` maps a layer's exchange to what its
    readers fetch, from which DRAM to which PE, over `hops` (tables, layers' exchanges) on the mean.
    """

    readers: I64
    vector_bytes: int
    first: int
    bytes: I64
    pairs: dict[int, PortPairs]
    hops: F64


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
    pairs: dict[int, PortPairs] = {}
    hops = np.zeros((len(TABLES), len(reads)))
    port, flits = np.array([(SITE[pe.x, pe.y], pe.p) for pe in ledger.pes], np.int64), -(-vector_bytes // flit_bytes)
    for layer in sorted(set(layers.tolist())):
        if ledger.populations[layer].beside in layers:
            continue  # its PEs have read it for the layer that it lies beside
        readers = np.unique(ledger.shards["pe"][hearing[at_host & (layers == layer)]])
        reads[begins[layer]] += len(readers) * vector_bytes
        if len(readers):
            hops[:, begins[layer]] = between_drams(port[readers, 0], to_dram=False)[1].min(axis=2).mean(axis=1)
            half = -(-flits // len(DRAMS))
            pairs[begins[layer]] = PortPairs(
                np.repeat([(dram, 0) for dram in DRAMS], len(readers), axis=0), np.tile(port[readers], (len(DRAMS), 1)),
                np.full(len(DRAMS) * len(readers), half), np.full(len(DRAMS) * len(readers), half - 1),
            )  # fmt: skip
    first = min(set(layers.tolist()), key=lambda layer: (ledger.populations[layer].start, layer), default=None)
    place = 0 if first is None else begins[first]
    reads[place] += int(streams.leaves[exchanges.inputs[ledger.inputs.index(number)]].any()) * vector_bytes
    apart = np.array([ledger.populations[n].beside not in layers for n in layers.tolist()], bool)
    return InputReads(
        readers=ledger.shards["pe"][hearing[at_host & apart]], vector_bytes=vector_bytes, first=place, bytes=reads,
        pairs=pairs, hops=hops,
    )  # fmt: skip


def reads_s(inputs: Sequence[InputReads], chip: ChipSpec, table: CostTable) -> F64:
    """Return how long all inputs' reads take, (layers' exchanges,): DRAM or mesh, whichever is longer, and a flit's way."""
    if not inputs:
        return np.zeros(0)
    read_s = sum(one.bytes for one in inputs) / chip.dram_sustained_bytes_per_s
    mesh_s, port = np.zeros((len(TABLES), len(inputs[0].bytes))), port_noc_cycles(chip, table)
    for layer in sorted({layer for one in inputs for layer in one.pairs}):
        pairs = [one.pairs[layer] for one in inputs if layer in one.pairs]
        fields = ((one.starts, one.goals, one.flits, one.following) for one in pairs)
        together = PortPairs(*(np.concatenate(parts) for parts in zip(*fields, strict=True)))
        mesh_s[:, layer] = blocked(pairs_cycles(together, port)[0], chip, table) / chip.noc_clock_hz
    latency_s = np.max([one.hops for one in inputs], axis=0) * chip.hop_cycles / chip.noc_clock_hz
    return table["noc_form_ratio"] * mixed(np.maximum(read_s, mesh_s) + latency_s, table)


def dram_answers_s(transfers: TransferMoves, exchanges: Exchanges, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long the busiest DRAM takes until the last of what PEs ask has arrived, (positions, layers' exchanges)."""
    way_s = mixed(transfers.mean_hops[:, exchanges.layers] * chip.hop_cycles / chip.noc_clock_hz, table)
    read_s = transfers.dram_bytes / chip.dram_sustained_bytes_per_s
    answers_s = table["noc_form_ratio"] * (chip.dma_setup_cycles / chip.pe_clock_hz + read_s + way_s)
    return np.where(read_s > 0, answers_s, 0.0)
