"""Rows of a softmax, on the core, by a table of exponentials; a mask's rows come in turn."""

from __future__ import annotations

from models.compute.bound_calls import bytes_at, call, carray, floats_at, words_at
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    lies_within,
    longs,
    numbers_of,
    scratch_of,
)
from models.dnn.program import B_DIMS, B_INPUT, B_MASK, B_OUTPUT, B_TABLE, C_FLOATS
from models.operators.softmax import softmax_rows
from models.tile_steps import S_COUNTED, S_STEP
from models.tile_steps._counting import SOFTMAX, count_losses

_TABLE_BYTES = 1024


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the shares, of dimensions rows, numbers a row and rows of the mask."""
    own, numbers = block_of(block), scratch_of(scratch)
    rows, columns, masks = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2]
    if not lies_within(own[B_INPUT], rows * columns, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], rows * columns, numbers):
        return 1 + B_OUTPUT
    if not lies_within(own[B_TABLE], _TABLE_BYTES, numbers):
        return 1 + B_TABLE
    if masks < 1 or not lies_within(own[B_MASK], masks * columns, numbers):
        return 1 + B_MASK
    numbers_of(scratch, configuration_of(configuration))
    factor = carray(floats_at(configuration + 4 * C_FLOATS), (1,))[0]
    mask = carray(bytes_at(memory + own[B_MASK]), (masks, columns))
    table = carray(words_at(memory + own[B_TABLE]), (256,))
    x, out = chars(memory, own[B_INPUT], rows, columns), chars(memory, own[B_OUTPUT], rows, columns)
    softmax_rows(x, mask, table, factor, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
    counts_of(numbers)[SOFTMAX] += rows * columns
    count_losses(numbers, counts_of(numbers))
    return 0
