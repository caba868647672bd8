"""Calls: compiled functions bound to the arrays of a shard, which other compiled code can make by address.

A PE's tick is one compiled function (`pe/tick.py`), and which weight format and neuron model it meets is known only when
shards are loaded. So a format or kernel offers its work as functions of one signature, and binds each to its arena views: the
result is an address to jump to and a block of words that says where the arrays lie. From Python a bound call is called
like any function. This file knows no format, kernel or PE.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from models.compute.compiling import inlined, remember
from models.network import Array

Compiled: TypeAlias = Any  # numba's CFunc, which has no types

WORDS = 3  # of a bound part: address, rows, columns of an array; the number itself and two zeros of a number
_SIGNATURE = types.int64(types.int64, types.int64, types.int64, types.int64)


def call(function: Callable[[int, int, int, int], int]) -> Compiled:
    """Compile `function(block, keys, values, count) -> int` at once, for `bind` (cached on disk).

    `keys` and `values` are the addresses of a FIFO's arrays, `count` its events; what needs none is called with zeros.
    """
    return remember(numba.cfunc(_SIGNATURE, cache=True)(function))


class Call:
    """A compiled function and what it works on.

    Args:
        function: made by `call`.
        parts: arrays (C-contiguous; they are kept alive) and numbers, which the function finds by their position here.

    """

    __slots__ = ("_function", "address", "block", "parts")

    def __init__(self, function: Compiled, *parts: Array | int) -> None:
        self._function = function
        self.address = int(function.address)
        self.parts = parts
        self.block = np.zeros((len(parts), WORDS), np.int64)
        for at, part in enumerate(parts):
            self.block[at] = _words_of(part)

    def __call__(self, keys: Array | None = None, values: Array | None = None, count: int = 0) -> int:
        """Make the call: with a FIFO's keys uint32 and values float32, of which the first `count` are events."""
        here = 0 if keys is None else keys.ctypes.data, 0 if values is None else values.ctypes.data
        return called(self._function)(self.block.ctypes.data, *here, count)


@cache
def called(function: Compiled) -> Callable[[int, int, int, int], int]:
    """Return a compiled call as Python can make it; numba's own attribute would make it anew each time."""
    return function.ctypes  # type: ignore[no-any-return]  # ctypes' own type


def _words_of(part: Array | int) -> tuple[int, int, int]:
    if not isinstance(part, np.ndarray):
        return int(part), 0, 0
    if not part.flags.c_contiguous or part.ndim not in (1, 2):
        raise ValueError(f"array of shape {part.shape}: needs one or two dimensions, contiguous")
    return part.ctypes.data, part.shape[0], part.shape[1] if part.ndim == 2 else 1


# -- for use inside compiled functions ------------------------------------------------------------------------------------------


@intrinsic
def _call_at(typing: Any, address: Any, block: Any, keys: Any, values: Any, count: Any) -> Any:  # noqa: ARG001 - numba's form
    """Make the call at `address`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
        word = ir.IntType(64)
        target = builder.inttoptr(arguments[0], ir.FunctionType(word, [word] * 4).as_pointer())
        return builder.call(target, arguments[1:])

    return types.int64(*[types.int64] * 5), code


call_at: Any = _call_at  # (address, block, keys, values, count)
carray: Any = numba.carray  # type: ignore[attr-defined]  # by name only; (pointer, shape): an array over memory


def pointer(kind: Any) -> Any:
    """Return the compiled function from an address to a pointer to numba's type `kind`."""

    @intrinsic
    def at(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's form
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), code  # type: ignore[no-untyped-call]

    return at


# (to, from, bytes): addresses that do not overlap. Loops over bytes doubled what a tick takes beside its kernels, and slices take
# the compiler seconds.
copy_bytes: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.uintp))
bytes_at, shorts_at, words_at, floats_at = map(pointer, (types.uint8, types.uint16, types.uint32, types.float32))
_longs_at = pointer(types.int64)


@inlined
def number(block: int, at: int) -> int:
    """Return part `at`, a number."""
    value: int = carray(_longs_at(block), (WORDS * at + 1,))[WORDS * at]
    return value


@inlined
def size(block: int, at: int) -> int:
    """Return how many elements array `at` has."""
    words = carray(_longs_at(block), (WORDS * at + WORDS,))
    return words[WORDS * at + 1] * words[WORDS * at + 2]  # type: ignore[no-any-return]  # an integer, once compiled


@inlined
def floats(block: int, at: int) -> Array:
    """Return array `at`, float32, as one row."""
    return carray(floats_at(number(block, at)), (size(block, at),))  # type: ignore[no-any-return]  # numba's array


@inlined
def float_rows(block: int, at: int) -> Array:
    """Return array `at`, float32 with two dimensions."""
    words = carray(_longs_at(block), (WORDS * at + WORDS,))
    shape = (words[WORDS * at + 1], words[WORDS * at + 2])
    return carray(floats_at(number(block, at)), shape)  # type: ignore[no-any-return]  # numba's array


@inlined
def words(block: int, at: int) -> Array:
    """Return array `at`, uint32, as one row."""
    return carray(words_at(number(block, at)), (size(block, at),))  # type: ignore[no-any-return]  # numba's array


@call
def zero(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Set every element of part 0, float32, to +0."""
    floats(block, 0)[:] = np.float32(0)
    return 0


@call
def _nothing(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    return 0


nothing = Call(_nothing)
"""Does nothing: the product of a port whose accumulators are the product already, the restart of one without a trace."""
