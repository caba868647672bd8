"""Convolutions in groups of channels: each group is a convolution of its own channels, side by side."""

from __future__ import annotations

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator
from models.dnn.qdq import StoredNumbers
from models.network import Array

_CLAMPS = ("Relu", "Clip")


def groups(draft: Draft, operator: Operator) -> bool:
    """A convolution in groups, neither one nor as many as channels, is a Slice, a Conv and its clamp a group, and a Concat."""
    count = int(operator.attributes.get("group", 1)) if operator.kind == "Conv" else 1
    source, target = operator.inputs[0], operator.outputs[0]
    weights, shape = draft.constant(operator, 1), draft.shapes[source]
    if count == 1 or weights is None or len(shape) != 4 or count == shape[1] or shape[1] % count or len(weights) % count:
        return False
    clamp = draft.only_user(target)
    clamp = clamp if clamp is not None and clamp.kind in _CLAMPS else None
    last = target if clamp is None else clamp.outputs[0]
    inner, out, new, parts = shape[1] // count, len(weights) // count, list[Operator](), list[str]()
    attributes = {**operator.attributes, "group": 1}
    for at in range(count):
        heard = draft.tensor(source, (shape[0], inner, *shape[2:]))
        made = draft.tensor(target, (draft.shapes[target][0], out, *draft.shapes[target][2:]))
        starts, ends = [0, at * inner, 0, 0], [shape[0], (at + 1) * inner, *shape[2:]]
        name, ways = f"{operator.name}/{at}", {"starts": starts, "ends": ends, "steps": [1] * 4, "ways": 1}
        own = [_part(draft, one, at, out) for one in operator.inputs[1:] if one]
        new.append(Operator(f"{name}/channels", "Slice", (source,), (heard,), ways))
        new.append(Operator(name, "Conv", (heard, *own), (made,), attributes))
        if source in draft.grids:
            draft.grids[heard] = draft.grids[source]
        if clamp is not None:
            raw, made = made, draft.tensor(last, draft.shapes[made])
            new.append(Operator(f"{name}/{clamp.kind}", clamp.kind, (raw, *clamp.inputs[1:]), (made,), clamp.attributes))
        if last in draft.grids:
            draft.grids[made] = draft.grids[last]
        parts.append(made)
    new.append(Operator(f"{operator.name}/groups", "Concat", tuple(parts), (last,), {"axis": 1, "one_grid": 1}))
    draft.exchange([operator] if clamp is None else [operator, clamp], new)
    return True


def _part(draft: Draft, name: str, at: int, out: int) -> str:
    """Keep a group's part of weights or biases as a constant, its stored numbers with it; return its name."""
    array: Array = draft.constants[name]
    rows = slice(at * out, (at + 1) * out)
    part = draft.add_constant(name, array[rows])
    if name in draft.numbers:
        stored = draft.numbers[name]
        scales = stored.scales[rows] if stored.scales.size > 1 and stored.axis == 0 else stored.scales
        draft.numbers[part] = StoredNumbers(np.ascontiguousarray(stored.numbers[rows]), scales, stored.axis)
    return part
