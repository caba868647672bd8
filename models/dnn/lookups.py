"""Rows that numbers choose: one-hot vectors times a matrix, what is added to every row, and elements in a constant order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.dnn.draft import Draft
from models.dnn.float_operators import axes_of
from models.dnn.graph import Operator
from models.dnn.support import refuse
from models.network import I64

_SHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Expand", "Identity")
_MOST_RUNS = 64
_LARGEST_NUMBER = 1 << 20


def one_hots(draft: Draft, operator: Operator) -> bool:
    """One-hot vectors times a matrix are rows of it: a Gather by the graph's own integers."""
    weights = draft.constant(operator, 1)
    if operator.kind != "Linear" or weights is None or not weights.size or operator.inputs[1] in draft.numbers:
        return False
    found = _numbers_of(draft, operator.inputs[0], len(weights))
    if found is None:
        return False
    source, numbers = found
    rows = np.zeros((int(numbers.max()) + 1, weights.shape[1]), np.float32)
    rows[numbers] = weights
    if len(operator.inputs) > 2 and operator.inputs[2]:
        rows += draft.constants[operator.inputs[2]].reshape(-1)
    target, fed = operator.outputs[0], draft.shapes[source]
    made = draft.tensor(target, (*fed, weights.shape[1]))
    if target in draft.grids:
        draft.grids[made] = draft.grids[target]
    table = draft.add_constant(operator.inputs[1], rows)
    draft.exchange([operator], [
        Operator(operator.name, "Gather", (table, source), (made,), {"axis": 0}),
        Operator(f"{operator.name}/shape", "Reshape", (made,), (target,), {"shape": list(draft.shapes[target])}),
    ])  # fmt: skip
    return True


def _numbers_of(draft: Draft, tensor: str, count: int) -> tuple[str, I64] | None:
    """Return the input whose numbers a tensor has as one-hot vectors of `count`, and which number each place stands for."""
    maker = draft.maker(tensor)
    while maker is not None and maker.kind in ("Cast", "Identity"):
        maker = draft.maker(maker.inputs[0])
    if maker is not None and maker.kind == "OneHot":
        values = draft.constant(maker, 2)
        axis = int(maker.attributes.get("axis", -1))
        last = axis in (-1, len(draft.shapes[maker.outputs[0]]) - 1)
        source = _input_of(draft, maker.inputs[0])
        if source is None or values is None or values.reshape(-1).tolist() != [0, 1] or not last:
            return None
        return source, np.arange(count, dtype=np.int64)
    if maker is None or maker.kind != "Equal":
        return None
    for place in (0, 1):
        numbers, source = draft.constants.get(maker.inputs[place]), _input_of(draft, maker.inputs[1 - place])
        if numbers is None or source is None or numbers.size != count or numbers.shape[-1:] != (count,):
            continue
        flat = numbers.reshape(-1).astype(np.int64)
        heard = draft.shapes[maker.inputs[1 - place]]
        if heard[-1:] == (1,) and len(set(flat.tolist())) == count and flat.min() >= 0 and flat.max() < _LARGEST_NUMBER:
            return source, flat
    return None


def _input_of(draft: Draft, tensor: str) -> str | None:
    """Return the integer input of the graph whose numbers a tensor has, in their order and in whatever shape."""
    whole = {one.name for one in draft.inputs if one.dtype[0] in "iu"}
    size = np.prod(draft.shapes[tensor])
    while tensor not in whole:
        maker = draft.maker(tensor)
        if maker is None or maker.kind not in _SHAPES:
            return None
        tensor = maker.inputs[0]
    return tensor if np.prod(draft.shapes[tensor]) == size else None


def row_biases(draft: Draft, operator: Operator) -> bool:
    """What is added to every row that a Gather takes of a constant table is added to the table."""
    if operator.kind != "Add" or len(operator.inputs) != 2:
        return False
    for place in (0, 1):
        added, source = draft.constants.get(operator.inputs[place]), operator.inputs[1 - place]
        shaped = draft.maker(source)
        gather = draft.maker(shaped.inputs[0]) if shaped is not None and shaped.kind == "Reshape" else shaped
        if added is None or shaped is None or gather is None or gather.kind != "Gather" or draft.only_user(source) is not operator:
            continue
        table, wide = draft.constant(gather, 0), draft.shapes[source][-1]
        alone = shaped is gather or draft.only_user(gather.outputs[0]) is shaped
        fits = table is not None and table.ndim == 2 and table.shape[1] == wide and gather.inputs[0] not in draft.numbers
        if table is None or not fits or not alone or added.size != wide or added.shape[-1:] != (wide,):
            continue
        rows = draft.add_constant(gather.inputs[0], (table + added.reshape(-1)).astype(np.float32))
        taken = Operator(gather.name, "Gather", (rows, *gather.inputs[1:]), gather.outputs, gather.attributes)
        if shaped is gather:
            draft.exchange([gather, operator], [Operator(gather.name, "Gather", taken.inputs, operator.outputs, gather.attributes)])
        else:
            last = Operator(shaped.name, "Reshape", shaped.inputs, operator.outputs, shaped.attributes)
            draft.exchange([gather, shaped, operator], [taken, last])
        return True
    return False


