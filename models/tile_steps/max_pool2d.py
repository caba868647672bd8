"""Planes of a max pool, on the core."""

from __future__ import annotations

from models.compute.bound_calls import call
from models.compute.tile_memory import block_of, configuration_of, counts_of, lies_within, longs, numbers_of, planes, scratch_of
from models.dnn.program import B_DIMS, B_INPUT, B_OUTPUT, C_KERNEL
from models.operators.max_pool2d import largest_of_windows
from models.tile_steps import S_DILATIONS, S_KERNEL, S_PADS, S_STRIDES
from models.tile_steps._counting import POOLED


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Write the largest of each window, of dimensions planes, rows in, columns in, rows, columns, rows of padding above."""
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    count, high, wide, rows, columns = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2], own[B_DIMS + 3], own[B_DIMS + 4]
    if not lies_within(own[B_INPUT], count * high * wide, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_OUTPUT], count * rows * columns, numbers):
        return 1 + B_OUTPUT
    numbers_of(scratch, what)
    numbers[S_PADS] = own[B_DIMS + 5]
    kernel, strides = longs(scratch, S_KERNEL, 2), longs(scratch, S_STRIDES, 2)
    pads, dilations = longs(scratch, S_PADS, 2), longs(scratch, S_DILATIONS, 2)
    x, out = planes(memory, own[B_INPUT], count, high, wide), planes(memory, own[B_OUTPUT], count, rows, columns)
    largest_of_windows(x, kernel, strides, pads, dilations, out)
    counts_of(numbers)[POOLED] += count * rows * columns * what[C_KERNEL] * what[C_KERNEL + 1]
    return 0
