"""The network computed plainly in one process: dense loops in numpy, written apart from the kernels.

What `launch.py verify` holds a run against, bit for bit. It shares only the exponential family with the kernels
(`models/compute/exponentials.py`): no format, no shard, no arena. Each source unit's whole column is multiplied and added in
ascending order, zeros included, so every row is summed with one float32 accumulator in the order that the one-answer
rule demands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.compute.exponentials import sigmoid_of, tanh_of
from models.network import F32, Network


class LayerState(NamedTuple):
    """A layer after a step: cell state `c`, output `y` (zero where silent), both (units,) float32."""

    c: F32
    y: F32


class Reference:
    """Steps a whole network for one sequence, position by position."""

    def __init__(self, network: Network) -> None:
        self._layers = []
        self._traces: dict[int, F32] = {}  # by layer: what its input hears, where that is a trace
        self._widths = [network.populations[number].units for number in network.layers]
        for number in network.layers:
            layer = network.populations[number]
            matrices = {p.port: np.ascontiguousarray(p.weights.to_dense().T) for p in layer.projections}
            (decay,) = (np.float32(p.trace) for p in layer.projections if p.port == "input")
            self._layers.append((layer, matrices["input"], matrices["recurrent"], decay))
        self._states: list[LayerState] = []
        self.fresh()

    def fresh(self) -> None:
        """Begin a sequence: no cell state, no events heard, no trace of any."""
        self._traces = {}
        self._states = [LayerState(np.zeros(n, np.float32), np.zeros(n, np.float32)) for n in self._widths]

    def segment(self) -> None:
        """Begin a segment: cell states and traces are zeroed, outputs carried."""
        self._traces = {}
        self._states = [LayerState(np.zeros_like(state.c), state.y) for state in self._states]

    def step(self, x: F32) -> list[F32]:
        """Step all layers on the input vector `x` (input units,) and return each layer's output vector y."""
        outputs = []
        for number, (layer, kernel, recurrent, decay) in enumerate(self._layers):
            if decay:
                before = self._traces.get(number, np.zeros_like(x))
                x = self._traces[number] = decay * before + (np.float32(1) - decay) * x
            state = self._states[number]
            vectors, params = layer.vectors, layer.params
            wx, rh = _product(kernel, x), _product(recurrent, state.y)
            bx, br = vectors["bias"], vectors["recurrent_bias"]
            n = layer.units
            z_of, r_of, g_of = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
            z = _applied(sigmoid_of, ((wx[z_of] + rh[z_of]) + bx[z_of]) + br[z_of])
            r = _applied(sigmoid_of, ((wx[r_of] + rh[r_of]) + bx[r_of]) + br[r_of])
            g = _applied(tanh_of, (wx[g_of] + bx[g_of]) + r * (rh[g_of] + br[g_of]))
            p = z * state.c + (np.float32(1) - z) * g
            zoneout = np.float32(params.get("zoneout", 0.0))
            if zoneout:
                p = zoneout * state.c + (np.float32(1) - zoneout) * p
            over = p - vectors["threshold"]
            fires = over > 0
            if params.get("fire_at_threshold", 0.0):
                fires |= (over == 0) & (p != 0)
            y = np.where(fires, p, np.float32(0))
            self._states[number] = LayerState(np.where(fires, over, p), y)
            outputs.append(y)
            x = y
        return outputs


def _product(columns: F32, x: F32) -> F32:
    total = np.zeros(columns.shape[1], np.float32)
    for unit in range(len(x)):
        total += columns[unit] * x[unit]
    return total


def _applied(function: Callable[[F32, F32], None], x: F32) -> F32:
    out = np.empty_like(x)
    function(x, out)
    return out
