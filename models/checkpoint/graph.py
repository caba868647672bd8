"""The network in a checkpoint: what the metadata say of its populations and projections, and their tensors.

Tensors of layer l, the population of that number:

- `layer{l}.{port}.{extents,columns,values}`: rows of a projection's weights; int64, uint16 (uint32 beyond 65,536 columns),
  float32 or int8; or, where that is smaller, `layer{l}.{port}.dense` (rows, columns), float32, float16 or int8; of int4, uint8
  that hold two weights each (of `dense` row by row: `models/nibbles.py`); or, of a
  convolution, `layer{l}.{port}.kernel` (`models/checkpoint/convolutions.py`). Where several projections share a port its name is
  followed by the number of the source and, behind an @, the delay: `layer3.input.1@2`
- `layer{l}.{vector}`: of the type that the neuron model says
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from reprlib import repr as short
from typing import Any

import numpy as np

from models import kernels
from models.checkpoint.convolutions import KernelFacts, kernel_facts, need_kernel, parse_kernel, read_kernel, stored_kernel
from models.checkpoint.tensorfile import Tensors, narrowed
from models.convolution import Convolution
from models.event_numbers import EVENT_SCALE
from models.graph_check import check_network
from models.kernels.egru import INPUT, RECURRENT
from models.network import Array, ModelError, Network, Population, Projection, SparseRows, Weights, check_trace
from models.nibbles import from_nibbles, nibble_bytes, to_nibbles
from models.numerics import INTEGERS, PAYLOADS, WEIGHTS

MAX_UNITS = 1 << 24
KERNEL_VERSION = 5  # of the file: the first that may store kernels
_LARGEST = 1e30  # of a parameter
_POPULATION = {"name", "units", "kernel", "payload", "dense", "params", "projections"}
_PEERS = "peers"  # of a population that has some
_BESIDE = "beside"  # of a population that lies on the PEs of another
_OPTIONAL = {_PEERS, _BESIDE}
_PROJECTION = {"source", "port", "delay", "trace", "numeric"}
_TRACE_SHIFT = "trace_shift"  # of a projection that hears a trace of int8 events
_MAX_NAME = 80
_DENSE = {"float32": ("float16", "float32"), "int8": ("int8",), "int4": ("uint8",)}
_HALF = 0.5  # bytes of a weight of four bits


@dataclass(frozen=True)
class Edge:
    """A projection without its weights; `numeric` is their type, and `convolution` says which, where they are a kernel."""

    source: int
    port: str
    delay: int = 0
    trace: float = 0.0
    numeric: str = "float32"
    convolution: KernelFacts | None = None
    trace_shift: int | None = None  # of a trace of numbers alone

    def to_json(self) -> dict[str, Any]:
        """Return the edge as the metadata have it; one that is no convolution says nothing of them."""
        facts = {key: value for key, value in vars(self).items() if value is not None}
        return facts | ({"convolution": self.convolution.to_json()} if self.convolution else {})


@dataclass(frozen=True)
class Node:
    """A population without its numbers; every parameter of its neuron model is there."""

    name: str
    units: int
    kernel: str = ""
    payload: str = "float32"
    dense: bool = False
    params: Mapping[str, float] | None = None
    projections: tuple[Edge, ...] = ()
    peers: tuple[int, ...] = ()
    beside: int | None = None

    def head(self, number: int, edge: Edge) -> str:
        """Return what the names of an edge's tensors begin with."""
        shared = sum(other.port == edge.port for other in self.projections) > 1
        late = f"@{edge.delay}" if edge.delay else ""
        return f"layer{number}.{edge.port}" + (f".{edge.source}{late}" if shared else "")


