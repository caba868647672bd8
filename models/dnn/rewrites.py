"""A float graph brought to few kinds of operators: what another operator computes as well is written as that one.

Behind it there are Conv of images (2-D) and Linear (x W + b) with all that belongs to their weights folded in (batch
normalisation, factors, biases), Reshape for all that only changes shapes, ReduceMean for averages over whole images, Slice for
Split, and Mul by a constant for Div.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from models.dnn.draft import Draft
from models.dnn.float_images import pool_kernel, resize_factors, window
from models.dnn.float_moves import slices, split_lengths
from models.dnn.float_operators import axes_of, parameter
from models.dnn.graph import Operator
from models.network import Array, ModelError

_IMAGES = ("Conv", "MaxPool", "AveragePool")
_RESHAPES = ("Flatten", "Squeeze", "Unsqueeze", "Reshape")

Rewrite = Callable[[Draft, Operator], bool]


def rewrite(draft: Draft, rules: tuple[Rewrite, ...]) -> None:
    """Apply rules until none changes anything; each answers whether it did."""
    changed = True
    while changed:
        changed = False
        for operator in list(draft.operators):
            if any(one is operator for one in draft.operators):
                changed |= any(rule(draft, operator) for rule in rules)
    draft.sweep()


def drop_idle(draft: Draft, operator: Operator) -> bool:
    """Identity, Dropout and casts between floats hand on what they hear, where no grid says otherwise."""
    idle = operator.kind in ("Identity", "Dropout") or (operator.kind == "Cast" and operator.attributes.get("to") in (1, 10, 11))
    if (
        not idle
        or operator.outputs[0] in draft.grids
        or operator.inputs[0] in (one.name for one in draft.inputs if one.dtype[0] in "iub")
    ):
        return False
    if operator.outputs[0] in draft.outputs and draft.maker(operator.inputs[0]) is None:
        return False  # an output that is an input
    draft.bypass(operator)
    return True


def reshapes(draft: Draft, operator: Operator) -> bool:
    """Whatever only changes a shape is a Reshape without an input for it."""
    if operator.kind not in _RESHAPES or (operator.kind == "Reshape" and "shape" in operator.attributes):
        return False
    shape = list(draft.shapes[operator.outputs[0]])
    new = Operator(operator.name, "Reshape", operator.inputs[:1], operator.outputs[:1], {"shape": shape})
    draft.exchange([operator], [new])
    return True


def joined_reshapes(draft: Draft, operator: Operator) -> bool:
    """A Reshape of a Reshape is one; one into the same shape is none."""
    if operator.kind != "Reshape" or "shape" not in operator.attributes or operator.outputs[0] in draft.grids:
        return False
    before = draft.maker(operator.inputs[0])
    if before is not None and draft.shapes[operator.inputs[0]] == draft.shapes[operator.outputs[0]]:
        draft.bypass(operator)
        return True
    if before is not None and before.kind == "Reshape" and operator.inputs[0] not in draft.grids:
        new = Operator(operator.name, "Reshape", before.inputs, operator.outputs, operator.attributes)
        draft.exchange([operator], [new])
        return True
    return False


def images_of_one_dimension(draft: Draft, operator: Operator) -> bool:
    """A convolution or pool over a line is one over an image of one row."""
    if operator.kind not in _IMAGES or len(draft.shapes[operator.inputs[0]]) != 3:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    (batch, channels, length), out = draft.shapes[source], draft.shapes[target]
    attributes = dict(operator.attributes)
    for name in ("strides", "dilations", "kernel_shape"):
        if attributes.get(name):
            attributes[name] = [1, *attributes[name]]
    if attributes.get("pads"):
        before, behind = attributes["pads"]
        attributes["pads"] = [0, before, 0, behind]
    wide = draft.tensor(source, (batch, channels, 1, length))
    made = draft.tensor(target, (*out[:2], 1, out[2]))
    inputs = [wide, *operator.inputs[1:]]
    if operator.kind == "Conv":
        weights = draft.constants.get(inputs[1])
        if weights is None:
            return False
        inputs[1] = _again(draft, inputs[1], weights[:, :, None, :], None)
    if source in draft.grids:
        draft.grids[wide] = draft.grids[source]
    draft.exchange([operator], [
        Operator(f"{operator.name}/image", "Reshape", (source,), (wide,), {"shape": list(draft.shapes[wide])}),
        Operator(operator.name, operator.kind, tuple(inputs), (made,), attributes),
        Operator(f"{operator.name}/line", "Reshape", (made,), (target,), {"shape": list(out)}),
    ])  # fmt: skip
    if target in draft.grids:
        draft.grids[made] = draft.grids[target]
    return True


def explicit_windows(draft: Draft, operator: Operator) -> bool:
    """Strides, pads and dilations as numbers, whatever a file leaves out or calls SAME."""
    if operator.kind not in _IMAGES or "explicit" in operator.attributes or len(draft.shapes[operator.inputs[0]]) != 4:
        return False
    image = draft.shapes[operator.inputs[0]]
    kernel = (
        list(draft.shapes[operator.inputs[1]][2:]) if operator.kind == "Conv" else pool_kernel(operator.attributes, np.empty(image))
    )
    strides, pads, dilations = window(operator.attributes, kernel, image[2:])
    out = draft.shapes[operator.outputs[0]][2:]
    for axis in range(2):  # ceil_mode adds to what is padded behind
        more = (out[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1 - image[2 + axis] - pads[axis]
        pads[axis + 2] = max(pads[axis + 2], more) if operator.attributes.get("ceil_mode") else pads[axis + 2]
    keep = {name: operator.attributes[name] for name in ("group", "count_include_pad") if name in operator.attributes}
    attributes = {
        **keep,
        "kernel": kernel,
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "explicit": 1,
    }
    uneven = operator.attributes.get("ceil_mode") or not operator.attributes.get("count_include_pad")
    if operator.kind == "AveragePool" and any(pads) and uneven:
        raise ModelError(f"{operator.title} leaves padding out of its averages; the nearest that is supported: count_include_pad=1")
    draft.exchange([operator], [Operator(operator.name, operator.kind, operator.inputs, operator.outputs[:1], attributes)])
    return True


def whole_pools(draft: Draft, operator: Operator) -> bool:
    """An average over whole images is a ReduceMean, the largest a MaxPool of that size."""
    source, target = operator.inputs[0], operator.outputs[0]
    if operator.kind == "GlobalAveragePool":
        axes = list(range(2, len(draft.shapes[source])))
        draft.exchange([operator], [Operator(operator.name, "ReduceMean", (source,), (target,), {"axes": axes, "keepdims": 1})])
        return True
    if operator.kind == "GlobalMaxPool":
        attributes = {"kernel_shape": list(draft.shapes[source][2:])}
        draft.exchange([operator], [Operator(operator.name, "MaxPool", (source,), (target,), attributes)])
        return True
    return False


def means(draft: Draft, operator: Operator) -> bool:
    """A ReduceMean keeps its axes; a Reshape drops them."""
    if operator.kind != "ReduceMean" or (
        operator.attributes.get("keepdims", 1) and len(operator.inputs) == 1 and operator.attributes.get("axes")
    ):
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape = draft.shapes[source]
    given = parameter(operator.attributes, [None, draft.constant(operator, 1)], "axes", 1)
    axes = sorted(axes_of(given, len(shape))) if given else list(range(len(shape)))
    whole = draft.tensor(target, [1 if axis in axes else length for axis, length in enumerate(shape)])
    new = [Operator(operator.name, "ReduceMean", (source,), (whole,), {"axes": axes, "keepdims": 1})]
    new.append(Operator(f"{operator.name}/shape", "Reshape", (whole,), (target,), {"shape": list(draft.shapes[target])}))
    if target in draft.grids:
        draft.grids[whole] = draft.grids[target]
    draft.exchange([operator], new)
    return True


def linears(draft: Draft, operator: Operator) -> bool:
    """Gemm, and MatMul by constant weights, are Linear: x W + b with W (K, N)."""
    weights = draft.constant(operator, 1)
    if operator.kind not in ("Gemm", "MatMul") or weights is None or weights.ndim != 2:
        return False
    inputs = [operator.inputs[0]]
    turned = operator.kind == "Gemm" and bool(operator.attributes.get("transB"))
    factor = float(operator.attributes.get("alpha", 1.0)) if operator.kind == "Gemm" else 1.0
    if operator.attributes.get("transA"):
        raise ModelError(
            f"{operator.title} multiplies its input turned (transA); the nearest that is supported: Transpose before it"
        )
    matrix = np.asarray((weights.T if turned else weights) * np.asarray(factor, weights.dtype))
    inputs.append(_again(draft, operator.inputs[1], matrix, (1, 0) if turned else None, factor=factor))
    if len(operator.inputs) > 2 and operator.inputs[2]:
        bias = draft.constant(operator, 2)
        if bias is None:
            raise ModelError(f"{operator.title} has a bias that is computed; needs a constant")
        scaled = np.broadcast_to(bias.reshape(-1) * np.asarray(operator.attributes.get("beta", 1.0), bias.dtype), matrix.shape[1:])
        inputs.append(_again(draft, operator.inputs[2], scaled, None, factor=float(operator.attributes.get("beta", 1.0))))
    draft.exchange([operator], [Operator(operator.name, "Linear", tuple(inputs), operator.outputs)])
    return True


def splits(draft: Draft, operator: Operator) -> bool:
    """A Split is a Slice for each part, and a Slice has its numbers as attributes."""
    shape = draft.shapes[operator.inputs[0]]
    values: list[Array | None] = [np.empty(shape), *(draft.constant(operator, place) for place in range(1, len(operator.inputs)))]
    if operator.kind == "Split":
        axis, lengths = split_lengths(operator.attributes, values, len(operator.outputs))
        ends, new = np.cumsum(lengths), []
        for number, (target, end, length) in enumerate(zip(operator.outputs, ends, lengths, strict=True)):
            ways = [(0, size, 1) for size in shape]
            ways[axis] = (int(end) - length, int(end), 1)
            new.append(_slice(f"{operator.name}/{number}", operator.inputs[0], target, ways))
        draft.exchange([operator], new)
        return True
    if operator.kind == "Slice" and "ways" not in operator.attributes:
        draft.exchange(
            [operator], [_slice(operator.name, operator.inputs[0], operator.outputs[0], slices(operator.attributes, values))]
        )
        return True
    return False


def _slice(name: str, source: str, target: str, ways: list[tuple[int, int, int]]) -> Operator:
    if any(step < 0 for _, _, step in ways):
        raise ModelError(f"Slice {name[:80]!r} runs backwards; needs steps above zero")
    starts, ends, steps = ([int(way[part]) for way in ways] for part in range(3))
    return Operator(name, "Slice", (source,), (target,), {"starts": starts, "ends": ends, "steps": steps, "ways": 1})


def single_elements(draft: Draft, operator: Operator) -> bool:
    """One element along an axis, taken by a constant number, is a Slice and a Reshape."""
    number = draft.scalar(operator.inputs[1]) if operator.kind == "Gather" and len(operator.inputs) > 1 else None
    if number is None or operator.inputs[0] in draft.constants:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape = draft.shapes[source]
    (axis,) = axes_of([int(operator.attributes.get("axis", 0))], len(shape))
    at = int(number) % shape[axis]
    ways = [(at, at + 1, 1) if place == axis else (0, length, 1) for place, length in enumerate(shape)]
    part = draft.tensor(target, [1 if place == axis else length for place, length in enumerate(shape)])
    new = Operator(f"{operator.name}/shape", "Reshape", (part,), (target,), {"shape": list(draft.shapes[target])})
    draft.exchange([operator], [_slice(operator.name, source, part, ways), new])
    return True


def resizes(draft: Draft, operator: Operator) -> bool:
    """A Resize has its whole factors as an attribute."""
    if operator.kind not in ("Resize", "Upsample") or "factors" in operator.attributes:
        return False
    values: list[Array | None] = [np.empty(draft.shapes[operator.inputs[0]])]
    values += [draft.constant(operator, place) for place in range(1, len(operator.inputs))]
    try:
        factors = resize_factors(operator.attributes, values)
    except ModelError as error:
        raise ModelError(f"{operator.title} {error}") from None
    new = Operator(operator.name, "Resize", operator.inputs[:1], operator.outputs, {"factors": factors, "scales": factors})
    draft.exchange([operator], [new])
    return True


def last_softmax(draft: Draft, operator: Operator) -> bool:
    """A Softmax along another axis than the last is one between two Transposes."""
    if operator.kind != "Softmax" or "last" in operator.attributes:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape = draft.shapes[source]
    (axis,) = axes_of([int(operator.attributes.get("axis", -1))], len(shape))
    if operator.attributes.get("flattened") and math.prod(shape[axis:]) != shape[-1]:
        raise ModelError(f"{operator.title} runs over several dimensions at once; needs one")
    if operator.attributes.get("flattened") or axis == len(shape) - 1:
        draft.exchange([operator], [Operator(operator.name, "Softmax", (source,), (target,), {"axis": -1, "last": 1})])
        return True
    order = [at for at in range(len(shape)) if at != axis] + [axis]
    turned, made = (draft.tensor(name, [shape[at] for at in order]) for name in (source, target))
    back = [order.index(at) for at in range(len(shape))]
    draft.exchange([operator], [
        Operator(f"{operator.name}/turned", "Transpose", (source,), (turned,), {"perm": order}),
        Operator(operator.name, "Softmax", (turned,), (made,), {"axis": -1, "last": 1}),
        Operator(f"{operator.name}/back", "Transpose", (made,), (target,), {"perm": back}),
    ])  # fmt: skip
    if target in draft.grids:
        draft.grids[made] = draft.grids[target]
    return True


def _again(draft: Draft, name: str, array: Array, order: tuple[int, ...] | None, factor: float = 1.0) -> str:
    """Keep a constant in another form, and its stored numbers with it; return its name."""
    new = draft.add_constant(name, array)
    if name in draft.numbers:
        from models.dnn.qdq import StoredNumbers

        stored = draft.numbers[name]
        numbers = stored.numbers.transpose(order) if order else stored.numbers
        axis = order.index(stored.axis) if order else stored.axis
        if factor <= 0:
            raise ModelError(f"quantised weights {name[:60]!r} times {factor}; needs a factor above zero")
        draft.numbers[new] = StoredNumbers(np.ascontiguousarray(numbers.reshape(array.shape)), stored.scales * factor, axis)
    return new
