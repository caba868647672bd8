"""What an integrator without spikes costs apart from its products.

Counted by `python -m bench.instructions` (docs/snn.md): `value` is of int32 sums, form "decay"; the band has
every way to integrate, fire and reset that was counted, and stores of a float in 1 cycle or 2.
"""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 4 * 6  # sum, bias, gain, rate, leak, membrane
UNIT_WRITTEN_BYTES = 4 * 2  # membrane, what is sent
_COUNT = "COUNT: bench/instructions/neurons.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "li_unit_cycles": {
        "value": 27, "low": 23, "high": 39, "unit": "cycle", "grade": "D", "words": "a step of a li unit",
        "source": _COUNT
        + "24 of float32 sums, 27 of int32 ones, 26 form 'difference', 39 a quotient; beside the refill of one branch",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`, none of which fires."""
    return np.asarray(units * (table["li_unit_cycles"] + table["branch_refill_cycles"]), np.float64)
