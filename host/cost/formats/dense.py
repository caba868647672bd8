"""What `dense` costs: as `dot` one dot product a row in which nothing is skipped, as `event` a loop over events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.formats import WORD_BYTES, PortCounts, event_loop_bytes, event_loop_cycles
from models.network import F64, I64


def visited(macs: Any, heard: Any, stored: Any, rows: Any) -> Any:  # noqa: ARG001 - the contract's arguments
    """Return a weight of each row for each event, zeros included."""
    return heard * rows


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return the cycles of weights times events, (positions, shards)."""
    refill = table["branch_refill_cycles"]
    if table.settings["dense_loop"] == "event":
        weight_cycles = table["dense_event_weight_cycles"] + refill + wait_states * table["event_weight_loads"]
        return event_loop_cycles(port, table, weight_cycles, table["dense_event_cycles"], port.rows * port.width)
    rows, weight_cycles = port.lanes * port.rows, table["dense_weight_cycles"] + refill + wait_states * table["dense_weight_loads"]
    product = weight_cycles * (rows * port.width) + table["dense_row_cycles"] * rows
    return np.broadcast_to(product.astype(np.float64), port.visited.shape)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Return bytes read (value and event of each weight) and written (a sum a row), (shards,) each; or those of the loop over
    events.
    """
    if settings["dense_loop"] == "event":
        return event_loop_bytes(port)
    rows = port.rows * port.products
    return 2 * WORD_BYTES * rows * port.width, WORD_BYTES * rows
