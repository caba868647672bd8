"""Linear layers on the host: a front end before the network, a head behind it, as people train around recurrent layers.

answer = activation(W x + b). A sum has one float32 accumulator that starts at +0, takes its products in ascending column of W, and
the bias last; then comes the activation, with our own exponentials. No BLAS: the same bits on every machine. Products with zeros
are left out, which changes no accumulator.

A network whose units are twins (a mirrored GRU, `models/importers/gru.py`) says y[i] - y[H + i]; a head hears that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.compute.compiling import compiled
from models.compute.exponentials import sigmoid32, tanh32, tanh_of
from models.heads import Example
from models.heads._plain_sums import example_numbers, example_rows, plain_sums
from models.network import F32, Array, ModelError, check_finite

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid")
_RELU, _TANH, _SIGMOID = (ACTIVATIONS.index(name) for name in ("relu", "tanh", "sigmoid"))


@dataclass(frozen=True, eq=False)
class Affine:
    """A linear layer: `weight` (out, in) and `bias` (out,) float32, and its activation, one of `ACTIVATIONS`.

    ModelError, one line, for shapes, types, numbers or an activation that cannot be.
    """

    weight: F32
    bias: F32
    activation: str = "linear"

    def __post_init__(self) -> None:
        have = f"{self.weight.shape} of {self.weight.dtype} and {self.bias.shape} of {self.bias.dtype}"
        if self.weight.ndim != 2 or 0 in self.weight.shape or self.bias.shape != self.weight.shape[:1]:
            raise ModelError(f"linear layer: needs weights (out, in) and a bias (out,), has {have}")
        if self.weight.dtype != np.float32 or self.bias.dtype != np.float32:
            raise ModelError(f"linear layer: needs weights and a bias of float32, has {have}")
        if self.activation not in ACTIVATIONS:
            raise ModelError(f"linear layer: activation {self.activation!r}: needs {' or '.join(ACTIVATIONS)}")
        for name in ("weight", "bias"):
            check_finite(f"linear layer: {name}", getattr(self, name))

    @property
    def inputs(self) -> int:
        """How many numbers the layer hears."""
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        """How many numbers the layer makes."""
        return int(self.weight.shape[0])

    @cached_property
    def _columns(self) -> F32:
        return np.array(self.weight.T, np.float32, order="C")

    @cached_property
    def _bias(self) -> F32:
        return np.array(self.bias, np.float32)  # a copy: a compiled loop would be built again for a read-only array

    def apply(self, rows: npt.ArrayLike) -> F32:
        """Return what the layer makes of `rows` (..., in): (..., out) float32. ModelError for another width."""
        heard = np.require(rows, np.float32, ("C", "W"))
        if heard.ndim < 1 or heard.shape[-1] != self.inputs:
            raise ModelError(f"linear layer: needs rows of {self.inputs} numbers, has an array of shape {heard.shape}")
        out = np.empty((heard.size // self.inputs, self.outputs), np.float32)
        _apply(heard.reshape(-1, self.inputs), self._columns, self._bias, ACTIVATIONS.index(self.activation), out)
        return out.reshape(*heard.shape[:-1], self.outputs)


@compiled
def _apply(rows: Array, columns: Array, bias: Array, activation: int, out: Array) -> None:
    zero = np.float32(0)
    for r in range(rows.shape[0]):
        sums = out[r]
        for o in range(sums.size):
            sums[o] = zero
        for c in range(rows.shape[1]):
            value = rows[r, c]
            if value == zero:
                continue
            weights = columns[c]
            for o in range(sums.size):
                sums[o] += weights[o] * value
        for o in range(sums.size):
            total = sums[o] + bias[o]
            if activation == _RELU:
                total = zero if total < zero else total
            elif activation == _TANH:
                total = tanh32(total)
            elif activation == _SIGMOID:
                total = sigmoid32(total)
            sums[o] = total


class Surrounded(Protocol):
    """What lies around a network on the host: `models.checkpoint.Model` has it."""

    @property
    def front(self) -> tuple[Affine, ...]:
        """Layers from the features to the network's input."""

    @property
    def head(self) -> tuple[Affine, ...]:
        """Layers from the network's output to the answer."""

    @property
    def twins(self) -> bool:
        """Whether the second half of the output's units are to be subtracted from the first."""


