"""What the Few-Spikes neuron for the complex soft threshold costs apart from its products.

Counted as `fs`. Pairs that the threshold makes zero take less than those that pass, and how many do is not in the ledger.
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
_COUNT = "COUNT: bench/instructions/few_spikes.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "fs_complex_tick_cycles": {
        "value": 13, "low": 13, "high": 13, "unit": "cycle", "grade": "D", "words": "a tick of an fs_complex unit",
        "source": _COUNT + "two comparisons; beside the refill of one branch",
    },
    "fs_complex_value_cycles": {
        "value": 41, "low": 28, "high": 47, "unit": "cycle", "grade": "D", "words": "a part's value of an fs_complex unit",
        "source": _COUNT + "half of a pair's: with int32 sums 36 below theta, 47 above, of which the value is the mean; 28 and 40 "
        "of float32 sums without a drive; VSQRT and VDIV 14 each; beside the refill of one branch",
    },
    "fs_complex_spike_cycles": {
        "value": 10, "low": 7, "high": 15, "unit": "cycle", "grade": "D", "words": "a spike of an fs_complex unit",
        "source": _COUNT + "8 above zero and 13 below, of which the value is the mean; beside the refills of two branches",
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
    return np.asarray(events * (table["fs_complex_spike_cycles"] + 2 * table["branch_refill_cycles"]), np.float64)
