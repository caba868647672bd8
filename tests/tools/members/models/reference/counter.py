"""The counting neuron of the tests, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        params = {"threshold": 60, **population.params}
        self._units, self._threshold = population.units, int(params["threshold"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.int32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the counts (units,) that follow the sums (units,) of port "input"."""
        v = (self._v.astype(np.int64) + sums["input"]).astype(np.int32).astype(np.int64)
        counts = np.clip(v // self._threshold, 0, 65535)
        self._v = (v - counts * self._threshold).astype(np.int32)
        return counts.astype(np.uint16)
