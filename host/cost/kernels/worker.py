"""What a worker of a scheduled network costs: the array's cycles as it counted them, and the core's beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64, U32

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 0
UNIT_WRITTEN_BYTES = 0
CORE_CYCLES = {
    "scaled": "dnn_requantise_cycles", "partials": "dnn_partial_cycles", "added": "dnn_add_cycles",
    "multiplied": "dnn_multiply_cycles", "averaged": "dnn_mean_cycles", "pooled": "dnn_pool_cycles",
    "looked_up": "dnn_table_cycles", "depthwise": "dnn_depthwise_mac_cycles", "softmax": "dnn_softmax_cycles",
    "normalised": "dnn_layer_norm_cycles", "moved": "dnn_move_cycles",
}  # fmt: skip
"""What is counted (`models/tile_steps`) -> the constant that each of it costs."""


def cycles(units: I64, table: CostTable) -> F64:  # noqa: ARG001 - the contract's arguments
    """Return no cycles: its steps only tell its counts."""
    return np.zeros(units.shape)


def array_cycles(counts: Mapping[str, U32], table: CostTable) -> F64:
    """Return the array's cycles, with one port to the SRAM and the time to set each job up."""
    array_cycles = _of(counts, "array_cycles") + _of(counts, "array_stalls")
    return np.asarray(array_cycles + table["mla_setup_cycles"] * _of(counts, "array_jobs"))


def core_cycles(counts: Mapping[str, U32], table: CostTable) -> F64:
    """Return the core's cycles, of all that has a price: bringing bytes into order has none."""
    total = np.zeros(np.shape(_of(counts, "tiles")))
    for name, constant in CORE_CYCLES.items():
        total = total + table[constant] * _of(counts, name)
    return total


def active_cycles(counts: Mapping[str, U32], events: I64, table: CostTable) -> F64:  # noqa: ARG001 - it sends no events
    """Return the cycles of array and core."""
    # Products are counted without the ratio of what is counted to what was measured of the core's loops.
    return np.asarray((array_cycles(counts, table) + core_cycles(counts, table)) / table["counted_cycles_ratio"])


def _of(counts: Mapping[str, U32], name: str) -> F64:
    have = counts.get(name)
    return np.asarray(0.0 if have is None else have, np.float64)
