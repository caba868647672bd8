"""A DNN's checkpoint: one safetensors file with the float graph, the integer network, or both, and JSON of what joins them.

A file that nobody vouches for is read by the same bounds as other checkpoints (`models/checkpoint/tensorfile.py`), and a network
is checked (`models/dnn/check.py`) before anyone gets it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from models.checkpoint.tensorfile import Tensors, opened
from models.dnn.check import check_network, check_prepared
from models.dnn.graph import GraphInput, Operator, OperatorGraph
from models.dnn.integer import IntegerNetwork, IntegerOperation, IntegerTensor, Requantisation
from models.dnn.model import DnnModel
from models.dnn.prepare import PreparedGraph
from models.dnn.qdq import StoredNumbers, TensorGrid
from models.dnn.sample_set import SampleSet, check_sample_set
from models.network import Array, ModelError, in_one_line

KEY = "gennaker-dnn"
_FORMAT = 1


def save_dnn(path: Path, model: DnnModel) -> None:
    """Write a DNN; OSError where the file cannot be written."""
    tensors: dict[str, Array] = {}
    about: dict[str, Any] = {"format": _FORMAT, "provenance": dict(model.provenance)}
    if model.prepared is not None:
        about["graph"] = _graph_to(model.prepared, tensors)
    if model.network is not None:
        about["network"] = _network_to(model.network, tensors)
    if model.test_set is not None:
        about["test_set"] = _samples_to(model.test_set, tensors)
    path.write_bytes(save_tensors({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {KEY: json.dumps(about)}))


def load_dnn(path: Path) -> DnnModel:
    """Read a DNN; ModelError, in one line, for a missing, damaged or inconsistent file."""
    who = f"checkpoint {path}"
    try:
        with opened(who, path) as (metadata, tensors):
            if KEY not in metadata:
                raise ModelError(f"{who}: is no DNN of Gennaker's; `launch.py import FILE NEW` reads those of other programs")
            about = json.loads(metadata[KEY])
            if about["format"] != _FORMAT:
                raise ModelError(f"{who}: is of format {about['format']!r}; this version reads {_FORMAT}")
            prepared = _graph_from(about["graph"], tensors) if "graph" in about else None
            network = _network_from(about["network"], tensors) if "network" in about else None
            samples = _samples_from(about["test_set"], tensors) if "test_set" in about else None
            provenance = dict(about["provenance"])
        if prepared is not None:
            check_prepared(prepared)
        if network is not None:
            check_network(network)
        if prepared is None and network is None:
            raise ModelError(f"{who}: holds no network")
        model = DnnModel(prepared=prepared, network=network, test_set=samples, provenance=provenance)
        if samples is not None:
            check_sample_set(samples, model.inputs, model.output)
    except ModelError as error:
        raise ModelError(str(error) if str(error).startswith(who) else f"{who}: {error}") from None
    except Exception as error:
        # A hostile file reaches deep into two libraries, and gives any value the place of any other.
        raise ModelError(f"{who}: damaged, or no DNN ({in_one_line(error)})") from error
    return model


def is_dnn(path: Path) -> bool:
    """Tell whether a file is a DNN's checkpoint; False for what cannot be read at all."""
    try:
        with opened("", path) as (metadata, _):
            return KEY in metadata
    except Exception:
        return False


def _samples_to(samples: SampleSet, tensors: dict[str, Array]) -> dict[str, Any]:
    tensors |= {f"test/{name}": array for name, array in samples.inputs.items()}
    return {
        "inputs": list(samples.inputs), "labels": samples.labels.tolist(), "classes": list(samples.classes), "about": samples.about,
    }  # fmt: skip


def _samples_from(about: Mapping[str, Any], tensors: Tensors) -> SampleSet:
    return SampleSet(
        inputs={name: tensors.read(f"test/{name}") for name in about["inputs"]}, labels=np.array(about["labels"], np.int64),
        classes=tuple(about["classes"]), about=str(about["about"]),
    )  # fmt: skip


