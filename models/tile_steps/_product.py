"""A tile of a matrix product, by weights or of two things that arrive: rows, columns, and the depth or a part of it."""

from __future__ import annotations

from typing import Any

from models.compute.compiling import inlined
from models.compute.mac_array import add_to_columns, mac_matmul
from models.compute.requantise import requantise_columns
from models.compute.tile_memory import (
    block_of,
    chars,
    configuration_of,
    counts_of,
    ints,
    lies_within,
    longs,
    numbers_of,
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
    C_OFFSETS,
)
from models.tile_steps import S_COUNTED, S_STEP
from models.tile_steps._counting import PARTIALS, count_losses, count_matmul, count_scaling


@inlined
def make_product(memory: int, configuration: int, block: int, scratch: int, is_weight: bool) -> Any:
    """Make the tile's sums, of dimensions rows, depth and columns; where they are complete, int8 of them: by biases and scales of
    the columns where the right is weights, else by one scale.
    """
    own, numbers, what = block_of(block), scratch_of(scratch), configuration_of(configuration)
    rows, depth, columns = own[B_DIMS], own[B_DIMS + 1], own[B_DIMS + 2]
    if not lies_within(own[B_INPUT], rows * depth, numbers):
        return 1 + B_INPUT
    if not lies_within(own[B_RIGHT], depth * columns, numbers):
        return 1 + B_RIGHT
    if not lies_within(own[B_SUMS], 4 * rows * columns, numbers):
        return 1 + B_SUMS
    if not lies_within(own[B_OUTPUT], rows * columns, numbers):
        return 1 + B_OUTPUT
    if own[B_LAST] and not scales_fit(own, columns if is_weight else 0, numbers):
        return 1 + B_BIAS
    numbers_of(scratch, what)
    counts, sums = counts_of(numbers), ints(memory, own[B_SUMS], rows, columns)
    if depth:  # else sums that others have made are brought to an end
        left, right = chars(memory, own[B_INPUT], rows, depth), chars(memory, own[B_RIGHT], depth, columns)
        mac_matmul(left, right, what[C_OFFSETS], what[C_OFFSETS + 1], own[B_ADD] != 0, sums)
        count_matmul(rows, depth, columns, counts)
        counts[PARTIALS] += rows * columns * (own[B_ADD] != 0)
    if own[B_LAST]:
        several = own[B_MULTIPLIER_COUNT] if is_weight else 1
        if is_weight:
            add_to_columns(sums, row_of_ints(memory, own[B_BIAS], columns))
        out = chars(memory, own[B_OUTPUT], rows, columns)
        multipliers, shifts = row_of_ints(memory, own[B_MULTIPLIERS], several), row_of_ints(memory, own[B_SHIFTS], several)
        requantise_columns(sums, multipliers, shifts, longs(scratch, S_STEP, 5), longs(scratch, S_COUNTED, 2), out)
        count_scaling(what, rows * columns, counts)
        count_losses(numbers, counts)
    return 0
