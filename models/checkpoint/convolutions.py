"""Convolutions in a checkpoint: what the metadata say of one, and its kernel, which is stored as a kernel."""

from __future__ import annotations

from reprlib import repr as short
from typing import Any, NamedTuple

from models.checkpoint.tensorfile import Tensors, narrowed
from models.convolution import Convolution
from models.network import Array, ModelError

_LARGEST = 1 << 24
_LENGTHS = {"kernel": 4, "input_shape": 3, "stride": 2, "padding": 4, "dilation": 2, "groups": 1, "pool": 2}


class KernelFacts(NamedTuple):
    """A convolution without its numbers: the shape of its kernel, and what `Convolution` says beside it."""

    kernel: tuple[int, ...]
    input_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: tuple[int, ...]
    pool: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the facts as the metadata have them."""
        return {name: list(numbers) for name, numbers in self._asdict().items()} | {"groups": self.groups[0]}


def kernel_facts(weights: Convolution) -> KernelFacts:
    """Return what the metadata say of a convolution."""
    numbers = {name: getattr(weights, name) for name in _LENGTHS} | {"kernel": weights.kernel.shape, "groups": (weights.groups,)}
    return KernelFacts(**{name: tuple(map(int, some)) for name, some in numbers.items()})


def parse_kernel(who: str, about: Any) -> KernelFacts:
    """Return the facts that the metadata say; ModelError, beginning with `who`, where they are none."""
    if not isinstance(about, dict) or about.keys() != _LENGTHS.keys():
        raise ModelError(f"{who}: a convolution needs {', '.join(_LENGTHS)}; has {short(about)}")
    facts = about | {"groups": [about["groups"]]}
    for name, length in _LENGTHS.items():
        numbers = facts[name]
        right = isinstance(numbers, list) and len(numbers) == length and all(type(n) is int and 0 <= n < _LARGEST for n in numbers)
        if not right:
            raise ModelError(f"{who}: {name} of a convolution needs {length} numbers below {_LARGEST}, has {short(about[name])}")
    return KernelFacts(**{name: tuple(facts[name]) for name in _LENGTHS})


def stored_kernel(who: str, name: str, weights: Convolution) -> dict[str, Array]:
    """Return the tensor of a kernel: float32 as float16 where that loses nothing."""
    weights.check(f"{who}: {name}")
    return {f"{name}.kernel": weights.kernel if weights.numeric == "int8" else narrowed(weights.kernel)}


def need_kernel(tensors: Tensors, name: str, facts: KernelFacts, numeric: str) -> None:
    """Raise ModelError unless there is a kernel of this shape and type."""
    tensors.need(f"{name}.kernel", facts.kernel, *(("int8",) if numeric == "int8" else ("float16", "float32")))


def read_kernel(tensors: Tensors, name: str, facts: KernelFacts) -> Convolution:
    """Return the convolution; ModelError for numbers that cannot be."""
    others = facts._asdict() | {"kernel": tensors.number(f"{name}.kernel"), "groups": facts.groups[0]}
    weights = Convolution(**others)
    weights.check(f"{tensors.who}: {name}")
    return weights
