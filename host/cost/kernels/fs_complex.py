"""What the Few-Spikes neuron for the complex soft threshold costs apart from its products.

Estimated by hand as `fs`; a pair's square root and division take 14 cycles each on a Cortex-M4F.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses", "drive": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 4 * 1  # what is left; a value also reads sums, gain, bias and theta once a position
UNIT_WRITTEN_BYTES = 0
_HAND = "HAND: instructions of the loop in models/kernels/fs_complex.py on a Cortex-M4F; VSQRT and VDIV 14 cycles each"
CONSTANTS = {
    "fs_complex_tick_cycles": {
        "value": 8, "low": 5, "high": 12, "unit": "cycle", "grade": "NF", "words": "a tick of an fs_complex unit", "source": _HAND,
    },
    "fs_complex_value_cycles": {
        "value": 40, "low": 28, "high": 55, "unit": "cycle", "grade": "NF", "words": "a part's value of an fs_complex unit",
        "source": _HAND,
    },
    "fs_complex_spike_cycles": {
        "value": 9, "low": 6, "high": 13, "unit": "cycle", "grade": "NF", "words": "a spike of an fs_complex unit", "source": _HAND,
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a tick of so many units, shaped as `units`, none of which fires."""
    return np.asarray(units * (table["fs_complex_tick_cycles"] + table["branch_refill_cycles"]), np.float64)


def position_cycles(units: I64, table: CostTable) -> F64:
    """Return what the first tick of a position adds for so many units: their values."""
    return np.asarray(units * (table["fs_complex_value_cycles"] + table["branch_refill_cycles"]), np.float64)


def active_cycles(counts: Mapping[str, I64], events: I64, table: CostTable) -> F64:  # noqa: ARG001 - spikes are all it needs
    """Return what spikes add, shaped as `events`."""
    return np.asarray(events * (table["fs_complex_spike_cycles"] + table["branch_refill_cycles"]), np.float64)
