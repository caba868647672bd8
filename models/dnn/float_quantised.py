"""QuantizeLinear and DequantizeLinear of a float graph, as ONNX defines them: nearest, ties to even, saturated."""

from __future__ import annotations

import numpy as np

from models.dnn.float_operators import Attributes, Inputs, needed, operator
from models.network import Array, ModelError

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


def grid_of(attributes: Attributes, inputs: Inputs) -> tuple[Array, Array, int]:
    """Return scales, zero points and the axis along which they differ, of one of the two operators."""
    x, scale = needed(inputs, 0), needed(inputs, 1).astype(np.float64)
    given = inputs[2] if len(inputs) > 2 else None
    zero = given if given is not None else np.zeros(scale.shape, x.dtype if x.dtype.kind in "iu" else np.uint8)
    axis = int(attributes.get("axis", 1)) if scale.size > 1 else 0
    axis = axis + x.ndim if axis < 0 else axis
    if scale.ndim > 1 or (zero.shape != scale.shape and zero.size != scale.size):
        raise ModelError(f"has scales {scale.shape} and zero points {zero.shape}; needs one of each, or one a channel")
    if scale.size > 1 and (axis >= x.ndim or x.shape[axis] != scale.size):
        raise ModelError(f"has {scale.size} scales along axis {axis} of a tensor of shape {x.shape}")
    if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
        raise ModelError("has a scale that is not above zero")
    return scale.reshape(-1), zero.reshape(-1), axis


def _along(values: Array, axis: int, dimensions: int) -> Array:
    return values.reshape([-1 if at == axis else 1 for at in range(dimensions)]) if values.size > 1 else values.reshape(())


@operator("QuantizeLinear")
def _quantize(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    scale, zero, axis = grid_of(attributes, inputs)
    if zero.dtype.name not in RANGES:
        raise ModelError(f"makes {zero.dtype}; needs int8")
    low, high = RANGES[zero.dtype.name]
    steps = np.rint(x / _along(scale, axis, x.ndim).astype(np.float32)) + _along(zero, axis, x.ndim).astype(np.float64)
    return [np.clip(np.nan_to_num(steps), low, high).astype(zero.dtype)]


@operator("DequantizeLinear")
def _dequantize(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    scale, zero, axis = grid_of(attributes, inputs)
    away = x.astype(np.float64) - _along(zero, axis, x.ndim)
    return [(away * _along(scale, axis, x.ndim)).astype(np.float32)]
