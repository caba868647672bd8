"""Sums, largest numbers and bounds, as what can be quantised: means times a number, pools, and clamps."""

from __future__ import annotations

import math

import numpy as np

from models.dnn.draft import Draft
from models.dnn.float_operators import axes_of, parameter
from models.dnn.graph import Operator
from models.dnn.support import refuse

_EXACT = 1e-6


def sums(draft: Draft, operator: Operator) -> bool:
    """A ReduceSum is a ReduceMean with a gain; a Reshape drops its axes."""
    if operator.kind != "ReduceSum":
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape, axes = draft.shapes[source], _axes(draft, operator)
    if not axes:
        draft.exchange([operator], [Operator(operator.name, "Identity", (source,), (target,))])
        return True
    whole = draft.tensor(target, [1 if axis in axes else length for axis, length in enumerate(shape)])
    if target in draft.grids:
        draft.grids[whole] = draft.grids[target]
    count = math.prod(shape[axis] for axis in axes)
    draft.exchange([operator], [
        Operator(operator.name, "ReduceMean", (source,), (whole,), {"axes": axes, "keepdims": 1, "gain": float(count)}),
        Operator(f"{operator.name}/shape", "Reshape", (whole,), (target,), {"shape": list(draft.shapes[target])}),
    ])  # fmt: skip
    return True


def _axes(draft: Draft, operator: Operator) -> list[int]:
    """Return what a reduction runs over; none where it may be empty and is."""
    shape = draft.shapes[operator.inputs[0]]
    given = parameter(operator.attributes, [None, draft.constant(operator, 1)], "axes", 1)
    if given:
        return sorted(axes_of(given, len(shape)))
    return [] if operator.attributes.get("noop_with_empty_axes") else list(range(len(shape)))


def largest_axes(draft: Draft, operator: Operator) -> bool:
    """A ReduceMax keeps its axes and has them as an attribute; a Reshape drops them."""
    if operator.kind != "ReduceMax" or "explicit" in operator.attributes:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape, axes = draft.shapes[source], _axes(draft, operator)
    if not axes:
        draft.exchange([operator], [Operator(operator.name, "Identity", (source,), (target,))])
        return True
    whole = draft.tensor(target, [1 if axis in axes else length for axis, length in enumerate(shape)])
    if target in draft.grids:
        draft.grids[whole] = draft.grids[target]
    draft.exchange([operator], [
        Operator(operator.name, "ReduceMax", (source,), (whole,), {"axes": axes, "keepdims": 1, "explicit": 1}),
        Operator(f"{operator.name}/shape", "Reshape", (whole,), (target,), {"shape": list(draft.shapes[target])}),
    ])  # fmt: skip
    return True


def largest(draft: Draft, operator: Operator) -> bool:
    """A ReduceMax over neighbouring axes is a MaxPool of that size."""
    if operator.kind != "ReduceMax" or not operator.attributes.get("axes") or not all(draft.shapes[operator.inputs[0]]):
        return False
    source, target, axes = operator.inputs[0], operator.outputs[0], list(operator.attributes["axes"])
    shape = draft.shapes[source]
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise refuse(operator, f"over axes {axes}, which are no neighbours, is not supported")
    before, over, behind = (math.prod(part) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :]))
    image, made = draft.tensor(source, (1, before, over, behind)), draft.tensor(target, (1, before, 1, behind))
    for name, near in ((image, source), (made, target)):
        if near in draft.grids:
            draft.grids[name] = draft.grids[near]
    draft.exchange([operator], [
        Operator(f"{operator.name}/image", "Reshape", (source,), (image,), {"shape": list(draft.shapes[image])}),
        Operator(operator.name, "MaxPool", (image,), (made,), {"kernel_shape": [over, 1]}),
        Operator(f"{operator.name}/shape", "Reshape", (made,), (target,), {"shape": list(draft.shapes[target])}),
    ])  # fmt: skip
    return True


def bounds(draft: Draft, operator: Operator) -> bool:
    """Max and Min with one constant number are a Clip, with zero a Relu; an endless bound is none."""
    if operator.kind not in ("Max", "Min") or len(operator.inputs) != 2:
        return False
    for place in (0, 1):
        source, given = operator.inputs[1 - place], draft.constants.get(operator.inputs[place])
        bound = draft.scalar(operator.inputs[place])
        if given is None or bound is None or given.dtype.kind != "f" or source in draft.constants:
            continue
        if draft.shapes[source] != draft.shapes[operator.outputs[0]]:
            continue
        end = {"min" if operator.kind == "Max" else "max": bound}
        kind, attributes = ("Relu", {}) if end == {"min": 0.0} else ("Clip", end)
        if end in ({"min": -math.inf}, {"max": math.inf}):
            kind, attributes = "Identity", {}
        draft.exchange([operator], [Operator(operator.name, kind, (source,), operator.outputs, attributes)])
        return True
    return False


def factors_of_means(draft: Draft, operator: Operator) -> bool:
    """A constant number that a mean is multiplied by, in whatever shape of its numbers, is its gain."""
    if operator.kind not in ("Mul", "Div") or len(operator.inputs) != 2:
        return False
    for place in (1,) if operator.kind == "Div" else (0, 1):
        number, source = draft.scalar(operator.inputs[place]), operator.inputs[1 - place]
        shaped = draft.maker(source)
        mean = draft.maker(shaped.inputs[0]) if shaped is not None and shaped.kind == "Reshape" else shaped
        if number is None or number <= 0 or shaped is None or mean is None or mean.kind != "ReduceMean":
            continue
        alone = draft.only_user(source) is operator and (shaped is mean or draft.only_user(mean.outputs[0]) is shaped)
        if not alone or draft.shapes[source] != draft.shapes[operator.outputs[0]]:
            continue
        gain = float(mean.attributes.get("gain", 1.0)) * (1 / number if operator.kind == "Div" else number)
        attributes = {**mean.attributes, "gain": 1.0 if abs(gain - 1) < _EXACT else float(np.float32(gain))}
        if shaped is mean:
            draft.exchange([mean, operator], [Operator(mean.name, mean.kind, mean.inputs, operator.outputs, attributes)])
        else:
            scaled = Operator(mean.name, mean.kind, mean.inputs, mean.outputs, attributes)
            last = Operator(shaped.name, "Reshape", shaped.inputs, operator.outputs, shaped.attributes)
            draft.exchange([mean, shaped, operator], [scaled, last])
        return True
    return False
