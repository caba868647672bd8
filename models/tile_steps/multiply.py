"""Elements of a product of two things that arrive, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    lies_within,
    longs,
    numbers_of,
    row_of_ints,
    scales_fit,
    scratch_of,
)
from models.dnn.program import B_BIAS, B_DIMS, B_INPUT, B_MULTIPLIERS, B_OUTPUT, B_RIGHT, B_SHIFTS
from models.operators.multiply import multiply_each
from models.tile_steps import S_COUNTED, S_OFFSETS, S_STEP
from models.tile_steps._counting import MULTIPLIED_EACH, SCALED, count_losses


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the products of so many elements."""
    own, numbers = block_of(block), scratch_of(scratch)
    size = own[B_DIMS]
    if not lies_within(own[B_INPUT], size, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_RIGHT], size, numbers):
        return 1 + B_RIGHT
    if not lies_within(own[B_OUTPUT], size, numbers):
        return 1 + B_OUTPUT
    if not scales_fit(own, 0, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, configuration_of(configuration))
    multiplier = row_of_ints(memory, own[B_MULTIPLIERS], 1)[0]
    shift = row_of_ints(memory, own[B_SHIFTS], 1)[0]
    x, y = chars(memory, own[B_INPUT], 1, size)[0], chars(memory, own[B_RIGHT], 1, size)[0]
    offsets, step_numbers, counted = longs(scratch, S_OFFSETS, 2), longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2)
    multiply_each(x, y, offsets, multiplier, shift, step_numbers, counted, chars(memory, own[B_OUTPUT], 1, size)[0])
    counts = counts_of(numbers)
    counts[MULTIPLIED_EACH] += size
    counts[SCALED] += size
    count_losses(numbers, counts)
    return 0
