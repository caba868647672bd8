"""What an EGRU in int8 costs that keeps its cell state in int8, apart from its products: as `egru_int8`, and the state rounded."""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.kernels import egru
from models.network import F64, I64

PORT_STAGES, STAGE_WORDS, UNIT_MACS = egru.PORT_STAGES, egru.STAGE_WORDS, egru.UNIT_MACS
UNIT_READ_BYTES = 4 * 19 + 1  # 6 sums, 6 scales, 6 biases, threshold; cell state
UNIT_WRITTEN_BYTES = 1 + 1  # cell state, y
_COUNT = "COUNT: bench/instructions/kernels.c, GCC 12.2.1 -O2, run in Unicorn; "
_AT_END = "the tables' timings; some report fewer for stores and sums of floats"
CONSTANTS = {
    "int8_state_soft_cycles": {
        "value": 632, "low": 586, "high": 632, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU unit with its state in int8 and newlib's exponentials", "at_end": _AT_END,
        "source": _COUNT + "with newlib expf and tanhf, a fifth of the units fires",
    },
    "int8_state_soft_branches": {"value": 33, "unit": "branch", "grade": "D", "source": _COUNT + "as cycles"},
    "int8_state_hard_cycles": {
        "value": 204, "low": 196, "high": 204, "unit": "cycle", "grade": "D",
        "words": "a step of an EGRU unit with its state in int8 beside its exponentials", "at_end": _AT_END,
        "source": _COUNT + "exponentials written to and read from made-up registers",
    },
}  # fmt: skip


def cycles(units: I64, table: CostTable) -> F64:
    """Return the cycles of a step of so many units, shaped as `units`."""
    if table.settings["exponential"] == "unit":
        unit_cycles = table["int8_state_hard_cycles"] + table["exp_unit_calls"] * table["exp_unit_cycles"]
    else:
        unit_cycles = table["int8_state_soft_cycles"] + table["int8_state_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * unit_cycles, np.float64)
