"""Each kind of prepared operator as an operation of the integer network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from models.dnn.evaluate import compute
from models.dnn.float_moves import pad_number, pads_of
from models.dnn.graph import Operator
from models.dnn.integer import IntegerTensor
from models.dnn.qdq import TensorGrid
from models.dnn.support import refuse
from models.network import F32, F64, I64, Array, ModelError
from models.quantise.dnn_lower import Lowering
from models.quantise.dnn_requantise import addition, on_grid, requantisation
from models.quantise.dnn_scales import channel_scales, numbers_on

LOWERED: dict[str, Callable[[Lowering, Operator], None]] = {}
_INT32 = (1 << 31) - 1
_SUM_BITS = 32  # of a softmax's sum
_TABLE_BITS = 23  # of one of its numbers, at most
_LONGEST_NORM = 1 << 14  # n x - S is exact in float32


def lowers(*kinds: str) -> Callable[[Callable[[Lowering, Operator], None]], Callable[[Lowering, Operator], None]]:
    """Register what makes an operation of an operator."""

    def register(function: Callable[[Lowering, Operator], None]) -> Callable[[Lowering, Operator], None]:
        LOWERED.update(dict.fromkeys(kinds, function))
        return function

    return register


@lowers("Conv", "Linear")
def _weighted(state: Lowering, operator: Operator) -> None:
    source = state.hear(operator.inputs[0])
    target, clamp = state.target(operator)
    heard, grid = state.tensors[source], state.grid(target)
    axis = 0 if operator.kind == "Conv" else 1
    numbers, scales = _weights(state, operator.inputs[1], axis)
    bias = _bias(state, operator, heard.scale * scales, numbers.shape[axis])
    summed = numbers.astype(np.int64).sum(axis=tuple(at for at in range(numbers.ndim) if at != axis))
    bias = np.clip(bias - heard.zero_point * summed, -_INT32, _INT32)
    kind, attributes = "matmul", dict[str, Any]()
    if operator.kind == "Conv":
        groups = int(operator.attributes.get("group", 1))
        kind = "depthwise_conv2d" if groups > 1 else "conv2d"
        attributes = {name: tuple(operator.attributes[name]) for name in ("strides", "pads", "dilations")}
        attributes["pad_value"] = heard.zero_point
    low, high = _bounds(numbers, bias, axis, heard)
    state.add(
        operator.name, kind, (source,), target, grid, attributes=attributes,
        arrays={"weights": np.ascontiguousarray(numbers), "bias": bias.astype(np.int32)},
        requantisation=requantisation(heard.scale * scales / grid.scale, grid, clamp, state.settings.rounding),
        sum_low=low, sum_high=high,
    )  # fmt: skip


def _weights(state: Lowering, name: str, axis: int) -> tuple[Array, F64]:
    """Return int8 weights and their scales: the file's, where it has them, else the ones with the least squared error."""
    stored = state.draft.numbers.get(name)
    if stored is not None and stored.numbers.dtype == np.int8 and (stored.scales.size == 1 or stored.axis == axis):
        return stored.numbers, stored.scales
    weights, settings = state.draft.constants[name], state.settings
    scales = channel_scales(weights, axis, settings.scales, per_channel=settings.per_channel)
    return numbers_on(weights, scales, axis), scales


def _bias(state: Lowering, operator: Operator, scales: F64, channels: int) -> I64:
    """Return the bias in units of the sums: the file's numbers, where they are of that scale already."""
    name = operator.inputs[2] if len(operator.inputs) > 2 else ""
    if not name:
        return np.zeros(channels, np.int64)
    stored = state.draft.numbers.get(name)
    if stored is not None and stored.numbers.size == channels and np.allclose(stored.scales, scales, rtol=1e-5, atol=0):
        return np.asarray(stored.numbers.reshape(-1), np.int64)
    bias = np.rint(state.draft.constants[name].reshape(-1).astype(np.float64) / scales)
    return np.broadcast_to(np.clip(bias, -_INT32, _INT32).astype(np.int64), (channels,))


