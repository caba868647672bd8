"""NIR files written by hand with h5py, as exporters of all ages write them; and steps of the networks that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from models.foreign.nir_conventions import Choices
from models.foreign.nir_file import read_file
from models.foreign.nir_network import Imported, network_of
from models.graph_check import check_network
from models.reference import Reference

Nodes = Mapping[str, Mapping[str, Any]]


def lif(units: int | tuple[int, ...] = (), *, dt: float = 1e-4, beta: float | np.ndarray = 0.9, **changes: Any) -> dict[str, Any]:
    """Return a LIF as snnTorch writes one: tau and r from beta; a scalar without `units`."""
    tau = np.broadcast_to(np.float32(dt) / (1 - np.asarray(beta, np.float32)), units)
    ones = np.ones(units)
    node = {"type": "LIF", "tau": tau, "r": tau / np.float32(dt), "v_leak": 0 * ones, "v_threshold": ones, "v_reset": 0 * ones}
    return without(node | changes)


def neuron_if(units: int | tuple[int, ...] = (), **changes: Any) -> dict[str, Any]:
    """Return an IF of r 1 without v_reset."""
    return without({"type": "IF", "r": np.ones(units), "v_threshold": np.ones(units)} | changes)


def without(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node without those parameters that are None."""
    return {key: value for key, value in node.items() if value is not None}


def port(kind: str, *shape: int) -> dict[str, Any]:
    """Return an Input or Output."""
    return {"type": kind, "shape": np.array(shape)}


def linear(weight: Any, bias: Any = None) -> dict[str, Any]:
    """Return a Linear, or with a bias an Affine."""
    weight = np.asarray(weight, np.float32)
    return {"type": "Linear", "weight": weight} if bias is None else {"type": "Affine", "weight": weight, "bias": np.asarray(bias)}


def conv2d(weight: Any, **changes: Any) -> dict[str, Any]:
    """Return a Conv2d without a bias."""
    node = {
        "type": "Conv2d", "weight": np.asarray(weight, np.float32), "stride": np.array([1, 1]), "padding": np.array([0, 0]),
        "dilation": np.array([1, 1]), "groups": 1, "bias": np.zeros(len(weight), np.float32), "input_shape": None,
    }  # fmt: skip
    return without(node | changes)


def graph(nodes: Nodes, edges: Sequence[tuple[str, str]] | None, **more: Any) -> dict[str, Any]:
    """Return a graph as a node."""
    return {"type": "NIRGraph", "nodes": nodes, **({} if edges is None else {"edges": list(edges)}), **more}


def chain(*nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a graph of nodes in a line."""
    names = [name for name, _ in nodes]
    return graph(dict(nodes), list(pairwise(names)))


def write(path: Path, root: dict[str, Any], version: str | None = "1.0.8") -> Path:
    """Write a graph, or anything else as a node, to a file."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.create_dataset("version", data=version, dtype=h5py.string_dtype())
        _write(file.create_group("node"), root)
    return path


def _write(group: Any, node: Mapping[str, Any]) -> None:
    for name, value in node.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name), value)
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, list):
            group.create_dataset(name, data=np.array(value, object).reshape(-1, 2), dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=value)


def imported(path: Path, root: dict[str, Any] | None = None, delays: tuple[str, ...] = (), **choices: Any) -> Imported:
    """Write a graph if there is one, and read the file; what comes of it can run."""
    if root is not None:
        write(path, root)
    result = network_of(read_file(path), Choices(**choices), delays)
    check_network(result.network)
    return result


def stepped(of: Imported, x: np.ndarray | Mapping[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what each population sends, (steps, units), by its node, when the inputs are fed (steps, units)."""
    network = of.network
    inputs = x if isinstance(x, Mapping) else {network.inputs[0]: x}
    reference = Reference(network)
    rows: dict[int, list[np.ndarray]] = {number: [] for number in network.layers}
    for step in range(len(next(iter(inputs.values())))):
        fed = {number: some[step].reshape(-1).astype(np.float32) for number, some in inputs.items()}
        for number, sent in reference.step(fed, fresh=step == 0).items():
            rows[number].append(sent[0])
    return {of.nodes[number]: np.stack(some) for number, some in rows.items()}