@dataclass(frozen=True)
class Graph:
    """A network without its numbers."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the populations whose events the host sends."""
        return tuple(number for number, node in enumerate(self.nodes) if not node.kernel)

    @property
    def has_kernels(self) -> bool:
        """Whether any weights are a convolution's kernel."""
        return any(edge.convolution for node in self.nodes for edge in node.projections)

    @property
    def is_chain(self) -> bool:
        """Whether it is a line of EGRU layers, as all were up to version 3."""
        traces = [next((edge.trace for edge in node.projections if edge.port == INPUT), 0.0) for node in self.nodes[1:]]
        layers = [(node.params or {}, trace) for node, trace in zip(self.nodes[1:], traces, strict=True)]
        return self == chain([node.units for node in self.nodes], layers)


def chain(units: Sequence[int], layers: Sequence[tuple[Mapping[str, float], float]]) -> Graph:
    """Return the graph of a line of EGRU layers: `units` of the input and each layer, parameters and trace of each layer."""
    nodes = [Node("input", units[0])]
    for number, (params, trace) in enumerate(layers, start=1):
        edges = Edge(number - 1, INPUT, trace=trace), Edge(number, RECURRENT, delay=1)
        nodes.append(Node(f"egru{number}", units[number], "egru", params=params, projections=edges))
    return Graph(tuple(nodes), (len(units) - 1,))


def graph_of(network: Network) -> Graph:
    """Return a network's graph."""
    nodes = []
    for layer in network.populations:
        edges = tuple(map(_edge_of, layer.projections))
        params = dict(layer.params) or None
        if layer.kernel:
            params = {name: float(n) for name, n in {**kernels.named(layer.kernel).DEFAULTS, **layer.params}.items()}
        nodes.append(Node(
            name=layer.name, units=layer.units, kernel=layer.kernel, payload=layer.payload, dense=layer.dense, params=params,
            projections=edges, peers=layer.peers, beside=layer.beside,
        ))  # fmt: skip
    return Graph(tuple(nodes), network.outputs)


def _edge_of(projection: Projection) -> Edge:
    weights = projection.weights
    return Edge(
        projection.source, projection.port, projection.delay, float(projection.trace), weights.numeric,
        kernel_facts(weights) if isinstance(weights, Convolution) else None,
        projection.trace_shift if projection.trace and weights.numeric in INTEGERS else None,
    )  # fmt: skip


def facts_of(graph: Graph) -> dict[str, Any]:
    """Return a graph as the metadata have it."""
    populations = []
    for node in graph.nodes:
        edges, peers = [edge.to_json() for edge in node.projections], list(node.peers) or None
        facts = {**vars(node), "params": dict(node.params or {}), "projections": edges, _PEERS: peers}
        populations.append({key: value for key, value in facts.items() if key not in _OPTIONAL or value is not None})
    return {"populations": populations, "inputs": list(graph.inputs), "outputs": list(graph.outputs)}


