"""What `vectors` costs: for each group of sixteen rows what its vectors hear is gathered, and the MAC array multiplies; elsewhere
what `csr` does.

A byte is gathered for each vector and lane, by the loop that was counted. Then the core sets the array up for the group, and waits
for it: a product of the lanes, four at a time, the group's vectors and 16 columns (`host/cost/mac_array.py`). Nothing of a silent
unit is skipped. Cycles are priced at the power of a core that computes; what the array draws beside that is not added.
"""

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable, sends_vectors
from host.cost.formats import WORD_BYTES, PortCounts, csr
from host.cost.formats import array as whole
from host.cost.mac_array import COLUMNS, OUT_A_CYCLE, ROWS
from models.network import F64, I64

CONSTANTS = {
    "vector_setup_cycles": {
        "value": 80, "low": 40, "high": 150, "unit": "cycle", "grade": "NF", "assumed": True,
        "words": "setting the MAC array up for a group of vectors",
        "source": "a parameter block over the bus and an interrupt; no count was found",
    },
    "vector_scatter_cycles": {
        "value": 6, "unit": "cycle", "grade": "D",
        "source": "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; a byte put where its key says",
    },
    "gather_cycles": {
        "value": 6, "unit": "cycle", "grade": "D",
        "source": "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; a byte taken from where its column says",
    },
}  # fmt: skip
visited = csr.visited


def most_visited(stored: I64, heard: I64, rows: I64) -> I64:
    """Return how many weights are looked at at most: all of each vector that is stored, zeros too; in `csr`, those stored."""
    return np.asarray(np.maximum(stored, COLUMNS * _groups(rows) * heard), np.int64)


def _groups(rows: I64) -> I64:
    """Return how many groups the rows of each port lie in at most: a run of them may begin anywhere in its first group."""
    return np.asarray(-(-(rows + COLUMNS - 1) // COLUMNS), np.int64)


def _vectors(port: PortCounts) -> I64:
    """Return how many vectors are gone through at each position, all lanes together, (positions, ports)."""
    return np.asarray(port.visited // COLUMNS, np.int64)


def product_cycles(lanes: I64, gathered: I64, groups: I64) -> F64:
    """Return the array's cycles of a position's products, of so many groups that take `gathered` vectors, all lanes together.

    A group's depth is its number of vectors, of which a ledger has the sum over groups: where they differ, what is rounded down a
    group is up to three quarters of a cycle away.
    """
    tiles = -(-lanes // ROWS)
    depth = np.divide(gathered, lanes, out=np.zeros(np.broadcast_shapes(gathered.shape, lanes.shape)), where=lanes > 0)
    steps = depth + np.floor((depth + 2 * groups) / 4) + 2 * groups
    return np.asarray(tiles * steps + lanes * groups * (COLUMNS // OUT_A_CYCLE), np.float64)


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each group's product and set-up, of bytes that are gathered, and of events that are put in the vector."""
    gathered, groups = _vectors(port), _groups(port.rows)
    of_array = product_cycles(port.lanes, gathered, groups) + table["vector_setup_cycles"] * groups * (port.lanes > 0)
    of_core = (table["gather_cycles"] + table["branch_refill_cycles"]) * gathered
    if not sends_vectors(table.settings):
        scattered = (table["vector_scatter_cycles"] + table["branch_refill_cycles"]) * port.heard
        of_core = of_core + np.where(port.dense | (port.traced > 0), 0.0, scattered)
    return np.asarray(np.where(whole.on_array(port), of_array + of_core, csr.cycles(port, table, wait_states)), np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Gather a byte of each vector and lane, with its source unit; read that again and 16 weights a vector for each four lanes.

    Written are the bytes that were gathered, and each row's sum, those that fill the last group among them.
    """
    gathered, lanes = _vectors(port).sum(axis=0), port.lanes.sum(axis=0)
    tiles = (-(-port.lanes // ROWS)).sum(axis=0)
    vectors = gathered // np.maximum(lanes, 1)  # as many at every position
    index_bytes = np.where(port.width <= 1 << 8, 1, np.where(port.width <= 1 << 16, 2, 4))
    read = (2 + index_bytes) * gathered + COLUMNS * tiles * vectors + WORD_BYTES * (_groups(port.rows) + 1) * lanes
    written = gathered + WORD_BYTES * COLUMNS * _groups(port.rows) * lanes
    csr_read, csr_written = csr.sram_bytes(port, settings)
    on = whole.on_array(port)
    return np.asarray(np.where(on, read, csr_read), np.int64), np.asarray(np.where(on, written, csr_written), np.int64)
