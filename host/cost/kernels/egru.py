"""What the event-based gated recurrent unit costs apart from its products: three exponentials and the arithmetic around them."""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "egru_input", "recurrent": "egru_internal"}
STAGE_WORDS = {"egru_input": "the input product W x", "egru_internal": "the recurrent product R y"}
UNIT_READ_BYTES = 4 * 14  # 6 sums, 6 biases, threshold, cell state
UNIT_WRITTEN_BYTES = 4 * 2  # cell state, y
UNIT_MACS = 3  # z c, (1 - z) g and r (R y)


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["unit_hard_cycles"] + table["exp_unit_calls"] * table["exp_unit_cycles"]
    else:
        unit_cycles = table["unit_soft_cycles"] + table["unit_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
