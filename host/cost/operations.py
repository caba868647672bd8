"""Exact integers that follow from a ledger: arithmetic, messages, flits and bytes, by PE and stage and in total.

Bytes of SRAM are those that the priced loops move (`host/cost/costs.toml`: the same loops whose cycles were counted), word
by word, without the instruction fetch:

| stage | read | written |
|---|---|---|
| products, `csr` | 12 a stored weight (value, index, event); 4 a row and 4 once (extents) | 4 a row (sum) |
| with `zero_skip` | the value only where the event is not zero | |
| products, `dense` as `dot` | 8 a stored weight (value, event) | 4 a row |
| products, `dense` as `event` | 8 a weight visited (value, sum); 8 an event | 4 a weight visited; 4 a row (cleared) |
| products, `packed` | as before, with the row index and an event's two extents in their own widths | as before |
| `egru_input`, a trace: its upkeep, `payload` of vectors | 8 an element (y, h) | 4 an element |
| of events | 4 an element; 12 an event (key, y, h) | 4 an element; 4 an event |
| the product over it, event-driven | 4 an element and, `packed`, its extent, instead of what an event takes | as before |
| `pointwise` | 56 a unit (6 sums, 6 biases, threshold, cell state) | 8 a unit (cell state, y) |
| `broadcast` | every payload that is sent, each time it is injected | every payload that arrives, also from other chips |
| `wait` | | the input vector, from DRAM: on the host's chip; other chips get its events |

What it does not know: time. Bank conflicts and the bytes of the host's own work are counted nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.chip_streams import heard_here, streams_of
from host.cost.cost_table import CostTable
from host.cost.ledger import I64, Ledger
from host.cost.noc_traffic import Traffic, events_heard, message_bytes, sends_vectors
from noc.chip import ChipSpec
from noc.machine import Machine

_WORD = 4
_UNIT_READ, _UNIT_WRITTEN = 14 * _WORD, 2 * _WORD
_KEY_AND_VALUE = 2 * _WORD
PORTS = {"egru_input": "input", "egru_internal": "recurrent"}


def work_of(
    ledger: Ledger, chip: ChipSpec, table: CostTable, traffic: Traffic, machine: Machine
) -> tuple[dict[str, int], dict[str, I64]]:
    """Return totals over the run, and the same numbers by PE, (PEs,) int64 each."""
    shards, positions = ledger.table, ledger.positions
    events, units = ledger.of("events").astype(np.int64), shards["units"] * ledger.lanes * positions
    # In bytes of whole flits on the NoC; in bytes of payload in the two SRAMs.
    payload = message_bytes(ledger, table).sum(axis=0)
    flits, sent = traffic.flits.sum(axis=0), traffic.sent.sum(axis=0)
    # In `multicast` events for other chips are read once, with the others.
    for_others = events.sum(axis=0) * traffic.leaves * int(table["event_bytes"]) * (table.settings["messages"] != "multicast")
    by_shard: dict[str, I64] = {
        "macs": _total(ledger, "macs_input") + _total(ledger, "macs_recurrent"),
        "weights_visited": _total(ledger, "visited_input") + _total(ledger, "visited_recurrent"),
        "rows": (shards["rows_input"] + shards["rows_recurrent"]) * ledger.lanes * positions,
        "units": units,
        "exponentials": shards["exponentials"] * positions,
        "events": events.sum(axis=0),
        "event_copies": events.sum(axis=0) * traffic.copies,
        "messages_sent": traffic.sends * positions,
        "flits_sent": sent,
        "message_bytes": sent * (chip.payload_bits // 8),
        "dma_bytes": payload * traffic.sends * (table.settings["messages"] == "dma"),
    }
    for stage, (read, written) in _product_bytes(ledger, table).items():
        by_shard[f"sram_read_bytes.{stage}"], by_shard[f"sram_written_bytes.{stage}"] = read, written
    by_shard["sram_read_bytes.pointwise"], by_shard["sram_written_bytes.pointwise"] = _UNIT_READ * units, _UNIT_WRITTEN * units
    by_shard["sram_read_bytes.broadcast"] = payload * traffic.sends + for_others
    by_pe = {name: _by_pe(ledger, values) for name, values in by_shard.items()}
    by_pe["messages_received"] = positions * heard_here(ledger, np.ones(len(flits), np.int64))
    by_pe["flits_received"] = heard_here(ledger, flits) + traffic.arrived_packets
    by_pe["sram_written_bytes.broadcast"] = heard_here(ledger, payload) + traffic.arrived_events * int(table["event_bytes"])
    by_pe["dram_read_bytes"] = np.zeros(len(ledger.pes), np.int64)
    by_pe["dram_read_bytes"][readers(ledger, machine)] = positions * input_bytes(ledger, table)
    by_pe["sram_written_bytes.wait"] = by_pe["dram_read_bytes"]
    for kind in ("sram_read_bytes", "sram_written_bytes"):
        by_pe[kind] = sum((v for name, v in by_pe.items() if name.startswith(f"{kind}.")), np.zeros(len(ledger.pes), np.int64))
    totals = {name: int((values * ledger.times).sum()) for name, values in by_pe.items()}
    on_links = traffic.all_loads.sum(axis=(0, 1))
    copies = np.bincount(ledger.like[ledger.like >= 0], minlength=ledger.chips)[traffic.link_chips]
    totals["link_flits"] = int((on_links * copies).sum())
    totals["busiest_link_flits"] = int(on_links.max(initial=0))
    return totals, by_pe


def readers(ledger: Ledger, machine: Machine) -> I64:
    """Return which PEs fetch the input vector from DRAM: those of the first layer on the host's chip, where it lies."""
    first = ledger.table["pe"][ledger.table["layer"] == 1]
    return np.unique(first[ledger.chip_of[first] == ledger.like[machine.host_chip]])