def ends_of(who: str, graph: Graph, what: str) -> tuple[int, int]:
    """Return the units of the one input and the one output; ModelError where there are more than `what` needs."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        have = f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
        raise ModelError(f"{who}: has {have}; {what} needs one of each")
    return graph.nodes[graph.inputs[0]].units, graph.nodes[graph.outputs[0]].units


def parse(who: str, about: Mapping[str, Any]) -> Graph:
    """Return the graph that the metadata say; ModelError, beginning with `who`, for what cannot be.

    A projection says what it is a convolution of in files of version `KERNEL_VERSION` and later.
    """
    populations, kernels_too = about["populations"], about.get("version", KERNEL_VERSION) >= KERNEL_VERSION
    if not isinstance(populations, list) or not all(
        isinstance(p, dict) and p.keys() - _OPTIONAL == _POPULATION for p in populations
    ):
        raise ModelError(f"{who}: metadata list no populations with {', '.join(sorted(_POPULATION))}: {short(populations)}")
    graph = Graph(
        tuple(_node(who, populations, number, kernels_too) for number in range(len(populations))), _numbers(who, about, "outputs")
    )
    if _numbers(who, about, "inputs") != graph.inputs:
        raise ModelError(f"{who}: inputs {short(about['inputs'])}; populations without a kernel are {short(list(graph.inputs))}")
    if not graph.outputs or max(graph.outputs) >= len(populations):
        raise ModelError(f"{who}: outputs {short(about['outputs'])} of {len(populations)} populations cannot be")
    return graph


def _numbers(who: str, about: Mapping[str, Any], key: str) -> tuple[int, ...]:
    numbers = about[key]
    if not isinstance(numbers, list) or not all(type(n) is int and n >= 0 for n in numbers) or len({*numbers}) < len(numbers):
        raise ModelError(f"{who}: {key} need numbers of populations, each once, have {short(numbers)}")
    return tuple(numbers)


def _node(who: str, populations: list[dict[str, Any]], number: int, kernels_too: bool) -> Node:
    about = populations[number]
    name, units, kernel, given = about["name"], about["units"], about["kernel"], about["params"]
    if type(name) is not str or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ModelError(f"{who}: population {number}: name {short(name)} needs 1 to {_MAX_NAME} printable characters")
    who = f"{who}: {name}"
    if type(units) is not int or not 1 <= units < MAX_UNITS:
        raise ModelError(f"{who}: {short(units)} units cannot be, needs a number from 1 to {MAX_UNITS - 1}")
    if kernel != "" and (type(kernel) is not str or kernel not in kernels.names()):
        raise ModelError(f"{who}: kernel {short(kernel)} is not known here, needs {' or '.join(map(repr, kernels.names()))}")
    if type(about["payload"]) is not str or about["payload"] not in PAYLOADS or type(about["dense"]) is not bool:
        have = f"{short(about['payload'])}, dense {short(about['dense'])}"
        raise ModelError(f"{who}: payload needs one of {', '.join(PAYLOADS)}, and dense true or false; has {have}")
    edges = about["projections"]
    optional = {_TRACE_SHIFT} | ({"convolution"} if kernels_too else set())
    if not isinstance(edges, list) or not all(isinstance(e, dict) and e.keys() - optional == _PROJECTION for e in edges):
        raise ModelError(f"{who}: metadata list no projections with {', '.join(sorted(_PROJECTION))}: {short(edges)}")
    peers = _numbers(who, about, _PEERS) if _PEERS in about else ()
    if any(peer >= len(populations) for peer in peers):
        raise ModelError(f"{who}: peers {short(list(peers))} of {len(populations)} populations cannot be")
    beside = about.get(_BESIDE)
    if _BESIDE in about and (type(beside) is not int or not 0 <= beside < len(populations)):
        raise ModelError(f"{who}: beside {short(beside)} cannot be, needs a number from 0 to {len(populations) - 1}")
    if not kernel and (edges or peers or beside is not None):
        raise ModelError(f"{who}: an input has no projections and no peers, and lies beside none")
    params = params_of(who, kernel, given) if kernel else _input_params(who, about["payload"], given)
    return Node(
        name=name, units=units, kernel=kernel, payload=about["payload"], dense=about["dense"],
        params=params,
        projections=tuple(_edge(who, kernel, edge, len(populations)) for edge in edges), peers=peers, beside=beside,
    )  # fmt: skip


def params_of(who: str, kernel: str, given: Any) -> dict[str, float]:
    """Return every parameter of a neuron model, those given over its defaults; ModelError for others and for what is no number."""
    defaults = kernels.named(kernel).DEFAULTS
    if not isinstance(given, dict) or given.keys() - defaults.keys():
        raise ModelError(f"{who}: params {short(given)}, known are {', '.join(defaults)}")
    params = {**defaults, **given}
    if any(type(n) not in (int, float) or not -_LARGEST <= n <= _LARGEST for n in params.values()):
        raise ModelError(f"{who}: params {short(params)}: need numbers")
    if kernel == "egru" and not all(0 <= n <= 1 for n in params.values()):
        raise ModelError(f"{who}: params {short(params)}: zoneout and fire_at_threshold must lie in [0, 1]")
    return {key: float(value) for key, value in params.items()}


def _input_params(who: str, payload: str, given: Any) -> dict[str, float] | None:
    """Return the parameters of an input: what its events' numbers stand for, or none."""
    if given == {}:
        return None
    if not isinstance(given, dict) or given.keys() != {EVENT_SCALE} or payload == "float32":
        raise ModelError(f"{who}: params {short(given)}; an input has none but {EVENT_SCALE}, where its events carry integers")
    scale = given[EVENT_SCALE]
    if type(scale) not in (int, float) or not 0 < scale <= _LARGEST:
        raise ModelError(f"{who}: {EVENT_SCALE} {short(scale)}; needs a number above 0")
    return {EVENT_SCALE: float(scale)}


