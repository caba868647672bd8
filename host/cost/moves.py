"""First pass of a price: what a run moves, on meshes, over links between chips, and out of DRAM, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import ChipStreams, chip_streams
from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger
from host.cost.link_traffic import LinkTraffic, link_traffic, machine_for
from host.cost.noc_traffic import NocTraffic, noc_traffic, vector_bytes_of
from host.cost.transfer_moves import TransferMoves, transfer_moves
from models.network import I64
from noc.chip import ChipSpec
from noc.machine import Machine


@dataclass(frozen=True)
class InputReads:
    """What is read from DRAM for a position of an input.

    `readers` are the PEs of the host's chip that listen to it: each fetches its vector, of `vector_bytes`, from where it lies.
    If the input goes to other chips, it is read once more for them: for those of `first`, the layers' exchange that is the first
    to need it. `bytes` (layers' exchanges,) is what is read for each.
    """

    readers: I64
    vector_bytes: int
    first: int
    bytes: I64


@dataclass(frozen=True)
class Moves:
    """What a run moves on `machine`, by the `settings` of a price. `inputs`: one for each input of the network."""

    settings: Mapping[str, str]
    machine: Machine
    noc: NocTraffic
    links: LinkTraffic
    inputs: tuple[InputReads, ...]
    transfers: TransferMoves | None = None


def moves_of(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Moves:
    """Return what the run in `ledger` moves on `chip`; MachineError where the chip's broken links leave no route."""
    machine = machine_for(ledger, chip)
    streams, transfers = chip_streams(ledger, machine), transfer_moves(ledger, machine, chip.payload_bits // 8)
    return Moves(
        settings=table.settings, machine=machine, transfers=transfers,
        noc=noc_traffic(ledger, streams, chip, table, transfers),
        links=link_traffic(streams, machine, crossings=transfers.crossings if transfers else ()),
        inputs=tuple(_reads_of(ledger, machine, streams, table, number) for number in ledger.inputs),
    )  # fmt: skip


def _reads_of(ledger: Ledger, machine: Machine, streams: ChipStreams, table: CostTable, number: int) -> InputReads:
    exchanges, ports = ledger.exchanges, ledger.ports
    hearing = np.unique(ports["shard"][ports["source"] == number])
    layers = ledger.shards["population"][hearing]
    at_host = ledger.chip_of[ledger.shards["pe"][hearing]] == ledger.representative_of[machine.host_chip]
    one = ledger.populations[number]
    vector_bytes = vector_bytes_of(one, ledger.lanes, one.units, table)
    reads = np.zeros(len(exchanges.layers), np.int64)
    # Each layer waits for what it hears before its step, in the first of its ticks.
    begins = {int(exchanges.population[e]): at for at, e in enumerate(exchanges.layers.tolist()) if not exchanges.phase[e]}
    for layer in sorted(set(layers.tolist())):
        if ledger.populations[layer].beside in layers:
            continue  # its PEs have read it for the layer that it lies beside
        readers = np.unique(ledger.shards["pe"][hearing[at_host & (layers == layer)]])
        reads[begins[layer]] += len(readers) * vector_bytes
    first = min(set(layers.tolist()), key=lambda layer: (ledger.populations[layer].start, layer), default=None)
    place = 0 if first is None else begins[first]
    reads[place] += int(streams.leaves[exchanges.inputs[ledger.inputs.index(number)]].any()) * vector_bytes
    apart = np.array([ledger.populations[n].beside not in layers for n in layers.tolist()], bool)
    return InputReads(readers=ledger.shards["pe"][hearing[at_host & apart]], vector_bytes=vector_bytes, first=place, bytes=reads)
