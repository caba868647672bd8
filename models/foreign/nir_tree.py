"""A network as the nodes and edges of a NIR file, which read again give the network's bits.

Populations of spiking neuron models become IF, LIF, CubaLIF, I, LI and CubaLI, projections Linear, Affine or Conv2d, with
SumPool2d, Flatten and Delay where they need one. Time constants are float64, so that what a step computes with comes back to
the bit; what NIR has no words for (step, reset, compare) is noted in the graph's metadata, and other readers have to be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.convolution import Convolution
from models.foreign.nir_conventions import notes_of
from models.foreign.nir_exporters import Convention
from models.foreign.nir_loops import late_edges, loops_of
from models.network import F64, Array, ModelError, Network, Population, Projection
from models.spiking import FORMS, RESETS, SYNAPSES

VERSION = "1.0.8"  # of NIR, whose layout this is
DT = 1e-4  # seconds, as snnTorch and others write
_MOST_DENSE = 1 << 26  # elements of a matrix
_SPIKING = frozenset({"lif", "cuba_lif", "iaf"})
_KERNELS = _SPIKING | {"li", "cuba_li"}

Shape = tuple[int, ...]


@dataclass
class _Tree:
    """Nodes and edges as they are written."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, kind: str, **params: Any) -> str:
        """Add a node under a name of its own; return the name."""
        whole, again = name, 1
        while whole in self.nodes:
            again += 1
            whole = f"{name}_{again}"
        self.nodes[whole] = {"type": kind, **params}
        return whole


def tree_of(network: Network, notes: list[str]) -> dict[str, Any]:
    """Return the tree of a NIR file; ModelError, naming a population, for what NIR has no primitive for."""
    for number in network.layers:
        population = network.populations[number]
        if population.kernel not in _KERNELS:
            raise ModelError(f"{population.name}: NIR has no primitive for neuron model {population.kernel!r}")
    convention = _convention(network)
    tree, shapes, names = _Tree(), _shapes(network), {}
    sums = {n for n in network.outputs if _is_sum(network, n)}
    for number, population in enumerate(network.populations):
        if not population.kernel:
            names[number] = tree.add(population.name, "Input", shape=np.array(shapes[number]))
        elif number not in sums:
            names[number] = _neuron(tree, population, shapes[number], convention, notes)
    for output in network.outputs:
        name = network.populations[output].name if output in sums else "output"
        port = tree.add(name, "Output", shape=np.array(shapes[output]))
        if output in sums:
            names[output] = port
        else:
            tree.edges.append((names[output], port))
    implied = _implied(network)
    for number in network.layers:
        _hears(tree, network, number, shapes, names, implied)
    return {"version": VERSION, "node": {
        "type": "NIRGraph", "nodes": tree.nodes, "edges": [list(edge) for edge in tree.edges], "metadata": notes_of(convention),
    }}  # fmt: skip


def _shapes(network: Network) -> list[Shape]:
    """Return a shape for each population: of the map that a convolution makes of it or of its input; else its units."""
    shapes: list[Shape] = [(population.units,) for population in network.populations]
    for number in network.layers:
        for projection in network.populations[number].projections:
            weights = projection.weights
            if isinstance(weights, Convolution) and not _is_dense(weights):
                shapes[number] = weights.output_shape
    for number in network.layers:
        for projection in network.populations[number].projections:
            if isinstance(projection.weights, Convolution) and len(shapes[projection.source]) == 1:
                shapes[projection.source] = projection.weights.input_shape
    return shapes


def _is_dense(weights: Convolution) -> bool:
    """Say whether a convolution is a dense layer behind a pool: its kernel is as large as the pooled map."""
    return weights.kernel.shape[1:] == weights.pooled_shape and not any(weights.padding) and weights.pool != (1, 1)


def _is_sum(network: Network, number: int) -> bool:
    """Say whether an output only adds up what it hears, as weights into an Output do."""
    p = network.populations[number]
    plain = p.kernel == "li" and not network.listeners(number) and not np.any(p.vectors["rate"]) and not np.any(p.vectors["leak"])
    return plain and bool(np.all(p.vectors["gain"] == 1)) and int(p.params.get("form", 0)) == FORMS.index("decay")


