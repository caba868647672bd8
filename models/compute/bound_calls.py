"""Compiled functions bound to the arrays of a shard: other compiled code calls them by address.

A PE's tick is one compiled function (`pe/tick.py`), and which weight format and neuron model it meets is known only when
shards are loaded. So a format or kernel declares each piece of its work as a function of named operands, and binds it to
its arena views:

    @bindable                                             Call.block, int64:   word 0   word 1   word 2
    def _add(sums: FloatRows, counts: Words,              0 sums               address  rows     columns
             units: Number, keys: EventKeys) -> None:     1 counts             address  length   1
        ...                                               2 units              value    0        0

    receive = _add.bind(sums=a, counts=b, units=7)        receive.address: the code to jump to
    receive(keys, values, 3)                              code(address of block, of keys, of values, 3)

From Python a bound call is called like any function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeAlias, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from models.compute.compiling import compiled_callback, inlined
from models.network import F32, U32, Array

CFunction: TypeAlias = Any  # numba's CFunc, which has no types

# Operands of a bindable function, by annotation: the expression that reads operand `at` from its block.
FloatRows: TypeAlias = Annotated[F32, "float_rows(block, {at})"]
Floats: TypeAlias = Annotated[F32, "floats(block, {at})"]
Float: TypeAlias = Annotated[np.float32, "floats(block, {at})[0]"]  # bound as an array of one element
Words: TypeAlias = Annotated[U32, "words(block, {at})"]
Address: TypeAlias = Annotated[int, "number(block, {at})"]  # of an array whose type is known by another operand
Number: TypeAlias = Annotated[int, "number(block, {at})"]
Flag: TypeAlias = Annotated[bool, "number(block, {at}) != 0"]
# Not bound but given at each call: the first `count` events of a FIFO.
EventKeys: TypeAlias = Annotated[U32, "carray(words_at(keys), (count,))"]
EventValues: TypeAlias = Annotated[F32, "carray(floats_at(values), (count,))"]
_AT_EACH_CALL = {EventKeys, EventValues}

WORDS = 3  # of an operand in a block: address, rows, columns of an array; the number itself and two zeros of a number
_SIGNATURE = types.int64(types.int64, types.int64, types.int64, types.int64)


def call(function: Callable[[int, int, int, int], int]) -> CFunction:
    """Compile `function(block, keys, values, count) -> int` at once, for a `Call` (cached on disk).

    `keys` and `values` are the addresses of a FIFO's arrays, `count` its events; what needs none is called with zeros.
    """
    return compiled_callback(function, _SIGNATURE)


class Call:
    """A compiled function (of `call` or `bindable`) and what it works on: arrays (C-contiguous, kept alive) and numbers, which
    the function finds by their position.
    """

    __slots__ = ("_function", "address", "block", "parts")

    def __init__(self, function: CFunction, *parts: Array | int) -> None:
        self._function = function
        self.address = int(function.address)
        self.parts = parts
        self.block = np.zeros((len(parts), WORDS), np.int64)
        for at, part in enumerate(parts):
            self.block[at] = _words_of(part)

    def __call__(self, keys: Array | None = None, values: Array | None = None, count: int = 0) -> int:
        """Make the call: with a FIFO's keys uint32 and values float32, of which the first `count` are events."""
        fifo = 0 if keys is None else keys.ctypes.data, 0 if values is None else values.ctypes.data
        return called(self._function)(self.block.ctypes.data, *fifo, count)


class Bindable:
    """A compiled function with named operands, made by `bindable`."""

    def __init__(self, function: CFunction, operands: tuple[str, ...]) -> None:
        self._function, self._operands = function, operands  # the first is kept alive
        self.address, self.ctypes = function.address, function.ctypes

    def bind(self, **operands: Array | int) -> Call:
        """Bind every operand by its name; TypeError where one is missing or unknown."""
        if operands.keys() != set(self._operands):
            raise TypeError(f"operands: need {', '.join(self._operands)}; have {', '.join(operands)}")
        return Call(self, *(operands[name] for name in self._operands))


def bindable(function: Callable[..., int | None]) -> Bindable:
    """Compile a function whose parameters are annotated as operands (above), at once; it returns an int or None."""
    hints = get_type_hints(function, include_extras=True)
    answers = hints.pop("return") is int
    operands = tuple(name for name, kind in hints.items() if kind not in _AT_EACH_CALL)
    at = {name: number for number, name in enumerate(operands)}
    arguments = ", ".join(kind.__metadata__[0].format(at=at.get(name)) for name, kind in hints.items())
    code, name = function.__code__, f"{function.__name__}_at"
    body = f"return function({arguments})" if answers else f"function({arguments}); return 0"
    # The file and line of the function itself: the cache goes by them.
    source = "\n" * (code.co_firstlineno - 1) + f"def {name}(block, keys, values, count): {body}"
    # Inlined before it is typed, the body would compile in 2.5 s of CPU less (of 18 in all), but `dense` would be 8 % slower.
    namespace = globals() | {"function": inlined(function), "__name__": function.__module__}
    exec(compile(source, code.co_filename, "exec"), namespace)  # noqa: S102 - the text above, and nobody's input
    return Bindable(call(namespace[name]), operands)


@cache
def called(function: CFunction) -> Callable[[int, int, int, int], int]:
    """Return a compiled call as Python can make it; numba's own attribute would make it anew each time."""
    return function.ctypes  # type: ignore[no-any-return]  # ctypes' own type


def _words_of(part: Array | int) -> tuple[int, int, int]:
    if not isinstance(part, np.ndarray):
        return int(part), 0, 0
    if not part.flags.c_contiguous or part.ndim not in (1, 2):
        raise ValueError(f"array of shape {part.shape}: needs one or two dimensions, contiguous")
    return part.ctypes.data, part.shape[0], part.shape[1] if part.ndim == 2 else 1


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
    """Return operand `at`, a number."""
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


@bindable
def zero(array: Floats) -> None:
    """Set every element to +0."""
    array[:] = np.float32(0)


@bindable
def _do_nothing() -> None:
    pass


nothing = _do_nothing.bind()
"""Does nothing: the product of a port whose accumulators are the product already, the restart of one without a trace."""
