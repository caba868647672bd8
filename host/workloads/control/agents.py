"""What acts: how an observation becomes the network's input, and what the network answers an action.

A Q-network takes the action of the highest membrane. A decoder, an EGRU regressor with linear layers around it, says what to do in
numbers; its layers on the host are those of any model (`models/heads/affine.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from models.checkpoint import Model
from models.control.encoding import counts_of
from models.control.policy import Policy
from models.heads.affine import Affine, answer_of, front_of
from models.network import F32, Array, Network


class Agent(Protocol):
    """What lies between an environment and a network."""

    units: int
    """Of the network's input."""

    def input_of(self, observation: F32) -> Array:
        """Return the input's numbers (units,) for an observation."""

    def action_of(self, values: F32) -> Any:
        """Return the action for what the output sent (units,): a number, or numbers (actions,) float32."""

    def report(self, steps: int, episodes: int) -> Mapping[str, Any] | None:
        """Return metrics of its own, if it has any."""

    def snapshot(self) -> bytes:
        """Return what it has counted."""

    def restore(self, snapshot: bytes) -> None:
        """Go on counting."""


class QAgent:
    """Takes the action of the highest value, of equals the first."""

    def __init__(self, policy: Policy) -> None:
        self._scale, self.units = np.asarray(policy.scale, np.float32), policy.inputs

    def input_of(self, observation: F32) -> Array:
        """Return the counts (units,) that an observation is sent as."""
        return np.asarray(counts_of(observation[None], self._scale)[0])

    def action_of(self, values: F32) -> int:
        """Return the place of the highest value; a value that is no number is the lowest."""
        return int(np.argmax(np.where(np.isnan(values), -np.inf, values)))

    def report(self, steps: int, episodes: int) -> None:
        """Return nothing: the report's own block says it."""
        del steps, episodes

    def snapshot(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Do nothing."""
        del snapshot


class DecoderAgent:
    """Says what to do in numbers, and counts what NeuroBench's metrics ask for of the whole model, linear layers too.

    The rules are those of NeuroBench's harness (`host/cost/neurobench.py`), which sums them over an episode: a step's products of
    weights that are not zero with numbers that are not zero, accumulates where these are spikes, three products of gates a unit.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._network = model, model.network
        self.units = self._network.populations[self._network.inputs[0]].units
        self._firsts = [np.count_nonzero(layer.weight, axis=0) for layer in model.front[:1]]
        self._accumulates = self._products = self._events = 0
        layers = [self._network.populations[n] for n in self._network.layers]
        self._recurrent = [np.count_nonzero(p.weights.to_dense(), axis=0) for layer in layers for p in layer.projections if p.delay]
        self._input_products = sum(p.weights.nonzeros for layer in layers for p in layer.projections if not p.delay)
        self._gates = 3 * sum(layer.units for layer in layers)
        self._heads = [np.count_nonzero(layer.weight, axis=0) for layer in model.head[:1]]
        self._y: F32 | None = None

    def input_of(self, observation: F32) -> Array:
        """Return what the front end makes of an observation, (units,) float32."""
        if self._firsts:
            self._accumulates += int(self._firsts[0][observation != 0].sum())
        return front_of(self._model, observation)

    def action_of(self, values: F32) -> F32:
        """Return what the head makes of the output's events, (actions,) float32."""
        fired = values != 0
        self._events += int(fired.sum())
        self._products += self._input_products + self._gates
        self._products += sum(
            int(columns[fired].sum()) for columns in (*self._recurrent, *self._heads) if len(columns) == len(fired)
        )
        return answer_of(self._model, values)

    def report(self, steps: int, episodes: int) -> Mapping[str, Any]:
        """Return NeuroBench's metrics of the model as torch holds it, of so many steps and whole or begun episodes."""
        parameters, zeros, connections = _parameters(self._network, (*self._model.front, *self._model.head))
        # Scalars of training, which the file has and torch counts.
        training = self._model.provenance.get("training")
        kept = sum(len(of_layer) for of_layer in training if isinstance(of_layer, dict)) if isinstance(training, list) else 0
        observed = self._model.front[0].inputs if self._model.front else self.units
        each, out = max(episodes, 1), self._network.populations[self._network.output].units
        affine = (*self._model.front, *self._model.head)
        dense = self._gates + sum(layer.weight.size for layer in affine) + sum(w.places for w in self._network.weights)
        return {
            "Footprint": 4 * (parameters + kept + observed),
            "ConnectionSparsity": round(zeros / connections, 4),
            "ActivationSparsity": 1 - self._events / max(steps * out, 1),
            "SynapticOperations": {
                "Effective_MACs": self._products / each, "Effective_ACs": self._accumulates / each, "Dense": dense * steps / each,
            },
        }  # fmt: skip

    def snapshot(self) -> bytes:
        """Return the counts."""
        return json.dumps([self._accumulates, self._products, self._events]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on counting."""
        self._accumulates, self._products, self._events = json.loads(snapshot)


def _parameters(network: Network, affine: tuple[Affine, ...]) -> tuple[int, int, int]:
    """Return how many parameters there are, and of weights and biases how many are zero of how many."""
    vectors = [vector for n in network.layers for vector in network.populations[n].vectors.items()]
    biases = [vector for name, vector in vectors if name.endswith("bias")] + [layer.bias for layer in affine]
    weights = [(w.places, w.nonzeros) for w in network.weights]
    weights += [(layer.weight.size, int(np.count_nonzero(layer.weight))) for layer in affine]
    elements = sum(places for places, _ in weights) + sum(bias.size for bias in biases)
    nonzero = sum(count for _, count in weights) + sum(int(np.count_nonzero(bias)) for bias in biases)
    parameters = sum(places for places, _ in weights) + sum(v.size for _, v in vectors) + sum(layer.bias.size for layer in affine)
    return parameters, elements - nonzero, elements
