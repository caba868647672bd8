"""Cross-layer equalisation: channels between two weighted operators, brought to one range in both.

Where y = relu(x W + b) goes to V alone, channel i of W may be divided by s_i and of V multiplied by it. With s_i = sqrt(r_W / r_V),
r the largest weight of the channel, both have the range sqrt(r_W r_V), and one scale a tensor serves all channels.
After Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019).
"""

from __future__ import annotations

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator, OperatorGraph
from models.network import F64, Array

_BETWEEN = (
    "Relu",
    "PRelu",
    "MaxPool",
    "AveragePool",
    "ReduceMean",
    "Reshape",
    "Resize",
)  # f(s x) = s f(x) for s > 0, channel by channel
_PASSES = 4
_MOST = 2.0**10  # that one pass may change a channel by


def equalise(graph: OperatorGraph, shapes: dict[str, tuple[int, ...]]) -> tuple[OperatorGraph, int]:
    """Return the graph with equalised weights, and how many pairs of operators were."""
    draft = Draft(graph, shapes)
    pairs = [(one, other) for one in draft.operators if (other := _next(draft, one)) is not None]
    for _ in range(_PASSES):
        for first, second in pairs:
            _balance(draft, first, second)
    return draft.graph(), len(pairs)


def _next(draft: Draft, operator: Operator) -> Operator | None:
    """Return the weighted operator that alone hears another's channels; None where there is none."""
    if operator.kind not in ("Conv", "Linear") or not _own(draft, operator):
        return None
    channels, tensor = _out(draft, operator).size, operator.outputs[0]
    while (user := draft.only_user(tensor)) is not None and user.inputs[0] == tensor:
        if user.kind in ("Conv", "Linear"):
            into, flat = draft.shapes[user.inputs[1]][0], len(draft.shapes[tensor]) == 2
            joined = user.kind == operator.kind or (user.kind == "Linear" and flat and into % channels == 0)
            return user if joined and _own(draft, user) else None
        if user.kind not in _BETWEEN:
            return None
        before, behind = draft.shapes[tensor], draft.shapes[user.outputs[0]]
        if user.kind == "Reshape" and not (
            operator.kind == "Conv" and len(before) == 4 and len(behind) == 2 and before[0] == behind[0]
        ):
            return None
        if user.kind == "ReduceMean" and (operator.kind != "Conv" or {0, 1} & set(user.attributes["axes"])):
            return None
        tensor = user.outputs[0]
    return None


def _own(draft: Draft, operator: Operator) -> bool:
    """Tell whether weights and bias are heard by this operator alone."""
    names = [name for name in operator.inputs[1:] if name]
    return all(name in draft.constants and len(draft.users(name)) == 1 for name in names)


def _out(draft: Draft, operator: Operator) -> F64:
    """Return the largest weight of each channel out."""
    weights = np.abs(draft.constants[operator.inputs[1]].astype(np.float64))
    return np.asarray(weights.reshape(len(weights), -1).max(axis=1) if operator.kind == "Conv" else weights.max(axis=0))


def _into(draft: Draft, operator: Operator, channels: int) -> F64:
    """Return the largest weight of each channel in; a Linear behind a Reshape hears several numbers of each."""
    weights = np.abs(draft.constants[operator.inputs[1]].astype(np.float64))
    if operator.kind == "Conv" and int(operator.attributes.get("group", 1)) == 1:
        weights = weights.transpose(1, 0, 2, 3)
    return np.asarray(weights.reshape(channels, -1).max(axis=1))


def _balance(draft: Draft, first: Operator, second: Operator) -> None:
    out = _out(draft, first)
    into = _into(draft, second, out.size)
    live = (out > 0) & (into > 0)
    factor = np.where(live, np.sqrt(np.divide(out, into, where=live, out=np.ones_like(out))), 1.0).clip(1 / _MOST, _MOST)
    weights = draft.constants[first.inputs[1]]
    draft.constants[first.inputs[1]] = _divided(weights, factor, 0 if first.kind == "Conv" else 1)
    if len(first.inputs) > 2 and first.inputs[2]:
        draft.constants[first.inputs[2]] = (draft.constants[first.inputs[2]] / factor).astype(np.float32)
    heard = draft.constants[second.inputs[1]]
    if second.kind == "Linear":
        each = np.repeat(factor, heard.shape[0] // factor.size)
        draft.constants[second.inputs[1]] = _divided(heard, 1 / each, 0)
        return
    axis = 0 if int(second.attributes.get("group", 1)) > 1 else 1
    each = np.repeat(factor, heard.shape[0] // factor.size) if axis == 0 else factor
    draft.constants[second.inputs[1]] = _divided(heard, 1 / each, axis)


def _divided(weights: Array, factor: F64, axis: int) -> Array:
    return np.asarray((weights / factor.reshape([-1 if at == axis else 1 for at in range(weights.ndim)])).astype(np.float32))
