"""A worker's memory as compiled steps of tiles see it: arrays at offsets, numbers of configuration and block, and counts."""

from __future__ import annotations

from typing import Any

from numba import types

from models.compute.bound_calls import carray, chars_at, floats_at, ints_at, pointer, words_at
from models.compute.compiling import inlined
from models.dnn.program import (
    B_BIAS,
    B_MULTIPLIER_COUNT,
    B_MULTIPLIERS,
    B_SHIFTS,
    BLOCK_WORDS,
    C_DILATIONS,
    C_KERNEL,
    C_OFFSETS,
    C_PADS,
    C_SCALES,
    C_STEP,
    C_STRIDES,
    CONFIGURATION_WORDS,
)
from models.network import Array
from models.tile_steps import (
    COUNTS,
    S_COUNTED,
    S_COUNTS,
    S_DILATIONS,
    S_KERNEL,
    S_MEMORY_BYTES,
    S_OFFSETS,
    S_PADS,
    S_SCALES,
    S_STEP,
    S_STRIDES,
    SCRATCH_NUMBERS,
)

longs_at = pointer(types.int64)
COUNTED = len(COUNTS)


@inlined
def configuration_of(at: int) -> Array:
    """Return a layer's configuration, int32."""
    return carray(ints_at(at), (CONFIGURATION_WORDS,))  # type: ignore[no-any-return]  # numba's array


@inlined
def block_of(at: int) -> Array:
    """Return the words of a tile's block before its stretches, int32."""
    return carray(ints_at(at), (BLOCK_WORDS,))  # type: ignore[no-any-return]  # numba's array


@inlined
def scratch_of(at: int) -> Array:
    """Return the scratch numbers, int64."""
    return carray(longs_at(at), (SCRATCH_NUMBERS,))  # type: ignore[no-any-return]  # numba's array


@inlined
def counts_of(scratch: Array) -> Array:
    """Return what is counted, uint32, `COUNTS`."""
    return carray(words_at(scratch[S_COUNTS]), (COUNTED,))  # type: ignore[no-any-return]  # numba's array


@inlined
def lies_within(offset: Any, size: Any, scratch: Array) -> bool:
    """Tell whether so many bytes from an offset on lie in the memory."""
    return bool(offset >= 0 and size >= 0 and offset + size <= scratch[S_MEMORY_BYTES])


@inlined
def numbers_of(scratch: int, configuration: Array) -> None:
    """Leave the layer's numbers in the scratch as kernels take them, and zero its counts of sums and values that did not fit."""
    own = scratch_of(scratch)
    for i in range(5):
        own[S_STEP + i] = configuration[C_STEP + i]
    for i in range(2):
        own[S_COUNTED + i] = 0
        own[S_STRIDES + i], own[S_DILATIONS + i] = configuration[C_STRIDES + i], configuration[C_DILATIONS + i]
        own[S_KERNEL + i], own[S_PADS + i] = configuration[C_KERNEL + i], configuration[C_PADS + i]
        own[S_OFFSETS + i], own[S_SCALES + i] = configuration[C_OFFSETS + i], configuration[C_SCALES + i]
    own[S_SCALES + 2], own[S_SCALES + 3] = configuration[C_OFFSETS], configuration[C_OFFSETS + 1]


@inlined
def longs(scratch: int, first: int, count: int) -> Array:
    """Return numbers of the scratch, int64."""
    return carray(longs_at(scratch + 8 * first), (count,))  # type: ignore[no-any-return]  # numba's array


@inlined
def chars(memory: int, offset: Any, rows: Any, columns: Any) -> Array:
    """Return int8 (rows, columns) of the memory."""
    return carray(chars_at(memory + offset), (rows, columns))  # type: ignore[no-any-return]  # numba's array


@inlined
def planes(memory: int, offset: Any, count: Any, rows: Any, columns: Any) -> Array:
    """Return int8 (planes, rows, columns) of the memory."""
    return carray(chars_at(memory + offset), (count, rows, columns))  # type: ignore[no-any-return]  # numba's array


@inlined
def ints(memory: int, offset: Any, rows: Any, columns: Any) -> Array:
    """Return int32 (rows, columns) of the memory."""
    return carray(ints_at(memory + offset), (rows, columns))  # type: ignore[no-any-return]  # numba's array


@inlined
def row_of_ints(memory: int, offset: Any, count: Any) -> Array:
    """Return int32 (count,) of the memory."""
    return carray(ints_at(memory + offset), (count,))  # type: ignore[no-any-return]  # numba's array


@inlined
def row_of_floats(memory: int, offset: Any, count: Any) -> Array:
    """Return float32 (count,) of the memory."""
    return carray(floats_at(memory + offset), (count,))  # type: ignore[no-any-return]  # numba's array


@inlined
def scales_fit(block: Array, channels: Any, scratch: Array) -> bool:
    """Tell whether biases, multipliers and shifts of so many channels lie in the memory: one multiplier, or one a channel."""
    several = block[B_MULTIPLIER_COUNT]
    if several != 1 and several != channels:  # noqa: PLR1714 - compiled
        return False
    return (
        lies_within(block[B_BIAS], 4 * channels, scratch)
        and lies_within(block[B_MULTIPLIERS], 4 * several, scratch)
        and lies_within(block[B_SHIFTS], 4 * several, scratch)
    )
