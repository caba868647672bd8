"""Rows of a table by their indices, on the core: those that lie in the part of the table that is there."""

from __future__ import annotations

from models.compute.bound_calls import call, copy_bytes
from models.compute.tile_memory import block_of, counts_of, lies_within, row_of_ints, scratch_of
from models.dnn.program import B_DIMS, B_INPUT, B_OUTPUT, B_TABLE
from models.tile_steps._counting import MOVED


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:  # noqa: ARG001 - the contract's arguments
    """Copy rows, of dimensions indices, numbers a row, first row of the part, its rows, and rows of the whole table."""
    own, numbers = block_of(block), scratch_of(scratch)
    count, width, first, rows, whole = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2], own[B_DIMS + 3], own[B_DIMS + 4]
    if not lies_within(own[B_INPUT], 4 * count, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], count * width, numbers):
        return 1 + B_OUTPUT
    if not lies_within(own[B_TABLE], rows * width, numbers):
        return 1 + B_TABLE
    indices = row_of_ints(memory, own[B_INPUT], count)
    for i in range(count):
        if not 0 <= indices[i] < whole:
            return 1 + B_INPUT
    moved = 0
    for i in range(count):
        if first <= indices[i] < first + rows:
            copy_bytes(memory + own[B_OUTPUT] + i * width, memory + own[B_TABLE] + (indices[i] - first) * width, width)
            moved += width
    counts_of(numbers)[MOVED] += moved
    return 0
