"""Reference of an integer network: each operation as `models/dnn/integer.py` states it, in plain numpy.

Sums are exact: of products in float64, where whole numbers below 2^53 are exact in any order, or in int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from models.dnn.integer import ACCUMULATOR_BITS, FLOAT_KINDS, SUM_KINDS, IntegerNetwork, IntegerOperation, Requantisation
from models.network import I64, Array, ModelError


@dataclass
class ReferenceRun:
    """What a network makes of inputs: `tensors` by name, and by operation how many sums did not fit 24 bits (`overflows`) and how
    many numbers did not fit int8 (`saturated`).
    """

    tensors: dict[str, Array]
    overflows: dict[str, int] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)


def run_network(network: IntegerNetwork, inputs: Mapping[str, Array]) -> ReferenceRun:
    """Run a network on int8 tensors (int32 for indices), by name; ModelError for another shape or type, or an overflow that
    the network calls an error.
    """
    run = ReferenceRun({**network.constants})
    for name in network.inputs:
        need, have = network.tensors[name], np.asarray(inputs[name])
        if have.shape != need.shape or have.dtype.name != need.dtype:
            raise ModelError(f"input {name!r} needs {need.dtype} {need.shape}, has {have.dtype} {have.shape}")
        run.tensors[name] = have
    for operation in network.operations:
        made = COMPUTE[operation.kind](operation, [run.tensors[name] for name in operation.inputs])
        if operation.requantisation is not None:
            made = _to_int8(network, operation, made, run)
        if made.shape != network.tensors[operation.output].shape:
            raise ModelError(f"{operation.name}: makes shape {made.shape}, states {network.tensors[operation.output].shape}")
        run.tensors[operation.output] = made
    return run


def quantised_inputs(network: IntegerNetwork, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return float inputs as the int8 numbers that a network hears: nearest, ties to even, clipped."""
    made = {}
    for name in network.inputs:
        tensor, values = network.tensors[name], np.asarray(inputs[name])
        if tensor.dtype == "int32":
            made[name] = values.astype(np.int32)
            continue
        steps = np.rint(values.astype(np.float32) / np.float32(tensor.scale)).astype(np.float64) + tensor.zero_point
        made[name] = np.clip(steps, -128, 127).astype(np.int8)
    return made


def dequantised(network: IntegerNetwork, name: str, numbers: Array) -> Array:
    """Return what the numbers of a tensor stand for, float32."""
    tensor = network.tensors[name]
    return ((numbers.astype(np.float64) - tensor.zero_point) * tensor.scale).astype(np.float32)


def requantise(sums: I64, step: Requantisation, axis: int) -> I64:
    """Return numbers of exact sums, before they are clamped: a multiplier and shift each, or one a channel of `axis`."""
    along = [-1 if at == axis else 1 for at in range(sums.ndim)] if step.shifts.size > 1 else [1] * sums.ndim
    shifts = step.shifts.astype(np.int64).reshape(along)
    products = sums * step.multipliers.reshape(along)
    floor = products >> shifts
    rest = products - (floor << shifts)
    half = np.where(shifts > 0, np.int64(1) << np.maximum(shifts - 1, 0), np.int64(1) << 62)
    if step.rounding == "half-up":
        floor = floor + (rest >= half)
    elif step.rounding == "even":
        floor = floor + ((rest > half) | ((rest == half) & (floor % 2 == 1)))
    return floor + step.zero_point


def _to_int8(network: IntegerNetwork, operation: IntegerOperation, made: Array, run: ReferenceRun) -> Array:
    step = operation.requantisation
    assert step is not None
    if operation.kind in FLOAT_KINDS:
        numbers = _rounded(made, step.rounding).astype(np.int64) + step.zero_point
    else:
        if operation.kind in SUM_KINDS:
            made = _accumulated(network, operation, made, run)
        numbers = requantise(made, step, 1 if operation.kind.endswith("conv2d") else made.ndim - 1)
    run.saturated[operation.name] = int(np.count_nonzero((numbers > 127) | ((numbers < -128) & (step.low == -128))))
    return np.clip(numbers, step.low, step.high).astype(np.int8)


def _rounded(values: Array, rounding: str) -> Array:
    if rounding == "half-up":
        return np.floor(values + np.float32(0.5))
    return np.floor(values) if rounding == "floor" else np.rint(values)


