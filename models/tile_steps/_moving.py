"""Operators that compute nothing: when a tile's bytes have been brought into order, they are its output."""

from __future__ import annotations

from models.compute.bound_calls import call
from models.compute.tile_memory import block_of, counts_of, lies_within, scratch_of
from models.dnn.program import B_DIMS, B_INPUT
from models.tile_steps._counting import MOVED


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:  # noqa: ARG001 - the contract's arguments
    """Count the bytes that were moved, of dimension numbers."""
    own, numbers = block_of(block), scratch_of(scratch)
    if not lies_within(own[B_INPUT], own[B_DIMS], numbers):
        return 1 + B_INPUT
    counts_of(numbers)[MOVED] += own[B_DIMS]
    return 0
