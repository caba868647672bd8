"""A tile of a convolution: channels, rows and columns of the output of one sample; its input is padded already."""

from __future__ import annotations

from models.compute.bound_calls import call, carray, chars_at, ints_at
from models.compute.mac_array import add_to_rows, mac_conv2d
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
    B_ADD,
    B_BIAS,
    B_DIMS,
    B_INPUT,
    B_LAST,
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
from models.tile_steps import S_COUNTED, S_DILATIONS, S_STEP, S_STRIDES
from models.tile_steps._counting import PARTIALS, PRODUCTS, count_groups, count_losses, count_scaling


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Make the tile's sums, of dimensions channels in, rows in, columns in, channels, rows, columns; int8 of complete ones."""
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    depth, high, wide = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2]
    channels, rows, columns = own[B_DIMS + 3], own[B_DIMS + 4], own[B_DIMS + 5]
    kernel_rows, kernel_columns = what[C_KERNEL], what[C_KERNEL + 1]
    results = channels * rows * columns
    if not lies_within(own[B_INPUT], depth * high * wide, numbers):
        return 1 + B_INPUT
    if (rows - 1) * what[C_STRIDES] + (kernel_rows - 1) * what[C_DILATIONS] + 1 > high:
        return 1 + B_DIMS
    if (columns - 1) * what[C_STRIDES + 1] + (kernel_columns - 1) * what[C_DILATIONS + 1] + 1 > wide:
        return 1 + B_DIMS
    if not lies_within(own[B_RIGHT], channels * depth * kernel_rows * kernel_columns, numbers):
        return 1 + B_RIGHT
    if not lies_within(own[B_SUMS], 4 * results, numbers):
        return 1 + B_SUMS
    if not lies_within(own[B_OUTPUT], results, numbers):
        return 1 + B_OUTPUT
    if own[B_LAST] and not scales_fit(own, channels, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, what)
    counts = counts_of(numbers)
    x = planes(memory, own[B_INPUT], depth, high, wide)
    weights = carray(chars_at(memory + own[B_RIGHT]), (channels, depth, kernel_rows, kernel_columns))
    sums = carray(ints_at(memory + own[B_SUMS]), (channels, rows, columns))
    strides, dilations = longs(scratch, S_STRIDES, 2), longs(scratch, S_DILATIONS, 2)
    if depth:  # else sums that others have made are brought to an end
        mac_conv2d(x, weights, strides, dilations, own[B_ADD] != 0, sums)
        products = depth * kernel_rows * kernel_columns
        # The array knows no stride: it makes the results between, too, which are of no use.
        made_rows, made_columns = (rows - 1) * strides[0] + 1, (columns - 1) * strides[1] + 1
        stall = (products + 2) // 4 + 1 if max(dilations[0], dilations[1]) > 1 or kernel_columns == 1 else 2
        before = counts[PRODUCTS]
        count_groups(channels, made_columns, made_rows, products, stall, counts)
        counts[PRODUCTS] = before + results * products
        counts[PARTIALS] += results * (own[B_ADD] != 0)
    if own[B_LAST]:
        flat, several = ints(memory, own[B_SUMS], channels, rows * columns), own[B_MULTIPLIER_COUNT]
        add_to_rows(flat, row_of_ints(memory, own[B_BIAS], channels))
        out = chars(memory, own[B_OUTPUT], channels, rows * columns)
        multipliers, shifts = row_of_ints(memory, own[B_MULTIPLIERS], several), row_of_ints(memory, own[B_SHIFTS], several)
        requantise_rows(flat, multipliers, shifts, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
        count_scaling(what, results, counts)
        count_losses(numbers, counts)
    return 0
