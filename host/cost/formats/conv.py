"""What `conv` costs: for each event its place and which outputs it meets, for each of these places the element of the kernel, and
a weight for each channel there; for weights that are no convolution, what `packed` does.

Cycles were counted in `bench/instructions/conv.c` as GCC 12 compiles it (-O2), without following the pipeline. An event's
include eight divisions, by sizes that the compiler does not know; a place's, a third of its row's, as of kernels of three columns.
With dilation, outputs that are looked at and passed over are not in the counts.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.formats import PortCounts, event_loop_bytes, event_loop_cycles, packed
from models.network import F64, I64

_SOURCE = "COUNT: bench/instructions/conv.c"
CONSTANTS = {
    "conv_event_cycles": {
        "value": 172, "low": 60, "high": 212, "unit": "cycle", "grade": "D",
        "source": f"{_SOURCE}, 7 a division (2 to 12); low: without any, where keys have a field each for channel, row and column",
    },
    "conv_place_cycles": {
        "value": 24, "low": 20, "high": 30, "unit": "cycle", "grade": "D",
        "source": f"{_SOURCE}: 12 a place, and 37 a row of three",
    },
    "conv_weight_cycles": {
        "value": 16, "low": 15, "high": 17, "unit": "cycle", "grade": "D",
        "source": f"{_SOURCE}: CMP, ADD, BLS 3, VLDR 2, VLDR 2, VMUL, VADD, VSTR with interlocks 5, ADD 2, CMP 1, BNE 1",
    },
    "int8_conv_weight_cycles": {
        "value": 13, "low": 12, "high": 14, "unit": "cycle", "grade": "D",
        "source": f"{_SOURCE}: as float32, with LDRSB, LDR, MLA and STR; low: without the reload of a spilled bound",
    },
}  # fmt: skip
_INDEX_BYTES = 2


def visited(macs: Any, heard: Any, stored: Any, rows: Any) -> Any:  # noqa: ARG001 - the contract's arguments
    """Return the elements that events meet."""
    return macs


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each event, place and weight."""
    refill, kernel = table["branch_refill_cycles"], port.channels > 0
    loads = wait_states * table["event_weight_loads"]
    weight_cycles = port.by_weight(table, "conv_weight_cycles") + refill + loads
    # At each place all channels of the event's group are looked at, also those whose output there is not the shard's.
    looked_at = port.places / np.maximum(port.rows, 1)
    place_cycles = (table["conv_place_cycles"] + refill) * looked_at / np.maximum(port.channels, 1)
    of_kernels = event_loop_cycles(port, table, weight_cycles * looked_at + place_cycles, table["conv_event_cycles"], port.weights)
    return np.asarray(np.where(kernel, of_kernels, packed.cycles(port, table, wait_states)), np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Read key and value of an event and the channels of its group, and of each weight visited value and sum; write the sum."""
    kernel = port.channels > 0
    read, written = event_loop_bytes(port, 0, _INDEX_BYTES)
    packed_read, packed_written = packed.sram_bytes(port, settings)
    return np.where(kernel, read, packed_read), np.where(kernel, written, packed_written)
