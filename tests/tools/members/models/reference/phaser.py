"""The neuron of several phases of the tests, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        self._units = population.units
        self.ticks = int({"ticks": 4, **population.params}["ticks"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.float32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the values (units,) of a phase; the sums (units,) of port "input" are those of phase 0."""
        if phase == 0:
            self._v = self._v + np.asarray(sums["input"], np.float32)
        h = np.float32(2.0**-phase)
        fires = self._v >= h
        self._v = np.where(fires, self._v - h, self._v)
        return np.where(fires, h, np.float32(0))
