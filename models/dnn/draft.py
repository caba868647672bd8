"""A float graph while it is rewritten: operators, constants and shapes that change, and who makes and hears a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.dnn.graph import GraphInput, Operator, OperatorGraph
from models.network import Array


class Draft:
    """`shapes` has every tensor's, constants included; `grids` and `numbers` are what a QDQ file says (`models/dnn/qdq.py`)."""

    def __init__(self, graph: OperatorGraph, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.inputs: tuple[GraphInput, ...] = graph.inputs
        self.outputs = list(graph.outputs)
        self.operators = list(graph.operators)
        self.constants = dict(graph.constants)
        self.shapes = dict(shapes)
        self.grids: dict[str, Any] = {}
        self.numbers: dict[str, Any] = {}
        self._fresh = 0

    def maker(self, tensor: str) -> Operator | None:
        """Return which operator makes a tensor; None for an input or a constant."""
        return next((one for one in self.operators if tensor in one.outputs), None)

    def users(self, tensor: str) -> list[Operator]:
        """Return who hears a tensor."""
        return [one for one in self.operators if tensor in one.inputs]

    def only_user(self, tensor: str) -> Operator | None:
        """Return who alone hears a tensor; None where several do, or it is an output or has a grid of its own."""
        users = self.users(tensor)
        return users[0] if len(users) == 1 and tensor not in self.outputs and tensor not in self.grids else None

    def constant(self, operator: Operator, place: int) -> Array | None:
        """Return an operator's input where it is a constant."""
        return self.constants.get(operator.inputs[place]) if len(operator.inputs) > place else None

    def scalar(self, tensor: str) -> float | None:
        """Return a constant of one element."""
        array = self.constants.get(tensor)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def add_constant(self, hint: str, array: Array) -> str:
        """Keep an array as a constant; return its name."""
        name = self.name(hint)
        self.constants[name] = np.ascontiguousarray(array)
        self.shapes[name] = array.shape
        return name

    def name(self, hint: str) -> str:
        """Return a tensor's name that nobody has."""
        while True:
            self._fresh += 1
            name = f"{hint}/{self._fresh}"
            if name not in self.shapes:
                return name

    def tensor(self, hint: str, shape: Sequence[int]) -> str:
        """Return the name of a new tensor of a shape."""
        name = self.name(hint)
        self.shapes[name] = tuple(shape)
        return name

    def exchange(self, old: Sequence[Operator], new: Sequence[Operator]) -> None:
        """Put operators where the last of some others stood, which go."""
        gone = {id(one) for one in old}
        place = max(at for at, one in enumerate(self.operators) if id(one) in gone)
        self.operators[place : place + 1] = [*new, *([self.operators[place]] if id(self.operators[place]) not in gone else [])]
        self.operators = [one for one in self.operators if id(one) not in gone]

    def rename(self, old: str, new: str) -> None:
        """Let everyone who heard `old` hear `new`."""
        for at, one in enumerate(self.operators):
            if old in one.inputs:
                inputs = tuple(new if name == old else name for name in one.inputs)
                self.operators[at] = Operator(one.name, one.kind, inputs, one.outputs, one.attributes)
        self.outputs = [new if name == old else name for name in self.outputs]

    def bypass(self, operator: Operator) -> None:
        """Take away an operator that hands its first input on. Where that is an input or constant of the graph that is an
        output too, it stays.
        """
        self.operators = [one for one in self.operators if one is not operator]
        self.rename(operator.outputs[0], operator.inputs[0])

    def sweep(self) -> None:
        """Take away operators and constants that no output needs."""
        need, kept = set(self.outputs), list[Operator]()
        for one in reversed(self.operators):
            if need & set(one.outputs):
                kept.append(one)
                need |= set(one.inputs)
        self.operators = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in need}
        tensors = need | {name for one in kept for name in one.outputs} | {one.name for one in self.inputs}
        self.shapes = {name: shape for name, shape in self.shapes.items() if name in tensors}

    def graph(self) -> OperatorGraph:
        """Return the graph as it is now."""
        return OperatorGraph(self.inputs, tuple(self.outputs), tuple(self.operators), dict(self.constants))