def _bounds(numbers: Array, bias: Array, axis: int, heard: IntegerTensor) -> tuple[int, int]:
    """Return between which numbers all sums are, also before they are complete."""
    rows = np.moveaxis(numbers.astype(np.int64), axis, 0).reshape(bias.size, -1)
    low, high = min(heard.low, heard.zero_point), max(heard.high, heard.zero_point)
    most = np.maximum(rows * low, rows * high).clip(min=0).sum(axis=1) + bias.clip(min=0)
    least = np.minimum(rows * low, rows * high).clip(max=0).sum(axis=1) + bias.clip(max=0)
    return int(least.min()), int(most.max())


@lowers("MatMul")
def _batch_matmul(state: Lowering, operator: Operator) -> None:
    sources = tuple(state.hear(name) for name in operator.inputs)
    first, second = (state.tensors[name] for name in sources)
    if len(first.shape) < 2 or first.shape[:-2] != second.shape[:-2]:
        why = f"of shapes {first.shape} and {second.shape} is not supported (with equal leading dimensions)"
        raise refuse(operator, why)
    target, clamp = state.target(operator)
    grid, gain = state.grid(target), float(operator.attributes.get("gain", 1.0))
    ratio = np.array([first.scale * second.scale * gain / grid.scale])
    ends = [a * b for a in _reach(first) for b in _reach(second)]
    depth = first.shape[-1]
    state.add(
        operator.name, "batch_matmul", sources, target, grid, attributes={"offsets": (first.zero_point, second.zero_point)},
        requantisation=requantisation(ratio, grid, clamp, state.settings.rounding),
        sum_low=depth * min(*ends, 0), sum_high=depth * max(*ends, 0),
    )  # fmt: skip


def _reach(tensor: IntegerTensor) -> tuple[int, int]:
    return tensor.low - tensor.zero_point, tensor.high - tensor.zero_point


@lowers("Add", "Sub")
def _add(state: Lowering, operator: Operator) -> None:
    sources = tuple(state.hear(name) for name in operator.inputs)
    first, second = (state.tensors[name] for name in sources)
    target, clamp = state.target(operator)
    grid = state.grid(target)
    sign = -1 if operator.kind == "Sub" else 1
    multipliers, shift = addition((first.scale / grid.scale, sign * second.scale / grid.scale))
    ends = [sorted(number * end for end in _reach(one)) for number, one in zip(multipliers, (first, second), strict=True)]
    step = requantisation(np.array([2.0**-shift]), grid, clamp, state.settings.rounding)
    offsets = (first.zero_point, second.zero_point)
    state.add(
        operator.name, "add", sources, target, grid, attributes={"multipliers": multipliers, "offsets": offsets},
        requantisation=step,
        sum_low=ends[0][0] + ends[1][0], sum_high=ends[0][1] + ends[1][1],
    )  # fmt: skip


@lowers("Mul")
def _multiply(state: Lowering, operator: Operator) -> None:
    sources = tuple(state.hear(name) for name in operator.inputs)
    first, second = (state.tensors[name] for name in sources)
    target, clamp = state.target(operator)
    grid = state.grid(target)
    ends = [a * b for a in _reach(first) for b in _reach(second)]
    state.add(
        operator.name, "multiply", sources, target, grid, attributes={"offsets": (first.zero_point, second.zero_point)},
        requantisation=requantisation(np.array([first.scale * second.scale / grid.scale]), grid, clamp, state.settings.rounding),
        sum_low=min(ends), sum_high=max(ends),
    )  # fmt: skip


