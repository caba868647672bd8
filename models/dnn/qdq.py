"""Pairs of QuantizeLinear and DequantizeLinear taken out of a graph: what they say becomes grids of tensors.

A pair around a tensor gives it a grid. A pair behind another of the same grid is redundant and goes; one of another grid stays
as an Identity whose output has it. Numbers that are stored quantised stay as they are; their float values take their place.
uint8 is int8 with a zero point 128 lower, so it is read as that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.dnn.draft import Draft
from models.dnn.evaluate import compute
from models.dnn.float_quantised import grid_of
from models.dnn.graph import GraphInput, Operator
from models.network import F64, Array, ModelError

PAIR = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class TensorGrid:
    """A number q of int8 stands for (q - zero_point) * scale."""

    scale: float
    zero_point: int = 0


@dataclass(frozen=True)
class StoredNumbers:
    """A constant that a file keeps quantised: int8 or int32 numbers, a scale (or one a channel of `axis`), zero point 0."""

    numbers: Array
    scales: F64
    axis: int


def take_grids(draft: Draft) -> int:
    """Take the pairs out of a draft; return how many operators went. ModelError for grids that int8 does not have."""
    before = len(draft.operators)
    for operator in list(draft.operators):
        if operator.kind == "DequantizeLinear" and operator.inputs[0] in draft.constants:
            _take_constant(draft, operator)
    for operator in [one for one in draft.operators if one.kind == "DequantizeLinear"]:
        _take_pair(draft, operator)
    for operator in [one for one in draft.operators if one.kind == "QuantizeLinear"]:
        if any(name in draft.outputs for name in operator.outputs):  # an output that is int8
            _give(draft, operator.inputs[0], operator, operator)
        else:
            raise ModelError(f"{operator.title} is heard by no DequantizeLinear; needs a pair of them")
    draft.sweep()
    return before - len(draft.operators)


def _take_constant(draft: Draft, operator: Operator) -> None:
    (value,) = compute(operator, draft.constants)
    inputs = [draft.constants.get(name) for name in operator.inputs]
    numbers = inputs[0]
    assert numbers is not None
    scales, zero, axis = grid_of(operator.attributes, inputs)
    if numbers.dtype == np.uint8:
        numbers, zero = (numbers.astype(np.int16) - 128).astype(np.int8), zero.astype(np.int16) - 128
    if numbers.dtype not in (np.int8, np.int32):
        raise ModelError(f"{operator.title} has weights of {numbers.dtype}; needs int8, and int32 for a bias")
    name = operator.outputs[0]
    if np.any(zero) and not _hears_activations(draft, name):
        raise ModelError(f"{operator.title} has weights whose zero point is not 0; needs symmetric ones")
    draft.constants[name], draft.shapes[name] = value, value.shape
    if not np.any(zero):
        draft.numbers[name] = StoredNumbers(numbers, scales, axis)
    draft.operators = [one for one in draft.operators if one is not operator]


def _hears_activations(draft: Draft, name: str) -> bool:
    """Tell whether a constant is heard as activations are, and is quantised again here."""
    return all(user.kind not in ("Conv", "Gemm", "MatMul") for user in draft.users(name))


def _take_pair(draft: Draft, operator: Operator) -> None:
    maker = draft.maker(operator.inputs[0])
    if maker is None:  # an input of the graph that is int8 itself
        at = next((at for at, one in enumerate(draft.inputs) if one.name == operator.inputs[0]), None)
        if at is None:
            raise ModelError(f"{operator.title} hears what nothing makes")
        fed = draft.inputs[at]
        draft.inputs = (*draft.inputs[:at], GraphInput(fed.name, fed.shape, "float32"), *draft.inputs[at + 1 :])
        draft.grids[fed.name] = _grid(draft, operator, fed.dtype)
        draft.bypass(operator)
        return
    if maker.kind == "QuantizeLinear":
        _give(draft, maker.inputs[0], maker, operator)
        return
    raise ModelError(f"{operator.title} hears {maker.title}; needs QuantizeLinear")


def _give(draft: Draft, source: str, quantise: Operator, last: Operator) -> None:
    """Give a tensor the grid of a pair, of which `last` is heard; an Identity where it has another grid already."""
    grid, zero = _grid(draft, quantise, ""), draft.constant(quantise, 2)
    if source in draft.constants:  # a constant through a pair, as weights are before a tool folds them
        draft.constants[last.outputs[0]] = draft.constants[source]
        draft.operators = [one for one in draft.operators if one is not last]
        return
    assert zero is None or zero.dtype.kind in "iu"
    if draft.grids.setdefault(source, grid) == grid:
        draft.operators = [one for one in draft.operators if one is not last]
        draft.rename(last.outputs[0], source)
        if quantise is not last and not draft.users(quantise.outputs[0]):
            draft.operators = [one for one in draft.operators if one is not quantise]
        return
    draft.grids[last.outputs[0]] = grid
    again = Operator(quantise.name, "Identity", (source,), last.outputs)
    draft.operators = [again if one is last else one for one in draft.operators]
    if quantise is not last and not draft.users(quantise.outputs[0]):
        draft.operators = [one for one in draft.operators if one is not quantise]


def _grid(draft: Draft, operator: Operator, dtype: str) -> TensorGrid:
    scale, zero = draft.constant(operator, 1), draft.constant(operator, 2)
    if scale is None:
        raise ModelError(f"{operator.title} has a scale that is computed; needs a constant")
    if scale.size != 1:
        raise ModelError(f"{operator.title} has {scale.size} scales of a tensor that is computed; needs one")
    kind = dtype or (zero.dtype.name if zero is not None else "uint8")
    if kind not in ("int8", "uint8"):
        raise ModelError(f"{operator.title} has numbers of {kind}; needs int8")
    value, point = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]) if zero is not None else 0
    if not np.isfinite(value) or value <= 0:
        raise ModelError(f"{operator.title} has the scale {value}; needs one above zero")
    return TensorGrid(value, point - 128 if kind == "uint8" else point)
