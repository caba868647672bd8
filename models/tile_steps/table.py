"""Elements that go through a table of 256, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call
from models.compute.tile_memory import block_of, chars, counts_of, lies_within, planes, scratch_of
from models.dnn.program import B_DIMS, B_INPUT, B_OUTPUT, B_TABLE
from models.operators.table import look_up
from models.tile_steps._counting import LOOKED_UP


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:  # noqa: ARG001 - the contract's arguments
    """Write what the tables have, of dimensions samples, tables, and numbers a table of each sample."""
    own, numbers = block_of(block), scratch_of(scratch)
    samples, tables, each = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2]
    if not lies_within(own[B_INPUT], samples * tables * each, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], samples * tables * each, numbers):
        return 1 + B_OUTPUT
    if not lies_within(own[B_TABLE], 256 * tables, numbers):
        return 1 + B_TABLE
    x, out = planes(memory, own[B_INPUT], samples, tables, each), planes(memory, own[B_OUTPUT], samples, tables, each)
    look_up(x, chars(memory, own[B_TABLE], tables, 256), out)
    counts_of(numbers)[LOOKED_UP] += samples * tables * each
    return 0