def _convention(network: Network) -> Convention:
    """Return the conventions of a network; ModelError where its populations have several, which a file cannot say."""
    seen: dict[str, dict[Any, str]] = {}
    for number in network.layers:
        p = network.populations[number]
        values: dict[str, Any] = {}
        if p.kernel in _SPIKING:
            values = {
                "reset": RESETS[int(p.params.get("reset", 0))], "fire": "ge" if p.params.get("fire_at_threshold") else "gt",
                "multi_spike": bool(p.params.get("multi_spike")), "floor": "minus-threshold" if p.params.get("floor") else "none",
            }  # fmt: skip
        if p.kernel != "iaf" and np.any((p.vectors["rate"] != 0) & (p.vectors["rate"] != 1)):
            values["form"] = FORMS[int(p.params.get("form", 0))]
        for name, value in values.items():
            seen.setdefault(name, {}).setdefault(value, p.name)
    for name, by in seen.items():
        if len(by) > 1:
            (one, first), (other, second), *_ = by.items()
            raise ModelError(f"{name} of {first} is {one}, of {second} {other}; a NIR file is read by one for all")
    chosen = {name: next(iter(by)) for name, by in seen.items()}
    starts = any(np.any(network.populations[n].vectors["start"]) for n in network.layers)
    return Convention("gennaker", dt=DT, start="leak" if starts else "zero", **{"form": "decay", **chosen})


def _neuron(tree: _Tree, p: Population, shape: Shape, c: Convention, notes: list[str]) -> str:
    """Add a population's node; return its name."""

    def shaped(vector: Any) -> Array:
        return np.broadcast_to(np.asarray(vector, np.float64), (p.units,)).reshape(shape).copy()

    params: dict[str, Array] = {}
    if p.kernel in _SPIKING:
        params = {"v_threshold": shaped(p.vectors["threshold"]), "v_reset": shaped(p.vectors["reset"])}
    if p.kernel == "iaf":
        return tree.add(p.name, "IF", r=shaped(1.0), **params)
    v = {name: np.asarray(vector, np.float64) for name, vector in p.vectors.items()}
    if np.all(v["rate"] == 1) and FORMS[int(p.params.get("form", 0))] == "decay" and p.kernel in ("lif", "li"):
        if np.any(v["leak"]) or np.any(v["start"]):
            raise ModelError(f"{p.name}: adds a number at every step without a leak, or starts at one; NIR has no word for it")
        kind, r = ("IF", v["gain"]) if p.kernel == "lif" else ("I", v["gain"] / DT)
        return tree.add(p.name, kind, r=shaped(r), **params)
    tau, r, leak = _inverse(p.name, FORMS[int(p.params.get("form", 0))], v["rate"], v["gain"], v["leak"])
    if np.any(v["start"]) and not np.array_equal(v["start"].astype(np.float32), leak.astype(np.float32)):
        notes.append(f"{p.name}: starts at a value of its own, which NIR has no word for; read again it starts at its leak")
    params |= {"r": shaped(r), "v_leak": shaped(leak)}
    if p.kernel in ("lif", "li"):
        return tree.add(p.name, "LIF" if p.kernel == "lif" else "LI", tau=shaped(tau), **params)
    synapse = SYNAPSES[int(p.params.get("synapse", 0))]
    gain = v["synapse_gain"] * (v["synapse_rate"] if synapse == "sum-first" else 1)
    if synapse == "sum-first":
        notes.append(f"{p.name}: its current decays with its input; read again it rounds otherwise")
    same = "difference" if synapse == "difference" else "decay"
    if same != c.form:
        raise ModelError(f"{p.name}: current by {synapse} and membrane by {c.form}; a NIR file is read by one form")
    tau_syn, w_in, _ = _inverse(p.name, same, v["synapse_rate"], gain, np.zeros(p.units))
    kind = "CubaLIF" if p.kernel == "cuba_lif" else "CubaLI"
    return tree.add(p.name, kind, tau_mem=shaped(tau), tau_syn=shaped(tau_syn), w_in=shaped(w_in), **params)


def _inverse(who: str, form: str, rate: F64, gain: F64, leak: F64) -> tuple[F64, F64, F64]:
    """Return tau, r and v_leak of which a step has a rate, a gain and a leak; infinite tau and r where nothing leaks."""
    if form == "difference":
        return DT / rate, gain, leak
    if form.startswith("quotient"):
        return rate * DT, np.ones(len(rate)) if form == "quotient-input" else rate, leak
    never = rate == 1
    if np.any(never & ((gain != 1) | (leak != 0))):
        raise ModelError(f"{who}: some of its units leak and some do not, with gains; NIR has no word for it")
    part = np.where(never, 1.0, 1 - rate)
    tau = DT / part
    return np.where(never, np.inf, tau), np.where(never, np.inf, gain * tau / DT), np.where(never, 0.0, leak / part)


def _implied(network: Network) -> set[tuple[int, int]]:
    """Return those (source, target) whose delay of 1 a reader finds in the graph by itself."""
    late = {(p.source, n) for n in network.layers for p in network.populations[n].projections if p.delay == 1}
    late = {edge for edge in late if edge[0] in network.layers}
    prompt = {(p.source, n) for n in network.layers for p in network.populations[n].projections if not p.delay}
    entered = {str(n) for n in network.layers for p in network.populations[n].projections if p.source in network.inputs}
    loops = loops_of({(str(a), str(b)) for a, b in prompt | late})
    late = {(a, b) for a, b in late if a == b or any(str(a) in loop and str(b) in loop for loop in loops)}
    for some in (late, {edge for edge in late if edge[0] == edge[1]}):
        edges = {(str(a), str(b)) for a, b in (prompt | some) if a in network.layers}
        try:
            implied = late_edges("", edges, entered)
        except ModelError:  # a loop that is entered twice
            continue
        if {(int(a), int(b)) for a, b in implied} == some and not some & prompt:
            return some
    return set()


