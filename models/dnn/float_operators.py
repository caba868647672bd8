"""What an operator of a float graph computes, in plain numpy: for shapes, constants, calibration and tables, never on the chip.

An operator takes its attributes and its inputs (None where one is absent) and returns its outputs. Shapes and meaning are
ONNX's, of all versions of its operators that differ in where a parameter stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from models.dnn.room import check_room
from models.network import Array, ModelError

Attributes = Mapping[str, Any]
Inputs = Sequence[Array | None]
Compute = Callable[[Attributes, Inputs], Sequence[Array]]

OPERATORS: dict[str, Compute] = {}
UNARY: dict[str, Callable[[Attributes, Array], Array]] = {}
BINARY: dict[str, Callable[[Array, Array], Array]] = {}
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
           11: "float64", 12: "uint32", 13: "uint64"}  # fmt: skip


def operator(kind: str) -> Callable[[Compute], Compute]:
    """Register what computes an operator."""

    def register(compute: Compute) -> Compute:
        OPERATORS[kind] = compute
        return compute

    return register


def parameter(attributes: Attributes, inputs: Inputs, name: str, place: int) -> list[int] | None:
    """Return integers that older versions of an operator have as an attribute, and newer ones as an input."""
    if len(inputs) > place and (given := inputs[place]) is not None:
        if given.dtype.kind not in "iu" or given.ndim > 1:
            raise ModelError(f"has {name} of {given.dtype}{given.shape}; needs integers")
        return [int(value) for value in given.reshape(-1)]
    value = attributes.get(name)
    return None if value is None else [int(one) for one in (value if isinstance(value, list) else [value])]


def needed(inputs: Inputs, place: int) -> Array:
    """Return an input that must be there."""
    if len(inputs) <= place or inputs[place] is None:
        raise ModelError(f"has no input {place}")
    given = inputs[place]
    assert given is not None
    return given


def axes_of(axes: Sequence[int], dimensions: int) -> list[int]:
    """Return axes counted from the front; ModelError for one that is not there or comes twice."""
    counted = [axis + dimensions if axis < 0 else axis for axis in axes]
    if any(not 0 <= axis < dimensions for axis in counted) or len(set(counted)) < len(counted):
        raise ModelError(f"has axes {list(axes)[:8]} of a tensor of {dimensions} dimensions")
    return counted


def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(np.asarray(x, np.float64)), np.float64)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _gelu(attributes: Attributes, x: Array) -> Array:
    if attributes.get("approximate") == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _hard_sigmoid(attributes: Attributes, x: Array) -> Array:
    return np.clip(float(attributes.get("alpha", 0.2)) * x + float(attributes.get("beta", 0.5)), 0, 1)


UNARY |= {
    "Abs": lambda _, x: np.abs(x),
    "Ceil": lambda _, x: np.ceil(x),
    "Elu": lambda a, x: np.where(x > 0, x, float(a.get("alpha", 1.0)) * np.expm1(np.minimum(x, 0))),
    "Erf": lambda _, x: _erf(x),
    "Exp": lambda _, x: np.exp(x),
    "Floor": lambda _, x: np.floor(x),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, x: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda a, x: np.where(x < 0, float(a.get("alpha", 0.01)) * x, x),
    "Log": lambda _, x: np.log(x),
    "Mish": lambda _, x: x * np.tanh(np.logaddexp(0, x)),
    "Neg": lambda _, x: -x,
    "Not": lambda _, x: np.logical_not(x),
    "Reciprocal": lambda _, x: 1 / x,
    "Relu": lambda _, x: np.maximum(x, 0),
    "Round": lambda _, x: np.rint(x),
    "Selu": lambda _, x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "Sigmoid": lambda _, x: _sigmoid(x),
    "Sign": lambda _, x: np.sign(x),
    "Softplus": lambda _, x: np.logaddexp(0, x),
    "Softsign": lambda _, x: x / (1 + np.abs(x)),
    "Sqrt": lambda _, x: np.sqrt(x),
    "Tanh": lambda _, x: np.tanh(x),
}
BINARY |= {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.maximum,
    "Min": np.minimum,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}


def _unary(compute: Callable[[Attributes, Array], Array]) -> Compute:
    def run(attributes: Attributes, inputs: Inputs) -> list[Array]:
        x = needed(inputs, 0)
        made = np.asarray(compute(attributes, x))
        return [made.astype(x.dtype) if x.dtype.kind == "f" else made]

    return run


def _binary(compute: Callable[[Array, Array], Array]) -> Compute:
    def run(_: Attributes, inputs: Inputs) -> list[Array]:
        x = needed(inputs, 0)
        for place in range(1, len(inputs)):
            y = needed(inputs, place)
            broadcast_room(x, y)
            x = np.asarray(compute(x, y))
        return [x]

    return run


def broadcast_room(*arrays: Array) -> None:
    """Raise ModelError where shapes do not broadcast, or make too large a tensor."""
    try:
        check_room(np.broadcast_shapes(*(array.shape for array in arrays)))
    except ValueError:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ModelError(f"has inputs of shapes {shapes[:120]}, which do not go together") from None


OPERATORS |= {kind: _unary(compute) for kind, compute in UNARY.items()}
OPERATORS |= {kind: _binary(compute) for kind, compute in BINARY.items()}


@operator("Div")
def _div(_: Attributes, inputs: Inputs) -> list[Array]:
    x, y = needed(inputs, 0), needed(inputs, 1)
    broadcast_room(x, y)
    if x.dtype.kind in "iu":
        if not np.all(y):
            raise ModelError("divides an integer by zero")
        return [np.asarray(np.trunc(x / y), x.dtype)]
    return [np.asarray(x / y)]


@operator("Pow")
def _pow(_: Attributes, inputs: Inputs) -> list[Array]:
    x, y = needed(inputs, 0), needed(inputs, 1)
    broadcast_room(x, y)
    return [np.power(x, y.astype(x.dtype)) if x.dtype.kind == "f" else np.power(x.astype(np.float64), y).astype(x.dtype)]


@operator("PRelu")
def _prelu(_: Attributes, inputs: Inputs) -> list[Array]:
    x, slope = needed(inputs, 0), needed(inputs, 1)
    broadcast_room(x, slope)
    return [np.where(x < 0, x * slope, x)]


@operator("Clip")
def _clip(attributes: Attributes, inputs: Inputs) -> list[Array]:
    low, high = clip_bounds(attributes, inputs)
    x = needed(inputs, 0)
    return [np.clip(x, low, high).astype(x.dtype)]


def clip_bounds(attributes: Attributes, inputs: Inputs) -> tuple[float, float]:
    """Return the bounds of a Clip."""
    ends = [float(attributes.get("min", -math.inf)), float(attributes.get("max", math.inf))]
    for place in (1, 2):
        if len(inputs) > place and (given := inputs[place]) is not None:
            if given.size != 1:
                raise ModelError(f"clips at {given.size} numbers; needs one")
            ends[place - 1] = float(given.reshape(-1)[0])
    return ends[0], ends[1]


@operator("Where")
def _where(_: Attributes, inputs: Inputs) -> list[Array]:
    which, x, y = (needed(inputs, place) for place in range(3))
    broadcast_room(which, x, y)
    return [np.where(which, x, y)]


@operator("MatMul")
def _matmul(_: Attributes, inputs: Inputs) -> list[Array]:
    x, y = needed(inputs, 0), needed(inputs, 1)
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ModelError(f"multiplies matrices of shapes {x.shape} and {y.shape}")
    rows, columns = x.shape[-2] if x.ndim > 1 else 1, y.shape[-1] if y.ndim > 1 else 1
    broadcast_room(np.empty((*x.shape[:-2], 0)), np.empty((*y.shape[:-2], 0)))
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape = (*lead, rows, columns)
    check_room(shape, math.prod(shape) * x.shape[-1])
    return [np.matmul(x, y)]


@operator("Gemm")
def _gemm(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, y = needed(inputs, 0), needed(inputs, 1)
    if x.ndim != 2 or y.ndim != 2:
        raise ModelError(f"multiplies matrices of shapes {x.shape} and {y.shape}")
    x, y = (x.T if attributes.get("transA") else x), (y.T if attributes.get("transB") else y)
    (made,) = _matmul({}, [x, y])
    made = made * np.asarray(attributes.get("alpha", 1.0), made.dtype)
    if len(inputs) > 2 and (bias := inputs[2]) is not None:
        broadcast_room(made, bias)
        made = made + np.asarray(attributes.get("beta", 1.0), made.dtype) * bias
    return [made]


@operator("Softmax")
def _softmax(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    (axis,) = axes_of([int(attributes.get("axis", -1))], x.ndim)
    flat = x.reshape(math.prod(x.shape[:axis]), -1) if attributes.get("flattened") else x
    along = 1 if attributes.get("flattened") else axis
    powers = np.exp(flat - flat.max(axis=along, keepdims=True, initial=-np.inf))
    return [(powers / powers.sum(axis=along, keepdims=True)).reshape(x.shape).astype(x.dtype)]


@operator("LayerNormalization")
def _layer_norm(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    (axis,) = axes_of([int(attributes.get("axis", -1))], x.ndim)
    axes = tuple(range(axis, x.ndim))
    away = x - x.mean(axis=axes, keepdims=True)
    made = away / np.sqrt((away * away).mean(axis=axes, keepdims=True) + float(attributes.get("epsilon", 1e-5)))
    for place, join in ((1, np.multiply), (2, np.add)):
        if len(inputs) > place and (given := inputs[place]) is not None:
            broadcast_room(made, given)
            made = join(made, given)
    return [made.astype(x.dtype)]


@operator("BatchNormalization")
def _batch_norm(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, *rest = (needed(inputs, place) for place in range(5))
    if x.ndim < 2 or any(one.shape != (x.shape[1],) for one in rest):
        raise ModelError(f"normalises a tensor of shape {x.shape} by {rest[0].shape}")
    gamma, beta, mean, variance = (one.reshape(-1, *[1] * (x.ndim - 2)) for one in rest)
    return [((x - mean) / np.sqrt(variance + float(attributes.get("epsilon", 1e-5))) * gamma + beta).astype(x.dtype)]


def _reduction(compute: Callable[..., Array]) -> Compute:
    def run(attributes: Attributes, inputs: Inputs) -> list[Array]:
        x = needed(inputs, 0)
        axes = parameter(attributes, inputs, "axes", 1)
        if not axes and attributes.get("noop_with_empty_axes"):
            return [x]
        along = tuple(axes_of(axes, x.ndim)) if axes else tuple(range(x.ndim))
        if any(not x.shape[axis] for axis in along):
            raise ModelError("reduces nothing")
        return [np.asarray(compute(x, axis=along, keepdims=bool(attributes.get("keepdims", 1))), x.dtype)]

    return run


OPERATORS |= {
    f"Reduce{word}": _reduction(compute)
    for word, compute in (("Mean", np.mean), ("Sum", np.sum), ("Max", np.max), ("Min", np.min), ("Prod", np.prod))
}


@operator("Cast")
def _cast(attributes: Attributes, inputs: Inputs) -> list[Array]:
    to = attributes.get("to")
    if to not in _DTYPES:
        raise ModelError(f"casts to type {str(to)[:20]}; needs a number of numpy's")
    return [needed(inputs, 0).astype(_DTYPES[to])]
