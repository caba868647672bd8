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

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from operator import index
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias, get_type_hints

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import get_cfarray_intrinsic

from models.compute.compiling import compiled_callback, inlined
from models.compute.working_room import records
from models.network import F32, I32, U32, Array
from models.numerics import PAYLOADS

CFunction: TypeAlias = Any  # numba's CFunc, which has no types
I8: TypeAlias = npt.NDArray[np.int8]
U8: TypeAlias = npt.NDArray[np.uint8]
U16: TypeAlias = npt.NDArray[np.uint16]
Operand: TypeAlias = Array | float | np.float32  # a float is bound where a `Float` is asked for

# Operands of a bindable function, by annotation: the expression that reads operand `at` from its block.
_ROW = "carray({kind}_at(number(block, {{at}})), (size(block, {{at}}),))"
_ROWS = "carray({kind}_at(number(block, {{at}})), shape(block, {{at}}))"
Floats: TypeAlias = Annotated[F32, _ROW.format(kind="floats")]
FloatRows: TypeAlias = Annotated[F32, _ROWS.format(kind="floats")]
Float: TypeAlias = Annotated[np.float32, "single(block, {at})"]  # a number, or an array of one; as it is when it is bound
Words: TypeAlias = Annotated[U32, _ROW.format(kind="words")]
WordRows: TypeAlias = Annotated[U32, _ROWS.format(kind="words")]
Ints: TypeAlias = Annotated[I32, _ROW.format(kind="ints")]
IntRows: TypeAlias = Annotated[I32, _ROWS.format(kind="ints")]
Shorts: TypeAlias = Annotated[U16, _ROW.format(kind="shorts")]
Chars: TypeAlias = Annotated[I8, _ROW.format(kind="chars")]
CharRows: TypeAlias = Annotated[I8, _ROWS.format(kind="chars")]
Bytes: TypeAlias = Annotated[U8, _ROW.format(kind="bytes")]
ByteRows: TypeAlias = Annotated[U8, _ROWS.format(kind="bytes")]
Address: TypeAlias = Annotated[int, "number(block, {at})"]  # of an array whose type is known by another operand
Number: TypeAlias = Annotated[int, "number(block, {at})"]
Flag: TypeAlias = Annotated[bool, "number(block, {at}) != 0"]
# Of the type of the array that is bound: the function is compiled for each such type. The last word is the type that most runs use.
Numbers: TypeAlias = Annotated[Array, _ROW, "float32"]
NumberRows: TypeAlias = Annotated[Array, _ROWS, "float32"]
NumbersAt: TypeAlias = Annotated[Any, "{kind}_at(number(block, {{at}}))", "float32"]  # a pointer, for `carray` where that is faster
Indices: TypeAlias = Annotated[Array, _ROW, "uint32"]
# Not bound but given at each call: the first `count` events of a FIFO. Keys are uint32, or a range where sections are dense; values
# are of the payload's type, None for spikes (`value_of`).
EventKeys: TypeAlias = Annotated[U32, "keys"]
EventValues: TypeAlias = Annotated[F32, "values"]
# Or, to what is made a lane at a time, its number, how many events the lanes before it have sent, and the tick of the position.
Lane: TypeAlias = Annotated[int, "keys"]
EventsBefore: TypeAlias = Annotated[int, "values"]
Phase: TypeAlias = Annotated[int, "count"]
Arrived: TypeAlias = Annotated[int, " keys"]  # to what is made once a tick: how many transfers the inbox has
Passed: TypeAlias = Annotated[int, " values"]  # and how many ticks it was spared before this one
_AT_EACH_CALL = {EventKeys, EventValues, Lane, EventsBefore, Phase, Arrived, Passed}
_KINDS = {"float32": "floats", "uint32": "words", "int32": "ints", "uint16": "shorts", "int8": "chars", "uint8": "bytes"}

WORDS = 3  # of an operand in a block: address, rows, columns of an array; the number itself and two zeros of a number
_SIGNATURE = types.int64(types.int64, types.int64, types.int64, types.int64)
_FOUR_NUMBERS = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 5)


def call(function: Callable[[int, int, int, int], int]) -> CFunction:
    """Compile `function(block, keys, values, count) -> int` for a `Call` (cached on disk).

    `keys` and `values` are the addresses of a FIFO's arrays, `count` its events; what needs none is called with zeros.
    """
    return compiled_callback(function, _SIGNATURE)


