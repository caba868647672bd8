"""What a worker PE does with a tile whose bytes lie in its memory: one file a kind of operator, found by its name.

Contract of a file: `step`, a compiled call (`models/compute/bound_calls.py: call`) of four addresses, those of the worker's memory,
of the layer's configuration, of the tile's block (`models/dnn/program.py`), and of scratch numbers, int64, that are no part of the
tile. It reads where the block says that input, weights and tables lie, writes its output, adds to `counts` what it did, and
returns 0; or, having touched nothing, 1 + the number of the block's word that leads beyond the memory.

The scratch holds the memory's bytes, the address of the counts (uint32, `COUNTS`), and room for what kernels take as int64: the
requantisation's five numbers, what it counts, and two words each of strides, dilations, kernels, pads, offsets and scales.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)

COUNTS = (
    "tiles", "mac_products", "array_jobs", "array_cycles", "array_stalls", "scaled", "partials", "added", "multiplied", "averaged",
    "pooled", "looked_up", "depthwise", "softmax", "normalised", "moved", "reordered", "overflowed", "saturated", "ahead",
)  # fmt: skip
"""Tiles; products of the array that are of use, its jobs, its cycles with two ports to the SRAM and what one port adds; numbers
that the core scaled back to int8, partial sums that it added up, elements of each of its operators; bytes that it moved as an
operator and to bring them into order; sums of more than 24 bits, values that int8 has no place for; and bytes that were under way
while another tile of the layer was to be computed.
"""
S_MEMORY_BYTES, S_COUNTS, S_STEP, S_COUNTED, S_STRIDES, S_DILATIONS, S_KERNEL, S_PADS, S_OFFSETS, S_SCALES = (
    0, 1, 2, 7, 9, 11, 13, 15, 17, 19,
)  # fmt: skip
SCRATCH_NUMBERS = 24


def names() -> list[str]:
    """Return the kinds of operator that workers can do, ascending."""
    return member_names(sys.modules[__name__])


def step_of(kind: str) -> Any:
    """Return the compiled step of a kind; ModelError where no worker can do it."""
    return cast(Any, member(sys.modules[__name__], kind, "operator of a worker")).step
