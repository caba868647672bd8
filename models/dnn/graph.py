"""A float operator graph, as a file of another program has it: operators joined by named tensors.

Operators have ONNX's names and attributes, whatever the file was. Tensors keep the shapes of the file, the batch in front
(1 here); images are (batch, channels, rows, columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.network import Array


@dataclass(frozen=True)
class Operator:
    """One operator: its name in the file, its kind (ONNX's word), and the names of its tensors. An absent input is ""."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How a message names the operator: kind and name, control characters of the file escaped."""
        return f"{self.shown_kind} {self.name[:80]!r}"

    @property
    def shown_kind(self) -> str:
        """The kind as a message may have it."""
        return repr(self.kind[:60])[1:-1]


@dataclass(frozen=True)
class GraphInput:
    """What the graph is fed: `shape` with None where the file leaves a dimension open, `dtype` numpy's name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class OperatorGraph:
    """Operators in an order in which they can run. `constants` are weights and whatever else a file stores, by tensor name."""

    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    constants: Mapping[str, Array]

    def users(self) -> dict[str, list[Operator]]:
        """Return who hears each tensor, by its name."""
        users: dict[str, list[Operator]] = {}
        for operator in self.operators:
            for name in dict.fromkeys(operator.inputs):
                users.setdefault(name, []).append(operator)
        return users

    def makers(self) -> dict[str, Operator]:
        """Return which operator makes each tensor, by its name."""
        return {name: operator for operator in self.operators for name in operator.outputs}

    def weights(self) -> Iterator[Array]:
        """Yield the constants that are floats."""
        yield from (array for array in self.constants.values() if array.dtype.kind == "f")
