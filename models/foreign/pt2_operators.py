"""ATen's operators, as torch.export writes them, in ONNX's words.

Graphs are read as they were exported, not decomposed: attention and normalisation are whole there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models.dnn.graph import Operator
from models.dnn.room import check_room
from models.dnn.support import refuse
from models.foreign.pt2_call import Call, Place, argument_value, tensor_names
from models.network import Array, ModelError

_PREFIX = "torch.ops.aten."
_UNARY = {
    "relu": "Relu", "relu_": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "hardswish": "HardSwish", "hardswish_": "HardSwish",
    "exp": "Exp",
    "sqrt": "Sqrt", "erf": "Erf", "abs": "Abs", "neg": "Neg", "mish": "Mish", "selu": "Selu", "reciprocal": "Reciprocal",
    "log": "Log",
    "softplus": "Softplus", "floor": "Floor", "ceil": "Ceil", "round": "Round", "softsign": "Softsign",
}  # fmt: skip
_BINARY = {
    "add": "Add",
    "add_": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "mul_": "Mul",
    "div": "Div",
    "pow": "Pow",
    "maximum": "Max",
    "minimum": "Min",
}
_IDLE = {
    "dropout",
    "dropout_",
    "feature_dropout",
    "contiguous",
    "clone",
    "alias",
    "detach",
    "lift_fresh_copy",
    "to",
    "_assert_tensor_metadata",
    "identity",
}
_RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view"}
_UNSEEN = ("_assert_tensor_metadata", "_guards_fn", "sym_constrain_range_for_size", "_assert_scalar")


def _pair(value: Any, count: int) -> list[int]:
    values = [int(one) for one in (value if isinstance(value, list) else [value])]
    return values * count if len(values) == 1 else values


def _unary(call: Call) -> None:
    call.emit(_UNARY[call.kind], [call.tensor("self", "input")])


def _binary(call: Call) -> None:
    first, second = call.scalar(call.get("self"), "self"), call.scalar(call.get("other", call.get("exponent")), "other")
    alpha = call.get("alpha", 1)
    if alpha != 1:
        second = call.emit("Mul", [second, call.scalar(alpha, "alpha")], part="scaled")
    if call.get("rounding_mode"):
        raise ModelError(f"node {call.name[:60]!r}: {call.kind} that rounds; needs an exact one")
    call.emit(_BINARY[call.kind], [first, second])


def _idle(call: Call) -> None:
    if call.get("train", False):
        raise ModelError(f"node {call.name[:60]!r}: exported in training mode; call .eval() first")
    if call.outputs:
        call.emit("Identity", [call.tensor("self", "input")])


def _reshape(call: Call) -> None:
    shape = call.shapes.get(call.outputs[0])
    if shape is None or None in shape:
        raise ModelError(f"node {call.name[:60]!r}: makes a dynamic shape; export it with fixed shapes")
    call.emit("Reshape", [call.tensor("self"), call.constant("shape", np.array(shape, np.int64))], allowzero=1)


def _transpose(call: Call) -> None:
    source = call.tensor("self")
    order = list(range(call.rank(source)))
    if call.kind == "permute":
        order = [int(axis) % max(len(order), 1) for axis in call.get("dims", [])]
    elif order:
        first, second = (
            int(axis) % len(order) for axis in ((call.get("dim0"), call.get("dim1")) if call.kind == "transpose" else (0, -1))
        )
        order[first], order[second] = order[second], order[first]
    call.emit("Transpose", [source], perm=order)


def _conv(call: Call) -> None:
    source, weights = call.tensor("input"), call.tensor("weight")
    count = call.rank(weights) - 2
    if call.get("transposed", False):
        raise refuse(Operator(call.name, "ConvTranspose", (), ()))
    inputs = [source, weights, *([call.tensor("bias")] if isinstance(call.get("bias"), str) else [])]
    attributes: dict[str, Any] = {
        "strides": _pair(call.get("stride", 1), count),
        "dilations": _pair(call.get("dilation", 1), count),
    }
    padding = call.get("padding", 0)
    if isinstance(padding, str):
        attributes["auto_pad"] = {"same": "SAME_UPPER", "valid": "VALID"}.get(padding, padding)
    else:
        attributes["pads"] = _pair(padding, count) * 2
    call.emit("Conv", inputs, group=int(call.get("groups", 1)), **attributes)


def _linear(call: Call) -> None:
    source, weights = call.tensor("input", "self"), call.tensor("weight", "mat2")
    matrix = call.constants.get(weights)
    if matrix is None or matrix.ndim != 2:
        raise ModelError(f"node {call.name[:60]!r}: linear by weights that are computed; needs constants")
    turned = call.constant("weight", np.ascontiguousarray(matrix.T))
    bias = call.get("bias")
    product = call.emit("MatMul", [source, turned], part="product" if isinstance(bias, str) else "")
    if isinstance(bias, str):
        call.emit("Add", [product, bias])


def _addmm(call: Call) -> None:
    call.emit("Gemm", [call.tensor("mat1"), call.tensor("mat2"), call.tensor("self")])


def _matmul(call: Call) -> None:
    call.emit("MatMul", [call.tensor("self"), call.tensor("other", "mat2")])


def _batch_norm(call: Call) -> None:
    if call.get("training", False):
        raise ModelError(f"node {call.name[:60]!r}: exported in training mode; call .eval() first")
    mean, variance = call.tensor("running_mean"), call.tensor("running_var")
    size = call.constants[mean].size if mean in call.constants else 1
    gamma, beta = (
        call.get(name) if isinstance(call.get(name), str) else call.constant(name, np.full(size, filling, np.float32))
        for name, filling in (("weight", 1.0), ("bias", 0.0))
    )
    call.emit("BatchNormalization", [call.tensor("input"), gamma, beta, mean, variance], epsilon=float(call.get("eps", 1e-5)))


def _layer_norm(call: Call) -> None:
    shape = [int(length) for length in call.get("normalized_shape", [])]
    check_room(shape)
    gamma = call.get("weight") if isinstance(call.get("weight"), str) else call.constant("weight", np.ones(shape, np.float32))
    inputs = [call.tensor("input"), gamma, *([call.tensor("bias")] if isinstance(call.get("bias"), str) else [])]
    call.emit("LayerNormalization", inputs, axis=-max(len(shape), 1), epsilon=float(call.get("eps", 1e-5)))


def _pool(call: Call) -> None:
    source = call.tensor("self")
    count = 1 if call.kind.endswith("1d") else 2
    kernel = _pair(call.get("kernel_size"), count)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel, "strides": _pair(call.get("stride") or kernel, count), "pads": _pair(call.get("padding", 0),
        count) * 2,
        "ceil_mode": int(call.get("ceil_mode", False)),
    }  # fmt: skip
    if call.kind.startswith("max"):
        call.emit("MaxPool", [source], dilations=_pair(call.get("dilation", 1), count), **attributes)
        return
    if call.get("divisor_override"):
        raise ModelError(f"node {call.name[:60]!r}: divides by {call.get('divisor_override')}; needs the window's size")
    call.emit("AveragePool", [source], count_include_pad=int(call.get("count_include_pad", True)), **attributes)


def _adaptive_pool(call: Call) -> None:
    source, out = call.tensor("self"), _pair(call.get("output_size"), 1 if call.kind.endswith("1d") else 2)
    image = call.shapes.get(source, ())[-len(out) :]
    if all(length == 1 for length in out):
        call.emit("GlobalMaxPool" if "max" in call.kind else "GlobalAveragePool", [source])
        return
    if len(image) != len(out) or any(length is None or not one or length % one for length, one in zip(image, out, strict=True)):
        raise ModelError(f"node {call.name[:60]!r}: pools {image} to {out}; needs sizes that divide")
    kernel = [int(length or 1) // one for length, one in zip(image, out, strict=True)]
    call.emit(
        "MaxPool" if "max" in call.kind else "AveragePool", [source], kernel_shape=kernel, strides=kernel, count_include_pad=1
    )


def _attention(call: Call) -> None:
    query, key, value = (call.tensor(name) for name in ("query", "key", "value"))
    if float(call.get("dropout_p", 0.0)):
        raise ModelError(f"node {call.name[:60]!r}: exported in training mode; call .eval() first")
    rank, shape = call.rank(key), call.shapes.get(query, ())
    if rank < 2 or len(shape) < 2 or not isinstance(shape[-1], int) or shape[-1] < 1:
        raise ModelError(f"node {call.name[:60]!r}: attention over a tensor of {rank} dimensions")
    order = [*range(rank - 2), rank - 1, rank - 2]
    turned = call.emit("Transpose", [key], part="key", perm=order)
    scores = call.emit("MatMul", [query, turned], part="scores")
    scale = call.get("scale", 1 / math.sqrt(shape[-1]))
    scores = call.emit("Mul", [scores, call.scalar(float(scale), "scale")], part="scaled")
    mask: str | None = call.get("attn_mask") if isinstance(call.get("attn_mask"), str) else None
    if call.get("is_causal", False):
        rows, columns = shape[-2], call.shapes.get(key, shape)[-2]
        check_room((int(rows or 1), int(columns or 1)))
        heard = np.tril(np.ones((int(rows or 1), int(columns or 1)), np.float32))
        mask = call.constant("mask", np.where(heard != 0, np.float32(0), np.float32(-1e9)))
    if mask is not None and mask in call.constants and call.constants[mask].dtype == bool:
        mask = call.constant("mask", np.where(call.constants[mask], np.float32(0), np.float32(-1e9)))
    if mask is not None:
        scores = call.emit("Add", [scores, mask], part="masked")
    shares = call.emit("Softmax", [scores], part="shares", axis=-1)
    call.emit("MatMul", [shares, value])


def _softmax(call: Call) -> None:
    call.emit("Softmax", [call.tensor("self", "input")], axis=int(call.get("dim", -1)))


def _gelu(call: Call) -> None:
    call.emit("Gelu", [call.tensor("self")], approximate=str(call.get("approximate", "none")))


def _silu(call: Call) -> None:
    source = call.tensor("self")
    call.emit("Mul", [source, call.emit("Sigmoid", [source], part="sigmoid")])


def _clip(call: Call) -> None:
    low, high = (
        (call.get("min_val", 0.0), call.get("max_val", 6.0)) if "hardtanh" in call.kind else (call.get("min"), call.get("max"))
    )
    low, high = (
        (0.0, 6.0)
        if call.kind.startswith("relu6")
        else (-1.0 if "hardtanh" in call.kind and call.get("min_val") is None else low, high)
    )
    ends: dict[str, Any] = {name: float(end) for name, end in (("min", low), ("max", high)) if end is not None}
    call.emit("Clip", [call.tensor("self", "input")], **ends)


def _leaky_relu(call: Call) -> None:
    call.emit("LeakyRelu", [call.tensor("self")], alpha=float(call.get("negative_slope", 0.01)))


def _prelu(call: Call) -> None:
    source, slope = call.tensor("self"), call.tensor("weight")
    array = call.constants.get(slope)
    if array is not None and array.size > 1:
        slope = call.constant("slope", array.reshape(-1, *[1] * (call.rank(source) - 2)))
    call.emit("PRelu", [source, slope])


def _elu(call: Call) -> None:
    call.emit("Elu", [call.tensor("self")], alpha=float(call.get("alpha", 1.0)))


def _hard_sigmoid(call: Call) -> None:
    call.emit("HardSigmoid", [call.tensor("self")], alpha=1 / 6, beta=0.5)


def _concat(call: Call) -> None:
    call.emit("Concat", list(call.get("tensors", [])), axis=int(call.get("dim", 0)))


def _slice(call: Call) -> None:
    axis, end = int(call.get("dim", 0)), int(call.get("end", 1 << 40))
    numbers = {"starts": int(call.get("start", 0)), "ends": min(end, 1 << 40), "axes": axis, "steps": int(call.get("step", 1))}
    inputs = [call.constant(name, np.array([number], np.int64)) for name, number in numbers.items()]
    call.emit("Slice", [call.tensor("self"), *inputs])


def _select(call: Call) -> None:
    index = call.constant("index", np.array(int(call.get("index", 0)), np.int64))
    call.emit("Gather", [call.tensor("self"), index], axis=int(call.get("dim", 0)))


def _chunks(call: Call) -> None:
    source, axis = call.tensor("self"), int(call.get("dim", 0))
    lengths = []
    for name in call.outputs:
        shape = call.shapes.get(name, ())
        length = shape[axis] if -len(shape) <= axis < len(shape) else None
        if length is None:
            raise ModelError(f"node {call.name[:60]!r}: splits into parts of dynamic length; export it with fixed shapes")
        lengths.append(length)
    inputs = [source, call.constant("lengths", np.array(lengths, np.int64))]
    call.operators.append(Operator(call.name, "Split", tuple(inputs), tuple(call.outputs), {"axis": axis}))


def _expand(call: Call) -> None:
    source = call.tensor("self")
    call.emit("Expand", [source, call.constant("shape", np.array([max(int(n), 1) for n in call.get("size", [])], np.int64))])


def _embedding(call: Call) -> None:
    call.emit("Gather", [call.tensor("weight"), call.tensor("indices")], axis=0)


def _mean(call: Call) -> None:
    axes = call.get("dim")
    attributes: dict[str, Any] = {"axes": [int(axis) for axis in axes]} if axes else {}
    call.emit("ReduceMean", [call.tensor("self")], keepdims=int(call.get("keepdim", False)), **attributes)


def _pad(call: Call) -> None:
    source, pads = call.tensor("self"), [int(n) for n in call.get("pad", [])]
    rank = call.rank(source)
    if len(pads) % 2 or len(pads) > 2 * rank or call.get("mode", "constant") != "constant":
        raise ModelError(f"node {call.name[:60]!r}: pads by {str(pads)[:40]}, {call.get('mode')}; needs a constant")
    ways = [(0, 0)] * (rank - len(pads) // 2) + [(pads[at], pads[at + 1]) for at in range(len(pads) - 2, -1, -2)]
    numbers = np.array([way[0] for way in ways] + [way[1] for way in ways], np.int64)
    call.emit("Pad", [source, call.constant("pads", numbers), call.scalar(float(call.get("value", 0.0)), "value")])


def _upsample(call: Call) -> None:
    source, out = call.tensor("input", "self"), call.shapes.get(call.outputs[0], ())
    if None in out or not out:
        raise ModelError(f"node {call.name[:60]!r}: resizes to a dynamic shape; export it with fixed shapes")
    call.emit(
        "Resize",
        [source, "", "", call.constant("sizes", np.array(out, np.int64))],
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _arange(call: Call) -> None:
    start, end, step = float(call.get("start", 0)), float(call.get("end", 0)), float(call.get("step", 1))
    count = max(math.ceil((end - start) / step), 0) if step else 0
    check_room((count,))
    call.constants[call.outputs[0]] = (start + np.arange(count) * step).astype(np.int64)


def _filled(call: Call) -> None:
    shape = [int(length) for length in call.get("size", [])]
    check_room(shape)
    value = {"zeros": 0.0, "ones": 1.0}.get(call.kind, call.get("fill_value", 0.0))
    call.constants[call.outputs[0]] = np.full(shape, float(value), np.float32)


_TRANSLATED: dict[str, Callable[[Call], None]] = {
    **dict.fromkeys(_UNARY, _unary), **dict.fromkeys(_BINARY, _binary), **dict.fromkeys(_IDLE, _idle), **dict.fromkeys(_RESHAPES,
    _reshape),
    **dict.fromkeys(("transpose", "permute", "t"), _transpose),
    **dict.fromkeys(("conv1d", "conv2d", "convolution"), _conv),
    **dict.fromkeys(("matmul", "bmm"), _matmul), "mm": _matmul, "linear": _linear, "addmm": _addmm,
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm), "layer_norm": _layer_norm,
    **dict.fromkeys(("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"), _pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive_pool),
    "scaled_dot_product_attention": _attention, **dict.fromkeys(("softmax", "_softmax"), _softmax), "gelu": _gelu,
    **dict.fromkeys(("silu", "silu_"), _silu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "hardtanh", "hardtanh_", "relu6", "relu6_", "clamp_min"), _clip),
    **dict.fromkeys(("leaky_relu", "leaky_relu_"), _leaky_relu), "prelu": _prelu, "elu": _elu, "hardsigmoid": _hard_sigmoid,
    "cat": _concat, "slice": _slice, "select": _select, **dict.fromkeys(("chunk", "split", "split_with_sizes"), _chunks),
    "expand": _expand, "embedding": _embedding, "mean": _mean, **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _upsample), "arange": _arange,
    **dict.fromkeys(("zeros", "ones", "full"), _filled),
}  # fmt: skip


class Translation:
    """Operators so far; `constants` are weights, and take what operators need beside; `shapes` are those that the file states."""

    def __init__(self, constants: dict[str, Array], shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        self.constants, self.shapes = constants, shapes
        self.operators: list[Operator] = []

    def add(self, node: Mapping[str, Any], at: int) -> None:
        """Add a node; ModelError, naming it, for an operator that has no word here."""
        target = str(node["target"])
        name = str(node.get("name") or f"node_{at}")
        outputs = [tensor_names(one) for one in node["outputs"]]
        names = [each for one in outputs for each in one]
        kind = target.removeprefix(_PREFIX).split(".")[0] if target.startswith(_PREFIX) else target
        if kind in _UNSEEN or target.endswith(_UNSEEN):
            return
        call = Call(
            Place(self.operators, self.constants, self.shapes),
            name,
            kind,
            {one["name"]: argument_value(one["arg"]) for one in node["inputs"]},
            names,
        )
        translate = _TRANSLATED.get(kind)
        if not target.startswith(_PREFIX) or translate is None:
            raise refuse(Operator(name, target.removeprefix("torch.ops."), (), ()))
        translate(call)
