"""Q-networks as graphs: an input of counts, layers of leaky integrate-and-fire neurons, and a readout that sums up and never
fires.

The input sends counts in 1/256 (`models/control/encoding.py`), so the first layer's weights are divided by 256, which rounds
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.control.encoding import LEVELS
from models.kernels import li, lif
from models.network import F32, Network, Population, Projection, SparseRows
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.spiking import FORMS, RESETS, vectors_of


def q_network(weights: Sequence[F32], biases: Sequence[F32], decay: float) -> Network:
    """Return the network of float32 weights: layer l has `weights[l]` (units, sources) and `biases[l]` (units,), a threshold
    of 1 that a spike takes off at once, and keeps `decay` of its membrane; the last layer is the readout, which keeps all.
    """
    form = {"form": float(FORMS.index("decay"))}
    populations = [Population("observation", weights[0].shape[1], payload="count")]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        numbers = weight / np.float32(LEVELS) if number == 0 else weight
        heard, units = (Projection(number, "input", SparseRows.from_dense(numbers)),), len(weight)
        if number == len(weights) - 1:
            vectors, params = vectors_of(units, _numbers(li.FILL), bias=bias), li.DEFAULTS | form
            populations.append(Population("values", units, "li", heard, vectors, params, payload="float32", dense=True))
        else:
            vectors = vectors_of(units, _numbers(lif.FILL), bias=bias, rate=decay)
            params = lif.DEFAULTS | form | {"reset": float(RESETS.index("subtract"))}
            populations.append(Population(f"hidden{number + 1}", units, "lif", heard, vectors, params, payload="spike"))
    return Network(tuple(populations))


def _numbers(fill: Mapping[str, np.float32]) -> dict[str, float]:
    return {name: float(value) for name, value in fill.items()}


def in_8_bits(network: Network) -> Network:
    """Return the network with int8 weights, a grid a layer."""
    return quantise_spiking(network, Grid(keep=False), inputs="count")[0]