def _edge(who: str, kernel: str, about: dict[str, Any], populations: int) -> Edge:
    source, port, delay, trace = about["source"], about["port"], about["delay"], about["trace"]
    for key, value, most in (("source", source, populations), ("delay", delay, MAX_UNITS)):
        if type(value) is not int or not 0 <= value < most:
            raise ModelError(f"{who}: a projection's {key} {short(value)} cannot be, needs a number from 0 to {most - 1}")
    if type(port) is not str or port not in kernels.named(kernel).PORTS:
        raise ModelError(f"{who}: neuron model {kernel!r} has no port {short(port)}; has {', '.join(kernels.named(kernel).PORTS)}")
    if type(trace) not in (int, float):
        raise ModelError(f"{who}: trace needs a number, has {short(trace)}")
    check_trace(who, trace)
    if type(about["numeric"]) is not str or about["numeric"] not in WEIGHTS:
        raise ModelError(f"{who}: weights of {short(about['numeric'])}; needs one of {', '.join(WEIGHTS)}")
    facts = parse_kernel(who, about["convolution"]) if "convolution" in about else None
    if facts and about["numeric"] == "int4":
        raise ModelError(f"{who}: a convolution of int4; needs float32 or int8")
    shift = about.get(_TRACE_SHIFT)
    if shift is not None and (type(shift) is not int or not trace):
        raise ModelError(f"{who}: {_TRACE_SHIFT} {short(shift)}; needs a whole number, of a trace")
    return Edge(source, port, delay, float(trace), about["numeric"], facts, shift)


def tensors_of(who: str, network: Network) -> dict[str, Array]:
    """Return the tensors of a network."""
    tensors: dict[str, Array] = {}
    graph = graph_of(network)
    for number in network.layers:
        layer, node = network.populations[number], graph.nodes[number]
        vectors = kernels.named(layer.kernel).VECTORS
        for name, vector in layer.vectors.items():
            tensors[f"layer{number}.{name}"] = np.asarray(vector, vectors[name].dtype if name in vectors else None)
        for edge, projection in zip(node.projections, layer.projections, strict=True):
            tensors |= _stored(who, node.head(number, edge), projection.weights)
    return tensors


def _stored(who: str, name: str, weights: Weights) -> dict[str, Array]:
    """Return the tensors of weights: a kernel, sparse (two bytes a nonzero beside its value), or dense where that needs fewer."""
    if isinstance(weights, Convolution):
        return stored_kernel(who, name, weights)
    rows = weights.to_rows()
    small = rows.values if rows.values.dtype == np.int8 else narrowed(rows.values)
    stored: Callable[[Array], Array] = to_nibbles if rows.four_bits else lambda values: values
    sparse_bytes, dense_bytes = (_HALF, _HALF) if rows.four_bits else (rows.values.itemsize, small.itemsize)
    if (2 + sparse_bytes) * rows.nonzeros > rows.shape[0] * rows.shape[1] * dense_bytes:
        rows.check(f"{who}: {name}")
        return {f"{name}.dense": stored(rows.to_dense().astype(small.dtype))}
    index = {f"{name}.extents": rows.extents, f"{name}.columns": narrow(rows.columns, rows.shape[1])}
    return {**index, f"{name}.values": stored(rows.values)}


def narrow(numbers: Array, below: int) -> Array:
    """Return numbers as uint16 where all that may be are below 65,536, else as uint32; wrong ones stay wrong."""
    small = below <= 1 << 16 and not np.any(numbers >= 1 << 16)
    return numbers.astype(np.uint16 if small else np.uint32)


