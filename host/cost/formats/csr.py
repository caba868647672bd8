"""What `csr` costs: one dot product a row; each stored weight is visited, or with `zero_skip` tested for a silent event."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.formats import WORD_BYTES, PortCounts
from models.network import F64, I64


def visited(macs: Any, heard: Any, stored: Any, rows: Any) -> Any:  # noqa: ARG001 - the contract's arguments
    """Return all stored weights."""
    return stored


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each weight, and of each row."""
    refill, visits, macs = table["branch_refill_cycles"], port.visited.astype(np.float64), port.macs.astype(np.float64)
    if table.settings["zero_skip"] == "yes":
        active = port.by_weight(table, "csr_test_active_cycles") + refill
        silent = port.by_weight(table, "csr_test_silent_cycles") + refill
        weights: F64 = active * macs + silent * (visits - macs)
    else:
        weights = (port.by_weight(table, "csr_weight_cycles") + refill) * visits
    rows = port.lanes * port.phases * port.rows
    return np.asarray(weights + table["csr_row_cycles"] * rows + wait_states * table["csr_weight_loads"] * visits, np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Read index (two bytes beside an int8), event and value of a weight (with `zero_skip` only where the event is not zero), a
    row's extent, and one more a product; write each row's sum.
    """
    visits = port.visited.sum(axis=0, dtype=np.int64)
    values = port.macs.sum(axis=0, dtype=np.int64) if settings["zero_skip"] == "yes" else visits
    rows, index_bytes = port.rows * port.products, np.where((port.weight_bytes == 1) & (port.width <= 1 << 16), 2, WORD_BYTES)
    vector_bytes = np.maximum(port.value_bytes, 1)  # a vector of spikes has a byte for each
    read_bytes = port.weight_bytes * values + (index_bytes + vector_bytes) * visits + WORD_BYTES * (rows + port.products)
    return np.asarray(read_bytes, np.int64), np.asarray(WORD_BYTES * rows, np.int64)