class Call:
    """A compiled function (of `call` or `bindable`, which stay for good) and what it works on: arrays (C-contiguous, kept alive)
    and whole numbers, which the function finds by their position.
    """

    __slots__ = ("address", "block", "parts")

    def __init__(self, function: CFunction, *parts: Array | int) -> None:
        self.address = int(function.address)
        self.parts = parts
        self.block = records((len(parts), WORDS), np.int64)
        for at, part in enumerate(parts):
            self.block[at] = _words_of(part)

    def __call__(
        self,
        keys: Array | None = None,
        values: Array | None = None,
        count: int = 0,
        *,
        lane: int = 0,
        before: int = 0,
        phase: int = 0,
    ) -> int:
        """Make the call: with a FIFO's keys uint32 (a dense section's first flat index) and values, of which the first `count` are
        events; or for a lane, with the events of the lanes before it, at a phase.
        """
        first = address_of(keys) if isinstance(keys, np.ndarray) else keys or lane
        second = before if values is None else address_of(values)
        return _callable_at(self.address)(address_of(self.block), first, second, count or phase)


class EventType(NamedTuple):
    """What a FIFO holds: a payload (`models/numerics.py`) with keys, or without them where sections are dense."""

    payload: str = "float32"
    dense: bool = False


_USUAL_EVENTS = EventType()


class Bindable:
    """A function with named operands, made by `bindable`; compiled for each set of types that it is bound to.

    `declared`: every one of this process, by module and name.
    """

    declared: ClassVar[dict[tuple[str, str], Bindable]] = {}

    def __init__(self, function: Callable[..., int | None]) -> None:
        Bindable.declared[function.__module__, function.__qualname__] = self
        self._function = function
        self._hints: dict[str, Any] = get_type_hints(function, include_extras=True)
        self._answers = self._hints.pop("return") is int
        self._operands = tuple(name for name, kind in self._hints.items() if kind not in _AT_EACH_CALL)
        self._singles = tuple(name for name, kind in self._hints.items() if kind == Float)
        self._typed = tuple(name for name in self._operands if len(self._hints[name].__metadata__) > 1)
        self._takes_events = EventValues in self._hints.values() or EventKeys in self._hints.values()
        self._compiled: dict[tuple[str, ...], CFunction] = {}
        self._usual: tuple[str, ...] | None = None

    def bind(self, events: EventType = _USUAL_EVENTS, /, **operands: Operand) -> Call:
        """Bind every operand by its name, for such events; TypeError where one is missing or unknown, or no number of its kind."""
        if operands.keys() != set(self._operands):
            raise TypeError(f"operands: need {', '.join(self._operands)}; have {', '.join(operands)}")
        parts: dict[str, Any] = {**operands, **{name: _bits_of(name, operands[name]) for name in self._singles}}
        arrays = [parts[name] for name in self._typed]
        kinds = tuple(_name_of(array.dtype) if isinstance(array, np.ndarray) else "" for array in arrays)
        return Call(self._compile(kinds, events), *(parts[name] for name in self._operands))

    def compile_usual(self) -> None:
        """Compile for the types that most runs use."""
        kinds = tuple(self._hints[name].__metadata__[1] for name in self._typed)
        self._compile(kinds, _USUAL_EVENTS)
        self._usual = self._key(kinds, _USUAL_EVENTS)

    def late_keys(self) -> list[tuple[str, ...]]:
        """Return what it was compiled for beside the types that most runs use."""
        return [key for key in self._compiled if key != self._usual]

    def prepare(self, key: tuple[str, ...]) -> None:
        """Declare the function for what `late_keys` says, as binding it would; nothing where that is none of its keys."""
        kinds, events = (
            (key[:-2], EventType(key[-2], bool(key[-1]))) if self._takes_events and len(key) > 1 else (key, _USUAL_EVENTS)
        )
        if len(kinds) == len(self._typed) and events.payload in PAYLOADS and all(kind in _KINDS for kind in kinds):
            self._compile(kinds, events)

    def _key(self, kinds: tuple[str, ...], events: EventType) -> tuple[str, ...]:
        return (*kinds, events.payload, "dense" if events.dense else "") if self._takes_events else kinds

    def _compile(self, kinds: tuple[str, ...], events: EventType) -> CFunction:
        """Return the function for arrays of these types in its operands that ask for one, and such events."""
        key = self._key(kinds, events)
        if key not in self._compiled:
            self._compiled[key] = call(self._at_block(dict(zip(self._typed, kinds, strict=True)), events, key))
        return self._compiled[key]

    def _at_block(self, kinds: Mapping[str, str], events: EventType, key: tuple[str, ...]) -> Callable[..., int]:
        """Return the function of a block's address and what each call gives."""
        function, code = self._function, self._function.__code__
        at = {name: number for number, name in enumerate(self._operands)}
        arguments = []
        for name, hint in self._hints.items():
            expression = hint.__metadata__[0]
            if name in kinds:
                expression = expression.format(kind=_KINDS[kinds[name]])
            elif hint == EventKeys:
                expression = "range(keys, keys + count)" if events.dense else "carray(words_at(keys), (count,))"
            elif hint == EventValues:
                kind = PAYLOADS[events.payload]
                expression = f"carray({_KINDS[np.dtype(kind).name]}_at(values), (count,))" if kind else "None"
            arguments.append(expression.format(at=at.get(name)))
        inner = f"function({', '.join(arguments)})"
        body = f"return {inner}" if self._answers else f"{inner}; return 0"
        name = "_".join([f"{function.__name__}_at", *filter(None, key)])
        # The file and line of the function itself: the cache goes by them.
        source = "\n" * (code.co_firstlineno - 1) + f"def {name}(block, keys, values, count): {body}"
        # Inlined before it is typed, the body would compile in 2.5 s of CPU less (of 18 in all), but `dense` would be 8 % slower.
        namespace = globals() | {"function": inlined(function), "__name__": function.__module__}
        exec(compile(source, code.co_filename, "exec"), namespace)  # noqa: S102 - the text above, and nobody's input
        made: Callable[..., int] = namespace[name]
        return made


