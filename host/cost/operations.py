"""Exact integers that follow from a ledger and its moves: arithmetic, messages, flits and bytes, by PE and stage and in total.

Bytes of SRAM that products and units move are those of the cost twins (`host/cost/twins.py`). Others:

| stage | read | written |
|---|---|---|
| upkeep of a trace, `payload` of vectors | 8 an element (y, h) | 4 an element |
| of events | 4 an element; 12 an event (key, y, h) | 4 an element; 4 an event |
| `broadcast` | every payload that is sent, each time it is injected | every payload that arrives, also from other chips |
| `wait` | | the input vector, from DRAM: on the host's chip; other chips get its events |

Bank conflicts and the bytes of the host's own work are counted nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.chip_streams import sum_heard_on_chip
from host.cost.cost_table import sends_vectors
from host.cost.formats import KEY_AND_VALUE_BYTES, WORD_BYTES, PortCounts
from host.cost.ledger import Ledger
from host.cost.moves import Moves
from host.cost.twins import twin
from models.network import I64


def count_operations(ledger: Ledger, moves: Moves) -> tuple[dict[str, int], dict[str, I64]]:
    """Return totals over the run, and the same numbers by PE, (PEs,) int64 each."""
    noc, positions = moves.noc, ledger.positions
    by_pe = {name: _by_pe(ledger, values) for name, values in _by_shard(ledger, moves).items()}
    by_pe["messages_received"] = positions * sum_heard_on_chip(ledger, np.ones_like(noc.sends))
    by_pe["flits_received"] = sum_heard_on_chip(ledger, noc.flits.sum(axis=0)) + noc.arrived_packets
    arrived_bytes = noc.arrived_events * noc.event_bytes
    by_pe["sram_written_bytes.broadcast"] = sum_heard_on_chip(ledger, noc.payload_bytes) + arrived_bytes
    by_pe["dram_read_bytes"] = np.zeros(len(ledger.pes), np.int64)
    by_pe["dram_read_bytes"][moves.dram_readers] = positions * moves.input_bytes
    by_pe["sram_written_bytes.wait"] = by_pe["dram_read_bytes"]
    for kind in ("sram_read_bytes", "sram_written_bytes"):
        by_pe[kind] = sum((v for name, v in by_pe.items() if name.startswith(f"{kind}.")), np.zeros(len(ledger.pes), np.int64))
    totals = {name: int((values * ledger.multiplicity).sum()) for name, values in by_pe.items()}
    on_links = noc.all_loads.sum(axis=(0, 1))
    totals["link_flits"] = int((on_links * ledger.chips_represented[noc.link_chips]).sum())
    totals["busiest_link_flits"] = int(on_links.max(initial=0))
    return totals, by_pe


def _by_shard(ledger: Ledger, moves: Moves) -> dict[str, I64]:
    """Return numbers over the run by shard, (shards,) each; flits and messages in bytes of whole flits, SRAM and DMA of payload."""
    shards, noc, positions = ledger.table, moves.noc, ledger.positions
    steps, sent, payload_bytes = ledger.lanes * positions, noc.sent.sum(axis=0), noc.payload_bytes * noc.sends
    events, units = ledger.of("events").sum(axis=0, dtype=np.int64), shards["units"] * steps
    kernel, messages = twin("kernels", ledger.kernel), moves.settings["messages"]
    # In `multicast` events for other chips are read once, with the others.
    for_others_bytes = events * noc.leaves * noc.event_bytes * (messages != "multicast")
    numbers = {
        "macs": sum(port.macs.sum(axis=0, dtype=np.int64) for port in ledger.ports.values()),
        "weights_visited": sum(port.visited.sum(axis=0, dtype=np.int64) for port in ledger.ports.values()),
        "rows": sum(port.rows for port in ledger.ports.values()) * steps,
        "units": units,
        "exponentials": shards["exponentials"] * positions,
        "events": events,
        "event_copies": events * noc.copies,
        "messages_sent": noc.sends * positions,
        "flits_sent": sent,
        "message_bytes": sent * noc.flit_bytes,
        "dma_bytes": payload_bytes * (messages == "dma"),
    }
    for name, port in ledger.ports.items():
        read, written = twin("formats", ledger.format).sram_bytes(port, moves.settings)
        upkeep_read, upkeep_written = _trace_bytes(port, moves.settings)
        numbers[f"sram_read_bytes.{kernel.PORT_STAGES[name]}"] = read + upkeep_read
        numbers[f"sram_written_bytes.{kernel.PORT_STAGES[name]}"] = written + upkeep_written
    numbers["sram_read_bytes.pointwise"] = kernel.UNIT_READ_BYTES * units
    numbers["sram_written_bytes.pointwise"] = kernel.UNIT_WRITTEN_BYTES * units
    numbers["sram_read_bytes.broadcast"] = payload_bytes + for_others_bytes
    return numbers


def _trace_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Return bytes read and written by the upkeep of a port's trace, (shards,) each; zero where there is none."""
    elements = port.traced * port.width * port.products
    if sends_vectors(settings):
        return 2 * WORD_BYTES * elements, WORD_BYTES * elements
    heard = port.traced * port.heard.sum(axis=0)
    return WORD_BYTES * elements + (KEY_AND_VALUE_BYTES + WORD_BYTES) * heard, WORD_BYTES * (elements + heard)


def _by_pe(ledger: Ledger, values: I64) -> I64:
    out = np.zeros(len(ledger.pes), np.int64)
    np.add.at(out, ledger.table["pe"], values)
    return out
