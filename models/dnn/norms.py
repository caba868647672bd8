"""Layer normalisation and softmax that files have in parts: means, squares, roots, exponentials and quotients of one tensor."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator
from models.network import F32

_EXACT = 1e-6  # by which a factor of 1 / n times n may be off


class Mean(NamedTuple):
    """A mean of a tensor along an axis, times a gain."""

    source: str
    axis: int
    gain: float


def layer_norms(draft: Draft, operator: Operator) -> bool:
    """(x - mean) / sqrt(variance + epsilon) is a LayerNormalization, along whichever axis; a gamma by which the root is multiplied
    belongs to it. The variance is the mean of (x - mean)^2, or the mean of x^2 less the mean's square.
    """
    if operator.kind not in ("Div", "Mul") or len(operator.inputs) != 2:
        return False
    for away, factor in [operator.inputs] if operator.kind == "Div" else [operator.inputs, operator.inputs[::-1]]:
        given = _factor(draft, factor, inverse=operator.kind == "Div")
        heard = _away_from_mean(draft, away)
        if given is None or heard is None:
            continue
        root, gamma = given
        epsilon = _epsilon(draft, root, heard)
        if epsilon is None:
            continue
        source, axis = heard
        row = None if gamma is None else _row(draft, gamma, draft.shapes[source], axis)
        if gamma is not None and row is None:
            continue
        _normalise(draft, operator, source=source, axis=axis, epsilon=epsilon, gamma=row)
        return True
    return False


def _normalise(draft: Draft, operator: Operator, *, source: str, axis: int, epsilon: float, gamma: F32 | None) -> None:
    shape, target = draft.shapes[source], operator.outputs[0]
    inputs = (source,) if gamma is None else (source, draft.add_constant(f"{operator.name}/gamma", gamma))
    attributes = {"axis": -1, "epsilon": epsilon}
    if axis == len(shape) - 1:
        draft.exchange([operator], [Operator(operator.name, "LayerNormalization", inputs, operator.outputs, attributes)])
        return
    order = [at for at in range(len(shape)) if at != axis] + [axis]
    turned, made = (draft.tensor(name, [shape[at] for at in order]) for name in (source, target))
    back = [order.index(at) for at in range(len(shape))]
    draft.exchange([operator], [
        Operator(f"{operator.name}/turned", "Transpose", (source,), (turned,), {"perm": order}),
        Operator(operator.name, "LayerNormalization", (turned, *inputs[1:]), (made,), attributes),
        Operator(f"{operator.name}/back", "Transpose", (made,), (target,), {"perm": back}),
    ])  # fmt: skip
    if target in draft.grids:
        draft.grids[made] = draft.grids[target]


def _factor(draft: Draft, tensor: str, *, inverse: bool) -> tuple[str, str | None] | None:
    """Return what a root is taken of, and the constant that its inverse is multiplied by; `inverse`: the tensor is divided by."""
    maker = _behind_shapes(draft, tensor)
    if maker is None:
        return None
    if inverse:
        root = _root(draft, maker, 0.5)
        return None if root is None else (root, None)
    if maker.kind == "Mul" and len(maker.inputs) == 2:
        for place in (0, 1):
            if maker.inputs[place] in draft.constants and (rest := _factor(draft, maker.inputs[1 - place], inverse=False)):
                return (rest[0], maker.inputs[place]) if rest[1] is None else None
        return None
    if maker.kind == "Reciprocal":
        below = _behind_shapes(draft, maker.inputs[0])
        root = None if below is None else _root(draft, below, 0.5)
    else:
        root = _root(draft, maker, -0.5)
    return None if root is None else (root, None)


def _root(draft: Draft, maker: Operator, power: float) -> str | None:
    if maker.kind == "Sqrt" and power > 0:
        return maker.inputs[0]
    return maker.inputs[0] if maker.kind == "Pow" and draft.scalar(maker.inputs[1]) == power else None


def _epsilon(draft: Draft, tensor: str, heard: tuple[str, int]) -> float | None:
    """Return epsilon where a tensor is the variance of `heard`, a tensor along an axis, plus epsilon."""
    plus = _behind_shapes(draft, tensor)
    if plus is None or plus.kind != "Add":
        return None
    for place in (1, 0):
        epsilon = draft.scalar(plus.inputs[place])
        if epsilon is not None and _is_variance(draft, plus.inputs[1 - place], heard):
            return epsilon
    return None


def _is_variance(draft: Draft, tensor: str, heard: tuple[str, int]) -> bool:
    maker = _behind_shapes(draft, tensor)
    if maker is not None and maker.kind == "Relu":  # of what rounding makes negative
        maker = _behind_shapes(draft, maker.inputs[0])
    if maker is None:
        return False
    if maker.kind == "Sub":
        squares, mean = _mean(draft, maker.inputs[0]), _square(draft, maker.inputs[1])
        of_mean = None if mean is None else _mean(draft, mean)
        squared = None if squares is None else _square(draft, squares.source)
        return (
            squares is not None and squared == heard[0] and squares.axis == heard[1] and of_mean is not None
            and of_mean[:2] == heard and _is_plain(squares) and _is_plain(of_mean)
        )  # fmt: skip
    mean_of = _mean(draft, tensor)
    if mean_of is None or mean_of.axis != heard[1] or not _is_plain(mean_of):
        return False
    away = _square(draft, mean_of.source)
    return away is not None and _away_from_mean(draft, away) == heard


def _square(draft: Draft, tensor: str) -> str | None:
    """Return what a tensor is the square of."""
    maker = _behind_shapes(draft, tensor)
    if maker is None:
        return None
    if maker.kind == "Mul" and maker.inputs[0] == maker.inputs[1]:
        return maker.inputs[0]
    return maker.inputs[0] if maker.kind == "Pow" and draft.scalar(maker.inputs[1]) == 2 else None


def _away_from_mean(draft: Draft, tensor: str) -> tuple[str, int] | None:
    """Return x and an axis where a tensor is x less its mean along that axis."""
    less = draft.maker(tensor)
    if less is None or less.kind != "Sub" or draft.shapes[tensor] != draft.shapes[less.inputs[0]]:
        return None
    mean = _mean(draft, less.inputs[1])
    return (mean.source, mean.axis) if mean is not None and mean.source == less.inputs[0] and _is_plain(mean) else None


def _mean(draft: Draft, tensor: str) -> Mean | None:
    """Return of what a tensor is the mean along one axis, in whatever shape of the same numbers."""
    maker = _behind_shapes(draft, tensor)
    if maker is None or maker.kind != "ReduceMean":
        return None
    axes = [axis % len(draft.shapes[maker.inputs[0]]) for axis in maker.attributes.get("axes") or []]
    return Mean(maker.inputs[0], axes[0], float(maker.attributes.get("gain", 1.0))) if len(axes) == 1 else None


def _is_plain(mean: Mean) -> bool:
    return abs(mean.gain - 1) < _EXACT


def _behind_shapes(draft: Draft, tensor: str) -> Operator | None:
    """Return who makes a tensor, behind reshapes that add or drop axes of one."""
    maker = draft.maker(tensor)
    while maker is not None and maker.kind in ("Reshape", "Squeeze", "Unsqueeze"):
        before, behind = ([n for n in draft.shapes[name] if n != 1] for name in (maker.inputs[0], maker.outputs[0]))
        if before != behind:
            return maker
        maker = draft.maker(maker.inputs[0])
    return maker


def _row(draft: Draft, name: str, shape: tuple[int, ...], axis: int) -> F32 | None:
    """Return a constant as a row along an axis; None where it differs along another."""
    given = draft.constants[name]
    full = (1,) * (len(shape) - given.ndim) + given.shape
    if len(full) > len(shape) or any(length != 1 for at, length in enumerate(full) if at != axis):
        return None
    return np.broadcast_to(given.reshape(-1), (shape[axis],)).astype(np.float32)


def norm_weights(draft: Draft, operator: Operator) -> bool:
    """What a layer normalisation is multiplied by and what is added to it belong to it."""
    if operator.kind not in ("Mul", "Add") or len(operator.inputs) != 2:
        return False
    for place in (0, 1):
        source, given = operator.inputs[1 - place], draft.constants.get(operator.inputs[place])
        norm = draft.maker(source)
        if given is None or norm is None or norm.kind != "LayerNormalization" or draft.only_user(source) is not operator:
            continue
        wide = draft.shapes[source][-1]
        if given.size not in (1, wide) or (given.ndim and given.shape[-1] not in (1, wide)):
            continue
        have = list(norm.inputs) + [""] * (3 - len(norm.inputs))
        if have[2] or (operator.kind == "Mul" and have[1]):
            continue
        if not have[1]:
            have[1] = draft.add_constant(f"{norm.name}/gamma", np.ones(wide, np.float32))
        row = np.broadcast_to(given.reshape(-1).astype(np.float32), (wide,))
        have[1 if operator.kind == "Mul" else 2] = draft.add_constant(operator.inputs[place], row)
        inputs = tuple(have) if have[2] else tuple(have[:2])
        draft.exchange([norm, operator], [Operator(norm.name, norm.kind, inputs, operator.outputs, norm.attributes)])
        return True
    return False


def turned_weights(draft: Draft, operator: Operator) -> bool:
    """A constant behind a normalisation that was turned back stands before the turn, where it belongs to the normalisation."""
    if operator.kind not in ("Mul", "Add") or len(operator.inputs) != 2:
        return False
    for place in (0, 1):
        source, given = operator.inputs[1 - place], draft.constants.get(operator.inputs[place])
        turn = draft.maker(source)
        if given is None or turn is None or turn.kind != "Transpose" or draft.only_user(source) is not operator:
            continue
        norm, shape, order = draft.maker(turn.inputs[0]), draft.shapes[source], list(turn.attributes["perm"])
        if norm is None or norm.kind != "LayerNormalization" or draft.only_user(turn.inputs[0]) is not turn:
            continue
        last = order.index(len(shape) - 1)
        row = _row(draft, operator.inputs[place], shape, last)
        if row is None:
            continue
        made = draft.tensor(operator.name, draft.shapes[turn.inputs[0]])
        weights = draft.add_constant(operator.inputs[place], row)
        draft.exchange([turn, operator], [
            Operator(operator.name, operator.kind, (turn.inputs[0], weights), (made,)),
            Operator(turn.name, "Transpose", (made,), operator.outputs, turn.attributes),
        ])  # fmt: skip
        return True
    return False


def softmaxes(draft: Draft, operator: Operator) -> bool:
    """exp(x) / sum of exp(x) is a Softmax, whatever was subtracted of x before."""
    if operator.kind not in ("Div", "Mul") or len(operator.inputs) != 2:
        return False
    pairs = [operator.inputs] if operator.kind == "Div" else [operator.inputs, operator.inputs[::-1]]
    for powers, below in pairs:
        if operator.kind == "Mul":
            inverse = _behind_shapes(draft, below)
            if inverse is None or inverse.kind != "Reciprocal":
                continue
            below = inverse.inputs[0]  # noqa: PLW2901 - what the quotient is by
        exponential, mean = draft.maker(powers), _mean(draft, below)
        if exponential is None or exponential.kind != "Exp" or mean is None or mean.source != powers:
            continue
        length = draft.shapes[powers][mean.axis]
        if not math.isclose(mean.gain, length, rel_tol=_EXACT) or draft.shapes[operator.outputs[0]] != draft.shapes[powers]:
            continue
        source = _less_a_row(draft, exponential.inputs[0], mean.axis)
        draft.exchange([operator], [Operator(operator.name, "Softmax", (source,), operator.outputs, {"axis": mean.axis})])
        return True
    return False


def _less_a_row(draft: Draft, tensor: str, axis: int) -> str:
    """Return x where a tensor is x less its largest number along an axis; else the tensor."""
    less = draft.maker(tensor)
    if less is None or less.kind != "Sub" or draft.shapes[less.inputs[0]] != draft.shapes[tensor]:
        return tensor
    largest = _behind_shapes(draft, less.inputs[1])
    if largest is None or largest.kind != "ReduceMax" or largest.inputs[0] != less.inputs[0]:
        return tensor
    axes = [at % len(draft.shapes[tensor]) for at in largest.attributes.get("axes") or []]
    return less.inputs[0] if axes == [axis] else tensor
