"""Random networks of every neuron model there is, with whatever joins them; and random input for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from models import kernels
from models.network import Network
from models.numerics import PAYLOADS
from tests.tools.graphs import Layer, graph

_KERNELS = ("egru", "leaky", "phaser", "integrator", "counter", "grader", "sampler")
_HEARD = {"float32": ("float32", "spike", "count"), "int32": ("int8", "int32", "spike", "count")}  # by the type of a port's sums


@st.composite
def random_graphs(draw: Any, most: int = 5) -> Network:
    """Draw a network of one or two inputs and up to `most` layers: skips, loops, delays up to 3, shared ports, several outputs."""
    layers: dict[str, Layer] = {}
    inputs = [draw(st.sampled_from(["float32", "int8", "spike"])) for _ in range(draw(st.integers(1, 2)))]
    for n, payload in enumerate(inputs):
        layers[f"input{n}"] = Layer(draw(st.integers(1, 5)), payload=payload)
    chosen: list[tuple[str, str]] = []  # (kernel, payload) of each layer
    for _ in range(draw(st.integers(1, most))):
        before = [*inputs, *(payload for _, payload in chosen)]
        kernel = draw(st.sampled_from([k for k in _KERNELS if _can_hear(k, before)]))
        chosen.append((kernel, draw(st.sampled_from(kernels.named(kernel).EMITS))))
    names = [*layers, *(f"layer{n}" for n in range(len(chosen)))]
    payloads = [*inputs, *(payload for _, payload in chosen)]
    for n, (kernel, payload) in enumerate(chosen):
        own, ports = len(inputs) + n, {}
        for port, spec in kernels.named(kernel).PORTS.items():
            fits = [s for s, heard in enumerate(payloads) if heard in _HEARD[spec.sums[0]]]
            first = draw(st.sampled_from([s for s in fits if s < own]))
            hears = {(names[first], draw(st.sampled_from([0, 0, 0, 1, 2])))}
            for _ in range(draw(st.integers(0, 2))):
                source = draw(st.sampled_from(fits))
                hears.add((names[source], draw(st.integers(0 if source < own else 1, 3))))
            ports[port] = sorted(hears)
        params = {"ticks": draw(st.integers(2, 3))} if kernel == "phaser" else {}
        if kernel in ("integrator", "counter"):
            params["threshold"] = draw(st.sampled_from([20, 90]))
        layers[names[own]] = Layer(draw(st.integers(1, 6)), kernel, ports, params, payload)
    computes = names[len(inputs) :]
    outputs = draw(st.lists(st.sampled_from(computes), min_size=1, max_size=2, unique=True))
    return graph(layers, sorted(outputs), seed=draw(st.integers(0, 99)))


def _can_hear(kernel: str, payloads: list[str]) -> bool:
    return all(set(_HEARD[spec.sums[0]]).intersection(payloads) for spec in kernels.named(kernel).PORTS.values())


class Position(NamedTuple):
    """One position of every lane: numbers (lanes, units) of each input, and which lanes begin, reset and are idle (lanes,)."""

    inputs: Mapping[int, Any]
    begins: Any
    resets: Any
    idle: Any


def random_positions(network: Network, lanes: int, count: int, seed: int, *, alike: bool) -> list[Position]:
    """Return input for a network; where lanes are not `alike`, they begin, reset and rest on their own."""
    rng = np.random.default_rng(seed)
    positions = []
    for p in range(count):
        shape = (1,) if alike else (lanes,)
        begins = np.broadcast_to((rng.random(shape) < 0.15) | (p == 0), (lanes,)).copy()
        resets = begins | np.broadcast_to(rng.random(shape) < 0.2, (lanes,))
        idle = np.zeros(lanes, bool) if alike or p == 0 else rng.random(lanes) < 0.2
        begins, resets = begins & ~idle, resets & ~idle
        inputs = {}
        for n in network.inputs:
            population = network.populations[n]
            shape = lanes, population.units
            silent = (rng.random(shape) < 0.4) | idle[:, None]
            if population.payload == "float32":
                numbers = rng.normal(0, 1, shape).astype(np.float32)
            elif population.payload == "spike":
                numbers = np.ones(shape, np.uint8)
            else:
                dtype = np.dtype(PAYLOADS[population.payload])
                numbers = rng.integers(-100 if dtype.kind == "i" else 1, 100, shape).astype(dtype)
            inputs[n] = np.where(silent, 0, numbers).astype(numbers.dtype)
        positions.append(Position(inputs, begins, resets, idle))
    return positions