def _accumulated(network: IntegerNetwork, operation: IntegerOperation, sums: I64, run: ReferenceRun) -> I64:
    """Return sums as 24 bits keep them, and count those that do not fit."""
    limit = 1 << (ACCUMULATOR_BITS - 1)
    over = int(np.count_nonzero((sums < -limit) | (sums >= limit)))
    run.overflows[operation.name] = over
    if over and network.overflow == "error":
        raise ModelError(
            f"{operation.kind} {operation.name!r}: {over:,} sums do not fit {ACCUMULATOR_BITS} bits; needs other scales"
        )
    if network.overflow == "wrap":
        return (sums + limit) % (2 * limit) - limit
    return np.clip(sums, -limit, limit - 1)


def _conv2d(operation: IntegerOperation, inputs: list[Array]) -> Array:
    x, weights, bias = inputs[0], operation.arrays["weights"], operation.arrays["bias"]
    top, left, bottom, right = operation.attributes["pads"]
    (down, across), (far, wide) = operation.attributes["strides"], operation.attributes["dilations"]
    out, inner, kernel_rows, kernel_columns = weights.shape
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=operation.attributes["pad_value"])
    batch, channels, rows, columns = padded.shape
    rows = (rows - far * (kernel_rows - 1) - 1) // down + 1
    columns = (columns - wide * (kernel_columns - 1) - 1) // across + 1
    sums = np.zeros((batch, out, rows, columns), np.float64)
    heard = np.repeat(padded, out // channels, axis=1) if operation.kind == "depthwise_conv2d" else padded
    for row in range(kernel_rows):
        for column in range(kernel_columns):
            at = np.s_[
                :,
                :,
                row * far : row * far + down * (rows - 1) + 1 : down,
                column * wide : column * wide + across * (columns - 1) + 1 : across,
            ]
            seen, part = heard[at].astype(np.float64), weights[:, :, row, column].astype(np.float64)
            if operation.kind == "depthwise_conv2d":
                sums += seen * part.reshape(1, out, 1, 1)
            else:
                sums += np.matmul(part, seen.reshape(batch, inner, rows * columns)).reshape(sums.shape)
    return sums.astype(np.int64) + bias.astype(np.int64).reshape(1, -1, 1, 1)


def _matmul(operation: IntegerOperation, inputs: list[Array]) -> Array:
    sums = np.matmul(inputs[0].astype(np.float64), operation.arrays["weights"].astype(np.float64))
    return np.asarray(sums.astype(np.int64) + operation.arrays["bias"].astype(np.int64))


def _away(operation: IntegerOperation, inputs: list[Array]) -> tuple[I64, I64]:
    first, second = operation.attributes["offsets"]
    return inputs[0].astype(np.int64) - first, inputs[1].astype(np.int64) - second


def _batch_matmul(operation: IntegerOperation, inputs: list[Array]) -> Array:
    first, second = _away(operation, inputs)
    return np.asarray(np.matmul(first.astype(np.float64), second.astype(np.float64)), np.int64)


def _add(operation: IntegerOperation, inputs: list[Array]) -> Array:
    (first, second), (times, other) = _away(operation, inputs), operation.attributes["multipliers"]
    return np.asarray(first * times + second * other)


def _multiply(operation: IntegerOperation, inputs: list[Array]) -> Array:
    first, second = _away(operation, inputs)
    return first * second


def _mean(operation: IntegerOperation, inputs: list[Array]) -> Array:
    away = inputs[0].astype(np.int64) - operation.attributes["offset"]
    return np.asarray(away.sum(axis=tuple(operation.attributes["axes"]), keepdims=True))


def _pooled(operation: IntegerOperation, x: Array, filling: int) -> list[Array]:
    """Return what each place of a pool's window sees, an array a place."""
    top, left, bottom, right = operation.attributes["pads"]
    (down, across), (kernel_rows, kernel_columns) = operation.attributes["strides"], operation.attributes["kernel"]
    far, wide = operation.attributes.get("dilations", (1, 1))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=filling)
    rows = (padded.shape[2] - far * (kernel_rows - 1) - 1) // down + 1
    columns = (padded.shape[3] - wide * (kernel_columns - 1) - 1) // across + 1
    return [
        padded[
            :,
            :,
            row * far : row * far + down * (rows - 1) + 1 : down,
            column * wide : column * wide + across * (columns - 1) + 1 : across,
        ]
        for row in range(kernel_rows)
        for column in range(kernel_columns)
    ]