def input_bytes(ledger: Ledger, table: CostTable) -> int:
    """Return the bytes of one position's input vector."""
    return ledger.lanes * ledger.input_units * int(table["value_bytes"])


def dram_bytes(ledger: Ledger, table: CostTable, machine: Machine) -> int:
    """Return what is read from DRAM for one position: each PE of `readers` fetches the input vector, and whoever sends it to
    other chips does so once.
    """
    chips = streams_of(ledger, machine)
    return (len(readers(ledger, machine)) + int(chips.leaves[0].any())) * input_bytes(ledger, table)


def _product_bytes(ledger: Ledger, table: CostTable) -> Mapping[str, tuple[I64, I64]]:
    """Return bytes read and written by the product of each port, (shards,) each."""
    found = {}
    for stage, port in PORTS.items():
        visited, macs = _total(ledger, f"visited_{port}"), _total(ledger, f"macs_{port}")
        products = ledger.lanes * ledger.positions
        rows = ledger.table[f"rows_{port}"] * products
        if ledger.format == "csr":
            values = macs if table.settings["zero_skip"] == "yes" else visited
            read = _WORD * (values + 2 * visited + rows + products)
            found[stage] = (read, _WORD * rows)
        elif ledger.format == "dense" and table.settings["dense_loop"] == "dot":
            found[stage] = (2 * _WORD * rows * ledger.table[f"width_{port}"], _WORD * rows)
        else:
            index = extents = np.zeros(len(rows), np.int64)
            if ledger.format == "packed":  # the widths of models/formats/packed.py, which would load its compiler
                index = _width(ledger.table[f"rows_{port}"] - 1)
                extents = _width(np.maximum(ledger.table[f"weights_{port}"], 256))
            looked = (_KEY_AND_VALUE + 2 * extents) * events_heard(ledger, port).sum(axis=0)
            if port == "input":  # extents ascend, so that one more than there are elements are read
                elements = products * ledger.table["width_input"]
                over_trace = _WORD * elements + extents * (elements + products)
                looked = np.where(ledger.table["trace_input"] > 0, over_trace, looked)
            found[stage] = ((2 * _WORD + index) * visited + looked, _WORD * (visited + rows))
    read, written = _trace_bytes(ledger, table)
    found["egru_input"] = found["egru_input"][0] + read, found["egru_input"][1] + written
    return found


def _trace_bytes(ledger: Ledger, table: CostTable) -> tuple[I64, I64]:
    """Return bytes read and written by the upkeep of the input's trace, (shards,) each; zero where there is none."""
    elements = ledger.table["trace_input"] * ledger.table["width_input"] * ledger.lanes * ledger.positions
    if sends_vectors(table):
        return 2 * _WORD * elements, _WORD * elements
    heard = ledger.table["trace_input"] * events_heard(ledger, "input").sum(axis=0)
    return _WORD * elements + (_KEY_AND_VALUE + _WORD) * heard, _WORD * (elements + heard)


def _width(largest: I64) -> I64:
    """Return bytes of the smallest unsigned integer that holds each number."""
    return np.asarray(np.where(largest < 1 << 8, 1, np.where(largest < 1 << 16, 2, 4)), np.int64)


def _total(ledger: Ledger, name: str) -> I64:
    return np.asarray(ledger.of(name).sum(axis=0, dtype=np.int64), np.int64)


def _by_pe(ledger: Ledger, values: I64) -> I64:
    out = np.zeros(len(ledger.pes), np.int64)
    np.add.at(out, ledger.table["pe"], values)
    return out
