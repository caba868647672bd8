"""What `conv` costs: for each event its place and which outputs it meets, for each of these places the element of the kernel, and
a weight for each channel there; for weights that are no convolution, what `packed` does.

Cycles were counted by `python -m bench.instructions`: the loop compiled by GCC 12.2.1 (-O2), run in Unicorn and
timed, over kernels of 2 to 5 rows and columns, strides of 1 and 2, and 1 to 16 channels. Eight divisions are an event's, by
sizes that the compiler does not know. With dilation, outputs that are looked at and passed over are not counted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.formats import PortCounts, event_loop_bytes, event_loop_cycles, packed
from models.network import F64, I64

_COUNT = "COUNT: bench/instructions/conv.c, GCC 12.2.1 -O2 -ffp-contract=off, run in Unicorn; "
CONSTANTS = {
    "conv_event_cycles": {
        "value": 204, "low": 143, "high": 265, "unit": "cycle", "grade": "D",
        "words": "an event of conv: its place and what it meets",
        "source": _COUNT + "183 to 225; a division takes 7 (low 2, high 12)",
    },
    "conv_place_cycles": {
        "value": 24, "low": 15, "high": 34, "unit": "cycle", "grade": "D", "words": "a place that an event of conv meets",
        "source": _COUNT + "15 to 20 of float32 weights, 29 to 34 of int8 ones",
    },
    "conv_weight_cycles": {
        "value": 17, "low": 16, "high": 17, "unit": "cycle", "grade": "D",
        "words": "a float32 weight of conv", "at_end": "a store of a float takes 2 cycles, by the tables",
        "source": _COUNT + "low: a store of a float takes 1",
    },
    "int8_conv_weight_cycles": {"value": 12, "unit": "cycle", "grade": "D", "source": _COUNT + "int8 weights, int32 sums"},
}  # fmt: skip
_INDEX_BYTES = 2


def visited(macs: Any, heard: Any, stored: Any, rows: Any) -> Any:  # noqa: ARG001 - the contract's arguments
    """Return the elements that events meet."""
    return macs


def cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return those of each event, place and weight."""
    refill, kernel = table["branch_refill_cycles"], port.channels > 0
    loads = wait_states * table["event_weight_loads"]
    weight_cycles = np.where(port.weight_bytes == 1, table["int8_conv_weight_cycles"], table["conv_weight_cycles"]) + refill + loads
    # At each place all channels of the event's group are looked at, also those whose output there is not the shard's.
    looked_at = port.places / np.maximum(port.rows, 1)
    place_cycles = table["conv_place_cycles"] * looked_at / np.maximum(port.channels, 1)
    of_kernels = event_loop_cycles(port, table, weight_cycles * looked_at + place_cycles, table["conv_event_cycles"], port.weights)
    return np.asarray(np.where(kernel, of_kernels, packed.cycles(port, table, wait_states)), np.float64)


def sram_bytes(port: PortCounts, settings: Mapping[str, str]) -> tuple[I64, I64]:
    """Read key and value of an event and the channels of its group, and of each weight visited value and sum; write the sum."""
    kernel = port.channels > 0
    read_bytes, written_bytes = event_loop_bytes(port, 0, _INDEX_BYTES)
    packed_read, packed_written = packed.sram_bytes(port, settings)
    return np.where(kernel, read_bytes, packed_read), np.where(kernel, written_bytes, packed_written)
