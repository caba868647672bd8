"""The sigma-delta neuron of the tests, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        self._units, self._shift = population.units, int({"shift": 4, **population.params}["shift"])
        self._dtype = np.dtype(population.payload)
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.int32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the numbers (units,) that follow the sums (2 * units,) of port "input"."""
        a, b = np.asarray(sums["input"], np.int32).reshape(2, self._units)
        v = (self._v.astype(np.int64) + a - (b >> 1)).astype(np.int32).astype(np.int64)
        most = np.iinfo(self._dtype).max
        y = np.clip(v >> self._shift, -most, most)
        self._v = (v - (y << self._shift)).astype(np.int32)
        return y.astype(self._dtype)
