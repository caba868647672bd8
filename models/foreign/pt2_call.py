"""One node of torch.export's graph: its arguments by name, and the ONNX operators that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from models.dnn.graph import Operator
from models.network import Array, ModelError


class Place(NamedTuple):
    """Where operators and constants go, and the shapes that the file states."""

    operators: list[Operator]
    constants: dict[str, Array]
    shapes: Mapping[str, tuple[int | None, ...]]


def length_of(value: Any) -> int:
    """Return a whole number as torch.export writes it; ModelError for a symbol in its place."""
    number = value.get("as_int") if isinstance(value, dict) else value
    if type(number) is not int:
        raise ModelError("has a dynamic shape inside the graph; export it with fixed shapes")
    return number


class Call:
    """One node while it is translated: its arguments by name, tensors as their names."""

    def __init__(self, place: Place, name: str, kind: str, arguments: Mapping[str, Any], outputs: list[str]) -> None:
        self.operators, self.constants, self.shapes = place.operators, place.constants, place.shapes
        self.name, self.kind, self.arguments, self.outputs = name, kind, arguments, outputs

    def tensor(self, *names: str) -> str:
        """Return a tensor argument; ModelError where it is none."""
        value = next((self.arguments[name] for name in names if name in self.arguments), None)
        if not isinstance(value, str):
            raise ModelError(f"node {self.name[:60]!r}: {self.kind} has no tensor {names[0]}")
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or what torch takes where there is none."""
        value = self.arguments.get(name)
        return default if value is None else value

    def rank(self, tensor: str) -> int:
        """Return how many dimensions a tensor has."""
        if tensor in self.constants:
            return self.constants[tensor].ndim
        if tensor not in self.shapes:
            raise ModelError(f"node {self.name[:60]!r}: hears {tensor[:60]!r}, which the file does not describe")
        return len(self.shapes[tensor])

    def constant(self, hint: str, array: Array) -> str:
        """Keep an array; return its name."""
        name = f"{self.name}/{hint}"
        self.constants[name] = array
        return name

    def emit(self, kind: str, inputs: list[str], *, output: str | None = None, part: str = "", **attributes: Any) -> str:
        """Add an operator; return its output."""
        target = output or (self.outputs[0] if not part else f"{self.name}/{part}")
        title = f"{self.name}/{part}" if part and part != "product" else self.name
        self.operators.append(Operator(title, kind, tuple(inputs), (target,), attributes))
        return target

    def scalar(self, value: Any, hint: str) -> str:
        """Return an operand: a tensor's name, or a number kept as a constant."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"node {self.name[:60]!r}: {self.kind} with {str(value)[:40]}")
        return self.constant(hint, np.array(value, np.float32))


def tensor_names(argument: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors that an argument or an output is."""
    if "as_tensor" in argument:
        return [str(argument["as_tensor"]["name"])]
    if "as_tensors" in argument:
        return [str(one["name"]) for one in argument["as_tensors"]]
    return []


def argument_value(argument: Mapping[str, Any]) -> Any:
    """Return an argument: a tensor as its name, numbers and words as they are, None where there is none."""
    ((kind, value),) = argument.items()
    match kind:
        case "as_tensor":
            return str(value["name"])
        case "as_tensors":
            return [str(one["name"]) for one in value]
        case "as_ints":
            return [int(one) for one in value]
        case "as_sym_ints":
            return [length_of(one) for one in value]
        case "as_none":
            return None
        case "as_sym_int":
            return length_of(value)
        case "as_optional_tensors":
            return [None if "as_none" in one else str(one["as_tensor"]["name"]) for one in value]
    return value
