"""What `array` costs: a product of the MAC array for all lanes at once, in which nothing is skipped; elsewhere what `dense` does.

The core sets the array up, and waits. Its vector lies in SRAM as it came, where slices of it are sent; else each event's byte is
put there; whole numbers of a trace are made there. Cycles of the array are those of `host/cost/mac_array.py`. They are priced at
the power of a core that computes; what the array draws beside that is not added.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable, sends_vectors
from host.cost.formats import WORD_BYTES, PortCounts, dense
from host.cost.mac_array import COLUMNS, OUT_A_CYCLE, ROWS
from models.network import F64, I64, Array

CONSTANTS = {
    "array_setup_cycles": {
        "value": 80, "low": 40, "high": 150, "unit": "cycle", "grade": "NF", "assumed": True,
        "words": "setting the MAC array up for a product",
        "source": "a parameter block over the bus and an interrupt; no count was found",
    },
    "scatter_cycles": {
        "value": 6, "unit": "cycle", "grade": "D",
        "source": "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; a byte put where its key says",
    },
}  # fmt: skip
visited = dense.visited


def on_array(port: PortCounts) -> Array:
    """Tell of each port whether its product is the array's, (ports,)."""
    return np.asarray((port.weight_bytes == 1) & (port.value_bytes == 1) & (port.phases == 1), bool)


def product_cycles(lanes: Any, depth: Any, columns: Any) -> Any:
    """Return the array's cycles of (lanes, depth) times (depth, columns), one or more arrays of one shape: `matmul_cycles`."""
    tiles = -(-lanes // ROWS) * -(-columns // COLUMNS)
    writes = columns // COLUMNS * -(-COLUMNS // OUT_A_CYCLE) + -(-(columns % COLUMNS) // OUT_A_CYCLE)
    cycles: Array = tiles * (depth + (depth + 2) // 4 + 2) + lanes * writes
    return cycles


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each product, of setting it up, and of events that are put into its vector."""
    products = np.asarray(product_cycles(port.lanes, port.width, port.rows), np.float64)
    of_array = products + table["array_setup_cycles"] * (port.lanes > 0)
    if not sends_vectors(table.settings):
        of_array = of_array + np.where(
            port.dense | (port.traced > 0), 0.0, (table["scatter_cycles"] + table["branch_refill_cycles"]) * port.heard
        )
    return np.asarray(np.where(on_array(port), of_array, dense.cycles(port, table, wait_states)), np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Read 16 weights of each source unit for each tile of four lanes, and a byte of each lane's vector; write each row's sum."""
    tiles, groups = (-(-port.lanes // ROWS)).sum(axis=0), -(-port.rows // COLUMNS)
    read_bytes = (COLUMNS * tiles + port.lanes.sum(axis=0)) * groups * port.width
    written_bytes = WORD_BYTES * port.rows * port.lanes.sum(axis=0)
    dense_read, dense_written = dense.sram_bytes(port, settings)
    on = on_array(port)
    read_bytes, written_bytes = np.where(on, read_bytes, dense_read), np.where(on, written_bytes, dense_written)
    return np.asarray(read_bytes, np.int64), np.asarray(written_bytes, np.int64)
