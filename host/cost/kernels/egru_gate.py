"""What the reset gate of an EGRU costs where it is inside the product: one exponential, and r y.

Cycles are counted by hand from listings of the loop (GCC 12.2.1 as in `costs.toml`), as those of a whole EGRU were: counted so,
that is 555, where the scoreboard has 556. `expf` takes 123 at a branch refill of 1 (COUNT).
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
_SOURCE = "by hand from a listing: 45 a unit at a refill of 1, and expf 123"
CONSTANTS = {
    "gate_soft_cycles": {"value": 160, "unit": "cycle", "grade": "D", "source": _SOURCE},
    "gate_soft_branches": {"value": 8, "unit": "branch", "grade": "D", "source": _SOURCE},
    "gate_hard_cycles": {"value": 41, "unit": "cycle", "grade": "D", "source": "as gate_soft_cycles, without the call"},
}


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["gate_hard_cycles"] + table["exp_unit_cycles"]
    else:
        unit_cycles = table["gate_soft_cycles"] + table["gate_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
