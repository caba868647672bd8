"""Elements that go through a table of 256, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call, carray, chars_at
from models.compute.tile_memory import block_of, chars, counts_of, lies_within, planes, scratch_of
from models.dnn.program import B_DIMS, B_INPUT, B_OUTPUT, B_TABLE
from models.operators.table import look_up
from models.tile_steps._counting import LOOKED_UP


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:  # noqa: ARG001 - the contract's arguments
    """Write what the table has, of dimensions tables and numbers a table."""
    own, numbers = block_of(block), scratch_of(scratch)
    tables, each = own[B_DIMS], own[B_DIMS + 1]
    if not lies_within(own[B_INPUT], tables * each, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], tables * each, numbers):
        return 1 + B_OUTPUT
    if not lies_within(own[B_TABLE], 256 * tables, numbers):
        return 1 + B_TABLE
    out = carray(chars_at(memory + own[B_OUTPUT]), (1, tables, each))
    look_up(planes(memory, own[B_INPUT], 1, tables, each), chars(memory, own[B_TABLE], tables, 256), out)
    counts_of(numbers)[LOOKED_UP] += tables * each
    return 0
