"""What is folded into weights: batch normalisation, factors, and biases that are added behind."""

from __future__ import annotations

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator
from models.network import Array

_WEIGHTED = ("Conv", "Linear")


def batch_norms(draft: Draft, operator: Operator) -> bool:
    """A batch normalisation is folded into the weights before it; alone it is a convolution by one weight a channel."""
    if operator.kind != "BatchNormalization":
        return False
    gamma, beta, mean, variance = (draft.constant(operator, place) for place in range(1, 5))
    if gamma is None or beta is None or mean is None or variance is None:
        return False
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + float(operator.attributes.get("epsilon", 1e-5)))
    shift = beta - mean * factor
    before = draft.maker(operator.inputs[0])
    shape = draft.shapes[operator.inputs[0]]
    fits = before is not None and before.kind in _WEIGHTED and (before.kind == "Conv" or len(shape) == 2)
    if before is not None and fits and draft.only_user(operator.inputs[0]) is operator and before.inputs[1] not in draft.numbers:
        _scaled(draft, before, operator, factor, shift)
        return True
    if len(shape) == 4:
        weights = draft.add_constant(operator.name, factor.astype(np.float32).reshape(-1, 1, 1, 1))
        bias = draft.add_constant(operator.name, shift.astype(np.float32))
        inputs = (operator.inputs[0], weights, bias)
        draft.exchange([operator], [Operator(operator.name, "Conv", inputs, operator.outputs[:1], {"group": shape[1]})])
        return True
    along = [1, -1, *[1] * (len(shape) - 2)]
    times, plus = (draft.add_constant(operator.name, one.astype(np.float32).reshape(along)) for one in (factor, shift))
    made = draft.tensor(operator.name, shape)
    draft.exchange([operator], [
        Operator(f"{operator.name}/factor", "Mul", (operator.inputs[0], times), (made,)),
        Operator(operator.name, "Add", (made, plus), operator.outputs[:1]),
    ])  # fmt: skip
    return True


def factors(draft: Draft, operator: Operator) -> bool:
    """A product's factor: a constant number behind weights is folded into them, behind a MatMul it is the MatMul's `gain`."""
    if operator.kind not in ("Mul", "Div") or len(operator.inputs) != 2:
        return False
    places = (1,) if operator.kind == "Div" else (0, 1)
    for place in places:
        number, source = draft.scalar(operator.inputs[place]), operator.inputs[1 - place]
        before = draft.maker(source)
        if number is None or before is None or draft.only_user(source) is not operator or not number:
            continue
        factor = 1 / number if operator.kind == "Div" else number
        if before.kind == "MatMul" and factor > 0:
            attributes = {**before.attributes, "gain": float(before.attributes.get("gain", 1.0)) * factor}
            draft.exchange([before, operator], [Operator(before.name, "MatMul", before.inputs, operator.outputs, attributes)])
            return True
        if before.kind in _WEIGHTED and before.inputs[1] not in draft.numbers:
            channels = draft.shapes[before.inputs[1]][0 if before.kind == "Conv" else 1]
            _scaled(draft, before, operator, np.full(channels, factor), np.zeros(channels))
            return True
    return False


def divisions(draft: Draft, operator: Operator) -> bool:
    """A division by a constant is a product."""
    below = draft.constant(operator, 1) if operator.kind == "Div" else None
    if below is None or below.dtype.kind != "f" or not np.all(below):
        return False
    name = draft.add_constant(operator.inputs[1], (1 / below).astype(np.float32))
    draft.exchange([operator], [Operator(operator.name, "Mul", (operator.inputs[0], name), operator.outputs)])
    return True


def biases(draft: Draft, operator: Operator) -> bool:
    """A constant a channel that is added behind weights is their bias."""
    if operator.kind not in ("Add", "Sub") or len(operator.inputs) != 2:
        return False
    for place in (1,) if operator.kind == "Sub" else (0, 1):
        source, added = operator.inputs[1 - place], draft.constants.get(operator.inputs[place])
        before = draft.maker(source)
        if added is None or before is None or before.kind not in _WEIGHTED or draft.only_user(source) is not operator:
            continue
        shape, axis = draft.shapes[source], 1 if before.kind == "Conv" else len(draft.shapes[source]) - 1
        full = (1,) * (len(shape) - added.ndim) + added.shape
        if (
            len(full) > len(shape)
            or any(length != 1 for at, length in enumerate(full) if at != axis)
            or before.inputs[1] in draft.numbers
        ):
            continue
        plus = np.broadcast_to(added.reshape(-1), (shape[axis],)).astype(np.float64)
        _scaled(draft, before, operator, np.ones(shape[axis]), -plus if operator.kind == "Sub" else plus)
        return True
    return False


def _scaled(draft: Draft, before: Operator, operator: Operator, factor: Array, shift: Array) -> None:
    """Put weights in the place of weights and what follows them: factor (x W + b) + shift, by channel."""
    weights = draft.constants[before.inputs[1]]
    along = factor.reshape(-1, *[1] * (weights.ndim - 1)) if before.kind == "Conv" else factor
    bias = draft.constant(before, 2)
    old = np.zeros(factor.size) if bias is None else bias.astype(np.float64)
    new = (
        draft.add_constant(before.inputs[1], (weights * along).astype(np.float32)),
        draft.add_constant(f"{before.name}/bias", (old * factor + shift).astype(np.float32)),
    )
    inputs = (before.inputs[0], *new)
    draft.exchange([before, operator], [Operator(before.name, before.kind, inputs, operator.outputs[:1], before.attributes)])
