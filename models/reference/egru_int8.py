"""EGRU units on integer sums, computed plainly: `models/kernels/egru_int8.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.exponentials import sigmoid_of, tanh_of
from models.network import I32, Array, Population


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._vectors, self._shape = population.vectors, (3, population.units)
        params = {"zoneout": 0.0, "fire_at_threshold": 0.0, "event_scale": 1 / 128, "most_event": 127.0, **population.params}
        self._zoneout, self._inclusive = np.float32(params["zoneout"]), bool(params["fire_at_threshold"])
        self._a_value, self._most = np.float32(1) / np.float32(params["event_scale"]), np.float32(params["most_event"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment: cell states are zeroed."""
        self._cell = np.zeros(self._shape[1], np.float32)

    def step(self, sums: Mapping[str, I32], phase: int) -> Array:  # noqa: ARG002 - a position takes one tick
        """Return the events' numbers (units,) int8 after a step on the sums (3 * units,) of ports "input" and "recurrent"."""
        wx, rh = (
            self._gates(f"{port}_scale") * sums[port].astype(np.float32).reshape(self._shape) for port in ("input", "recurrent")
        )
        bx, br = self._gates("bias"), self._gates("recurrent_bias")
        z, r = np.empty(self._shape[1:], np.float32), np.empty(self._shape[1:], np.float32)
        g = np.empty_like(z)
        sigmoid_of(((wx[0] + rh[0]) + bx[0]) + br[0], z)
        sigmoid_of(((wx[1] + rh[1]) + bx[1]) + br[1], r)
        tanh_of((wx[2] + bx[2]) + r * (rh[2] + br[2]), g)
        p = z * self._cell + (np.float32(1) - z) * g
        if self._zoneout:
            p = self._zoneout * self._cell + (np.float32(1) - self._zoneout) * p
        over = p - self._vectors["threshold"]
        numbers = np.clip(np.rint(p * self._a_value), -self._most, self._most)
        fires = ((over >= 0) if self._inclusive else (over > 0)) & (numbers != 0)
        self._cell = np.where(fires, over, p)
        return np.where(fires, numbers, np.float32(0)).astype(np.int8)

    def _gates(self, name: str) -> Array:
        return self._vectors[name].reshape(self._shape)
