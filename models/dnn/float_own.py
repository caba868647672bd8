"""Operators that rewriting makes and no file has: Linear and Table, and what belongs to a MatMul, a mean or a Softmax by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.dnn.float_operators import OPERATORS, Attributes, Inputs, needed, operator
from models.network import Array, ModelError

_PLAIN_MATMUL, _PLAIN_SOFTMAX, _PLAIN_MEAN = OPERATORS["MatMul"], OPERATORS["Softmax"], OPERATORS["ReduceMean"]


@operator("Linear")
def _linear(_: Attributes, inputs: Inputs) -> list[Array]:
    (made,) = _PLAIN_MATMUL({}, inputs[:2])
    bias = inputs[2] if len(inputs) > 2 else None
    return [made if bias is None else made + bias]


@operator("MatMul")
def _matmul(attributes: Attributes, inputs: Inputs) -> list[Array]:
    (made,) = _PLAIN_MATMUL({}, inputs)
    return [_times_gain(attributes, made)]


@operator("ReduceMean")
def _mean(attributes: Attributes, inputs: Inputs) -> list[Array]:
    (made,) = _PLAIN_MEAN(attributes, inputs)
    return [_times_gain(attributes, made)]


def _times_gain(attributes: Attributes, made: Array) -> Array:
    gain = float(attributes.get("gain", 1.0))
    return made if gain == 1 else (made * gain).astype(made.dtype)


@operator("Softmax")
def _softmax(attributes: Attributes, inputs: Inputs) -> list[Array]:
    if len(inputs) < 2:
        return list(_PLAIN_SOFTMAX(attributes, inputs))
    x, mask = needed(inputs, 0), needed(inputs, 1)
    if mask.shape != x.shape[-mask.ndim :]:
        raise ModelError(f"masks scores of shape {x.shape} by {mask.shape}")
    return list(_PLAIN_SOFTMAX(attributes, [np.where(mask != 0, x, np.asarray(-np.inf, x.dtype))]))


@operator("Table")
def _table(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    return [apply_steps(attributes["steps"], x).astype(x.dtype)]


def apply_steps(steps: Sequence[Any], x: Array) -> Array:
    """Return what a Table's steps make of numbers; ModelError for steps that are none."""
    made: list[Array] = []
    for kind, inputs, attributes in steps:
        values: list[Array | None] = []
        for one in inputs:
            if one is None:
                values.append(None)
            elif one == "x":
                values.append(x)
            elif isinstance(one, int) and 0 <= one < len(made):
                values.append(made[one])
            elif isinstance(one, list | tuple) and len(one) == 2:
                values.append(np.asarray(one[1], x.dtype))
            else:
                raise ModelError(f"has a step {str(kind)[:40]} of {str(one)[:40]}")
        if kind not in OPERATORS:
            raise ModelError(f"has a step {str(kind)[:40]}")
        made += OPERATORS[kind](attributes, values)
    return made[-1]