@lowers("ReduceMean", "AveragePool")
def _mean(state: Lowering, operator: Operator) -> None:
    source = state.hear(operator.inputs[0])
    heard = state.tensors[source]
    target, clamp = state.target(operator)
    grid, attributes = state.grid(target), dict[str, Any](offset=heard.zero_point)
    if operator.kind == "ReduceMean":
        attributes["axes"] = tuple(operator.attributes["axes"])
        kind, count = "mean", math.prod(heard.shape[axis] for axis in attributes["axes"])
    else:
        attributes |= {name: tuple(operator.attributes[name]) for name in ("kernel", "strides", "pads")}
        kind, count = "average_pool2d", math.prod(attributes["kernel"])
    low, high = _reach(heard)
    ratio = np.array([heard.scale * float(operator.attributes.get("gain", 1.0)) / (grid.scale * count)])
    state.add(
        operator.name, kind, (source,), target, grid, attributes=attributes,
        requantisation=requantisation(ratio, grid, clamp, state.settings.rounding),
        sum_low=count * min(low, 0), sum_high=count * max(high, 0),
    )  # fmt: skip


@lowers("MaxPool", "Reshape", "Transpose", "Slice", "Resize", "Pad", "Identity")
def _move(state: Lowering, operator: Operator) -> None:
    source, target, attributes = state.hear(operator.inputs[0]), operator.outputs[0], operator.attributes
    heard, grid = state.tensors[source], state.grids[source]
    low, high, kind = heard.low, heard.high, "reshape"
    chosen: dict[str, Any] = {"shape": tuple(int(n) for n in state.shape(target))}
    match operator.kind:
        case "MaxPool":
            kind, chosen = "max_pool2d", {name: tuple(attributes[name]) for name in ("kernel", "strides", "pads", "dilations")}
        case "Transpose":
            kind, chosen = "transpose", {"permutation": tuple(attributes.get("perm") or range(len(heard.shape))[::-1])}
        case "Slice":
            kind, chosen = "slice", {name: tuple(attributes[name]) for name in ("starts", "ends", "steps")}
        case "Resize":
            kind, chosen = "resize_nearest", {"factors": tuple(attributes["factors"])}
        case "Pad":
            inputs = [np.empty(heard.shape), *(state.draft.constants.get(name) for name in operator.inputs[1:])]
            ways = pads_of(attributes, inputs)
            value = int(on_grid(np.array(pad_number(attributes, inputs)), grid))
            kind, low, high = "pad", min(low, value), max(high, value)
            chosen = {"pads": tuple(way[0] for way in ways) + tuple(way[1] for way in ways), "pad_value": value}
    given = state.grids.get(target, grid)
    if operator.kind == "Identity" or given != grid:  # what the file has on another grid
        raw = target if operator.kind == "Identity" else f"{target}/raw"
        if raw != target:
            state.draft.shapes[raw] = state.draft.shapes[target]
            state.add(operator.name, kind, (source,), raw, grid, attributes=chosen, low=low, high=high)
        values = _values(state.tensors[source])
        table = on_grid(values, given)
        state.add(f"{operator.name}/grid", "table", (source if raw == target else raw,), target, given, arrays={"table": table})
        return
    state.add(operator.name, kind, (source,), target, grid, attributes=chosen, low=low, high=high)


def _values(tensor: IntegerTensor) -> F64:
    """Return what the 256 numbers of a tensor stand for."""
    return np.asarray((np.arange(-128, 128) - tensor.zero_point) * tensor.scale, np.float64)


@lowers("Concat")
def _concat(state: Lowering, operator: Operator) -> None:
    target = operator.outputs[0]
    have = {state.grids.get(name) for name in operator.inputs}
    own = have.pop() if len(have) == 1 and operator.attributes.get("one_grid") else None
    grid = state.grids.setdefault(target, own) if own is not None else state.grid(target)
    sources = tuple(state.hear(name, grid) for name in operator.inputs)
    parts = [state.tensors[name] for name in sources]
    axis = int(operator.attributes.get("axis", 0)) % len(parts[0].shape)
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    state.add(operator.name, "concat", sources, target, grid, attributes={"axis": axis}, low=low, high=high)


