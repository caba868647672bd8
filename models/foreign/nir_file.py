"""A NIR file as plain nodes and edges: what lies in it, with types, names and numbers checked, and nothing computed.

NIR (neuromorphs.github.io/NIR) is HDF5: `version`, and under `node` a graph with `nodes`, a group each with its `type` and a
dataset a parameter, and `edges`, pairs of names. A node may be a graph of its own. Read with h5py alone, so that files that
the `nir` package refuses can be read too, and each refusal names its node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.foreign.hdf5 import Group, opened
from models.network import Array, ModelError

GRAPH = "NIRGraph"
_MOST_NAME = 200


class Kind(NamedTuple):
    """A primitive of NIR 1.0.8: the parameters that it must and may have."""

    need: tuple[str, ...]
    may: tuple[str, ...] = ()


_CONV = Kind(("weight",), ("bias", "input_shape", "stride", "padding", "dilation", "groups"))
_POOL = Kind(("kernel_size",), ("stride", "padding"))
_CUBA = ("tau_syn", "tau_mem", "r", "v_leak")
KINDS = {
    "Input": Kind((), ("shape",)),
    "Output": Kind((), ("shape",)),
    "Affine": Kind(("weight", "bias")),
    "Linear": Kind(("weight",)),
    "Scale": Kind(("scale",)),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": Kind((), ("input_type", "start_dim", "end_dim")),
    "Delay": Kind(("delay",)),
    "Threshold": Kind(("threshold",)),
    "I": Kind(("r",)),
    "LI": Kind(("tau", "r", "v_leak")),
    "IF": Kind(("r", "v_threshold"), ("v_reset",)),
    "LIF": Kind(("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
    "CubaLI": Kind(_CUBA, ("w_in",)),
    "CubaLIF": Kind((*_CUBA, "v_threshold"), ("v_reset", "w_in")),
}
NEURONS = frozenset({"Threshold", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF"})
SPIKING = frozenset({"Threshold", "IF", "LIF", "CubaLIF"})


@dataclass(frozen=True)
class Node:
    """A node with its kind and its parameters, float64 where they are floating numbers of a neuron."""

    name: str
    kind: str
    params: Mapping[str, Array]

    def __str__(self) -> str:
        return f"node {shown(self.name)} ({self.kind})"


@dataclass(frozen=True)
class Graph:
    """Nodes by name, some of them graphs, and edges from one name to another, in the order of the file."""

    nodes: Mapping[str, Node | Graph]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class NirFile:
    """A whole file; `who` begins every complaint."""

    who: str
    version: str
    graph: Graph


def read_file(path: Path) -> NirFile:
    """Read a NIR file; ModelError, in one line, for what is no NIR file, is malformed, or has a node that is unknown here."""
    who = f"NIR file {path}"
    with opened(who, path) as root:
        if not root.has("node"):
            kind = "NIR data, not a network" if root.has("nodes") else "HDF5, but no NIR file"
            raise ModelError(f"{who}: is {kind}: it has no group 'node'")
        version = root.text("version") if root.has("version") else "unknown"
        graph = root.group("node")
        kind = graph.text("type") if graph.has("type") else GRAPH
        if kind == GRAPH:
            return NirFile(who, shown(version), _graph(graph, ""))
        if kind not in KINDS:
            raise ModelError(f"{who}: its root is a {shown(kind)}; needs a {GRAPH}")
        raise ModelError(f"{who}: is a single node, {shown(kind)}; needs a {GRAPH} with Input and Output")


def is_nir(path: Path) -> bool | None:
    """Say whether a file of HDF5 looks like one of NIR; None where h5py is missing, False for what cannot be read."""
    try:
        import importlib.util

        if importlib.util.find_spec("h5py") is None:
            return None
        with opened("probe", path) as root:
            return root.has("node") and root.is_group("node")
    except ModelError:
        return False


def shown(name: str) -> str:
    """Return a name of a file as it may be shown: printable, and not too long."""
    return ascii(name if len(name) <= _MOST_NAME else name[:_MOST_NAME] + "...")[1:-1]


def _graph(group: Group, path: str) -> Graph:
    who = group.who
    where = f"subgraph {shown(path)}: " if path else ""
    if not group.has("nodes"):
        raise ModelError(f"{who}: {where}has no nodes")
    nodes: dict[str, Node | Graph] = {}
    _collect(group.group("nodes"), "", path, nodes)
    if not nodes:
        raise ModelError(f"{who}: {where}has no nodes")
    if not group.has("edges"):
        raise ModelError(f"{who}: {where}has no edges: which of its {len(nodes)} nodes feeds which is not in the file")
    edges = group.array("edges")
    if edges.size == 0:
        edges = np.empty((0, 2), np.str_)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind != "U":
        raise ModelError(f"{who}: {where}edges need pairs of names, have {edges.dtype} of shape {edges.shape}")
    metadata = {}
    if group.has("metadata") and group.is_group("metadata"):
        about = group.group("metadata")
        metadata = {name: about.array(name) for name in about.names() if not about.is_group(name)}
    return Graph(nodes, tuple((str(a), str(b)) for a, b in edges.tolist()), metadata)


def _collect(group: Group, prefix: str, path: str, nodes: dict[str, Node | Graph]) -> None:
    """Read the nodes of a group; one without a type holds nodes whose names have a slash, as HDF5 nests them."""
    for name in group.names():
        if not group.is_group(name):
            raise ModelError(f"{group.who}: {shown(prefix + name)} among the nodes is no group")
        part, whole = group.group(name), prefix + name
        if part.has("type") and not part.is_group("type"):
            nodes[whole] = _node(part, f"{path}.{whole}" if path else whole)
        elif part.names():
            _collect(part, f"{whole}/", path, nodes)
        else:
            raise ModelError(f"{group.who}: node {shown(whole)} has no type")


def _node(group: Group, path: str) -> Node | Graph:
    kind = group.text("type")
    if kind == GRAPH:
        return _graph(group, path)
    if kind not in KINDS:
        have = ", ".join(KINDS)
        raise ModelError(f"{group.who}: node {shown(path)}: unknown type {shown(kind)}; known are {have}, {GRAPH}")
    spec, params = KINDS[kind], {}
    for key in (*spec.need, *spec.may):
        if group.has(key):
            params[key] = _param(group, key)
        elif key in spec.need:
            raise ModelError(f"{group.who}: node {shown(path)} ({kind}): has no {key}")
    for key, value in params.items():
        if value.dtype.kind == "U" and key != "padding":
            raise ModelError(f"{group.who}: node {shown(path)} ({kind}): {key} is a text; needs numbers")
        if kind in NEURONS and value.dtype.kind != "U":
            params[key] = value.astype(np.float64)
    return Node(path, kind, params)


def _param(group: Group, key: str) -> Array:
    """Return a parameter; a shape may lie in a group of its own, under the name of a port."""
    if not group.is_group(key):
        return group.array(key)
    ports = group.group(key)
    return ports.array(next(iter(ports.names()), "input"))
