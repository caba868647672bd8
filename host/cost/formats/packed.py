"""What `packed` costs: a loop over events, each with the extents of its column, each weight of which has a row index."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.formats import PortCounts, event_loop_bytes, event_loop_cycles
from models.network import F64, I64


def visited(macs: Any, heard: Any, stored: Any, rows: Any) -> Any:  # noqa: ARG001 - the contract's arguments
    """Return the weights of active columns: each is a multiply-accumulate."""
    return macs


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each weight and event."""
    loads = wait_states * table["event_weight_loads"]
    weight_cycles = port.by_weight(table, "packed_weight_cycles") + table["branch_refill_cycles"] + loads
    event_cycles = table["packed_event_cycles"] * columns(port).astype(np.float64)
    return event_loop_cycles(port, table, weight_cycles, event_cycles, stored=port.weights)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:  # noqa: ARG001 - the contract's arguments
    """Move what the loop over events moves, with row indices and extents in widths of their own."""
    per_event, extent_bytes = columns(port), index_bytes(np.maximum(port.weights, 256))
    return event_loop_bytes(port, index_bytes(port.rows // per_event - 1), extent_bytes * per_event)


def columns(port: PortCounts) -> I64:
    """Return how many columns an event has, (ports,): with int8 one a gate, where that makes indices a byte and takes less,
    but for traces.
    """
    by_gate = port.rows // port.gates
    extra_bytes = (port.gates - 1) * port.width * index_bytes(np.maximum(port.weights, 256))
    saved_bytes = (index_bytes(port.rows - 1) - 1) * port.weights
    split = (port.weight_bytes == 1) & (port.traced == 0) & (by_gate <= 1 << 8) & (saved_bytes > extra_bytes)
    return np.asarray(np.where(split, port.gates, 1), np.int64)


def index_bytes(largest: I64) -> I64:
    """Return the bytes of the smallest unsigned integer that holds each number (`models/formats/packed.py` loads the compiler)."""
    return np.asarray(np.where(largest < 1 << 8, 1, np.where(largest < 1 << 16, 2, 4)), np.int64)
