"""Planes of an average pool, on the core: exact sums, then int8."""

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
    planes,
    row_of_ints,
    scales_fit,
    scratch_of,
)
from models.dnn.program import (
    B_BIAS,
    B_DIMS,
    B_INPUT,
    B_MULTIPLIERS,
    B_OUTPUT,
    B_SHIFTS,
    B_SUMS,
    C_KERNEL,
    C_OFFSETS,
)
from models.operators.average_pool2d import sum_windows
from models.tile_steps import S_COUNTED, S_KERNEL, S_PADS, S_STEP, S_STRIDES
from models.tile_steps._counting import POOLED, SCALED, count_losses


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the averages, of dimensions planes, rows in, columns in, rows, columns, rows of padding above."""
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    count, high, wide, rows, columns = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2], own[B_DIMS + 3], own[B_DIMS + 4]
    results = count * rows * columns
    if not lies_within(own[B_INPUT], count * high * wide, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_SUMS], 8 * results, numbers):
        return 1 + B_SUMS
    if not lies_within(own[B_OUTPUT], results, numbers):
        return 1 + B_OUTPUT
    if not scales_fit(own, 0, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, what)
    numbers[S_PADS] = own[B_DIMS + 5]
    x = planes(memory, own[B_INPUT], count, high, wide)
    sums = carray(longs_at(memory + own[B_SUMS]), (count, rows, columns))
    sum_windows(x, longs(scratch, S_KERNEL, 2), longs(scratch, S_STRIDES, 2), longs(scratch, S_PADS, 2), what[C_OFFSETS], sums)
    flat, out = carray(longs_at(memory + own[B_SUMS]), (results,)), chars(memory, own[B_OUTPUT], 1, results)[0]
    multipliers, shifts = row_of_ints(memory, own[B_MULTIPLIERS], 1), row_of_ints(memory, own[B_SHIFTS], 1)
    requantise_each(flat, multipliers, shifts, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
    counts = counts_of(numbers)
    counts[POOLED] += results * what[C_KERNEL] * what[C_KERNEL + 1]
    counts[SCALED] += results
    count_losses(numbers, counts)
    return 0
