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

from models.foreign import legacy_file, torch_file
from models.foreign.facts import parse_facts
from models.foreign.parametrized import Recipe, recipes, shape_of, value_of
from models.foreign.request import Findings, ImportRequest
from models.foreign.torch_file import Tensor, TorchFile
from models.foreign.unpickle import SAVE_AS_TORCH, Passed, View
from models.input_file import HEAD_BYTES, InputError, is_pickle, is_safetensors, is_zip, open_input
from models.network import F32, Array, ModelError, check_finite, in_one_line

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights", "model_weights"),
    *("ema_state_dict", "ema"),
)
"""Under which name a checkpoint has its state_dict, the first that is there."""
_DEEPEST = 4  # wrappers in wrappers
ADDED = {
    "module": "torch.nn.DataParallel", "_orig_mod": "torch.compile", "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing", "_forward_module": "Lightning Fabric",
}  # fmt: skip
"""Parts of keys that a wrapper around a module adds, wherever it stands, and whose."""
FLOATS = ("float32", "float64", "float16", "bfloat16")
_SAFE_TYPES = {
    "F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def _tensors(count: int, kind: str = "") -> str:
    return f"{count} {kind}{' ' * bool(kind)}tensor{'' if count == 1 else 's'}"


@dataclass
class Log:
    """What was read of a state_dict, and what had to be done to it; shared by all its parts."""

    used: set[str] = field(default_factory=set)  # keys that somebody asked for
    widened: Counter[str] = field(default_factory=Counter)  # how many tensors of a type other than float32 were converted
    rounded: int = 0  # how many float64 values float32 could not hold exactly
    masked: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Of tensors stored as pruning pairs: how many, their values, and how many of those were kept."""
    computed: Counter[str] = field(default_factory=Counter)  # how many tensors of a parametrization were computed
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the notes, each a line for the user."""
        lines = list(self.notes)
        for dtype, count in sorted(self.widened.items()):
            loss = f"{self.rounded:,} values rounded" if dtype == "float64" else "without loss"
            lines.append(f"{_tensors(count, dtype)} converted to float32, {loss}")
        for kind, count in sorted(self.computed.items()):
            lines.append(f"{_tensors(count)} computed from the parts that {kind} leaves, in float64, rounded once")
        pairs, values, nonzeros = self.masked
        if pairs:
            lines.append(f"{_tensors(pairs, 'pruned')} stored as weights and mask: {nonzeros:,} of {values:,} weights kept")
        return lines


@dataclass(frozen=True)
class StateDict:
    """Tensors by key, without `prefix`, which the keys have in the file. `who` begins every complaint.

    `in_file` has the whole key in the file of those keys (with their prefix) that are called otherwise here, `part_keys` those of
    the parts of tensors that are computed. `in_order`: keys come as the modules do; files of safetensors sort them.
    `activations` names what follows a linear layer, by the layer's key without `.weight`, where something says that; the weights
    of `others` belong to modules that are known to be no linear layers. `facts` are what is said beside the tensors, by a file
    that was exported here or by a module.
    """

    who: str
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    log: Log = field(default_factory=Log)
    in_file: Mapping[str, str] = field(default_factory=dict)
    part_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_order: bool = True
    activations: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def under(self, prefix: str) -> StateDict:
        """Return the part whose keys begin with `prefix` and a dot; ModelError where there is none."""
        head = prefix.rstrip(".") + "." if prefix else ""
        part = {key.removeprefix(head): tensor for key, tensor in self.tensors.items() if key.startswith(head)}
        if not part:
            raise ModelError(f"{self.who}: no key begins with {head!a}; has {listed(self.tensors)}")
        activations = {key.removeprefix(head): name for key, name in self.activations.items() if key.startswith(head)}
        others = frozenset(key.removeprefix(head) for key in self.others if key.startswith(head))
        return replace(self, tensors=part, prefix=self.prefix + head, activations=activations, others=others)

    def without_wrappers(self) -> StateDict:
        """Return the same tensors under keys without what wrappers around modules add (`ADDED`), with a note of it.

        ModelError where two keys would become one.
        """
        tensors: dict[str, Tensor] = {}
        in_file: dict[str, str] = {}
        for key, tensor in self.tensors.items():
            plain = plain_key(key)
            if plain in tensors:
                both = listed([in_file.get(self.prefix + plain, self.prefix + plain), self.prefix + key])
                raise ModelError(f"{self.who}: two keys differ by a wrapper alone ({both}); choose one with --prefix")
            tensors[plain] = tensor
            if plain != key:
                in_file[self.prefix + plain] = self.prefix + key
        if in_file:
            added = dict.fromkeys(part for key in in_file.values() for part in key.split(".") if part in ADDED)
            names = ", ".join(f"{part} ({ADDED[part]})" for part in added)
            self.log.notes.append(f"{len(in_file)} keys read without {names}")
        activations = {plain_key(key): name for key, name in self.activations.items()}
        others = frozenset(map(plain_key, self.others))
        return replace(self, tensors=tensors, in_file={**self.in_file, **in_file}, activations=activations, others=others)

    def with_computed(self) -> StateDict:
        """Return the same tensors, with parametrized weights under their plain keys in the place of their parts."""
        by_key = recipes(self.tensors)
        if not by_key:
            return self
        part_of = {key: whole for whole, recipe in by_key.items() for key in recipe.keys}
        tensors: dict[str, Tensor] = {}
        for key, tensor in self.tensors.items():
            whole = part_of.get(key)
            if whole is None:
                tensors[key] = tensor
            elif whole not in tensors:
                tensors[whole] = self._computed(by_key[whole])
        part_keys = {self.prefix + whole: tuple(map(self.key_in_file, recipe.keys)) for whole, recipe in by_key.items()}
        return replace(self, tensors=tensors, part_keys={**self.part_keys, **part_keys})

    def _computed(self, recipe: Recipe) -> Tensor:
        shapes = {key: self.tensors[key].shape for key in recipe.keys}

        def read() -> Array:
            value = value_of(self.who, recipe._replace(keys=tuple(self.prefix + key for key in recipe.keys)), self._part)
            self.log.computed[recipe.kind] += 1
            return value

        return Tensor(shape_of(recipe, shapes), "float32", read)

    def _part(self, key: str) -> Array:
        key = key.removeprefix(self.prefix)
        return self._floats(key, key, self.tensors[key].shape)

    def plain_part(self, prefix: str) -> StateDict:
        """Return the part under `prefix`, as the file or a plain module has its keys, without what wrappers add to keys and with
        parametrized weights computed.
        """
        head = f"{prefix.rstrip('.')}."
        if not prefix or any(key.startswith(head) for key in self.tensors):
            return (self.under(prefix) if prefix else self).without_wrappers().with_computed()
        return self.without_wrappers().under(prefix).with_computed()

    def key_in_file(self, key: str) -> str:
        """Return the whole key that a tensor has in the file."""
        whole = self.prefix + key
        return self.in_file.get(whole, whole)

    def zoneouts(self, layers: int) -> list[float] | None:
        """Return the zoneout of each layer, where it is said beside the tensors; ModelError where it is that of other layers."""
        values: list[float] | None = self.facts.get("zoneout")
        if values is None or len(values) in (1, layers):
            return values if values is None or len(values) == layers else values * layers
        raise ModelError(f"{self.who}: says the zoneout of {len(values)} layers, has {layers}")

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
        self._use(f"{key}_mask")
        with np.errstate(all="ignore"):
            product: F32 = weights * self._read(f"{key}_mask", mask).astype(np.float32)
        check_finite(f"{self.who}: {self.prefix}{key}_mask", product)
        counts = (1, product.size, int(np.count_nonzero(product)))
        self.log.masked[:] = [a + b for a, b in zip(self.log.masked, counts, strict=True)]
        return product

    def left(self) -> list[str]:
        """Return the keys that nobody has asked for, as they are in the file."""
        return [self.prefix + key for key in self.tensors if self.prefix + key not in self.log.used]

    def _use(self, key: str) -> bool:
        """Note that somebody asked for a tensor; tell whether it is the first time."""
        names = self.part_keys.get(self.prefix + key, (self.key_in_file(key),))
        first = not self.log.used.issuperset(names)
        self.log.used.update(names)
        return first

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
        if self._use(key) and tensor.dtype != "float32":
            self.log.widened[tensor.dtype] += 1
            if tensor.dtype == "float64":
                self.log.rounded += int(np.count_nonzero(values.astype(np.float64) != raw))
        return values

    def _read(self, key: str, tensor: Tensor) -> Array:
        with _damage_named(f"{self.who}: {self.prefix}{key}"):
            values = tensor.read()
        if tensor.dtype != "bfloat16":
            return values
        return (values.astype(np.uint32) << 16).view(np.float32)  # bfloat16 is the upper half of a float32


@contextmanager
def opened_state(path: Path) -> Iterator[StateDict]:
    """Open a state_dict: a file of `torch.save` or of safetensors, whatever its name. ModelError, in one line, for what is none."""
    who = f"import {path}"
    with ExitStack() as stack:
        with _damage_named(who):
            try:
                with open_input(path) as file:
                    head = file.read(HEAD_BYTES)
            except InputError as error:
                raise ModelError(f"{who}: {error}") from error
            if is_zip(head):
                state = _unwrapped(who, stack.enter_context(torch_file.opened(path)))
            elif legacy_file.is_legacy(head):
                state = _unwrapped(who, stack.enter_context(legacy_file.opened(path)))
            elif is_pickle(head):
                raise ModelError(f"{who}: a bare pickle, as pickle.dump writes, no file of torch.save; {SAVE_AS_TORCH}")
            elif is_safetensors(head):
                state = StateDict(who, _safetensors(who, path.read_bytes()), in_order=False)
            else:
                raise ModelError(f"{who}: damaged, or no file of torch.save or safetensors (begins with {_begin(head)})")
        yield state


def read_state(path: Path, request: ImportRequest, read: Callable[[Path, StateDict, ImportRequest], Findings]) -> Findings:
    """Return what `read` makes of the state_dict in a file, or of its part under the prefix, under keys without wrappers.

    Notes say what was converted, and which keys are left.
    """
    with opened_state(path) as state:
        return read_part(state, request, lambda part, request: read(path, part, request))


def read_part(state: StateDict, request: ImportRequest, read: Callable[[StateDict, ImportRequest], Findings]) -> Findings:
    """Return what `read_state` does, of a state_dict at hand."""
    findings = read(state.plain_part(request.prefix), request)
    left = state.left()
    more = [f"{len(left)} keys left out: {listed(left)}"] if left else []
    return replace(findings, notes=(*findings.notes, *state.log.lines(), *more))


def _begin(head: bytes) -> str:
    """Return how a file of another kind begins, and what it may be."""
    kinds = {b"\x89HDF": "HDF5, as Keras writes", b"GGUF": "GGUF", b"\x93NUMPY": "a numpy array", b"{": "JSON"}
    kind = next((f", {kind}" for start, kind in kinds.items() if head.lstrip().startswith(start)), "")
    return f"{head[:12]!r}{kind}"


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


def _unwrapped(who: str, file: TorchFile) -> StateDict:
    """Return the state_dict of a file: what it holds, or what lies in it under a name that says so."""
    log, tree = Log(notes=list(file.notes)), file.tree
    for _ in range(_DEEPEST):
        wrapper = next((name for name in WRAPPERS if isinstance(tree, dict) and isinstance(tree.get(name), dict)), None)
        if wrapper is None:
            break
        others = [key for key in tree if key != wrapper]
        log.notes.append(f"the state_dict lies under {wrapper!r}{f'; beside it: {listed(others)}' if others else ''}")
        tree = tree[wrapper]
    if isinstance(tree, dict):
        views = {key: value for key, value in tree.items() if isinstance(key, str) and isinstance(value, View)}
        if views:
            facts = parse_facts(who, file.facts)
            tensors = {key: file.tensor(view) for key, view in views.items()}
            return StateDict(who, tensors, log=log, activations=facts.get("activations", {}), facts=facts)
    have = f"a dict with {listed(tree)}" if isinstance(tree, dict) else f"a {type(tree).__name__}"
    if isinstance(tree, dict) and any(isinstance(value, Passed) and value.name.startswith("numpy.") for value in tree.values()):
        have += ", of numpy arrays: make tensors of them with torch.from_numpy"
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


def plain_key(key: str) -> str:
    """Return a key without the parts that wrappers around modules add."""
    return ".".join(part for part in key.split(".") if part not in ADDED)


def listed(names: Collection[Any], most: int = 8) -> str:
    """Return names for a line of text: the first few, cut, in ASCII, and how many more there are."""
    shown = []
    for name in list(names)[:most]:
        text = name if isinstance(name, str) else str(name)[:60] if isinstance(name, int) else type(name).__name__
        shown.append(text[:60] if text.isascii() and text.isprintable() else ascii(text[:60]))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(shown) or 'nothing'}{more}"
