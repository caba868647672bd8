"""A trained student as a checkpoint's network, and that network again in torch, which says what the chip should do."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import Model
from models.checkpoint.tasks.control import PART
from models.control.encoding import counts_of
from models.control.policy import Policy
from models.control.q_network import q_network
from models.network import F32, Network
from models.training.common.export import array
from models.training.control.network import SpikingQ


def network_of(student: SpikingQ) -> Network:
    """Return a student as a network of float32 weights."""
    return q_network(
        [array(layer.weight) for layer in student.linears], [array(layer.bias) for layer in student.linears], student.decay
    )


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
