"""A state_dict from any file: tensors by key, read when asked for, as float32.

It knows files, wrappers, pruning pairs and number formats; what the keys mean is known to importers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from models.foreign import torch_file
from models.foreign.request import Findings, ImportRequest
from models.foreign.torch_file import Tensor
from models.foreign.unpickle import View
from models.network import F32, Array, ModelError, check_finite, in_one_line

WRAPPERS = ("state_dict", "model_state_dict")
FLOATS = ("float32", "float64", "float16", "bfloat16")
_SAFE_TYPES = {
    "F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


@dataclass
class Log:
    """What was read of a state_dict, and what had to be done to it; shared by all its parts."""

    used: set[str] = field(default_factory=set)  # keys that somebody asked for
    widened: Counter[str] = field(default_factory=Counter)  # how many tensors of a type other than float32 were converted
    rounded: int = 0  # how many float64 values float32 could not hold exactly
    masked: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Of tensors stored as pruning pairs: how many, their values, and how many of those were kept."""
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the notes, each a line for the user."""
        lines = list(self.notes)
        for dtype, count in sorted(self.widened.items()):
            loss = f"{self.rounded:,} values rounded" if dtype == "float64" else "without loss"
            lines.append(f"{count} {dtype} tensors converted to float32, {loss}")
        pairs, values, nonzeros = self.masked
        if pairs:
            lines.append(f"{pairs} pruned tensors stored as weights and mask: {nonzeros:,} of {values:,} weights kept")
        return lines


@dataclass(frozen=True)
class StateDict:
    """Tensors by key, without `prefix`, which the keys have in the file. `who` begins every complaint."""

    who: str
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    log: Log = field(default_factory=Log)

    def under(self, prefix: str) -> StateDict:
        """Return the part whose keys begin with `prefix` and a dot; ModelError where there is none."""
        head = prefix.rstrip(".") + "." if prefix else ""
        part = {key.removeprefix(head): tensor for key, tensor in self.tensors.items() if key.startswith(head)}
        if not part:
            raise ModelError(f"{self.who}: no key begins with {head!a}; has {listed(self.tensors)}")
        return replace(self, tensors=part, prefix=self.prefix + head)

    def has(self, key: str) -> bool:
        """Say whether there is a tensor `key`, whole or as a pruning pair."""
        return key in self.tensors or f"{key}_orig" in self.tensors

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        """Return the shape of `key`; ModelError where it is missing or has another number of dimensions."""
        shape = self._tensor(key if key in self.tensors else f"{key}_orig", key).shape
        if len(shape) != dimensions:
            raise ModelError(f"{self.who}: {self.prefix}{key} needs {dimensions} dimensions, has shape {shape}")
        return shape

    def array(self, key: str, shape: tuple[int, ...]) -> F32:
        """Return `key` as a new float32 array of `shape`, all finite; a pruning pair as the product of its two.

        ModelError where it is missing, has another shape, is of integers or is not finite.
        """
        if key in self.tensors:
            return self._floats(key, key, shape)
        weights, mask = self._floats(f"{key}_orig", key, shape), self._tensor(f"{key}_mask", f"{key}_mask")
        if mask.shape != shape:
            raise ModelError(f"{self.who}: {self.prefix}{key}_mask needs shape {shape}, has {mask.shape}")
        self.log.used.add(f"{self.prefix}{key}_mask")
        with np.errstate(all="ignore"):
            product: F32 = weights * self._read(f"{key}_mask", mask).astype(np.float32)
        check_finite(f"{self.who}: {self.prefix}{key}_mask", product)
        counts = (1, product.size, int(np.count_nonzero(product)))
        self.log.masked[:] = [a + b for a, b in zip(self.log.masked, counts, strict=True)]
        return product

    def left(self) -> list[str]:
        """Return the keys that nobody has asked for, as they are in the file."""
        return [self.prefix + key for key in self.tensors if self.prefix + key not in self.log.used]

    def _tensor(self, key: str, asked: str) -> Tensor:
        tensor = self.tensors.get(key)
        if tensor is None:
            raise ModelError(f"{self.who}: has no tensor {self.prefix + asked!a}")
        return tensor

    def _floats(self, key: str, asked: str, shape: tuple[int, ...]) -> F32:
        tensor = self._tensor(key, asked)
        if tensor.shape != shape or tensor.dtype not in FLOATS:
            raise ModelError(f"{self.who}: {self.prefix}{key} needs shape {shape} of floats, has {tensor.shape} of {tensor.dtype}")
        raw = self._read(key, tensor)
        with np.errstate(all="ignore"):  # what does not fit float32 becomes infinite, and is refused
            values = np.array(raw, np.float32, order="C")
        check_finite(f"{self.who}: {self.prefix}{key}", values)
        if self.prefix + key not in self.log.used and tensor.dtype != "float32":
            self.log.widened[tensor.dtype] += 1
            if tensor.dtype == "float64":
                self.log.rounded += int(np.count_nonzero(values.astype(np.float64) != raw))
        self.log.used.add(self.prefix + key)
        return values

    def _read(self, key: str, tensor: Tensor) -> Array:
        with _damage_named(f"{self.who}: {self.prefix}{key}"):
            values = tensor.read()
        if tensor.dtype != "bfloat16":
            return values
        return (values.astype(np.uint32) << 16).view(np.float32)  # bfloat16 is the upper half of a float32


@contextmanager
def opened_state(path: Path) -> Iterator[StateDict]:
    """Open a state_dict: a file of `torch.save` or of safetensors. ModelError, in one line, for what is none."""
    who = f"import {path}"
    with ExitStack() as stack:
        with _damage_named(who):
            if not path.is_file():
                raise ModelError(f"{who}: {'is no file' if path.exists() else 'no such file'}")
            if path.suffix == ".safetensors":
                state = StateDict(who, _safetensors(who, path.read_bytes()))
            else:
                state = _unwrapped(who, *stack.enter_context(torch_file.opened(path)))
        yield state


def read_state(path: Path, request: ImportRequest, read: Callable[[Path, StateDict, ImportRequest], Findings]) -> Findings:
    """Return what `read` makes of the state_dict in a file, or of its part under the prefix.

    Notes say what was converted, and which keys are left.
    """
    with opened_state(path) as state:
        scope = state.under(request.prefix) if request.prefix else state
        findings = read(path, scope, request)
        left = state.left()
        notes = [*findings.notes, *state.log.lines()]
    if left:
        notes.append(f"{len(left)} keys left out: {listed(left)}")
    return replace(findings, notes=tuple(notes))


@contextmanager
def _damage_named(who: str) -> Iterator[None]:
    """Turn what other people's readers raise into a ModelError: a hostile file brings out exceptions of a dozen kinds."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        why = ascii(in_one_line(error))[1:-1]
        raise ModelError(f"{who}: damaged, or no file of torch.save or safetensors ({why})") from error