def _graph_to(prepared: PreparedGraph, tensors: dict[str, Array]) -> dict[str, Any]:
    graph = prepared.graph
    tensors |= {f"graph/{name}": array for name, array in graph.constants.items()}
    tensors |= {f"numbers/{name}": one.numbers for name, one in prepared.numbers.items()}
    return {
        "inputs": [[one.name, list(one.shape), one.dtype] for one in graph.inputs],
        "outputs": list(graph.outputs),
        "operators": [[one.name, one.kind, one.inputs, one.outputs, dict(one.attributes)] for one in graph.operators],
        "constants": list(graph.constants),
        "shapes": {name: [int(n) for n in shape] for name, shape in prepared.shapes.items()},
        "grids": {name: [grid.scale, grid.zero_point] for name, grid in prepared.grids.items()},
        "numbers": {name: [one.scales.tolist(), one.axis] for name, one in prepared.numbers.items()},
    }


def _graph_from(about: Mapping[str, Any], tensors: Tensors) -> PreparedGraph:
    graph = OperatorGraph(
        inputs=tuple(GraphInput(name, tuple(shape), dtype) for name, shape, dtype in about["inputs"]),
        outputs=tuple(about["outputs"]),
        operators=tuple(
            Operator(name, kind, tuple(inputs), tuple(outputs), attributes)
            for name, kind, inputs, outputs, attributes in about["operators"]
        ),
        constants={name: tensors.read(f"graph/{name}") for name in about["constants"]},
    )
    numbers = {
        name: StoredNumbers(tensors.read(f"numbers/{name}"), np.array(scales, np.float64), int(axis))
        for name, (scales, axis) in about["numbers"].items()
    }
    grids = {name: TensorGrid(float(scale), int(zero)) for name, (scale, zero) in about["grids"].items()}
    shapes = {name: tuple(map(int, shape)) for name, shape in about["shapes"].items()}
    return PreparedGraph(graph, shapes, grids, numbers)


def _network_to(network: IntegerNetwork, tensors: dict[str, Array]) -> dict[str, Any]:
    operations = []
    for at, one in enumerate(network.operations):
        tensors |= {f"operation/{at}/{name}": array for name, array in one.arrays.items()}
        step = one.requantisation
        said = None
        if step is not None:
            said = [step.multipliers.tolist(), step.shifts.tolist(), step.zero_point, step.low, step.high, step.rounding]
        operations.append([
            one.name, one.kind, one.inputs, one.output, dict(one.attributes), list(one.arrays), said, one.sum_low, one.sum_high,
        ])  # fmt: skip
    tensors |= {f"constant/{name}": array for name, array in network.constants.items()}
    return {
        "inputs": list(network.inputs), "outputs": list(network.outputs), "constants": list(network.constants),
        "tensors": [asdict(one) for one in network.tensors.values()], "operations": operations, "rounding": network.rounding,
        "overflow": network.overflow,
    }  # fmt: skip


def _network_from(about: Mapping[str, Any], tensors: Tensors) -> IntegerNetwork:
    operations = []
    for at, (name, kind, inputs, output, attributes, arrays, said, low, high) in enumerate(about["operations"]):
        step = None
        if said is not None:
            multipliers, shifts, zero, least, most, rounding = said
            step = Requantisation(
                multipliers=np.array(multipliers, np.int64), shifts=np.array(shifts, np.int32), zero_point=zero, low=least,
                high=most, rounding=rounding,
            )  # fmt: skip
        operations.append(IntegerOperation(
            name=name, kind=kind, inputs=tuple(inputs), output=output,
            attributes={key: _tuples(value) for key, value in attributes.items()},
            arrays={key: tensors.read(f"operation/{at}/{key}") for key in arrays}, requantisation=step, sum_low=low, sum_high=high,
        ))  # fmt: skip
    made = [IntegerTensor(**{**one, "shape": tuple(one["shape"])}) for one in about["tensors"]]
    return IntegerNetwork(
        inputs=tuple(about["inputs"]), outputs=tuple(about["outputs"]), tensors={one.name: one for one in made},
        operations=tuple(operations), constants={name: tensors.read(f"constant/{name}") for name in about["constants"]},
        rounding=about["rounding"], overflow=about["overflow"],
    )  # fmt: skip


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
