"""Axes of one and axes that are turned: what stands behind them moves before them, and two turns that undo each other go."""

from __future__ import annotations

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator

_WEIGHTED = ("Conv", "Linear")
_IMAGES = ("Conv", "MaxPool", "AveragePool")
_PAIRS = ("kernel", "kernel_shape", "strides", "dilations")


def joined_transposes(draft: Draft, operator: Operator) -> bool:
    """A Transpose of a Transpose, axes of one between them added or dropped, is a Reshape where it turns nothing in the end."""
    if operator.kind != "Transpose" or operator.outputs[0] in draft.grids:
        return False
    between, source = None, operator.inputs[0]
    first = draft.maker(source)
    if first is not None and first.kind == "Reshape" and _has_same_axes(draft, first) and source not in draft.grids:
        between, source = first, first.inputs[0]
        first = draft.maker(source)
    if first is None or first.kind != "Transpose" or source in draft.grids:
        return False
    start = draft.shapes[first.inputs[0]]
    labels = [axis for axis in _order(first, len(start)) if start[axis] != 1]
    middle = draft.shapes[operator.inputs[0]]
    named = iter(labels)
    at = [next(named) if length != 1 else -1 for length in middle]
    turned = [at[axis] for axis in _order(operator, len(middle)) if middle[axis] != 1]
    if turned != sorted(turned) or (between is not None and operator.inputs[0] in draft.grids):
        return False
    shape = list(draft.shapes[operator.outputs[0]])
    draft.exchange([operator], [Operator(operator.name, "Reshape", first.inputs[:1], operator.outputs, {"shape": shape})])
    return True


def _order(operator: Operator, dimensions: int) -> list[int]:
    order = operator.attributes.get("perm") or list(range(dimensions))[::-1]
    return [int(axis) % dimensions for axis in order]


def _has_same_axes(draft: Draft, operator: Operator) -> bool:
    """Tell whether a Reshape only adds or drops axes of one."""
    before, behind = ([n for n in draft.shapes[name] if n != 1] for name in (operator.inputs[0], operator.outputs[0]))
    return before == behind


def shaped_biases(draft: Draft, operator: Operator) -> bool:
    """A constant that is added behind weights, axes of one dropped or added between, is added before that."""
    if operator.kind != "Add" or len(operator.inputs) != 2:
        return False
    for place in (0, 1):
        source, added = operator.inputs[1 - place], draft.constants.get(operator.inputs[place])
        shaped = draft.maker(source)
        if added is None or shaped is None or shaped.kind != "Reshape" or not _has_same_axes(draft, shaped):
            continue
        weighted, shape = draft.maker(shaped.inputs[0]), draft.shapes[source]
        if weighted is None or weighted.kind not in _WEIGHTED or draft.shapes[operator.outputs[0]] != shape:
            continue
        if draft.only_user(source) is not operator or draft.only_user(shaped.inputs[0]) is not shaped:
            continue
        full = (1,) * (len(shape) - added.ndim) + added.shape
        lengths = iter([length for length, whole in zip(full, shape, strict=True) if whole != 1])
        before = draft.shapes[shaped.inputs[0]]
        row = draft.add_constant(operator.inputs[place], np.reshape(added, [next(lengths) if n != 1 else 1 for n in before]))
        made = draft.tensor(operator.name, before)
        draft.exchange([shaped, operator], [
            Operator(operator.name, "Add", (shaped.inputs[0], row), (made,)),
            Operator(shaped.name, "Reshape", (made,), operator.outputs, shaped.attributes),
        ])  # fmt: skip
        return True
    return False


def lying_images(draft: Draft, operator: Operator) -> bool:
    """A convolution or pool over an image of one column is over one of one row: the array's columns are along a row."""
    if operator.kind not in _IMAGES or "explicit" not in operator.attributes:
        return False
    source, target, attributes = operator.inputs[0], operator.outputs[0], operator.attributes
    have, made, kernel = draft.shapes[source], draft.shapes[target], attributes["kernel"]
    if have[3] != 1 or have[2] == 1 or kernel[1] != 1 or attributes["pads"][1] or attributes["pads"][3]:
        return False
    if operator.kind == "Conv" and (operator.inputs[1] not in draft.constants or operator.inputs[1] in draft.numbers):
        return False
    image, line = draft.tensor(source, (*have[:2], 1, have[2])), draft.tensor(target, (*made[:2], 1, made[2]))
    for name, near in ((image, source), (line, target)):
        if near in draft.grids:
            draft.grids[name] = draft.grids[near]
    inputs = [image, *operator.inputs[1:]]
    if operator.kind == "Conv":
        inputs[1] = draft.add_constant(inputs[1], draft.constants[inputs[1]].swapaxes(2, 3))
    turned = {**attributes, **{name: list(attributes[name])[::-1] for name in _PAIRS if name in attributes}}
    top, _, bottom, _ = attributes["pads"]
    turned["pads"] = [0, top, 0, bottom]
    draft.exchange([operator], [
        Operator(f"{operator.name}/row", "Reshape", (source,), (image,), {"shape": list(draft.shapes[image])}),
        Operator(operator.name, operator.kind, tuple(inputs), (line,), turned),
        Operator(f"{operator.name}/column", "Reshape", (line,), (target,), {"shape": list(made)}),
    ])  # fmt: skip
    return True