def _unwrapped(who: str, tree: Any, tensor: Callable[[View], Tensor]) -> StateDict:
    """Return the state_dict of a file: what it holds, or what lies in it under a name that says so."""
    log = Log()
    if isinstance(tree, dict):
        wrapper = next((name for name in WRAPPERS if isinstance(tree.get(name), dict)), None)
        if wrapper is not None:
            log.notes.append(f"the state_dict lies under {wrapper!r}; beside it: {listed([k for k in tree if k != wrapper])}")
            tree = tree[wrapper]
        tensors = {key: tensor(value) for key, value in tree.items() if isinstance(key, str) and isinstance(value, View)}
        if tensors:
            return StateDict(who, tensors, log=log)
    have = f"a dict with {listed(tree)}" if isinstance(tree, dict) else f"a {type(tree).__name__}"
    raise ModelError(f"{who}: needs tensors by name, or a dict of them under {' or '.join(WRAPPERS)}; has {have}")


def _safetensors(who: str, raw: bytes) -> dict[str, Tensor]:
    tensors = {}
    for name, entry in safetensors.deserialize(raw):  # type: ignore[no-untyped-call]
        dtype = _SAFE_TYPES.get(entry["dtype"])
        if dtype is None:
            raise ModelError(f"{who}: {name!a} is of type {entry['dtype']}; needs one of {', '.join(_SAFE_TYPES)}")
        kind = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")
        array = np.frombuffer(entry["data"], kind).reshape(entry["shape"])
        tensors[name] = Tensor(tuple(entry["shape"]), dtype, lambda array=array: array)  # type: ignore[misc]
    return tensors


def listed(names: Collection[Any], most: int = 8) -> str:
    """Return names for a line of text: the first few, cut, in ASCII, and how many more there are."""
    shown = []
    for name in list(names)[:most]:
        text = name if isinstance(name, str) else str(name)[:60] if isinstance(name, int) else type(name).__name__
        shown.append(text[:60] if text.isascii() and text.isprintable() else ascii(text[:60]))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(shown) or 'nothing'}{more}"
