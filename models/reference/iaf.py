"""The integrate-and-fire neuron in int32, computed plainly: `models/kernels/iaf.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import I64, Array, Population
from models.spiking import MOST_SPIKES, RESETS


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._vectors = {name: vector.astype(np.int64) for name, vector in population.vectors.items()}
        params = population.params
        self._reset, self._floor = RESETS[int(params.get("reset", 0))], bool(params.get("floor", 0))
        self._inclusive, self._many = bool(params.get("fire_at_threshold", 0)), bool(params.get("multi_spike", 0))
        self.reset()

    def reset(self) -> None:
        """Begin a segment: membranes are where they start."""
        self._v = self._vectors["start"].copy()

    def step(self, sums: Mapping[str, Array], phase: int) -> Array:  # noqa: ARG002 - a position takes one tick
        """Return the spikes (units,) that follow the sums (units,) of port "input"."""
        threshold, reset = self._vectors["threshold"], self._vectors["reset"]
        late = self._spikes(self._v) if self._reset in ("subtract-late", "subtract-no-delay", "zero-late") else 0 * self._v
        v = _wrapped(self._v + sums["input"] + self._vectors["bias"])
        if self._reset == "zero-late":
            v = np.where(late > 0, reset, v)
        else:
            v = _wrapped(v - late * threshold)
        spikes = self._spikes(v)
        if self._reset == "zero":
            v = np.where(spikes > 0, reset, v)
        elif self._reset in ("subtract", "subtract-no-delay"):
            v = _wrapped(v - (spikes - late) * threshold)
        self._v = np.maximum(v, -threshold) if self._floor else v
        return spikes.astype(np.uint16 if self._many else np.uint8)

    def _spikes(self, v: I64) -> I64:
        """Return how often membranes fire."""
        threshold = self._vectors["threshold"]
        fires = v >= threshold if self._inclusive else v > threshold
        if not self._many:
            return fires.astype(np.int64)
        often = (v if self._inclusive else v - 1) // threshold
        return np.where(fires, np.minimum(often, MOST_SPIKES), 0)


def _wrapped(numbers: I64) -> I64:
    """Return numbers as they are in 32 bits."""
    return numbers.astype(np.int32).astype(np.int64)
