"""What the reset gate of an EGRU costs where it is inside the product: one exponential, and r y.

Counted by `python -m bench.instructions`, as those of a whole EGRU.
"""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "egru_input", "recurrent": "egru_internal"}  # its own y lies in what it sent
STAGE_WORDS = {"egru_input": "the input product W x", "egru_internal": "the recurrent product R y"}
UNIT_READ_BYTES = 4 * 4  # 2 sums, bias, y
UNIT_WRITTEN_BYTES = 4  # r y
UNIT_MACS = 1  # r y
_COUNT = "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; "
_AT_END = "the tables' timings; some report fewer for stores and sums of floats"
CONSTANTS = {
    "gate_soft_cycles": {
        "value": 185, "low": 173, "high": 185, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU's gate with newlib's exponentials", "at_end": _AT_END,
        "source": _COUNT + "with newlib's functions",
    },
    "gate_soft_branches": {
        "value": 8, "unit": "branch", "grade": "D",
        "source": _COUNT + "as cycles",
    },
    "gate_hard_cycles": {
        "value": 50, "low": 48, "high": 50, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU's gate beside its exponentials", "at_end": _AT_END,
        "source": _COUNT + "exponentials written to and read from made-up registers",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["gate_hard_cycles"] + table["exp_unit_cycles"]
    else:
        unit_cycles = table["gate_soft_cycles"] + table["gate_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
