"""Convolutions, pools and resizing of a float graph, over images of any number of dimensions (one and two are met)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from models.dnn.float_operators import Attributes, Inputs, needed, operator, parameter
from models.dnn.room import check_room
from models.network import Array, ModelError


def window(attributes: Attributes, kernel: Sequence[int], image: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Return strides, pads (begins, then ends) and dilations of a convolution or pool; ModelError where no window fits."""
    count = len(kernel)
    strides = [int(n) for n in attributes.get("strides") or [1] * count]
    dilations = [int(n) for n in attributes.get("dilations") or [1] * count]
    pads = [int(n) for n in attributes.get("pads") or [0] * (2 * count)]
    if len(image) != count or len(strides) != count or len(dilations) != count or len(pads) != 2 * count:
        raise ModelError(f"has a kernel of {count} dimensions over an image of {len(image)}")
    if min([*strides, *dilations, *kernel]) < 1 or min(pads) < 0:
        raise ModelError(f"has strides {strides}, dilations {dilations}, pads {pads} and a kernel {list(kernel)}")
    spans = [dilation * (length - 1) + 1 for dilation, length in zip(dilations, kernel, strict=True)]
    auto = attributes.get("auto_pad", "NOTSET") or "NOTSET"
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same_pads(auto, image, spans, strides)
    elif auto == "VALID":
        pads = [0] * (2 * count)
    if any(length + pads[axis] + pads[axis + count] < spans[axis] for axis, length in enumerate(image)):
        raise ModelError(f"has a kernel that spans {spans} over an image of {list(image)}")
    return strides, pads, dilations


