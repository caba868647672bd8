"""Small graphs of any neuron models, those that only tests have among them (`tests/tools/members`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from models import kernels
from models.families import VARIABLE, family_path
from models.network import Network, Population, Projection, SparseRows

MEMBERS = Path(__file__).parent / "members"
FAMILIES = ("models.kernels", "models.reference", "host.cost.kernels")
Hears = Sequence[tuple[Any, ...]]  # (source's name, delay) and a trace where there is one


@contextmanager
def with_members() -> Iterator[None]:
    """Let the members of families that only tests have be found, here and in processes that begin meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(MEMBERS))
        for name in FAMILIES:
            package = import_module(name)
            patch.setattr(package, "__path__", family_path(package.__path__, name))
        yield


class Layer(NamedTuple):
    """A population to be: its neuron model, what each port hears, and what the weights are drawn from or are."""

    units: int
    kernel: str = ""
    ports: Mapping[str, Hears] = {}
    params: Mapping[str, float] = {}
    payload: str = ""
    vectors: Mapping[str, Any] = {}
    weights: Mapping[str, Any] = {}  # port -> one number for all, in the place of random ones


def graph(layers: Mapping[str, Layer], outputs: Sequence[str] = (), seed: int = 1, density: float = 0.5) -> Network:
    """Return the network of these populations, in their order, with random weights of the types that fit."""
    rng, numbers = np.random.default_rng(seed), {name: number for number, name in enumerate(layers)}
    populations = []
    for name, layer in layers.items():
        if not layer.kernel:
            populations.append(Population(name, layer.units, payload=layer.payload or "float32"))
            continue
        kernel, projections = kernels.named(layer.kernel), []
        for port, hears in layer.ports.items():
            for source, delay, *trace in hears:
                rows, whole = kernel.PORTS[port].rows * layer.units, "int32" in kernel.PORTS[port].sums
                shape = rows, layers[source].units
                if port in layer.weights:
                    dense = np.full(shape, layer.weights[port])
                else:
                    dense = rng.integers(-127, 128, shape) if whole else rng.normal(0, 0.5, shape)
                    dense = dense * (rng.random(shape) < density)
                weights = SparseRows.from_dense(dense.astype(np.int8 if whole else np.float32))
                projections.append(Projection(numbers[source], port, weights, trace=sum(trace), delay=delay))
        vectors = {
            key: np.full(vector.length * layer.units, layer.vectors.get(key, 0.1), vector.dtype)
            for key, vector in kernel.VECTORS.items()
        }
        populations.append(Population(
            name, layer.units, layer.kernel, tuple(projections), vectors, layer.params,
            payload=layer.payload or kernel.EMITS[0], dense=kernels.is_dense(layer.kernel),
        ))  # fmt: skip
    return Network(tuple(populations), tuple(numbers[name] for name in outputs))


RELU = {"kernel": "leaky", "params": {"decay": 0.0}, "vectors": {"threshold": 0.0}}
"""A unit that sends what it hears where that is above 0, and keeps nothing."""
