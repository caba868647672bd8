"""Operators that move numbers and compute none: shapes, slices, and what graphs compute shapes with."""

from __future__ import annotations

import math

import numpy as np

from models.dnn.float_operators import Attributes, Inputs, axes_of, broadcast_room, needed, operator, parameter
from models.dnn.room import check_room
from models.network import Array, ModelError

_PADDINGS = ("constant", "edge", "reflect")
_ENDLESS = 1 << 40  # beyond any end
_MOST_CLASSES = 1 << 20


@operator("Identity")
def _identity(_: Attributes, inputs: Inputs) -> list[Array]:
    return [needed(inputs, 0)]


@operator("Dropout")
def _dropout(_: Attributes, inputs: Inputs) -> list[Array]:
    return [needed(inputs, 0)]


@operator("Constant")
def _constant(attributes: Attributes, _: Inputs) -> list[Array]:
    for name, dtype in (("value_float", "float32"), ("value_int", "int64"), ("value_floats", "float32"), ("value_ints", "int64")):
        if name in attributes:
            return [np.array(attributes[name], dtype)]
    value = attributes.get("value")
    if not isinstance(value, np.ndarray):
        raise ModelError("holds no tensor of numbers")
    return [value]


@operator("ConstantOfShape")
def _constant_of_shape(attributes: Attributes, inputs: Inputs) -> list[Array]:
    shape, value = parameter({}, inputs, "shape", 0) or [], attributes.get("value", np.zeros(1, np.float32))
    check_room(shape)
    if value.size != 1:
        raise ModelError(f"fills a tensor with {value.size} numbers; needs one")
    return [np.full(shape, value.reshape(-1)[0], value.dtype)]


@operator("Shape")
def _shape(attributes: Attributes, inputs: Inputs) -> list[Array]:
    shape = needed(inputs, 0).shape
    return [np.array(shape[attributes.get("start", 0) : attributes.get("end", len(shape))], np.int64)]


@operator("Size")
def _size(_: Attributes, inputs: Inputs) -> list[Array]:
    return [np.array(needed(inputs, 0).size, np.int64)]


@operator("Range")
def _range(_: Attributes, inputs: Inputs) -> list[Array]:
    start, limit, step = (needed(inputs, place).reshape(-1) for place in range(3))
    if not start.size == limit.size == step.size == 1 or not step[0]:
        raise ModelError("has a range that cannot be")
    count = max(math.ceil((float(limit[0]) - float(start[0])) / float(step[0])), 0)
    check_room((count,))
    return [(start[0] + np.arange(count) * step[0]).astype(start.dtype)]


@operator("Expand")
def _expand(_: Attributes, inputs: Inputs) -> list[Array]:
    x, shape = needed(inputs, 0), parameter({}, inputs, "shape", 1) or []
    check_room(shape)
    broadcast_room(x, np.broadcast_to(np.empty(()), shape))
    return [np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))).copy()]


@operator("Tile")
def _tile(_: Attributes, inputs: Inputs) -> list[Array]:
    x, repeats = needed(inputs, 0), parameter({}, inputs, "repeats", 1) or []
    if len(repeats) != x.ndim:
        raise ModelError(f"repeats {len(repeats)} dimensions of {x.ndim}")
    check_room([length * times for length, times in zip(x.shape, repeats, strict=True)])
    return [np.tile(x, repeats)]


@operator("Reshape")
def _reshape(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, shape = needed(inputs, 0), parameter(attributes, inputs, "shape", 1) or []
    if not attributes.get("allowzero"):
        if any(not length and place >= x.ndim for place, length in enumerate(shape)):
            raise ModelError(f"keeps a dimension that a tensor of shape {x.shape} has not")
        shape = [length or x.shape[place] for place, length in enumerate(shape)]
    known = math.prod(length for length in shape if length >= 0)
    if shape.count(-1) > 1 or min(shape, default=0) < -1 or (x.size % known if -1 in shape and known else x.size != known) or (
        -1 in shape and not known
    ):  # fmt: skip
        raise ModelError(f"makes shape {tuple(shape)[:8]} of {x.shape}")
    return [x.reshape(shape)]


@operator("Flatten")
def _flatten(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, axis = needed(inputs, 0), int(attributes.get("axis", 1))
    axis = axis + x.ndim if axis < 0 else axis
    if not 0 <= axis <= x.ndim:
        raise ModelError(f"flattens at axis {axis} of {x.ndim} dimensions")
    return [x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))]


