"""The integrate-and-fire neuron of the tests, computed plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Any) -> None:
        params = {"leak": 3, "threshold": 100, **population.params}
        self._units, self._leak, self._threshold = population.units, int(params["leak"]), int(params["threshold"])
        self.reset()

    def reset(self) -> None:
        """Begin a segment."""
        self._v = np.zeros(self._units, np.int32)

    def step(self, sums: Mapping[str, Any], phase: int) -> Any:
        """Return the payloads (units,) that follow the sums (units,) of port "input"."""
        v = (self._v.astype(np.int64) - (self._v >> self._leak) + sums["input"]).astype(np.int32)
        spikes = v > self._threshold
        self._v = (v.astype(np.int64) - spikes * self._threshold).astype(np.int32)
        return spikes.astype(np.uint8)
