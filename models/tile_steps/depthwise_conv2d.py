"""Planes of a depthwise convolution, on the core: each output plane has its own input plane, padded already, and its own kernel."""

from __future__ import annotations

from models.compute.bound_calls import call, carray, chars_at, ints_at
from models.compute.requantise import requantise_rows
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    ints,
    lies_within,
    longs,
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
    B_MULTIPLIER_COUNT,
    B_MULTIPLIERS,
    B_OUTPUT,
    B_RIGHT,
    B_SHIFTS,
    B_SUMS,
    C_DILATIONS,
    C_KERNEL,
    C_STRIDES,
)
from models.operators.depthwise_conv2d import depthwise_sums
from models.tile_steps import S_COUNTED, S_DILATIONS, S_STEP, S_STRIDES
from models.tile_steps._counting import DEPTHWISE, SCALED, count_losses


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write int8 of the sums, of dimensions planes, rows in, columns in, rows, columns."""
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    count, high, wide, rows, columns = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2], own[B_DIMS + 3], own[B_DIMS + 4]
    kernel_rows, kernel_columns, results = what[C_KERNEL], what[C_KERNEL + 1], count * rows * columns
    if not lies_within(own[B_INPUT], count * high * wide, numbers):
        return 1 + B_INPUT
    if (rows - 1) * what[C_STRIDES] + (kernel_rows - 1) * what[C_DILATIONS] + 1 > high:
        return 1 + B_DIMS
    if (columns - 1) * what[C_STRIDES + 1] + (kernel_columns - 1) * what[C_DILATIONS + 1] + 1 > wide:
        return 1 + B_DIMS
    if not lies_within(own[B_RIGHT], count * kernel_rows * kernel_columns, numbers):
        return 1 + B_RIGHT
    if not lies_within(own[B_SUMS], 4 * results, numbers):
        return 1 + B_SUMS
    if not lies_within(own[B_OUTPUT], results, numbers):
        return 1 + B_OUTPUT
    if not scales_fit(own, count, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, what)
    weights = carray(chars_at(memory + own[B_RIGHT]), (count, 1, kernel_rows, kernel_columns))
    sums = carray(ints_at(memory + own[B_SUMS]), (count, rows, columns))
    x, several = planes(memory, own[B_INPUT], count, high, wide), own[B_MULTIPLIER_COUNT]
    bias = row_of_ints(memory, own[B_BIAS], count)
    depthwise_sums(x, weights, bias, longs(scratch, S_STRIDES, 2), longs(scratch, S_DILATIONS, 2), sums)
    multipliers, shifts = row_of_ints(memory, own[B_MULTIPLIERS], several), row_of_ints(memory, own[B_SHIFTS], several)
    flat, out = ints(memory, own[B_SUMS], count, rows * columns), chars(memory, own[B_OUTPUT], count, rows * columns)
    requantise_rows(flat, multipliers, shifts, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
    counts = counts_of(numbers)
    counts[DEPTHWISE] += results * kernel_rows * kernel_columns
    counts[SCALED] += results
    count_losses(numbers, counts)
    return 0
