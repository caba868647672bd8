"""EGRU units that hear r * y, computed plainly: `models/kernels/egru_cell.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.exponentials import sigmoid_of, tanh_of
from models.network import F32, Population


class Neurons:
    """The cells of a layer, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._layer = population
        self.reset()

    def reset(self) -> None:
        """Begin a segment: cell states are zeroed."""
        self._cell = np.zeros(self._layer.units, np.float32)

    def step(self, sums: Mapping[str, F32], phase: int) -> F32:  # noqa: ARG002 - a position takes one tick
        """Return y (units,) of the sums of ports "input" (2 * units,), "recurrent" and "gated" (units,)."""
        vectors, params = self._layer.vectors, self._layer.params
        (wx_z, wx_g), (b_z, b_g) = np.split(sums["input"], 2), np.split(vectors["bias"], 2)
        z, g = np.empty_like(wx_z), np.empty_like(wx_g)
        sigmoid_of((wx_z + sums["recurrent"]) + b_z, z)
        tanh_of((wx_g + sums["gated"]) + b_g, g)
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