def bindable(function: Callable[..., int | None]) -> Bindable:
    """Return a function whose parameters are annotated as operands (above), compiled at once for the types that most runs use; it
    returns an int or None.
    """
    bindable = Bindable(function)
    bindable.compile_usual()
    return bindable


def bindable_late(function: Callable[..., int | None]) -> Bindable:
    """Do as `bindable`, but compile nothing before it is bound."""
    return Bindable(function)


@inlined
def value_of(events: Array | None, e: int) -> Any:
    """Return the value of event `e`: 1 for a spike, which carries none."""
    if events is None:
        return 1
    return events[e]


@cache
def _callable_at(address: int) -> Callable[[int, int, int, int], int]:
    return _FOUR_NUMBERS(address)


def address_of(array: Array) -> int:
    """Return where an array's elements lie: numpy's own way to ask makes two objects in Python, and a PE asks a hundred times."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]  # a buffer
    except (TypeError, ValueError, BufferError):  # it may not be written to, or has no elements
        return int(array.__array_interface__["data"][0])


@cache
def _name_of(kind: np.dtype[Any]) -> str:
    return kind.name


@cache
def called(function: CFunction) -> Callable[[int, int, int, int], int]:
    """Return a compiled call as Python can make it; numba's own attribute would make it anew each time."""
    return function.ctypes  # type: ignore[no-any-return]  # ctypes' own type


def _bits_of(name: str, operand: Operand) -> int:
    """Return the bits of a `Float`, as they lie in a block; TypeError where it is not one number."""
    if np.size(operand) != 1:
        raise TypeError(f"operand {name}: needs one number, has {np.size(operand)}")
    return int(np.asarray(operand, np.float32).reshape(1).view(np.uint32)[0])


def _words_of(part: Array | int) -> tuple[int, int, int]:
    if not isinstance(part, np.ndarray):
        return index(part), 0, 0
    if not part.flags.c_contiguous or part.ndim not in (1, 2):
        raise ValueError(f"array of shape {part.shape}: needs one or two dimensions, contiguous")
    return address_of(part), part.shape[0], part.shape[1] if part.ndim == 2 else 1


