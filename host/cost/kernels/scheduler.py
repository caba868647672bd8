"""What the scheduler of a network costs: nothing by its steps; a layer has its time (`host/cost/scheduled.py`)."""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from models.network import F64, I64

PORT_STAGES = {"input": "synapses"}
STAGE_WORDS = {"synapses": "the synapses' product W x"}
UNIT_READ_BYTES = 0
UNIT_WRITTEN_BYTES = 0
LAYER_BY_LAYER = True
"""A position of the run is a layer, behind a barrier."""


def cycles(units: I64, table: CostTable) -> F64:  # noqa: ARG001 - the contract's arguments
    """Return no cycles: what it does is in a layer's own time."""
    return np.zeros(units.shape)
