"""EGRU units computed plainly: `models/kernels/egru.py` has the equations, `models/compute/exponentials.py` the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.compute.exponentials import sigmoid_of, tanh_of
from models.network import F32, Population


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._layer = population
        self.reset()

    def reset(self) -> None:
        """Begin a segment: cell states are zeroed."""
        self._cell = np.zeros(self._layer.units, np.float32)

    def step(self, sums: Mapping[str, F32], phase: int) -> F32:  # noqa: ARG002 - a position takes one tick
        """Return y (units,) after a step on the sums (3 * units,) of ports "input" and "recurrent"."""
        n, vectors, params = self._layer.units, self._layer.vectors, self._layer.params
        wx, rh = sums["input"], sums["recurrent"]
        bx, br = vectors["bias"], vectors["recurrent_bias"]
        z_of, r_of, g_of = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
        z = _applied(sigmoid_of, ((wx[z_of] + rh[z_of]) + bx[z_of]) + br[z_of])
        r = _applied(sigmoid_of, ((wx[r_of] + rh[r_of]) + bx[r_of]) + br[r_of])
        g = _applied(tanh_of, (wx[g_of] + bx[g_of]) + r * (rh[g_of] + br[g_of]))
        p = z * self._cell + (np.float32(1) - z) * g
        zoneout = np.float32(params.get("zoneout", 0.0))
        if zoneout:
            p = zoneout * self._cell + (np.float32(1) - zoneout) * p
        over = p - vectors["threshold"]
        fires = over > 0
        if params.get("fire_at_threshold", 0.0):
            fires |= (over == 0) & (p != 0)
        self._cell = np.where(fires, over, p)
        return np.where(fires, p, np.float32(0))


def _applied(function: Callable[[F32, F32], None], x: F32) -> F32:
    out = np.empty_like(x)
    function(x, out)
    return out