@intrinsic
def _call_at(typing: Any, address: Any, block: Any, keys: Any, values: Any, count: Any) -> Any:  # noqa: ARG001 - numba's form
    """Make the call at `address`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
        word = ir.IntType(64)
        target = builder.inttoptr(arguments[0], ir.FunctionType(word, [word] * 4).as_pointer())
        return builder.call(target, arguments[1:])

    return types.int64(*[types.int64] * 5), code


call_at: Any = _call_at  # (address, block, keys, values, count)
# (pointer, shape): an array over memory. Numba's own `carray` is a function around this, compiled anew for each type.
carray: Any = get_cfarray_intrinsic("C", None)


def pointer(kind: Any) -> Any:
    """Return the compiled function from an address to a pointer to numba's type `kind`."""

    @intrinsic
    def at(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's form
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), code

    return at


# (to, from, bytes): addresses that do not overlap. Loops over bytes doubled what a tick takes beside its kernels, and slices take
# the compiler seconds.
copy_bytes: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.uintp))
fill_bytes: Any = types.ExternalFunction("memset", types.intp(types.intp, types.int32, types.uintp))  # (at, byte, bytes)
bytes_at, chars_at, shorts_at, words_at, ints_at, floats_at = map(
    pointer, (types.uint8, types.int8, types.uint16, types.uint32, types.int32, types.float32)
)
_longs_at = pointer(types.int64)


def _operand(answer: Any, made: Callable[[Any, list[Any]], Any]) -> Any:
    """Return the compiled function (block, at) to what `made` makes, of type `answer`, of the words of operand `at`.

    As functions in Python these few loads were a fifth of what a first run compiles: numba types such anew for each number `at`.
    """

    @intrinsic
    def read(typing: Any, block: Any, at: Any) -> Any:  # noqa: ARG001 - numba's form
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
            word = ir.IntType(64)
            first = builder.mul(arguments[1], word(WORDS))
            begin = builder.gep(builder.inttoptr(arguments[0], word.as_pointer()), [first])
            return made(builder, [builder.load(builder.gep(begin, [word(n)])) for n in range(WORDS)])

        return answer(types.int64, types.int64), code

    return read


# Of operand `at` in a block: `number` and `single` are the operand itself, a whole number or a float32; `size` is how many elements
# an array has, `shape` its rows and columns.
number = _operand(types.int64, lambda _, words: words[0])
single = _operand(types.float32, lambda builder, words: builder.bitcast(builder.trunc(words[0], ir.IntType(32)), ir.FloatType()))
size = _operand(types.int64, lambda builder, words: builder.mul(words[1], words[2]))
_pair: Any = types.UniTuple(types.int64, 2)
shape = _operand(_pair, lambda builder, words: cgutils.pack_array(builder, words[1:]))


@inlined
def words(block: int, at: int) -> Array:
    """Return array `at`, uint32, as one row."""
    return carray(words_at(number(block, at)), (size(block, at),))  # type: ignore[no-any-return]  # numba's array


@bindable
def _zero(array: ByteRows) -> None:
    fill_bytes(array.ctypes.data, 0, array.size)


@bindable
def _zero_lane(array: ByteRows, lane: Lane) -> None:
    fill_bytes(array.ctypes.data + lane * array.shape[1], 0, array.shape[1])


def zeroing(array: Array) -> Call:
    """Return the call that sets every element of an array, of any type, to (+)0."""
    return _zero.bind(array=array.view(np.uint8))


def zeroing_lane(array: Array) -> Call:
    """Return the call that sets the row of a lane, of an array (lanes, numbers) of any type, to (+)0."""
    return _zero_lane.bind(array=array.view(np.uint8))


@bindable
def _do_nothing() -> None:
    pass


class LateCall(Call):
    """A call without operands that is bound where something asks for a part of it: whoever only imports compiles nothing."""

    __slots__ = ("_function",)

    def __init__(self, function: Bindable) -> None:
        self._function = function

    def __getattr__(self, name: str) -> Any:
        if name not in Call.__slots__:
            raise AttributeError(name)
        bound = self._function.bind()
        self.address, self.block, self.parts = bound.address, bound.block, bound.parts
        return object.__getattribute__(self, name)


nothing: Call = LateCall(_do_nothing)
"""Does nothing: the product of a port whose accumulators are the product already, the restart of one without a trace."""