def _average_pool2d(operation: IntegerOperation, inputs: list[Array]) -> Array:
    away = inputs[0].astype(np.int64) - operation.attributes["offset"]
    return np.asarray(sum(_pooled(operation, away, 0)))


def _max_pool2d(operation: IntegerOperation, inputs: list[Array]) -> Array:
    return np.asarray(np.maximum.reduce(_pooled(operation, inputs[0], -128)))


def _table(operation: IntegerOperation, inputs: list[Array]) -> Array:
    table, at = operation.arrays["table"], inputs[0].astype(np.int64) + 128
    if table.ndim == 1:
        return table[at]
    channels = np.arange(len(table)).reshape([-1 if axis == 1 else 1 for axis in range(at.ndim)])
    return table[channels, at]


def _softmax(operation: IntegerOperation, inputs: list[Array]) -> Array:
    x, table = inputs[0].astype(np.int64), operation.arrays["table"].astype(np.int64)
    mask = operation.arrays.get("mask")
    heard = np.ones(x.shape, bool) if mask is None else np.broadcast_to(mask != 0, x.shape)
    largest = np.where(heard, x, -128).max(axis=-1, keepdims=True)
    parts = np.where(heard, table[np.where(heard, largest - x, 0)], 0)
    factor = operation.arrays["factor"] / parts.sum(axis=-1, keepdims=True).astype(np.float32)
    return np.asarray(parts.astype(np.float32) * factor)


def _layer_norm(operation: IntegerOperation, inputs: list[Array]) -> Array:
    x, wide = inputs[0].astype(np.int64), inputs[0].shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    spread = wide * (x * x).sum(axis=-1, keepdims=True) - total * total
    inverse = np.float32(1) / np.sqrt(spread.astype(np.float32) + operation.arrays["epsilon"])
    scaled = (wide * x - total).astype(np.float32) * inverse
    return np.asarray(scaled * operation.arrays["gamma"] + operation.arrays["beta"])


def _slice(operation: IntegerOperation, inputs: list[Array]) -> Array:
    starts, ends, steps = (operation.attributes[name] for name in ("starts", "ends", "steps"))
    return inputs[0][tuple(slice(start, end, step) for start, end, step in zip(starts, ends, steps, strict=True))]


def _pad(operation: IntegerOperation, inputs: list[Array]) -> Array:
    pads, count = operation.attributes["pads"], inputs[0].ndim
    ways = [(pads[axis], pads[axis + count]) for axis in range(count)]
    return np.pad(inputs[0], ways, constant_values=operation.attributes["pad_value"])


def _resize_nearest(operation: IntegerOperation, inputs: list[Array]) -> Array:
    made = inputs[0]
    for axis, factor in enumerate(operation.attributes["factors"]):
        made = np.repeat(made, factor, axis)
    return made


def _gather(operation: IntegerOperation, inputs: list[Array]) -> Array:
    rows = operation.arrays["weights"]
    if inputs[0].size and not 0 <= inputs[0].min() <= inputs[0].max() < len(rows):
        raise ModelError(f"{operation.name}: takes row {inputs[0].max()} of {len(rows)}")
    return rows[inputs[0]]


COMPUTE: dict[str, Callable[[IntegerOperation, list[Array]], Array]] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _conv2d,
    "matmul": _matmul,
    "batch_matmul": _batch_matmul,
    "add": _add,
    "multiply": _multiply,
    "mean": _mean,
    "average_pool2d": _average_pool2d,
    "max_pool2d": _max_pool2d,
    "table": _table,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "concat": lambda operation, inputs: np.concatenate(inputs, operation.attributes["axis"]),
    "reshape": lambda operation, inputs: inputs[0].reshape(operation.attributes["shape"]),
    "transpose": lambda operation, inputs: inputs[0].transpose(operation.attributes["permutation"]),
    "slice": _slice,
    "pad": _pad,
    "resize_nearest": _resize_nearest,
    "gather": _gather,
}
