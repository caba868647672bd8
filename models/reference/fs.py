"""The Few-Spikes neuron, plainly: the value is quantised at once, and what is said are its bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.few_spikes import DEFAULTS, Quantiser
from models.network import F32, Array, Population


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._params = {**DEFAULTS, **population.params}
        self.quantiser, self._vectors = Quantiser(self._params), population.vectors
        self.ticks = self.quantiser.bits
        self._dtype = np.dtype("<f4" if population.payload == "float32" else "<i4")
        self.reset()

    def reset(self) -> None:
        """Begin a segment: there is nothing that stays."""
        self._steps = np.zeros(len(self._vectors["gain"]), np.int64)

    def step(self, sums: Mapping[str, Array], phase: int) -> Array:
        """Return what the bit of tick `phase` is worth, (units,), 0 where it is not set."""
        if phase == 0:
            self._steps = self.steps_of(sums)
        worth = 1 << (self.ticks - 1 - phase)
        bits = np.sign(self._steps) * (np.abs(self._steps) & worth)
        return np.asarray(bits / self.quantiser.scale if self._dtype.kind == "f" else bits, self._dtype)

    def steps_of(self, sums: Mapping[str, Array]) -> Array:
        """Return the values (units,), in steps, that follow the sums."""
        return self.quantiser.steps(self.pre_activation(sums))

    def pre_activation(self, sums: Mapping[str, Array]) -> F32:
        """Return gain * sum + bias, (units,) float32."""
        gain, bias = self._vectors["gain"], self._vectors["bias"]
        return np.asarray(gain * sums["input"].astype(np.float32) + bias, np.float32)