def elements(draft: Draft, operator: Operator) -> bool:
    """Elements of a tensor in a constant order are Slices, one a run of even steps, joined; of many runs ModelError."""
    numbers = draft.constant(operator, 1) if operator.kind == "Gather" else None
    if numbers is None or operator.inputs[0] in draft.constants or not numbers.size:
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    shape = draft.shapes[source]
    (axis,) = axes_of([int(operator.attributes.get("axis", 0))], len(shape))
    runs = _runs((numbers.reshape(-1).astype(np.int64) % shape[axis]).tolist())
    if len(runs) > _MOST_RUNS:
        raise refuse(operator, f"of a tensor that is computed, in an order of {len(runs)} runs, is not supported (of few is)")
    new, parts = list[Operator](), list[str]()
    for at, (start, count, step) in enumerate(runs):
        part = draft.tensor(target, (*shape[:axis], count, *shape[axis + 1 :]))
        starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], ends[axis], steps[axis] = start, start + (count - 1) * step + 1, step
        name = f"{operator.name}/{at}"
        new.append(Operator(name, "Slice", (source,), (part,), {"starts": starts, "ends": ends, "steps": steps, "ways": 1}))
        parts.append(part)
    whole = parts[0]
    if len(parts) > 1:
        whole = draft.tensor(target, (*shape[:axis], numbers.size, *shape[axis + 1 :]))
        new.append(Operator(operator.name, "Concat", tuple(parts), (whole,), {"axis": axis, "one_grid": 1}))
    if source in draft.grids:
        draft.grids |= dict.fromkeys([*parts, whole], draft.grids[source])
    new.append(Operator(f"{operator.name}/shape", "Reshape", (whole,), (target,), {"shape": list(draft.shapes[target])}))
    draft.exchange([operator], new)
    return True


def _runs(numbers: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return start, count and step of runs of numbers that rise evenly."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs:
            start, count, step = runs[-1]
            if (count == 1 and number > start) or number == start + count * step:
                runs[-1] = [start, count + 1, number - start if count == 1 else step]
                continue
        runs.append([number, 1, 1])
    return [(start, count, step) for start, count, step in runs]


def whole_slices(draft: Draft, operator: Operator) -> bool:
    """A Slice of everything hands on what it hears."""
    if operator.kind != "Slice" or draft.shapes[operator.inputs[0]] != draft.shapes[operator.outputs[0]]:
        return False
    steps = operator.attributes.get("steps") if "ways" in operator.attributes else None
    if steps is None or any(step != 1 for step in steps):
        return False
    draft.exchange([operator], [Operator(operator.name, "Identity", operator.inputs[:1], operator.outputs)])
    return True


def depth_to_space(draft: Draft, operator: Operator) -> bool:
    """Channels that become blocks of pixels are a Reshape, a Transpose and a Reshape."""
    if operator.kind != "DepthToSpace":
        return False
    source, target = operator.inputs[0], operator.outputs[0]
    (batch, channels, high, wide), block = draft.shapes[source], int(operator.attributes["blocksize"])
    left = channels // block**2
    first, order = (batch, left, block, block, high, wide), [0, 1, 4, 2, 5, 3]
    if operator.attributes.get("mode", "DCR") == "DCR":
        first, order = (batch, block, block, left, high, wide), [0, 3, 4, 1, 5, 2]
    split, turned = draft.tensor(source, first), draft.tensor(target, [first[at] for at in order])
    if source in draft.grids:
        draft.grids |= dict.fromkeys((split, turned), draft.grids[source])
    draft.exchange([operator], [
        Operator(f"{operator.name}/blocks", "Reshape", (source,), (split,), {"shape": list(first)}),
        Operator(operator.name, "Transpose", (split,), (turned,), {"perm": order}),
        Operator(f"{operator.name}/pixels", "Reshape", (turned,), (target,), {"shape": list(draft.shapes[target])}),
    ])  # fmt: skip
    return True
