"""A float graph, run: on numbers, for calibration; on zeros, for shapes of tensors and constants that follow from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from models.dnn import float_images, float_moves, float_own, float_quantised  # noqa: F401 - they register what they compute
from models.dnn.float_operators import OPERATORS
from models.dnn.graph import Operator, OperatorGraph
from models.dnn.support import refuse
from models.network import Array, ModelError, in_one_line

_OF_SHAPES = ("Shape", "Size")  # constant as soon as a shape is


def compute(operator: Operator, values: Mapping[str, Array]) -> list[Array]:
    """Return an operator's outputs; ModelError, naming it, where it is not known or cannot be computed."""
    run = OPERATORS.get(operator.kind)
    if run is None:
        raise refuse(operator)
    missing = next((name for name in operator.inputs if name and name not in values), None)
    if missing is not None:
        raise ModelError(f"{operator.title} hears {missing[:60]!r}, which nothing before it makes")
    attributes = {**operator.attributes, "outputs": len(operator.outputs)} if operator.kind == "Split" else operator.attributes
    try:
        with np.errstate(all="ignore"):
            made = list(run(attributes, [values[name] if name else None for name in operator.inputs]))
    except ModelError as error:
        raise ModelError(f"{operator.title} {error}") from None
    except MemoryError:
        raise ModelError(f"{operator.title} needs more memory than there is") from None
    except (ValueError, TypeError, IndexError, OverflowError, KeyError, ZeroDivisionError) as error:
        # Attributes and shapes of a file that nobody checked; numpy has a dozen ways of saying that they do not fit.
        raise ModelError(f"{operator.title} cannot be computed as the file has it ({in_one_line(error)})") from error
    return made


def run_graph(
    graph: OperatorGraph, feeds: Mapping[str, Array], see: Callable[[str, Array], None] | None = None
) -> dict[str, Array]:
    """Return the outputs of a graph for these inputs; `see` is called with every tensor that an operator makes."""
    values = {**graph.constants, **feeds}
    waiting = Counter(name for operator in graph.operators for name in operator.inputs)
    waiting.update(graph.outputs)
    for operator in graph.operators:
        for name, made in zip(operator.outputs, compute(operator, values), strict=False):
            values[name] = made
            if see is not None:
                see(name, made)
        for name in operator.inputs:
            waiting[name] -= 1
            if not waiting[name]:
                values.pop(name, None)
    return {name: values[name] for name in graph.outputs}


def with_constants(graph: OperatorGraph, feeds: Mapping[str, Array]) -> tuple[OperatorGraph, dict[str, tuple[int, ...]]]:
    """Return the graph without what can be computed now, and every tensor's shape, for inputs like these.

    ModelError where an operator is unknown or its inputs do not go together.
    """
    constants, values = dict(graph.constants), {**graph.constants, **feeds}
    shapes = {name: array.shape for name, array in values.items()}
    kept: list[Operator] = []
    for operator in graph.operators:
        made = compute(operator, values)
        fixed = operator.kind in _OF_SHAPES or all(name in constants for name in operator.inputs if name)
        stored = operator.kind == "DequantizeLinear" and constants.get(operator.inputs[0], np.zeros(0)).dtype.kind in "iu"
        for name, array in zip(operator.outputs, made, strict=False):
            if name in values:
                raise ModelError(f"{operator.title} makes {name[:60]!r}, which is there already")
            values[name], shapes[name] = array, array.shape
            if fixed and not stored:
                constants[name] = array
        if not fixed or stored:
            kept.append(operator)
    missing = [name for name in graph.outputs if name not in values]
    if missing:
        raise ModelError(f"has an output {missing[0][:60]!r} that nothing makes")
    return OperatorGraph(graph.inputs, graph.outputs, tuple(kept), constants), shapes
