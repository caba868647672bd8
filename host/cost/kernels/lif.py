"""What an integrate-and-fire neuron costs apart from its products.

Counted by `python -m bench.instructions` (docs/snn.md): `value` is of int32 sums, form "decay", reset
"subtract"; the band has every way to integrate, fire and reset that was counted, and stores of a float in 1 cycle or 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 4 * 7  # sum, bias, gain, rate, leak, threshold, membrane; a spike also reads its key and reset
UNIT_WRITTEN_BYTES = 4 * 1  # membrane; a spike also writes its key
_COUNT = "COUNT: bench/instructions/neurons.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "lif_unit_cycles": {
        "value": 31, "low": 28, "high": 44, "unit": "cycle", "grade": "D", "words": "a step of a lif unit",
        "source": _COUNT
        + "29 of float32 sums, 31 to 32 of int32 ones, "
        "32 form 'difference', 35 with a floor, 44 a quotient; beside the refill of one branch",
    },
    "lif_spike_cycles": {
        "value": 6, "low": 5, "high": 38, "unit": "cycle", "grade": "D", "words": "a spike of a lif unit",
        "source": _COUNT + "5 to 7, 38 with a count (a division); beside the refills of two branches",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`, none of which fires."""
    return np.asarray(units * (table["lif_unit_cycles"] + table["branch_refill_cycles"]), np.float64)


def active_cycles(counts: Mapping[str, I64], events: I64, table: CostTable) -> F64:  # noqa: ARG001 - spikes are all it needs
    """Return what the spikes of the units add, shaped as `events`."""
    return np.asarray(events * (table["lif_spike_cycles"] + 2 * table["branch_refill_cycles"]), np.float64)
