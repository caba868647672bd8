"""The leaky integrator of the tests, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        self._units, self._threshold = population.units, population.vectors["threshold"]
        self._decay = np.float32({"decay": 0.75, **population.params}["decay"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.float32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the values (units,) that follow the sums (units,) of port "input"."""
        v = self._decay * self._v + np.asarray(sums["input"], np.float32)
        fires = v > self._threshold
        self._v = np.where(fires, v - self._threshold, v)
        return np.where(fires, v, np.float32(0))