def _same_pads(auto: str, image: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> list[int]:
    totals = [
        max((-(-length // stride) - 1) * stride + span - length, 0)
        for length, span, stride in zip(image, spans, strides, strict=True)
    ]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*less, *more] if auto == "SAME_UPPER" else [*more, *less]


def windows(
    x: Array, kernel: Sequence[int], way: tuple[list[int], list[int], list[int]], filling: float, ceil: bool = False
) -> Array:
    """Return a view (batch, channels, *out, *kernel) of what each place of the output sees; `filling` is what is padded."""
    strides, pads, dilations = way
    count = len(kernel)
    spans = [dilation * (length - 1) + 1 for dilation, length in zip(dilations, kernel, strict=True)]
    room = [length + pads[axis] + pads[axis + count] for axis, length in enumerate(x.shape[2:])]
    outs = [(total - span) // stride + 1 for total, span, stride in zip(room, spans, strides, strict=True)]
    more = [0] * count
    if ceil:
        for axis in range(count):
            longer = -(-(room[axis] - spans[axis]) // strides[axis]) + 1
            if (longer - 1) * strides[axis] >= x.shape[2 + axis] + pads[axis]:  # a window that begins in what is padded
                longer -= 1
            more[axis] = max((longer - 1) * strides[axis] + spans[axis] - room[axis], 0)
            outs[axis] = longer
    check_room([*x.shape[:2], *(total + extra for total, extra in zip(room, more, strict=True))])
    check_room([*x.shape[:2], *outs], math.prod([*x.shape[:2], *outs, *kernel]))
    ways = [(0, 0), (0, 0), *((pads[axis], pads[axis + count] + more[axis]) for axis in range(count))]
    padded = np.pad(x, ways, constant_values=filling)
    steps = padded.strides[2:]
    strided = [step * stride for step, stride in zip(steps, strides, strict=True)]
    dilated = [step * dilation for step, dilation in zip(steps, dilations, strict=True)]
    return as_strided(padded, (*x.shape[:2], *outs, *kernel), (*padded.strides[:2], *strided, *dilated), writeable=False)


@operator("Conv")
def _conv(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, weights = needed(inputs, 0), needed(inputs, 1)
    groups, kernel = int(attributes.get("group", 1)), weights.shape[2:]
    fits = weights.ndim > 2 and x.ndim == weights.ndim and groups > 0
    if not fits or weights.shape[0] % groups or x.shape[1] != weights.shape[1] * groups:
        raise ModelError(f"convolves an image of shape {x.shape} with weights {weights.shape} in {groups} groups")
    way = window(attributes, kernel, x.shape[2:])
    seen = windows(x, kernel, way, 0)
    batch, outs, count = x.shape[0], seen.shape[2 : x.ndim], len(kernel)
    check_room((batch, weights.shape[0], *outs), math.prod([batch, *outs, weights.size]))
    check_room((batch, *outs, *weights.shape[1:]))
    parts = []
    for group in range(groups):
        inner, out = weights.shape[1], weights.shape[0] // groups
        block = seen[:, group * inner : (group + 1) * inner]
        order = (0, *range(2, 2 + count), 1, *range(2 + count, 2 + 2 * count))
        flat = block.transpose(order).reshape(batch, math.prod(outs), -1)
        rows = weights[group * out : (group + 1) * out].reshape(out, -1)
        parts.append((flat @ rows.T).transpose(0, 2, 1).reshape(batch, out, *outs))
    made = np.concatenate(parts, 1)
    if len(inputs) > 2 and (bias := inputs[2]) is not None:
        if bias.shape != (weights.shape[0],):
            raise ModelError(f"has a bias of shape {bias.shape} for {weights.shape[0]} channels")
        made = made + bias.reshape(-1, *[1] * count)
    return [made]


def pool_kernel(attributes: Attributes, x: Array) -> list[int]:
    """Return the kernel of a pool."""
    kernel = [int(n) for n in attributes.get("kernel_shape") or []]
    if x.ndim < 3 or len(kernel) != x.ndim - 2:
        raise ModelError(f"pools an image of shape {x.shape} by a kernel {kernel}")
    return kernel


@operator("MaxPool")
def _max_pool(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    kernel = pool_kernel(attributes, x)
    seen = windows(x, kernel, window(attributes, kernel, x.shape[2:]), -np.inf, bool(attributes.get("ceil_mode")))
    return [seen.max(axis=tuple(range(x.ndim, seen.ndim)))]


@operator("AveragePool")
def _average_pool(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x = needed(inputs, 0)
    kernel = pool_kernel(attributes, x)
    way, ceil = window(attributes, kernel, x.shape[2:]), bool(attributes.get("ceil_mode"))
    axes = tuple(range(x.ndim, 2 * x.ndim - 2))
    sums = windows(x, kernel, way, 0, ceil).sum(axis=axes)
    if attributes.get("count_include_pad") and not ceil:
        return [(sums / math.prod(kernel)).astype(x.dtype)]
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if attributes.get("count_include_pad"):
        strides, pads, dilations = way
        count = len(kernel)
        ones = np.pad(ones, [(0, 0), (0, 0), *((pads[axis], pads[axis + count]) for axis in range(count))], constant_values=1)
        way = (strides, [0] * (2 * count), dilations)
    return [(sums / windows(ones, kernel, way, 0, ceil).sum(axis=axes)).astype(x.dtype)]


@operator("GlobalAveragePool")
def _global_average_pool(_: Attributes, inputs: Inputs) -> list[Array]:
    return [_all_places(inputs).mean(axis=tuple(range(2, needed(inputs, 0).ndim)), keepdims=True)]


@operator("GlobalMaxPool")
def _global_max_pool(_: Attributes, inputs: Inputs) -> list[Array]:
    return [_all_places(inputs).max(axis=tuple(range(2, needed(inputs, 0).ndim)), keepdims=True)]


def _all_places(inputs: Inputs) -> Array:
    x = needed(inputs, 0)
    if x.ndim < 3 or not x.size:
        raise ModelError(f"pools an image of shape {x.shape}")
    return x


def resize_factors(attributes: Attributes, inputs: Inputs) -> list[int]:
    """Return by which whole numbers a Resize repeats each dimension; ModelError for any other way of resizing."""
    x, mode = needed(inputs, 0), attributes.get("mode", "nearest")
    if mode != "nearest":
        raise ModelError(f"resizes by {str(mode)[:20]!r}; needs nearest")
    scales = next((given for given in inputs[1:3] if given is not None and given.dtype.kind == "f" and given.size == x.ndim), None)
    sizes = parameter({}, inputs, "sizes", 3)
    if sizes:
        wanted = [size / length for size, length in zip(sizes, x.shape, strict=False)]
    else:
        wanted = [float(scale) for scale in (attributes.get("scales") or (scales.tolist() if scales is not None else []))]
    place, rounding = (
        attributes.get("coordinate_transformation_mode", "half_pixel"),
        attributes.get("nearest_mode", "round_prefer_floor"),
    )
    if place not in ("half_pixel", "pytorch_half_pixel", "asymmetric") or (
        place == "asymmetric" and rounding != "floor" and max(wanted, default=0) > 2
    ):
        raise ModelError(
            f"resizes by places of {str(place)[:30]} and {str(rounding)[:30]}; needs asymmetric and floor, or half_pixel"
        )
    factors = [round(factor) if 0.5 < factor < 1 << 20 else 0 for factor in wanted]
    if len(factors) != x.ndim or any(not factor or factor != exact for factor, exact in zip(factors, wanted, strict=True)):
        raise ModelError(f"resizes by {str(wanted)[:60]}; needs whole factors")
    return factors


@operator("Resize")
def _resize(attributes: Attributes, inputs: Inputs) -> list[Array]:
    x, factors = needed(inputs, 0), resize_factors(attributes, inputs)
    check_room([length * factor for length, factor in zip(x.shape, factors, strict=True)])
    for axis, factor in enumerate(factors):
        x = np.repeat(x, factor, axis)
    return [x]


@operator("Upsample")
def _upsample(attributes: Attributes, inputs: Inputs) -> list[Array]:
    return list(_resize(attributes, inputs))
