"""Exact integers that follow from a ledger and its moves: arithmetic, messages, flits and bytes, by PE and stage and in total.

Bytes of SRAM that products and units move are those of the cost twins (`host/cost/twins.py`). Others:

| stage | read | written |
|---|---|---|
| upkeep of a trace, `payload` of vectors | 8 an element (y, h) | 4 an element |
| of events | 4 an element; 12 an event (key, y, h) | 4 an element; 4 an event |
| `broadcast` | every payload that is sent, each time it is injected | every payload that arrives, also from other chips |
| sums that are added up | 8 a row | 4 a row |
| `transfers` | what is sent | what arrives |
| `wait` | | input vectors, from DRAM: on the host's chip; other chips get their events |

Bank conflicts and the bytes of the host's own work are counted nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.chip_streams import sum_heard_on_chip
from host.cost.cost_table import sends_vectors
from host.cost.cycles import SEND, TRANSFERS, UNITS, ports_by_stage, turns_by_kernel
from host.cost.formats import KEY_BYTES, WORD_BYTES, PortCounts
from host.cost.ledger import Ledger, RunLedger
from host.cost.moves import Moves
from host.cost.noc_traffic import MeshLoads
from host.cost.twins import twin
from models.network import I64


def count_operations(ledger: Ledger, moves: Moves) -> dict[str, I64]:
    """Return numbers over all positions by PE, (PEs,) int64 each; those of parts of a run add up."""
    noc, positions = moves.noc, ledger.positions
    by_pe = {name: _by_pe(ledger, values) for name, values in _by_shard(ledger, moves).items()}
    by_pe["messages_received"] = positions * sum_heard_on_chip(ledger, np.ones_like(noc.sends))
    by_pe["flits_received"] = sum_heard_on_chip(ledger, noc.flits.sum(axis=0)) + noc.arrived_packets
    by_pe["sram_written_bytes.broadcast"] = sum_heard_on_chip(ledger, noc.payload_bytes) + noc.arrived_bytes
    by_pe["dram_read_bytes"] = np.zeros(len(ledger.pes), np.int64)
    for reads in moves.inputs:
        np.add.at(by_pe["dram_read_bytes"], reads.readers, positions * reads.vector_bytes)
    by_pe["sram_written_bytes.wait"] = by_pe["dram_read_bytes"]
    if (transfers := moves.transfers) is not None:
        by_pe["transfers"] = _by_pe(ledger, (transfers.dma_messages + transfers.packet_messages).sum(axis=0))
        by_pe["dram_read_bytes"] = by_pe["dram_read_bytes"] + transfers.dram_read_bytes
        by_pe["dram_written_bytes"] = transfers.dram_written_bytes
        by_pe[f"sram_read_bytes.{TRANSFERS}"] = transfers.read_bytes
        by_pe[f"sram_written_bytes.{TRANSFERS}"] = transfers.written_bytes
    for kind in ("sram_read_bytes", "sram_written_bytes"):
        by_pe[kind] = sum((v for name, v in by_pe.items() if name.startswith(f"{kind}.")), np.zeros(len(ledger.pes), np.int64))
    return by_pe


def total_operations(run: RunLedger, by_pe: Mapping[str, I64], mesh: MeshLoads) -> dict[str, int]:
    """Return what a run's PEs did in all, and the flits on its meshes' links."""
    totals = {name: int((values * run.multiplicity).sum()) for name, values in by_pe.items()}
    totals["link_flits"] = int((mesh.all_flits * run.chips_represented[mesh.chips]).sum())
    totals["busiest_link_flits"] = int(mesh.all_flits.max(initial=0))
    return totals


def _by_shard(ledger: Ledger, moves: Moves) -> dict[str, I64]:
    """Return numbers over the run by shard, (shards,) each; flits and messages in bytes of whole flits, SRAM and DMA of payload."""
    noc, positions, port, add = moves.noc, ledger.positions, ledger.port_work, ledger.turns.sum_by_shard
    sent, payload_bytes = noc.sent.sum(axis=0), noc.payload_bytes * noc.sends
    events, messages = ledger.events.sum(axis=0, dtype=np.int64), moves.settings["messages"]
    # In `multicast` events for other chips are read once, with the others.
    for_others_bytes = events * noc.leaves * noc.event_bytes * (messages != "multicast")
    numbers = {
        "macs": _of_ports(ledger, port.macs.sum(axis=0, dtype=np.int64)),
        "weights_visited": _of_ports(ledger, port.visited.sum(axis=0, dtype=np.int64)),
        "rows": _of_ports(ledger, port.rows * port.products),
        "units": add(ledger.units_stepped.sum(axis=0)),
        **_kernel_counts(ledger),
        "events": add(events),
        "event_copies": add(events * noc.copies),
        "messages_sent": add(noc.sends * positions),
        "flits_sent": add(sent),
        "message_bytes": add(sent * noc.flit_bytes),
        "dma_bytes": add(payload_bytes * (messages == "dma")),
    }
    read, written = twin("formats", ledger.format).sram_bytes(port, moves.settings)
    upkeep_read, upkeep_written = _upkeep_bytes(port, moves.settings)
    for stage, ports in ports_by_stage(ledger).items():
        numbers[f"sram_read_bytes.{stage}"] = _of_ports(ledger, read + upkeep_read, ports)
        numbers[f"sram_written_bytes.{stage}"] = _of_ports(ledger, written + upkeep_written, ports)
    unit_bytes = np.zeros((2, len(ledger.turns.shard)), np.int64)
    for kernel, turns in turns_by_kernel(ledger).items():
        one = twin("kernels", kernel)
        unit_bytes[:, turns] = [[one.UNIT_READ_BYTES], [one.UNIT_WRITTEN_BYTES]]
    moved = add(unit_bytes * ledger.units_stepped.sum(axis=0))
    numbers[f"sram_read_bytes.{UNITS}"], numbers[f"sram_written_bytes.{UNITS}"] = moved
    numbers[f"sram_read_bytes.{SEND}"] = add(payload_bytes + for_others_bytes)
    return numbers


def _kernel_counts(ledger: Ledger) -> dict[str, I64]:
    """Return what kernels counted over the run, by name, (shards,) each; units that stepped are counted for all."""
    turns = ledger.turns
    lanes = ledger.stepped[:, np.searchsorted(ledger.layers, ledger.shards["population"])].sum(axis=0, dtype=np.int64)
    ticks = np.array([one.ticks for one in ledger.populations], np.int64)[ledger.shards["population"]]
    counts = {name: amounts * lanes * ticks for name, amounts in ledger.per_lane.items() if name != "units"}
    for name, by_turn in ledger.by_turn.items():
        counts[name] = turns.sum_by_shard(by_turn.sum(axis=0, dtype=np.int64)) + counts.get(name, 0)
    return counts


def _of_ports(ledger: Ledger, values: I64, ports: I64 | None = None) -> I64:
    """Add up a number of each port, or of those `ports`, by shard."""
    out, chosen = np.zeros(len(ledger.shards["pe"]), np.int64), slice(None) if ports is None else ports
    np.add.at(out, ledger.ports["shard"][chosen], np.broadcast_to(values, ledger.ports["shard"].shape)[chosen])
    return out


def _upkeep_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Return bytes read and written by the upkeep of ports' traces and by adding up their sums, (ports,) each."""
    elements, sums = port.traced * port.width * port.products, port.adds * port.rows * port.lanes.sum(axis=0)
    whole = elements * (port.weight_bytes == 1)  # a byte is made of each of these
    written = WORD_BYTES * sums + whole
    if sends_vectors(settings):
        read = (WORD_BYTES + port.value_bytes) * elements + 2 * WORD_BYTES * sums + WORD_BYTES * whole
        return read, WORD_BYTES * elements + written
    heard = port.traced * port.heard.sum(axis=0)
    read = WORD_BYTES * elements + (KEY_BYTES + WORD_BYTES + port.value_bytes) * heard + 2 * WORD_BYTES * sums + WORD_BYTES * whole
    return read, WORD_BYTES * (elements + heard) + written


def _by_pe(ledger: Ledger, values: I64) -> I64:
    out = np.zeros(len(ledger.pes), np.int64)
    np.add.at(out, ledger.shards["pe"], values)
    return out
