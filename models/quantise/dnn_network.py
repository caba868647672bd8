"""From a prepared float graph and the grids of its tensors to the integer network: which grid is whose, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.dnn.draft import Draft
from models.dnn.integer import IntegerNetwork, IntegerTensor
from models.dnn.prepare import PreparedGraph
from models.network import Array, ModelError
from models.quantise.dnn_lower import CLAMPS, SUMS, DnnSettings, Lowering
from models.quantise.dnn_operations import LOWERED

PASSING = ("Reshape", "Transpose", "Slice", "MaxPool", "Resize", "Pad", "Identity")  # their output has their input's grid


def lower(prepared: PreparedGraph, values: Mapping[str, Array], settings: DnnSettings) -> IntegerNetwork:
    """Return the integer network of a prepared graph; ModelError, naming the node, where a tensor has no scale and no values."""
    draft = Draft(prepared.graph, prepared.shapes)
    draft.grids, draft.numbers = dict(prepared.grids), dict(prepared.numbers)
    state = Lowering(draft, settings, values, dict(prepared.grids))
    _inherit(state)
    _share(state)
    for one in draft.inputs:
        if one.dtype[0] in "iu":
            shape = tuple(int(n) for n in draft.shapes[one.name])
            state.tensors[one.name] = IntegerTensor(name=one.name, shape=shape, dtype="int32", scale=1.0, exponent=0)
        else:
            state.make_tensor(one.name, state.grid(one.name))
    for operator in draft.operators:
        if operator.outputs[0] not in state.fused:
            LOWERED[operator.kind](state, operator)
    if missing := [name for name in draft.outputs if name not in state.tensors]:
        raise ModelError(f"has an output {missing[0][:60]!r} that nothing computes")
    names: dict[str, int] = {}
    operations = []
    for operation in state.operations:  # each name once: a report has a line for each
        names[operation.name] = names.get(operation.name, 0) + 1
        again = names[operation.name]
        operations.append(operation if again == 1 else replace(operation, name=f"{operation.name}#{again}"))
    return IntegerNetwork(
        inputs=tuple(one.name for one in draft.inputs), outputs=tuple(draft.outputs), tensors=state.tensors,
        operations=tuple(operations), constants=state.constants, rounding=settings.rounding, overflow=settings.overflow,
    )  # fmt: skip


def _inherit(state: Lowering) -> None:
    """Give a tensor without a grid that of what it becomes, where that is the same numbers in another place or shape."""
    draft = state.draft
    for operator in reversed(draft.operators):
        source, target = operator.inputs[0], operator.outputs[0]
        if operator.kind in PASSING and target in state.grids and source not in state.grids and len(draft.users(source)) == 1:
            state.grids[source] = state.grids[target]


def _share(state: Lowering) -> None:
    """Give sums that are joined side by side, as groups of channels are, the grid of the whole."""
    draft = state.draft
    for operator in draft.operators:
        makers = [draft.maker(name) for name in operator.inputs]
        if operator.attributes.get("one_grid") and all(maker is not None and maker.kind in (*SUMS, *CLAMPS) for maker in makers):
            grid = state.grid(operator.outputs[0])
            for name in operator.inputs:
                state.grids.setdefault(name, grid)
