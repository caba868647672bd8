"""What an EGRU costs that hears r * y, apart from its products and from the gate: two exponentials and the arithmetic around them.

Counted by `python -m bench.instructions`, as those of a whole EGRU.
"""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "egru_input", "recurrent": "egru_internal", "gated": "egru_internal"}
STAGE_WORDS = {"egru_input": "the input product W x", "egru_internal": "the recurrent product R y"}
UNIT_READ_BYTES = 4 * 8  # 4 sums, 2 biases, threshold, cell state
UNIT_WRITTEN_BYTES = 4 * 2  # cell state, y
UNIT_MACS = 2  # z c and (1 - z) g
_COUNT = "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; "
_AT_END = "the tables' timings; some report fewer for stores and sums of floats"
CONSTANTS = {
    "cell_soft_cycles": {
        "value": 379, "low": 344, "high": 379, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU's cell with newlib's exponentials", "at_end": _AT_END,
        "source": _COUNT + "with newlib's functions",
    },
    "cell_soft_branches": {
        "value": 23, "unit": "branch", "grade": "D",
        "source": _COUNT + "as cycles",
    },
    "cell_hard_cycles": {
        "value": 86, "low": 80, "high": 86, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU's cell beside its exponentials", "at_end": _AT_END,
        "source": _COUNT + "exponentials written to and read from made-up registers",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["cell_hard_cycles"] + 2 * table["exp_unit_cycles"]
    else:
        unit_cycles = table["cell_soft_cycles"] + table["cell_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