@lowers("Table", "Relu", "Clip")
def _table(state: Lowering, operator: Operator) -> None:
    source, target = state.hear(operator.inputs[0]), operator.outputs[0]
    grid = state.grid(target)
    (made,) = compute(operator, {**state.draft.constants, operator.inputs[0]: _values(state.tensors[source])})
    state.add(operator.name, "table", (source,), target, grid, arrays={"table": on_grid(made, grid)})


@lowers("PRelu")
def _prelu(state: Lowering, operator: Operator) -> None:
    source, target = state.hear(operator.inputs[0]), operator.outputs[0]
    heard, grid, slope = state.tensors[source], state.grid(target), state.draft.constants[operator.inputs[1]]
    full = (1,) * (len(heard.shape) - slope.ndim) + slope.shape
    if len(heard.shape) < 2 or any(length != 1 for at, length in enumerate(full) if at != 1):
        raise refuse(operator, f"with slopes of shape {slope.shape} is not supported (one, or one a channel)")
    values, slopes = _values(heard), np.broadcast_to(slope.reshape(-1), (heard.shape[1],))
    table = on_grid(np.where(values < 0, slopes[:, None] * values, values), grid)
    state.add(operator.name, "table", (source,), target, grid, arrays={"table": table})


@lowers("Softmax")
def _softmax(state: Lowering, operator: Operator) -> None:
    source, target = state.hear(operator.inputs[0]), operator.outputs[0]
    heard, grid = state.tensors[source], state.grid(target)
    bits = min(_TABLE_BITS, _SUM_BITS - heard.shape[-1].bit_length())
    table = np.rint(np.exp(-np.arange(256) * heard.scale) * 2.0**bits).astype(np.uint32)
    arrays: dict[str, Array] = {"table": table, "factor": np.array([1 / grid.scale], np.float32)}
    if len(operator.inputs) > 1:
        arrays["mask"] = state.draft.constants[operator.inputs[1]].astype(np.uint8)
    step = requantisation(np.ones(1), grid, (-math.inf, math.inf), state.settings.rounding)
    state.add(operator.name, "softmax", (source,), target, grid, arrays=arrays, requantisation=step)


@lowers("LayerNormalization")
def _layer_norm(state: Lowering, operator: Operator) -> None:
    source, target = state.hear(operator.inputs[0]), operator.outputs[0]
    heard, grid = state.tensors[source], state.grid(target)
    wide = heard.shape[-1]
    if wide > _LONGEST_NORM:
        raise ModelError(f"{operator.title} runs over {wide} numbers; at most {_LONGEST_NORM:,}")

    def row(place: int, filling: float) -> F32:
        given = state.draft.constant(operator, place)
        return (
            np.full(wide, filling, np.float32) if given is None else np.broadcast_to(given.reshape(-1), (wide,)).astype(np.float32)
        )

    epsilon = float(operator.attributes.get("epsilon", 1e-5)) * wide * wide / heard.scale**2
    arrays: dict[str, Array] = {
        "gamma": (row(1, 1.0) / grid.scale).astype(np.float32),
        "beta": (row(2, 0.0) / grid.scale).astype(np.float32),
        "epsilon": np.array([epsilon], np.float32),
    }
    step = requantisation(np.ones(1), grid, (-math.inf, math.inf), state.settings.rounding)
    state.add(operator.name, "layer_norm", (source,), target, grid, arrays=arrays, requantisation=step)


@lowers("Gather")
def _gather(state: Lowering, operator: Operator) -> None:
    table, target = operator.inputs[0], operator.outputs[0]
    name = state.hear(table, state.grids.get(target))
    if operator.inputs[1] not in state.tensors or state.tensors[operator.inputs[1]].dtype != "int32":
        raise refuse(operator, "by numbers that are computed is not supported (an integer input of the graph is)")
    kept = state.tensors.pop(name)
    weights = state.constants.pop(name)
    grid = TensorGrid(kept.scale, kept.zero_point)
    state.add(
        operator.name, "gather", (operator.inputs[1],), target, grid, arrays={"weights": weights}, low=kept.low, high=kept.high
    )  # fmt: skip
