"""Plain data and tensors from the pickle that `torch.save` writes, read as a list of facts: nothing in it is ever called.

`pickletools` cuts the bytes into opcodes; a table here says what each of the few opcodes does that torch writes for a
state_dict. There is no Python object behind a name in the file: a name is looked up in `_BUILDERS`, a dict literal. One
that is known to make plain data (`inert_names.py`: numpy's numbers, namespaces, paths) is passed over: a `Passed` takes
its place, which is nothing but its name. Any other ends the reading with its name. So the file can build dicts, lists,
tuples, numbers, text and tensors, and has no words for anything else. (`pickle.Unpickler` with a narrow `find_class`
would be as safe against running code, but takes gigabytes for a memo index of four bytes.)

`torch_file.py` and `legacy_file.py` give it the storages.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import NoneType
from typing import Any, Final, NamedTuple

from models.foreign.inert_names import is_inert, is_of_system
from models.network import ModelError

MAX_PICKLE_BYTES = 2 << 20
"""A state_dict takes about 100 bytes a tensor; this bounds time (seconds) and memory (some 200 MB) for hostile ones."""
STORAGE_TYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip
MAX_DIMENSIONS = 8
MAX_NUMBER = 1 << 31  # of a dict's key and of the memo
SAVE_AS_TORCH = 'if you trust it: torch.save(pickle.load(open(FILE, "rb")), NEW)'
_NO_STATE_DICT = "a state_dict holds tensors alone, and nothing in this file was run"


@dataclass(frozen=True)
class Storage:
    """One storage of the file: its `key`, its element type (numpy's name, or "bfloat16"), how many elements it has."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True)
class View:
    """A tensor: a part of a storage. `offset` and `strides` count elements; it lies within the storage (checked)."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Passed:
    """What stands in the place of a value that was not built: the name of what it would have been."""

    name: str


class Contents(NamedTuple):
    """What a pickle holds, the names of what was passed over in it, its storages by key, and its length in bytes."""

    value: Any
    passed: tuple[str, ...]
    storages: Mapping[str, Storage]
    size_bytes: int


class _Refusal(ModelError):
    """The pickle wants to run something, called `words`."""

    def __init__(self, text: str, words: str) -> None:
        super().__init__(text)
        self.words = words


@dataclass(frozen=True)
class _Name:
    """What a GLOBAL opcode leaves on the stack: words, with nothing behind them."""

    text: str


class _Mark:
    """Where a tuple, list or dict of any length begins on the stack."""


_MARK: Final = _Mark()


def unpickle(raw: bytes) -> Contents:
    """Return what the pickle holds: dicts, lists, tuples, numbers, text, bytes, None, `View`s and `Passed`.

    ModelError, without a file's name, for a pickle that names anything but a tensor's parts, uses an opcode that torch
    does not write for a state_dict, or is damaged.
    """
    if len(raw) > MAX_PICKLE_BYTES:
        raise ModelError(f"a pickle of {len(raw)} bytes; a state_dict's has less than {MAX_PICKLE_BYTES}")
    return unpickle_first(raw)


def unpickle_first(raw: bytes) -> Contents:
    """Return what the first of the pickles in `raw` holds, as `unpickle` does; who calls it bounds `raw`."""
    machine, file = _Machine(), BytesIO(raw)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.do(opcode.name, argument)
        (value,) = machine.stack
        if isinstance(value, Passed | _Name):
            name = value.name if isinstance(value, Passed) else _spelt(value.text)
            raise ModelError(f"holds nothing but a {name}; {_NO_STATE_DICT}")
        return Contents(value, tuple(machine.passed), machine.storages, file.tell())
    except _Refusal as refusal:
        way_out = "do not load it with torch either" if is_of_system(refusal.words) else machine.way_out()
        raise ModelError(f"{refusal}{machine.place()}; {_NO_STATE_DICT}; {way_out}") from refusal
    except ModelError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError, AssertionError) as error:
        raise ModelError(f"a damaged pickle ({' '.join(f'{type(error).__name__}: {error}'.split())[:120]})") from error


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self.passed: dict[str, None] = {}  # names, in their order
        self.storages: dict[str, Storage] = {}

    def place(self) -> str:
        """Return in words under which key of the outermost dict the reading stands; "" where there is none."""
        key = self._key()
        return "" if key is None else f" under {key[:60]!a}"

    def way_out(self) -> str:
        """Return the line of Python that makes a state_dict of the file, for those who trust it."""
        part = ".state_dict()" if self._key() is None else '["state_dict"]'
        return f"if you trust it: torch.save(torch.load(FILE, weights_only=False){part}, NEW)"

    def _key(self) -> str | None:
        if not self.stack or type(self.stack[0]) is not dict:
            return None
        if self.stack[1:2] != [_MARK]:
            key = next(iter(self.stack[1:]), None)  # the one pair that is being put together
        else:
            rest = self.stack[2:]
            items = rest[: rest.index(_MARK)] if _MARK in rest else rest
            key = items[(len(items) - 1) // 2 * 2] if items else None  # keys and values by turns, the last value unfinished
        return key if isinstance(key, str) else None

    def do(self, opcode: str, argument: Any) -> None:
        if opcode in _PUSHES:
            self.stack.append(argument)
        elif opcode in _NEW:
            self.stack.append(_NEW[opcode]())
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, argument)
        elif opcode == "INST":  # names and calls in one
            _refuse(argument)
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise ModelError(f"uses the pickle opcode {opcode}, which torch never writes for a state_dict; {_NO_STATE_DICT}")

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _since_mark(self) -> list[Any]:
        # The nearest mark: every opcode that consumes one takes all above it.
        stack = self.stack
        place = len(stack) - 1
        while stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        values = stack[place + 1 :]
        del stack[place:]
        return values

    def _tuple(self, length: int | None) -> None:
        values = self._since_mark() if length is None else [self._pop() for _ in range(length)][::-1]
        self.stack.append(tuple(values))

    def _put(self, index: Any) -> None:
        if index is not None and not 0 <= index < MAX_NUMBER:
            raise ValueError("a memo index that no pickler counts up to")
        self._memo[len(self._memo) if index is None else index] = self._top()

    def _get(self, index: Any) -> None:
        self.stack.append(self._memo[index])

    def _top(self, kind: type | tuple[type, ...] = object) -> Any:
        value = self.stack[-1]
        if value is _MARK or not isinstance(value, kind):
            raise ValueError(f"a {type(value).__name__} on the stack, where there should be another thing")
        return value

    def _append(self, count: int | None) -> None:
        values = self._since_mark() if count is None else [self._pop()]
        target = self._top((list, Passed))
        if isinstance(target, list):
            target.extend(values)

    def _set_items(self, count: Any) -> None:
        values = self._since_mark() if count is None else [self._pop(), self._pop()][::-1]
        table = self._top((dict, Passed))
        if isinstance(table, Passed):
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Text and small numbers: the hash of a tuple nested a million deep would end the process, and there are
            # large numbers enough that all hash alike to keep it busy for hours.
            if type(key) not in (str, float, bool, NoneType) and not (type(key) is int and abs(key) < MAX_NUMBER):
                raise ModelError(f"has a dict with a key that is a {type(key).__name__}; a state_dict's are text")
            table[key] = value

    def _global(self, words: str) -> None:
        if words not in _BUILDERS and _storage_type(words) is None and not is_inert(words):
            _refuse(words)
        self.stack.append(_Name(words))

    def _pass(self, words: str) -> None:
        """Put what says that something was passed over in its place."""
        self.passed[_spelt(words)] = None
        self.stack.append(Passed(_spelt(words)))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("a global's name that is no text")
        self._global(f"{module} {name}")

    def _reduce(self, _: Any) -> None:
        arguments, name = self._pop(), self._pop()
        if isinstance(name, _Name) and isinstance(arguments, tuple):
            if name.text in _BUILDERS:
                self.stack.append(_BUILDERS[name.text](*arguments))
                return
            if is_inert(name.text):
                self._pass(name.text)
                return
        raise _refused_call(name)

    def _new_object(self, parts: int) -> None:
        """Pass an object over: its class and `parts` more, of which nothing is made."""
        for _ in range(parts):
            self._pop()
        name = self._pop()
        if not isinstance(name, _Name) or not is_inert(name.text):
            raise _refused_call(name)
        self._pass(name.text)

    def _new_set(self, opcode: str) -> None:
        if opcode == "FROZENSET":
            self._since_mark()
        self._pass("builtins set")

    def _add_items(self, _: Any) -> None:
        self._since_mark()
        self._top(Passed)

    def _build(self, _: Any) -> None:
        """Drop the attributes that torch hangs on a state_dict (`_metadata`: versions of modules), and those of what is passed."""
        self._pop()
        self._top((dict, Passed))

    def _persistent_id(self, _: Any) -> None:
        match self._pop():
            # Before 1.6 a sixth part said of which storage this one is a part: None.
            case ("storage", _Name(words), str(key), str(), int(elements), *rest) if _storage_type(words) and rest in ([], [None]):
                storage = Storage(key, str(_storage_type(words)), elements)
                if not 0 <= elements < 1 << 62 or self.storages.setdefault(key, storage) != storage:
                    raise ModelError("has a storage of a number of elements that cannot be")
                self.stack.append(storage)
            case _:
                raise ModelError("has a persistent id that is no storage of a known type, in the form torch writes")


_PUSHES = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    # What older protocols write instead: read so that a file which calls something is refused for that.
    "INT", "LONG", "FLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
))  # fmt: skip
_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict,
    "EMPTY_LIST": list, "MARK": lambda: _MARK,
}  # fmt: skip
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": _Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine._get),
    "APPEND": lambda machine, _: machine._append(1),
    "APPENDS": _Machine._append,
    "SETITEM": lambda machine, _: machine._set_items(2),
    "SETITEMS": _Machine._set_items,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": lambda machine, _: machine._new_object(1),
    "NEWOBJ_EX": lambda machine, _: machine._new_object(2),
    "EMPTY_SET": lambda machine, _: machine._new_set("EMPTY_SET"),
    "FROZENSET": lambda machine, _: machine._new_set("FROZENSET"),
    "ADDITEMS": _Machine._add_items,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent_id,
}


def _refuse(words: str) -> None:
    """Raise the ModelError that names what a file wanted to run."""
    module, _, name = words.partition(" ")
    if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage"):
        raise ModelError(f"has a storage of type {_spelt(words)}; needs one of {', '.join(STORAGE_TYPES.values())}")
    raise _Refusal(f"tries to execute {_spelt(words)}", words)


def _refused_call(name: Any) -> _Refusal:
    """Return the refusal of a call of what lies on the stack as its name."""
    words = name.text if isinstance(name, _Name) else ""
    return _Refusal(f"tries to call {_spelt(words)[:80]!r}" if words else f"tries to call a {type(name).__name__}", words)


def _spelt(words: str) -> str:
    """Return a name in a file as a word to print."""
    module, _, name = words.partition(" ")
    return " ".join(f"{module}.{name}".encode("ascii", "backslashreplace").decode()[:120].split())


def _storage_type(words: str) -> str | None:
    module, _, name = words.partition(" ")
    if module not in ("torch", "torch.cuda") or not name.endswith("Storage"):
        return None
    return STORAGE_TYPES.get(name.removesuffix("Storage"))


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise ValueError("an OrderedDict with arguments")
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any = None, hooks: Any = None, bits: Any = None) -> View:
    """Return the tensor; `gradient` and `hooks` say nothing about its numbers, `bits` may: that they are seen negated."""
    del gradient, hooks
    if bits:
        raise ModelError("has a tensor that is a negated or conjugate view; save it resolved")
    if not isinstance(storage, Storage) or type(offset) is not int or not (type(shape) is type(strides) is tuple):
        raise ValueError("a tensor that is not built as torch builds one")
    numbers = (offset, *shape, *strides)
    good = all(type(n) is int and 0 <= n < 1 << 62 for n in numbers)
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS or not good:
        raise ModelError(f"has a tensor of {len(shape)} sizes and {len(strides)} strides that cannot be")
    view = View(storage, offset, shape, strides)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) if view.elements else 0
    # As many elements as the storage at most: one element seen a billion times would become a billion numbers.
    if view.elements and (last >= storage.elements or view.elements > storage.elements):
        need, have = max(last + 1, view.elements), storage.elements
        raise ModelError(f"has a tensor that needs {need} elements of storage {storage.key[:40]!r}, which has {have}")
    return view


def _parameter(tensor: Any, *_: Any) -> View:
    if not isinstance(tensor, View):
        raise ValueError("a parameter that is no tensor")
    return tensor


def _size(sizes: Any) -> tuple[Any, ...]:
    if not isinstance(sizes, tuple):
        raise ValueError("a torch.Size that is no tuple")
    return sizes


_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "collections defaultdict": lambda *_: {},
    "torch Size": _size,
}
