"""A trained student as a checkpoint's network, and that network again in torch, which says what the chip should do.

The input sends counts in 1/256, so the first layer's weights are divided by 256, which rounds nothing. 8 bits are those of
`models/quantise/spiking.py`, the same grid as in training.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import Model
from models.checkpoint.tasks.control import PART
from models.control.encoding import LEVELS, counts_of
from models.control.policy import Policy
from models.kernels import lif, li
from models.network import F32, Network, Population, Projection, SparseRows
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.spiking import FORMS, RESETS, vectors_of
from models.training.common.export import array
from models.training.control.network import SpikingQ


def network_of(student: SpikingQ) -> Network:
    """Return a student as a network of float32 weights: an input of counts, leaky integrate-and-fire layers, a readout."""
    weights, biases = [array(layer.weight) for layer in student.layers], [array(layer.bias) for layer in student.layers]
    weights[0] = weights[0] / np.float32(LEVELS)
    populations = [Population("observation", weights[0].shape[1], payload="count")]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        heard = (Projection(number, "input", SparseRows.from_dense(weight)),)
        units, last = len(weight), number == len(weights) - 1
        form = {"form": float(FORMS.index("decay"))}
        if last:
            params, vectors = li.DEFAULTS | form, vectors_of(units, li.FILL, bias=bias)
            populations.append(Population("values", units, "li", heard, vectors, params, payload="float32", dense=True))
        else:
            params = lif.DEFAULTS | form | {"reset": float(RESETS.index("subtract"))}
            vectors = vectors_of(units, lif.FILL, bias=bias, rate=np.float32(student.decay))
            populations.append(Population(f"hidden{number + 1}", units, "lif", heard, vectors, params, payload="spike"))
    return Network(tuple(populations))


def in_8_bits(network: Network) -> Network:
    """Return the network with int8 weights."""
    return quantise_spiking(network, Grid(keep=False), inputs="count")[0]


def model_of(network: Network, policy: Policy, source: dict[str, Any]) -> Model:
    """Return a Q-network as a checkpoint's model."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    provenance = {**source, "trained": today, "torch": str(torch.__version__)}
    return Model(network, segment=policy.ticks, state="zeroed", provenance=provenance, parts={PART: policy})


class TorchPolicy:
    """A checkpoint's Q-network in torch, in float32, with the neurons' operations in the order in which the chip rounds them.

    Sums of int8 weights are whole numbers that float32 holds, so that with 8 bits nothing differs from the chip; with float32
    weights sums are added in torch's order.
    """

    def __init__(self, network: Network, scale: Sequence[float], ticks: int) -> None:
        self._scale, self._ticks = np.asarray(scale, np.float32), ticks
        layers = [network.populations[number] for number in network.layers]
        self._weights = [torch.from_numpy(p.projections[0].weights.to_dense().astype(np.float32)) for p in layers]
        self._vectors = [{name: torch.from_numpy(np.array(v, np.float32)) for name, v in p.vectors.items()} for p in layers]
        self.spikes = [0.0] * (len(layers) - 1)

    def __call__(self, observations: F32) -> Tensor:
        """Return the readout's membranes (lanes, actions) at the last tick for observations (lanes, numbers)."""
        counts = torch.from_numpy(counts_of(observations, self._scale)).to(torch.float32)
        membranes = [vectors["start"].expand(len(counts), -1) for vectors in self._vectors]
        for _ in range(self._ticks):
            heard = counts
            for number, (weight, vectors) in enumerate(zip(self._weights, self._vectors, strict=True)):
                x = vectors["gain"] * (nn.functional.linear(heard, weight) + vectors["bias"])
                membrane = (vectors["rate"] * membranes[number] + x) + vectors["leak"]
                if number < len(self._weights) - 1:
                    heard = (membrane > vectors["threshold"]).to(torch.float32)
                    self.spikes[number] += float(heard.sum())
                    membrane = membrane - heard * vectors["threshold"]
                membranes[number] = membrane
        return membranes[-1]
