"""The low-pass of the tests that sends every value, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        self._units, self._shift = population.units, int({"shift": 3, **population.params}["shift"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.int32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the values (units,) that follow the sums (units,) of port "input"."""
        self._v = ((self._v >> 1).astype(np.int64) + sums["input"]).astype(np.int32)
        return np.clip(self._v >> self._shift, -127, 127).astype(np.int8)
