"""What a neuron with a synaptic current costs apart from its products.

Counted by `python -m bench.instructions` (docs/snn.md): `value` is of int32 sums, form and synapse "decay",
reset "subtract"; the band has every way to integrate, fire and reset that was counted, and stores of a float in 1 cycle
or 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 4 * 10  # sum, bias, both gains and rates, leak, threshold, current, membrane; a spike: key and reset
UNIT_WRITTEN_BYTES = 4 * 2  # current, membrane; a spike also writes its key
_COUNT = "COUNT: bench/instructions/neurons.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "cuba_lif_unit_cycles": {
        "value": 41, "low": 38, "high": 46, "unit": "cycle", "grade": "D", "words": "a step of a cuba_lif unit",
        "source": _COUNT + "40 to 42 decaying, 46 as differences; beside the refill of one branch",
    },
    "cuba_lif_spike_cycles": {
        "value": 6, "low": 5, "high": 38, "unit": "cycle", "grade": "D", "words": "a spike of a cuba_lif unit",
        "source": _COUNT + "5 to 7, 38 with a count (a division); beside the refills of two branches",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`, none of which fires."""
    return np.asarray(units * (table["cuba_lif_unit_cycles"] + table["branch_refill_cycles"]), np.float64)


def active_cycles(counts: Mapping[str, I64], events: I64, table: CostTable) -> F64:  # noqa: ARG001 - spikes are all it needs
    """Return what the spikes of the units add, shaped as `events`."""
    return np.asarray(events * (table["cuba_lif_spike_cycles"] + 2 * table["branch_refill_cycles"]), np.float64)