def front_of(model: Surrounded, rows: npt.ArrayLike) -> F32:
    """Return the numbers of the network's input, (..., units) float32, for `rows` of features, (..., features)."""
    return _through(model.front, rows)


def answer_of(model: Surrounded, y: npt.ArrayLike) -> F32:
    """Return the answer, (..., answers) float32, to the numbers `y` (..., units) of the network's output: zero where there
    is no event.
    """
    heard = np.asarray(y, np.float32)
    if model.twins:
        if heard.ndim < 1 or heard.shape[-1] % 2:
            raise ModelError(f"twins: need rows of an even number of units, have an array of shape {heard.shape}")
        half = heard.shape[-1] // 2
        heard = heard[..., :half] - heard[..., half:]
    return _through(model.head, heard)


def _through(layers: Sequence[Affine], rows: npt.ArrayLike) -> F32:
    heard = np.asarray(rows, np.float32)
    for layer in layers:
        heard = layer.apply(heard)
    return heard


def describe_chain(layers: Sequence[Affine]) -> str:
    """Return linear layers for a line of text: `3 > 8 relu > 2`; "" for none."""
    behind = [f"{layer.outputs}" + ("" if layer.activation == "linear" else f" {layer.activation}") for layer in layers]
    return " > ".join([f"{layers[0].inputs}", *behind]) if layers else ""


def check_fit(
    who: str, front: Sequence[tuple[int, int]], head: Sequence[tuple[int, int]], twins: bool, ends: tuple[int, int]
) -> None:
    """Raise ModelError, beginning with `who`, unless front end and head, of layers (in, out), fit each other and the network.

    `ends` are the units of the network's one input and its one output.
    """
    for name, layers in (("front end", front), ("head", head)):
        for number, ((_, makes), (hears, _)) in enumerate(pairwise(layers), start=2):
            if makes != hears:
                raise ModelError(f"{who}: layer {number} of the {name} hears {hears} numbers, the one before it makes {makes}")
    into, out = ends
    if front and front[-1][1] != into:
        raise ModelError(f"{who}: the front end makes {front[-1][1]} numbers, the network's input needs {into}")
    if twins and out % 2:
        raise ModelError(f"{who}: twins need an even number of output units, have {out}")
    heard = out // 2 if twins else out
    if head and head[0][0] != heard:
        raise ModelError(f"{who}: the head hears {head[0][0]} numbers, the network's output makes {heard}")


def warm() -> None:
    """Compile the layers."""
    Affine(np.ones((1, 1), np.float32), np.zeros(1, np.float32)).apply(np.ones((1, 1), np.float32))


def example() -> Example:
    """Return a small head of two layers behind twins."""
    layers = tuple(
        Affine(example_numbers(out, out, into), example_numbers(7, out), name)
        for out, into, name in ((5, 6, "tanh"), (3, 5, "relu"))
    )
    model = Sides(head=layers, twins=True)

    def plainly(row: F32) -> F32:
        heard = plain_sums(layers[0].weight, layers[0].bias, row[:6] - row[6:])
        between = np.empty_like(heard)
        tanh_of(heard, between)
        return np.maximum(plain_sums(layers[1].weight, layers[1].bias, between), np.float32(0))

    return Example(lambda row: answer_of(model, row), plainly, example_rows(12, seed=1))


@dataclass(frozen=True)
class Sides:
    """What lies around a network, without the network."""

    front: tuple[Affine, ...] = ()
    head: tuple[Affine, ...] = ()
    twins: bool = False
