"""Operators that files have in parts: masks before a softmax, and chains of functions of one number.

A function of one number, in however many operators (GELU of Erf, Add and Mul; x times a sigmoid of x), is one Table: int8 has
256 numbers, so whatever it is, it is looked up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.dnn.draft import Draft
from models.dnn.float_operators import UNARY
from models.dnn.graph import Operator
from models.network import Array

MASKED = -1e4  # what is added to a score that must not count; exporters write -1e4, the lowest float or -inf
_JOINING = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
_SINGLE = (*UNARY, "Clip", "PRelu")
_CLAMPS = ("Relu", "Clip")
_SUMS = ("Conv", "Linear", "MatMul", "Add", "Sub", "Mul", "ReduceMean", "AveragePool")  # what makes int8 of a sum clamps it, too
_MOST_STEPS = 64


def masks(draft: Draft, operator: Operator) -> bool:
    """A softmax whose scores are masked by constants takes the mask: what is masked has no share."""
    if operator.kind != "Softmax" or len(operator.inputs) > 1:
        return False
    before = draft.maker(operator.inputs[0])
    if before is None or draft.only_user(operator.inputs[0]) is not operator:
        return False
    shape = draft.shapes[operator.inputs[0]]
    kept = _mask_of(draft, before)
    if kept is None:
        return False
    source, mask = kept
    full = np.broadcast_to(mask, shape)
    rows = full.reshape(-1, *full.shape[-2:])
    if np.any(rows != rows[:1]) or not np.all(rows[0].any(axis=-1)):
        return False  # differs by head, or leaves a row with nothing
    name = draft.add_constant(f"{operator.name}/mask", rows[0].astype(np.uint8))
    new = Operator(operator.name, "Softmax", (source, name), operator.outputs, operator.attributes)
    draft.exchange([before, operator], [new])
    return True


def _mask_of(draft: Draft, before: Operator) -> tuple[str, Array] | None:
    """Return the scores that an operator masks, and where they count."""
    constants = [draft.constants.get(name) for name in before.inputs]
    if before.kind == "Add" and len(constants) == 2:
        for place in (0, 1):
            added = constants[place]
            if added is not None and added.size > 1 and np.all((added == 0) | (added <= MASKED)):
                return before.inputs[1 - place], added == 0
    if before.kind == "Where" and constants[0] is not None:
        for place in (1, 2):
            low = constants[place]
            if low is not None and np.all(low <= MASKED) and constants[3 - place] is None:
                heard = constants[0].astype(bool)
                return before.inputs[3 - place], ~heard if place == 1 else heard
    return None


def tables(draft: Draft) -> None:
    """Write every function of one number as a Table, from the tensor that it is a function of."""
    steps: dict[str, tuple[str, list[list[Any]]]] = {}
    whole = {one.name for one in draft.inputs if one.dtype[0] in "iub"}
    for operator in list(draft.operators):
        said = _steps(draft, operator, steps) if operator.outputs else None
        if said is None or said[0] in whole or said[0] in draft.constants:
            continue
        root, chain = said
        target = operator.outputs[0]
        if operator.kind in _CLAMPS and operator.inputs[0] == root and _is_clamped_sum(draft, operator):
            continue
        new = Operator(operator.name, "Table", (root,), (target,), {"steps": chain})
        draft.operators = [new if one is operator else one for one in draft.operators]
        if target not in draft.grids and target not in draft.outputs:
            steps[target] = (root, chain)
    draft.sweep()


def _is_clamped_sum(draft: Draft, operator: Operator) -> bool:
    before = draft.maker(operator.inputs[0])
    return before is not None and before.kind in _SUMS and draft.only_user(operator.inputs[0]) is operator


def _steps(draft: Draft, operator: Operator, known: dict[str, tuple[str, list[list[Any]]]]) -> tuple[str, list[list[Any]]] | None:
    """Return the tensor that an operator's output is a function of, and the steps; None where it is none of one number.

    A step is [kind, inputs, attributes]; an input is "x", the number of an earlier step, or a constant as ["c", number].
    """
    if operator.kind not in _JOINING and operator.kind not in _SINGLE:
        return None
    roots = {known[name][0] if name in known else name for name in operator.inputs if name and draft.scalar(name) is None}
    if len(roots) != 1 or (operator.kind == "PRelu" and draft.scalar(operator.inputs[1]) is None):
        return None
    (root,) = roots
    chain: list[list[Any]] = []
    inputs: list[Any] = []
    for name in operator.inputs:
        number = draft.scalar(name) if name else None
        if not name:
            inputs.append(None)
        elif number is not None:
            inputs.append(["c", number])
        elif name in known:
            at = len(chain)
            chain += [[kind, [one + at if isinstance(one, int) else one for one in of], more] for kind, of, more in known[name][1]]
            inputs.append(len(chain) - 1)
        else:
            inputs.append("x")
    chain.append([operator.kind, inputs, dict(operator.attributes)])
    if len(chain) > _MOST_STEPS or draft.shapes.get(root) != draft.shapes[operator.outputs[0]]:
        return None
    return root, chain
