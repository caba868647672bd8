"""What broadcasting does by itself, and what it does not: tensors that are expanded, and products of matrices of unequal ranks."""

from __future__ import annotations

import math

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator

_ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal", "Greater", "Less", "Where")
_MOST_COPIES = 64


def expansions(draft: Draft, operator: Operator) -> bool:
    """An Expand or Tile that its users' broadcasting does goes; another repeats numbers as a Resize, or joins copies."""
    if operator.kind not in ("Expand", "Tile") or operator.inputs[0] in draft.constants:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    have, made = draft.shapes[source], draft.shapes[target]
    if have == made or _is_broadcast_by_users(draft, source, target):
        draft.exchange([operator], [Operator(operator.name, "Identity", (source,), (target,))])
        draft.shapes[target] = have
        return True
    if not all(made):
        return False
    full = (1,) * (len(made) - len(have)) + have
    new, at = list[Operator](), source
    if full != have:
        at = _follow(draft, source, target, full)
        new.append(Operator(f"{operator.name}/shape", "Reshape", (source,), (at,), {"shape": list(full)}))
    for axis, (length, whole) in enumerate(zip(full, made, strict=True)):
        if length in (1, whole) or whole % length or whole // length > _MOST_COPIES:
            continue
        copies = _follow(draft, source, target, (*draft.shapes[at][:axis], whole, *draft.shapes[at][axis + 1 :]))
        attributes = {"axis": axis, "one_grid": 1}
        new.append(Operator(f"{operator.name}/copies{axis}", "Concat", (at,) * (whole // length), (copies,), attributes))
        at = copies
    factors = [whole // length for length, whole in zip(draft.shapes[at], made, strict=True)]
    new.append(Operator(operator.name, "Resize", (at,), (target,), {"factors": factors, "scales": factors}))
    draft.exchange([operator], new)
    return True


def _follow(draft: Draft, source: str, hint: str, shape: tuple[int, ...]) -> str:
    """Return a new tensor of the same numbers as another: on its grid, where it has one."""
    name = draft.tensor(hint, shape)
    if source in draft.grids:
        draft.grids[name] = draft.grids[source]
    return name


def _is_broadcast_by_users(draft: Draft, source: str, target: str) -> bool:
    if target in draft.outputs or target in draft.grids:
        return False
    for user in draft.users(target):
        if user.kind not in _ELEMENTWISE:
            return False
        shapes = [draft.shapes[source if name == target else name] for name in user.inputs]
        if np.broadcast_shapes(*shapes) != draft.shapes[user.outputs[0]]:
            return False
    return True


def products(draft: Draft, operator: Operator) -> bool:
    """A MatMul has two matrices, or stacks of as many: vectors become matrices of one row or column, one matrix for a whole stack
    takes the stack's rows as its own, and other stacks are repeated.
    """
    if operator.kind != "MatMul":
        return False
    first, second = operator.inputs[:2]
    left, right = draft.shapes[first], draft.shapes[second]
    if len(left) == 1 or len(right) == 1:
        return _with_vectors(draft, operator)
    if second in draft.constants and len(right) > 2 and math.prod(right[:-2]) == 1:
        weights = draft.add_constant(second, draft.constants[second].reshape(right[-2:]))
        if second in draft.numbers or len(right) > len(left):
            return False
        draft.exchange([operator], [Operator(operator.name, "MatMul", (first, weights), operator.outputs, operator.attributes)])
        return True
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    if left[:-2] == right[:-2] or (second in draft.constants and len(right) == 2):
        return False
    if math.prod(right[:-2]) == 1:
        return _with_one_matrix(draft, operator)
    inputs, new = [first, second], list[Operator]()
    for place, shape in enumerate((left, right)):
        if (whole := (*lead, *shape[-2:])) == shape:
            continue
        name = inputs[place]
        if name in draft.constants:
            inputs[place] = draft.add_constant(name, np.broadcast_to(draft.constants[name], whole))
            continue
        inputs[place] = _follow(draft, name, operator.name, whole)
        numbers = draft.add_constant(operator.name, np.array(whole, np.int64))
        new.append(Operator(f"{operator.name}/expand{place}", "Expand", (name, numbers), (inputs[place],)))
    draft.exchange(
        [operator], [*new, Operator(operator.name, "MatMul", tuple(inputs), operator.outputs, operator.attributes)]
    )  # fmt: skip
    return True


def _with_vectors(draft: Draft, operator: Operator) -> bool:
    target, new = operator.outputs[0], list[Operator]()
    wholes = []
    for place, name in enumerate(operator.inputs[:2]):
        shape = draft.shapes[name]
        wholes.append(shape if len(shape) > 1 else (1, *shape) if place == 0 else (*shape, 1))
    inputs = tuple(_shaped(draft, name, whole, operator, new) for name, whole in zip(operator.inputs[:2], wholes, strict=True))
    lead = np.broadcast_shapes(wholes[0][:-2], wholes[1][:-2])
    made = _follow(draft, target, operator.name, (*lead, wholes[0][-2], wholes[1][-1]))
    new.append(Operator(operator.name, "MatMul", inputs, (made,), operator.attributes))
    new.append(Operator(f"{operator.name}/shape", "Reshape", (made,), (target,), {"shape": list(draft.shapes[target])}))
    draft.exchange([operator], new)
    return True


def _with_one_matrix(draft: Draft, operator: Operator) -> bool:
    """Multiply a whole stack by one matrix: rows of all of them, one product."""
    (first, second), target, new = operator.inputs[:2], operator.outputs[0], list[Operator]()
    left, right = draft.shapes[first], draft.shapes[second]
    rows = _shaped(draft, first, (math.prod(left[:-1]), left[-1]), operator, new)
    matrix = _shaped(draft, second, right[-2:], operator, new)
    made = _follow(draft, target, operator.name, (draft.shapes[rows][0], right[-1]))
    new.append(Operator(operator.name, "MatMul", (rows, matrix), (made,), operator.attributes))
    new.append(Operator(f"{operator.name}/stack", "Reshape", (made,), (target,), {"shape": list(draft.shapes[target])}))
    draft.exchange([operator], new)
    return True


def _shaped(draft: Draft, name: str, shape: tuple[int, ...], operator: Operator, new: list[Operator]) -> str:
    """Return a tensor or constant in another shape, a Reshape added to `new` where it needs one."""
    if draft.shapes[name] == shape:
        return name
    if name in draft.constants:
        return draft.add_constant(name, draft.constants[name].reshape(shape))
    made = _follow(draft, name, operator.name, shape)
    new.append(Operator(f"{operator.name}/shape{len(new)}", "Reshape", (name,), (made,), {"shape": list(shape)}))
    return made