def need(tensors: Tensors, graph: Graph) -> None:
    """Raise ModelError unless the tensors are those that `graph` names, in shape and type."""
    for number, node in enumerate(graph.nodes):
        kernel = kernels.named(node.kernel) if node.kernel else None
        for name, vector in kernel.VECTORS.items() if kernel else ():
            tensors.need(f"layer{number}.{name}", (vector.length * node.units,), np.dtype(vector.dtype).name)
        for edge in node.projections:
            head, shape = node.head(number, edge), _shape(graph, node, edge)
            if edge.convolution:
                need_kernel(tensors, head, edge.convolution, edge.numeric)
                continue
            if tensors.has(f"{head}.dense"):
                columns = nibble_bytes(shape[1]) if edge.numeric == "int4" else shape[1]
                tensors.need(f"{head}.dense", (shape[0], columns), *_DENSE[edge.numeric])
                continue
            tensors.need(f"{head}.extents", (shape[0] + 1,), "int64")
            nonzeros = tensors.need(f"{head}.columns", (None,), "uint16", "uint32")
            values = nibble_bytes(nonzeros[0]) if edge.numeric == "int4" else nonzeros[0]
            tensors.need(f"{head}.values", (values,), np.dtype(WEIGHTS[edge.numeric]).name)


def _shape(graph: Graph, node: Node, edge: Edge) -> tuple[int, int]:
    return kernels.named(node.kernel).PORTS[edge.port].rows * node.units, graph.nodes[edge.source].units


def network_of(tensors: Tensors, graph: Graph) -> Network:
    """Return the network; ModelError for numbers that cannot be, and for a graph that cannot run."""
    populations = []
    for number, node in enumerate(graph.nodes):
        vectors: dict[str, Array] = {}
        for name, vector in kernels.named(node.kernel).VECTORS.items() if node.kernel else ():
            read = tensors.finite if np.dtype(vector.dtype).kind == "f" else tensors.read
            vectors[name] = read(f"layer{number}.{name}")
        if node.kernel == "egru":
            # The authors' code clamps thresholds to [0, 1] at every forward pass, and files hold slightly negative ones.
            vectors["threshold"] = np.clip(vectors["threshold"], np.float32(0), np.float32(1))
        projections = tuple(
            Projection(
                edge.source, edge.port, _weights(tensors, graph, number, edge), edge.trace, edge.delay, edge.trace_shift or 0
            )
            for edge in node.projections
        )
        populations.append(Population(
            name=node.name, units=node.units, kernel=node.kernel, projections=projections, vectors=vectors,
            params=node.params or {}, payload=node.payload, dense=node.dense, peers=node.peers, beside=node.beside,
        ))  # fmt: skip
    network = Network(tuple(populations), graph.outputs)
    check(tensors.who, network)
    return network


def check(who: str, network: Network) -> None:
    """Raise ModelError, beginning with `who`, for a network that cannot run."""
    try:
        check_network(network)
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from error


def _weights(tensors: Tensors, graph: Graph, number: int, edge: Edge) -> Weights:
    node = graph.nodes[number]
    name = node.head(number, edge)
    if edge.convolution:
        return read_kernel(tensors, name, edge.convolution)
    return _rows(tensors, name, _shape(graph, node, edge), four_bits=edge.numeric == "int4")


def _rows(tensors: Tensors, name: str, shape: tuple[int, int], *, four_bits: bool) -> SparseRows:
    if tensors.has(f"{name}.dense"):
        if not four_bits:
            return SparseRows.from_dense(tensors.number(f"{name}.dense"))
        numbers = np.stack([from_nibbles(row, shape[1]) for row in tensors.read(f"{name}.dense")])
        return replace(SparseRows.from_dense(numbers), four_bits=True)
    extents, columns, values = (tensors.read(f"{name}.{part}") for part in ("extents", "columns", "values"))
    if four_bits:
        values = from_nibbles(values, len(columns))
    rows = SparseRows(shape, extents, columns.astype(np.uint32), values, four_bits)
    rows.check(f"{tensors.who}: {name}")
    return rows
