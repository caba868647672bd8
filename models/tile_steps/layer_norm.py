"""Rows of a layer normalisation, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call, carray, floats_at
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    lies_within,
    longs,
    numbers_of,
    row_of_floats,
    scratch_of,
)
from models.dnn.program import B_DIMS, B_INPUT, B_OUTPUT, B_TABLE, C_FLOATS
from models.operators.layer_norm import layer_norm_rows
from models.tile_steps import S_COUNTED, S_STEP
from models.tile_steps._counting import NORMALISED, count_losses


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the normalised rows, of dimensions rows and numbers a row; factors, then terms of the columns in the table."""
    own, numbers = block_of(block), scratch_of(scratch)
    rows, columns = own[B_DIMS], own[B_DIMS + 1]
    if not lies_within(own[B_INPUT], rows * columns, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], rows * columns, numbers):
        return 1 + B_OUTPUT
    if not lies_within(own[B_TABLE], 8 * columns, numbers):
        return 1 + B_TABLE
    numbers_of(scratch, configuration_of(configuration))
    epsilon = carray(floats_at(configuration + 4 * C_FLOATS), (1,))[0]
    gamma, beta = row_of_floats(memory, own[B_TABLE], columns), row_of_floats(memory, own[B_TABLE] + 4 * columns, columns)
    x, out = chars(memory, own[B_INPUT], rows, columns), chars(memory, own[B_OUTPUT], rows, columns)
    layer_norm_rows(x, gamma, beta, epsilon, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
    counts_of(numbers)[NORMALISED] += rows * columns
    count_losses(numbers, counts_of(numbers))
    return 0
