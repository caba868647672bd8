"""Whether a graph or an integer network from a file can be one: names, shapes, types and ranges, before anyone computes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from models.dnn.evaluate import with_constants
from models.dnn.integer import FLOAT_KINDS, KINDS, OVERFLOWS, ROUNDINGS, SUM_KINDS, IntegerNetwork, IntegerOperation, IntegerTensor
from models.dnn.prepare import PREPARED, PreparedGraph, check_numbers
from models.dnn.room import check_room
from models.network import ModelError

_SUMMED = (*SUM_KINDS, "add", "multiply", "mean", "average_pool2d")
_ARRAYS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "conv2d": {"weights": ("int8",), "bias": ("int32",)},
    "depthwise_conv2d": {"weights": ("int8",), "bias": ("int32",)},
    "matmul": {"weights": ("int8",), "bias": ("int32",)},
    "table": {"table": ("int8",)},
    "softmax": {"table": ("uint32",), "factor": ("float32",)},
    "layer_norm": {"gamma": ("float32",), "beta": ("float32",), "epsilon": ("float32",)},
    "gather": {"weights": ("int8",)},
}
_MOST_SHIFT, _MOST_MULTIPLIER = 62, 1 << 31
_INPUTS = {"batch_matmul": 2, "add": 2, "multiply": 2}


def check_prepared(prepared: PreparedGraph) -> None:
    """Raise ModelError where a float graph's shapes are not what its operators make, or it has an operator of another kind."""
    check_numbers(prepared.graph)
    feeds = {}
    for one in prepared.graph.inputs:
        shape = tuple(length or 1 for length in one.shape)
        check_room(shape)
        feeds[one.name] = np.zeros(shape, one.dtype)
    for operator in prepared.graph.operators:
        if operator.kind not in PREPARED:
            raise ModelError(f"{operator.title} is no operator of a prepared graph")
    _, shapes = with_constants(prepared.graph, feeds)
    if wrong := [name for name, shape in shapes.items() if prepared.shapes.get(name) != shape]:
        raise ModelError(f"tensor {wrong[0][:60]!r} has shape {shapes[wrong[0]]}, the file says {prepared.shapes.get(wrong[0])}")


def check_network(network: IntegerNetwork) -> None:
    """Raise ModelError, naming the operation, where an integer network cannot be one."""
    if network.rounding not in ROUNDINGS or network.overflow not in OVERFLOWS:
        raise ModelError(f"rounds {network.rounding!r} and lets sums {network.overflow!r}; needs {ROUNDINGS} and {OVERFLOWS}")
    for tensor in network.tensors.values():
        _check_tensor(tensor)
    ready = {*network.inputs, *network.constants}
    if missing := [name for name in ready if name not in network.tensors]:
        raise ModelError(f"tensor {missing[0][:60]!r} is not described")
    for name, array in network.constants.items():
        if array.dtype != np.int8 or array.shape != network.tensors[name].shape:
            raise ModelError(f"constant {name[:60]!r} is {array.dtype} {array.shape}, described as {network.tensors[name].shape}")
    for operation in network.operations:
        _check_operation(network, operation, ready)
        ready.add(operation.output)
    if not network.outputs or not set(network.outputs) <= ready:
        raise ModelError(f"has outputs {str(network.outputs)[:80]} that nothing makes")


def _check_tensor(tensor: IntegerTensor) -> None:
    fits = tensor.dtype in ("int8", "int32") and len(tensor.shape) <= 8 and all(type(n) is int and n > 0 for n in tensor.shape)
    ranges = (
        all(type(n) is int and -128 <= n <= 127 for n in (tensor.zero_point, tensor.low, tensor.high)) and tensor.low <= tensor.high
    )
    if not fits or not ranges or not math.isfinite(tensor.scale) or tensor.scale <= 0:
        raise ModelError(f"tensor {tensor.name[:60]!r} cannot be described so ({str(tensor)[:80]})")
    check_room(tensor.shape)


def _check_operation(network: IntegerNetwork, operation: IntegerOperation, ready: set[str]) -> None:
    who = f"operation {operation.name[:60]!r}"
    if operation.kind not in KINDS:
        raise ModelError(f"{who} is of kind {operation.kind[:40]!r}; needs {', '.join(KINDS)}")
    if operation.output in ready or operation.output not in network.tensors:
        raise ModelError(f"{who} makes {operation.output[:60]!r}, which is there already or is not described")
    if any(name not in ready for name in operation.inputs) or not operation.inputs:
        raise ModelError(f"{who} hears what nothing before it makes")
    if operation.kind != "concat" and len(operation.inputs) != _INPUTS.get(operation.kind, 1):
        raise ModelError(f"{who} hears {len(operation.inputs)} tensors")
    for name, types in _ARRAYS.get(operation.kind, {}).items():
        if name not in operation.arrays or operation.arrays[name].dtype.name not in types:
            raise ModelError(f"{who} needs {name} of {' or '.join(types)}")
    step = operation.requantisation
    if (step is not None) != (operation.kind in _SUMMED or operation.kind in FLOAT_KINDS):
        raise ModelError(f"{who} of kind {operation.kind} {'lacks' if step is None else 'has'} a requantisation")
    if step is None:
        return
    sizes = {1, operation.arrays["bias"].size if "bias" in operation.arrays else 1}
    fits = step.multipliers.size == step.shifts.size and step.shifts.size in sizes and step.rounding in ROUNDINGS
    fits = fits and bool(np.all((step.shifts >= 0) & (step.shifts <= _MOST_SHIFT) & (np.abs(step.multipliers) <= _MOST_MULTIPLIER)))
    if not fits or not -128 <= step.low <= step.high <= 127:
        raise ModelError(f"{who} has a requantisation that cannot be")
