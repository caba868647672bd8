"""What `dense` costs: as `dot` one dot product a row in which nothing is skipped, as `event` a loop over events."""

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
    """Return those of each weight, and of each row or event."""
    refill, elements = table["branch_refill_cycles"], port.rows * port.width
    if table.settings["dense_loop"] == "event":
        loads = wait_states * table["event_weight_loads"]
        weight_cycles = port.by_weight(table, "dense_event_weight_cycles") + refill + loads
        return event_loop_cycles(port, table, weight_cycles, table["dense_event_cycles"], stored=elements)
    weight_cycles = port.by_weight(table, "dense_weight_cycles") + refill + wait_states * table["dense_weight_loads"]
    products = port.lanes * port.phases
    product = weight_cycles * (products * elements) + table["dense_row_cycles"] * (products * port.rows)
    return np.asarray(product, np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Read value and event of each weight, write each row's sum; or what the loop over events moves."""
    if settings["dense_loop"] == "event":
        return event_loop_bytes(port)
    rows = port.rows * port.products
    return (port.weight_bytes + np.maximum(port.value_bytes, 1)) * rows * port.width, WORD_BYTES * rows
