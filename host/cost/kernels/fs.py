"""What the Few-Spikes neuron costs apart from its products.

Counted by `python -m bench.instructions`: `value` is of int32 sums and events of whole steps, the band has those of float32 and
stores of a float in 1 cycle or 2.
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
_COUNT = "COUNT: bench/instructions/few_spikes.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "fs_tick_cycles": {
        "value": 9, "low": 9, "high": 9, "unit": "cycle", "grade": "D", "words": "a tick of an fs unit",
        "source": _COUNT + "beside the refill of one branch",
    },
    "fs_value_cycles": {
        "value": 19, "low": 17, "high": 19, "unit": "cycle", "grade": "D", "words": "a value of an fs unit",
        "at_end": "int32 sums take the most of those counted",
        "source": _COUNT + "17 of float32 sums, 19 of int32 ones; beside the refill of one branch",
    },
    "fs_spike_cycles": {
        "value": 14, "low": 12, "high": 14, "unit": "cycle", "grade": "D", "words": "a spike of an fs unit",
        "at_end": "a store of a float takes 2 cycles, by the tables",
        "source": _COUNT + "beside the refills of two branches",
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
    return np.asarray(events * (table["fs_spike_cycles"] + 2 * table["branch_refill_cycles"]), np.float64)