def _hears(
    tree: _Tree, network: Network, number: int, shapes: list[Shape], names: Mapping[int, str], implied: set[tuple[int, int]]
) -> None:  # fmt: skip
    """Add what lies between a population and its sources."""
    p, target = network.populations[number], names[number]
    bias = np.asarray(p.vectors["bias"], np.float64)
    rest: F64 | None = bias if np.any(bias) else None
    for projection in p.projections:
        if projection.trace:
            raise ModelError(f"{p.name}: hears a trace, which NIR has no primitive for")
        source = network.populations[projection.source]
        label, at = f"{source.name}_{p.name}", names[projection.source]
        if projection.delay and (projection.source, number) not in implied:
            late = tree.add(f"delay_{label}", "Delay", delay=np.full(shapes[projection.source], projection.delay * DT))
            tree.edges.append((at, late))
            at = late
        add = _convolved if isinstance(projection.weights, Convolution) else _matrix
        at, rest = add(tree, label, at, projection, shapes[projection.source], rest)
        tree.edges.append((at, target))
    if rest is not None:
        raise ModelError(f"{p.name}: has a bias that differs within a channel; NIR's Conv2d has one a channel")


def _matrix(
    tree: _Tree, label: str, at: str, projection: Projection, shape: Shape, bias: F64 | None
) -> tuple[str, F64 | None]:  # fmt: skip
    if projection.weights.shape[0] * projection.weights.shape[1] > _MOST_DENSE:
        raise ModelError(f"{label}: a matrix of {projection.weights.shape}; NIR has dense ones alone, of at most {_MOST_DENSE:,}")
    dense = projection.weights.to_dense().astype(np.float32)
    return _weights(tree, label, _flat(tree, label, at, shape), dense, bias)


def _flat(tree: _Tree, label: str, at: str, shape: Shape) -> str:
    if len(shape) == 1:
        return at
    flat = tree.add(f"flatten_{label}", "Flatten", start_dim=0, end_dim=-1, input_type=np.array(shape))
    tree.edges.append((at, flat))
    return flat


def _weights(tree: _Tree, label: str, at: str, dense: Array, bias: F64 | None) -> tuple[str, None]:
    kind = "Linear" if bias is None else "Affine"
    name = tree.add(label, kind, weight=dense, **({} if bias is None else {"bias": bias}))
    tree.edges.append((at, name))
    return name, None


def _convolved(
    tree: _Tree, label: str, at: str, projection: Projection, shape: Shape, bias: F64 | None
) -> tuple[str, F64 | None]:  # fmt: skip
    weights = projection.weights
    assert isinstance(weights, Convolution)
    if shape != weights.input_shape:
        raise ModelError(f"{label}: takes a map of {weights.input_shape}, another projection one of {shape}")
    if weights.pool != (1, 1):
        pool = np.array(weights.pool)
        name = tree.add(f"pool_{label}", "SumPool2d", kernel_size=pool, stride=pool, padding=np.zeros(2, np.int64))
        tree.edges.append((at, name))
        at = name
    kernel = weights.kernel.astype(np.float32)
    if _is_dense(weights):
        flat = _flat(tree, label, at, weights.pooled_shape)
        return _weights(tree, label, flat, kernel.reshape(len(kernel), -1), bias)
    by_channel = None if bias is None else bias.reshape(len(kernel), -1)
    takes = by_channel is not None and bool(np.all(by_channel == by_channel[:, :1]))
    own = by_channel[:, 0] if by_channel is not None and takes else np.zeros(len(kernel))
    name = tree.add(
        label, "Conv2d", weight=kernel, bias=own, stride=np.array(weights.stride), padding=_padding(label, weights),
        dilation=np.array(weights.dilation), groups=weights.groups, input_shape=np.array(weights.pooled_shape[1:]),
    )  # fmt: skip
    tree.edges.append((at, name))
    return name, None if takes else bias


def _padding(label: str, weights: Convolution) -> Any:
    top, left, bottom, right = weights.padding
    if (top, left) == (bottom, right):
        return np.array([top, left])
    whole = [d * (k - 1) for d, k in zip(weights.dilation, weights.kernel.shape[2:], strict=True)]
    if weights.stride == (1, 1) and weights.padding == (whole[0] // 2, whole[1] // 2, -(-whole[0] // 2), -(-whole[1] // 2)):
        return "same"
    raise ModelError(f"{label}: padding {weights.padding} differs between its sides; NIR has no word for it")
