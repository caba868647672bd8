"""Means of numbers that lie one behind the other, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call, carray
from models.compute.requantise import requantise_each
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    lies_within,
    longs,
    longs_at,
    numbers_of,
    row_of_ints,
    scales_fit,
    scratch_of,
)
from models.dnn.program import B_BIAS, B_DIMS, B_INPUT, B_MULTIPLIERS, B_OUTPUT, B_SHIFTS, B_SUMS, C_OFFSETS
from models.operators.mean import sum_rows
from models.tile_steps import S_COUNTED, S_STEP
from models.tile_steps._counting import AVERAGED, SCALED, count_losses


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the means, of dimensions means and numbers a mean."""
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    count, each = own[B_DIMS], own[B_DIMS + 1]
    if not lies_within(own[B_INPUT], count * each, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_SUMS], 8 * count, numbers):
        return 1 + B_SUMS
    if not lies_within(own[B_OUTPUT], count, numbers):
        return 1 + B_OUTPUT
    if not scales_fit(own, 0, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, what)
    sums, out = carray(longs_at(memory + own[B_SUMS]), (count,)), chars(memory, own[B_OUTPUT], 1, count)[0]
    sum_rows(chars(memory, own[B_INPUT], count, each), what[C_OFFSETS], sums)
    multipliers, shifts = row_of_ints(memory, own[B_MULTIPLIERS], 1), row_of_ints(memory, own[B_SHIFTS], 1)
    requantise_each(sums, multipliers, shifts, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
    counts = counts_of(numbers)
    counts[AVERAGED] += count * each
    counts[SCALED] += count
    count_losses(numbers, counts)
    return 0
