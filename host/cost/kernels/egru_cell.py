"""What an EGRU costs that hears r * y, apart from its products and from the gate: two exponentials and the arithmetic around them.

Cycles are counted by hand, as those of `egru_gate`; `tanhf` takes 187 at a branch refill of 1 (COUNT).
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
_SOURCE = "by hand from a listing: 73 a unit at a refill of 1, expf 123 and tanhf 187"
CONSTANTS = {
    "cell_soft_cycles": {"value": 360, "unit": "cycle", "grade": "D", "source": _SOURCE},
    "cell_soft_branches": {"value": 23, "unit": "branch", "grade": "D", "source": _SOURCE},
    "cell_hard_cycles": {"value": 99, "unit": "cycle", "grade": "D", "source": "unit_hard_cycles less gate_hard_cycles"},
}


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["cell_hard_cycles"] + 2 * table["exp_unit_cycles"]
    else:
        unit_cycles = table["cell_soft_cycles"] + table["cell_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
