"""From a graph as a file has it to the few kinds of operators that are quantised: shapes known, constants folded, parts joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.dnn import broadcasts, fusing, groups, lookups, norms, patterns, reductions, rewrites, turns
from models.dnn.draft import Draft
from models.dnn.evaluate import with_constants
from models.dnn.graph import GraphInput, Operator, OperatorGraph
from models.dnn.qdq import StoredNumbers, TensorGrid, take_grids
from models.dnn.room import check_room
from models.dnn.support import refuse
from models.network import ModelError

PREPARED = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Gather", "Identity", "LayerNormalization", "Linear", "MatMul", "MaxPool",
    "Mul",
    "PRelu", "Pad", "ReduceMean", "Relu", "Reshape", "Resize", "Slice", "Softmax", "Sub", "Table", "Transpose",
)  # fmt: skip
_SHAPES = (
    rewrites.drop_idle, broadcasts.expansions, rewrites.reshapes, rewrites.joined_reshapes, rewrites.images_of_one_dimension,
    rewrites.whole_pools, rewrites.explicit_windows, rewrites.means, reductions.sums, reductions.largest_axes, reductions.bounds,
    broadcasts.products, rewrites.linears, rewrites.splits, lookups.whole_slices, rewrites.single_elements, lookups.elements,
    rewrites.resizes, lookups.depth_to_space, rewrites.last_softmax, lookups.one_hots, turns.joined_transposes,
    turns.lying_images,
)  # fmt: skip
_WEIGHTS = (
    norms.layer_norms, norms.softmaxes, norms.turned_weights, norms.norm_weights, fusing.factors, reductions.factors_of_means,
    patterns.masks, fusing.batch_norms, fusing.biases, turns.shaped_biases, lookups.row_biases,
)  # fmt: skip


@dataclass(frozen=True)
class PreparedGraph:
    """A graph of `PREPARED` operators, the shape of each of its tensors, and what a QDQ file says of their numbers."""

    graph: OperatorGraph
    shapes: Mapping[str, tuple[int, ...]]
    grids: Mapping[str, TensorGrid]
    numbers: Mapping[str, StoredNumbers]
    notes: tuple[str, ...] = ()


def prepare(graph: OperatorGraph, shapes: Mapping[str, Sequence[int]]) -> PreparedGraph:
    """Return a graph ready to be quantised; ModelError, naming node and operator, where it cannot be.

    `shapes` are those of inputs that the file leaves open, by name, or by "" where there is one input.
    """
    check_numbers(graph)
    inputs = tuple(replace(one, shape=shape_of(one, graph, shapes)) for one in graph.inputs)
    feeds = {}
    for one in inputs:
        shape = tuple(length for length in one.shape if length is not None)
        check_room(shape)
        feeds[one.name] = np.zeros(shape, one.dtype)
    folded, known = with_constants(replace(graph, inputs=inputs), feeds)
    draft = Draft(folded, known)
    notes = []
    before = sum(one.kind in ("QuantizeLinear", "DequantizeLinear") for one in draft.operators)
    if before:
        take_grids(draft)
        notes.append(f"quantised already: {len(draft.grids)} tensors have the file's own scales")
    draft.sweep()
    rewrites.rewrite(draft, _SHAPES)
    rewrites.rewrite(draft, _WEIGHTS)
    rewrites.rewrite(draft, (*_SHAPES, *_WEIGHTS, fusing.divisions, reductions.largest))
    rewrites.rewrite(draft, (groups.groups,))
    patterns.tables(draft)
    for operator in draft.operators:
        check_operator(operator, draft)
    used = {name for operator in draft.operators for name in operator.inputs}
    for name in used & draft.constants.keys():
        if draft.constants[name].dtype.kind == "f" and not np.all(np.isfinite(draft.constants[name])):
            raise ModelError(f"weights {name[:80]!r} have infinite numbers; needs finite ones")
    if not draft.operators:
        raise ModelError("has no operator that computes anything")
    return PreparedGraph(draft.graph(), draft.shapes, draft.grids, draft.numbers, tuple(notes))


def check_numbers(graph: OperatorGraph) -> None:
    """Raise ModelError, naming the tensor, for weights that are not a number."""
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ModelError(f"weights {name[:80]!r} have {int(np.isnan(array).sum())} NaN of {array.size}; needs finite numbers")


def shape_of(one: GraphInput, graph: OperatorGraph, shapes: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """Return an input's shape: the file's, one for a batch that it leaves open, and what `--shape` says."""
    if unknown := [name for name in shapes if name and name not in {fed.name for fed in graph.inputs}]:
        raise ModelError(f"--shape {unknown[0]}: no input of that name; has {', '.join(fed.name for fed in graph.inputs)[:160]}")
    given = shapes.get(one.name, shapes.get("") if len(graph.inputs) == 1 else None)
    have = " x ".join("?" if length is None else str(length) for length in one.shape)
    if given is not None:
        fits = len(given) == len(one.shape) and all(a in (None, b) for a, b in zip(one.shape, given, strict=True))
        if not fits or min(given, default=1) < 1:
            raise ModelError(
                f"--shape {','.join(map(str, given))}: input {one.name[:60]!r} has the shape {have or 'of one number'}"
            )
        return tuple(int(length) for length in given)
    shape = (1 if one.shape[0] is None else one.shape[0], *one.shape[1:]) if one.shape else ()
    if None in shape:
        dims = ",".join("N" if length is None else str(length) for length in shape)
        raise ModelError(f"input {one.name[:60]!r} has a dynamic shape, {have}; say it with --shape {dims}, with numbers for N")
    return tuple(length for length in shape if length is not None)


def check_operator(operator: Operator, draft: Draft) -> None:
    """Raise ModelError for an operator that is left over, or has no form that can be quantised."""
    shape: Any = draft.shapes.get(operator.inputs[0]) if operator.inputs else None
    kind = operator.kind
    if kind not in PREPARED:
        raise refuse(operator, "of two tensors that are computed is not supported" if kind in ("Div", "Pow", "Where") else "")
    if kind == "Conv":
        weights = draft.constant(operator, 1)
        count = int(operator.attributes.get("group", 1))
        if weights is None:
            raise refuse(operator, "with weights that are computed is not supported")
        if len(shape) != 4:
            raise refuse(operator, f"over {len(shape) - 2} dimensions is not supported")
        if count not in (1, shape[1]):
            raise refuse(operator, f"in {count} groups of {shape[1]} channels is not supported (in as many as divide them)")
    if kind in ("MaxPool", "AveragePool") and len(shape) != 4:
        raise refuse(operator, f"over {len(shape) - 2} dimensions is not supported")
    if kind == "LayerNormalization" and int(operator.attributes.get("axis", -1)) not in (-1, len(shape) - 1):
        raise refuse(operator, "over several dimensions is not supported")
    if kind == "Gather" and (operator.inputs[0] not in draft.constants or int(operator.attributes.get("axis", 0))):
        raise refuse(operator, "of a tensor that is computed is not supported (rows of a constant table are)")
    if kind == "Pad" and operator.attributes.get("mode", "constant") != "constant":
        raise refuse(operator, f"by {operator.attributes['mode']!r} is not supported (a constant is)")
    if kind == "PRelu" and operator.inputs[1] not in draft.constants:
        raise refuse(operator, "with a slope that is computed is not supported")