@operator("Squeeze")
def _squeeze(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, axes = needed(inputs, 0), parameter(attributes, inputs, "axes", 1)
    along = axes_of(axes, x.ndim) if axes else [axis for axis, length in enumerate(x.shape) if length == 1]
    if any(x.shape[axis] != 1 for axis in along):
        raise ModelError(f"drops axes {along} of a tensor of shape {x.shape}")
    return [x.reshape([length for axis, length in enumerate(x.shape) if axis not in along])]


@operator("Unsqueeze")
def _unsqueeze(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, axes = needed(inputs, 0), parameter(attributes, inputs, "axes", 1) or []
    if len(axes) > 8:
        raise ModelError(f"adds {len(axes)} dimensions")
    return [np.expand_dims(x, axes_of(axes, x.ndim + len(axes)))]


@operator("Transpose")
def _transpose(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    order = axes_of(attributes.get("perm") or list(range(x.ndim))[::-1], x.ndim)
    if len(order) != x.ndim:
        raise ModelError(f"orders {len(order)} dimensions of {x.ndim}")
    return [np.ascontiguousarray(x.transpose(order))]


@operator("Concat")
def _concat(attributes: Attributes, inputs: Inputs) -> list[Array]:
    parts = [needed(inputs, place) for place in range(len(inputs))]
    (axis,) = axes_of([int(attributes.get("axis", 0))], parts[0].ndim)
    kinds = {(part.shape[:axis], part.shape[axis + 1 :], part.ndim) for part in parts}
    if len(kinds) > 1:
        raise ModelError(f"joins shapes {', '.join(str(part.shape) for part in parts)[:120]} along axis {axis}")
    return [np.concatenate(parts, axis)]


def slices(attributes: Attributes, inputs: Inputs) -> list[tuple[int, int, int]]:
    """Return start, end and step of each dimension of a Slice, counted from the front; a step backwards may end at -1."""
    x = needed(inputs, 0)
    starts, ends = (parameter(attributes, inputs, name, place) for place, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None or len(starts) != len(ends):
        raise ModelError("slices without as many starts as ends")
    axes = axes_of(parameter(attributes, inputs, "axes", 3) or list(range(len(starts))), x.ndim)
    steps = parameter(attributes, inputs, "steps", 4) or [1] * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts) or not all(steps):
        raise ModelError("slices with other axes or steps than starts")
    ways = [(0, length, 1) for length in x.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        low, high, by = slice(start, max(min(end, _ENDLESS), -_ENDLESS), step).indices(x.shape[axis])
        ways[axis] = (low, high, by)
    return ways


@operator("Slice")
def _slice(attributes: Attributes, inputs: Inputs) -> list[Array]:
    ways = slices(attributes, inputs)
    return [needed(inputs, 0)[tuple(slice(low, high if high >= 0 else None, by) for low, high, by in ways)]]


def split_lengths(attributes: Attributes, inputs: Inputs, outputs: int) -> tuple[int, list[int]]:
    """Return the axis of a Split, and how long each part is."""
    x = needed(inputs, 0)
    (axis,) = axes_of([int(attributes.get("axis", 0))], x.ndim)
    lengths = parameter(attributes, inputs, "split", 1)
    if lengths is None:
        each = -(-x.shape[axis] // outputs)
        lengths = [min(each, x.shape[axis] - each * place) for place in range(outputs)]
    if len(lengths) != outputs or min(lengths) < 0 or sum(lengths) != x.shape[axis]:
        raise ModelError(f"splits {x.shape[axis]} into {str(lengths)[:60]} for {outputs} outputs")
    return axis, lengths


@operator("Split")
def _split(attributes: Attributes, inputs: Inputs) -> list[Array]:
    axis, lengths = split_lengths(attributes, inputs, int(attributes["outputs"]))
    return list(np.split(needed(inputs, 0), np.cumsum(lengths)[:-1], axis))


def pads_of(attributes: Attributes, inputs: Inputs) -> list[tuple[int, int]]:
    """Return how much a Pad adds before and behind, for each dimension."""
    x, pads = needed(inputs, 0), parameter(attributes, inputs, "pads", 1) or []
    axes = axes_of(parameter({}, inputs, "axes", 3) or list(range(x.ndim)), x.ndim)
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise ModelError(f"pads a tensor of {x.ndim} dimensions by {str(pads)[:60]}")
    ways = [(0, 0)] * x.ndim
    for place, axis in enumerate(axes):
        ways[axis] = (pads[place], pads[place + len(axes)])
    return ways


@operator("Pad")
def _pad(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, ways, mode = needed(inputs, 0), pads_of(attributes, inputs), attributes.get("mode", "constant")
    check_room([length + sum(way) for length, way in zip(x.shape, ways, strict=True)])
    if mode not in _PADDINGS:
        raise ModelError(f"pads by {str(mode)[:20]!r}; needs {' or '.join(_PADDINGS)}")
    if mode != "constant":
        if mode == "reflect" and any(max(way) >= length for length, way in zip(x.shape, ways, strict=True) if max(way)):
            raise ModelError("pads by more than there is to reflect")
        return [np.pad(x, ways, mode)]
    return [np.pad(x, ways, constant_values=pad_number(attributes, inputs))]


def pad_number(attributes: Attributes, inputs: Inputs) -> float:
    """Return what a Pad adds."""
    given = inputs[2] if len(inputs) > 2 else None
    return float(given.reshape(-1)[0]) if given is not None and given.size else float(attributes.get("value", 0.0))


@operator("Gather")
def _gather(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, indices = needed(inputs, 0), needed(inputs, 1)
    (axis,) = axes_of([int(attributes.get("axis", 0))], x.ndim)
    if indices.dtype.kind not in "iu":
        raise ModelError(f"takes elements by numbers of {indices.dtype}; needs integers")
    if indices.size and not -x.shape[axis] <= indices.min() <= indices.max() < x.shape[axis]:
        raise ModelError(f"takes element {indices.max()} of {x.shape[axis]}")
    check_room((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    return [np.take(x, indices, axis)]


@operator("OneHot")
def _one_hot(attributes: Attributes, inputs: Inputs) -> list[Array]:
    numbers, depth, values = (needed(inputs, place).reshape(-1) if place else needed(inputs, 0) for place in range(3))
    if depth.size != 1 or values.size != 2 or not 0 < int(depth[0]) < _MOST_CLASSES:
        raise ModelError(f"makes one-hot vectors of {str(depth.tolist())[:40]} classes and {values.size} values")
    count = int(depth[0])
    (axis,) = axes_of([int(attributes.get("axis", -1))], numbers.ndim + 1)
    check_room((*numbers.shape, count))
    hot = (numbers.astype(np.int64) % count)[..., None] == np.arange(count)
    return [np.moveaxis(np.where(hot, values[1], values[0]), -1, axis)]


@operator("DepthToSpace")
def _depth_to_space(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, block, mode = needed(inputs, 0), int(attributes.get("blocksize", 0)), attributes.get("mode", "DCR")
    if x.ndim != 4 or block < 1 or x.shape[1] % block**2 or mode not in ("DCR", "CRD"):
        raise ModelError(f"makes blocks of {block} pixels of a tensor of shape {x.shape}")
    batch, channels, high, wide = x.shape
    left = channels // block**2
    if mode == "DCR":
        turned = x.reshape(batch, block, block, left, high, wide).transpose(0, 3, 4, 1, 5, 2)
    else:
        turned = x.reshape(batch, left, block, block, high, wide).transpose(0, 1, 4, 2, 5, 3)
    return [turned.reshape(batch, left, high * block, wide * block)]
