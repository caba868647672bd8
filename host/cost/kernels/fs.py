"""What the Few-Spikes neuron costs apart from its products.

Estimated by hand from the instructions of the loops (loads and stores 1 or 2 cycles, float operations 1, docs/retrieval.md); not
run on a scoreboard as the membranes of docs/snn.md were.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 4 * 1  # what is left; a value also reads sum, gain and bias once a position
UNIT_WRITTEN_BYTES = 0
_HAND = "HAND: instructions of the loop in models/kernels/fs.py on a Cortex-M4F"
CONSTANTS = {
    "fs_tick_cycles": {
        "value": 6, "low": 4, "high": 9, "unit": "cycle", "grade": "NF", "words": "a tick of an fs unit", "source": _HAND,
    },
    "fs_value_cycles": {
        "value": 16, "low": 12, "high": 24, "unit": "cycle", "grade": "NF", "words": "a value of an fs unit", "source": _HAND,
    },
    "fs_spike_cycles": {
        "value": 8, "low": 6, "high": 12, "unit": "cycle", "grade": "NF", "words": "a spike of an fs unit", "source": _HAND,
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a tick of so many units, shaped as `units`, none of which fires."""
    return np.asarray(units * (table["fs_tick_cycles"] + table["branch_refill_cycles"]), np.float64)


def position_cycles(units: I64, table: CostTable) -> F64:
    """Return what the first tick of a position adds for so many units: their values."""
    return np.asarray(units * (table["fs_value_cycles"] + table["branch_refill_cycles"]), np.float64)


def active_cycles(counts: Mapping[str, I64], events: I64, table: CostTable) -> F64:  # noqa: ARG001 - spikes are all it needs
    """Return what spikes add, shaped as `events`."""
    return np.asarray(events * (table["fs_spike_cycles"] + table["branch_refill_cycles"]), np.float64)
