"""Neurons that hear a synaptic current, computed plainly: `models/kernels/cuba_lif.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import F32, Array, Population
from models.reference import lif
from models.spiking import SYNAPSES


class Currents:
    """The synaptic currents of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._vectors, self._synapse = population.vectors, SYNAPSES[int(population.params.get("synapse", 0))]
        self.reset()

    def reset(self) -> None:
        """Begin a segment: without a current."""
        self._i = np.zeros(len(self._vectors["synapse_rate"]), np.float32)

    def step(self, sums: Array) -> F32:
        """Return the currents (units,) after a step on the sums (units,)."""
        x = self._vectors["synapse_gain"] * (sums.astype(np.float32) + self._vectors["bias"])
        rate = self._vectors["synapse_rate"]
        if self._synapse == "difference":
            self._i = self._i + rate * (x - self._i)
        elif self._synapse == "sum-first":
            self._i = rate * (self._i + x)
        else:
            self._i = rate * self._i + x
        return self._i


class Neurons(lif.Neurons):
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._currents = Currents(population)
        super().__init__(population)

    def reset(self) -> None:
        """Begin a segment: membranes are where they start, and hear no current."""
        super().reset()
        self._currents.reset()

    def step(self, sums: Mapping[str, Array], phase: int) -> Array:  # noqa: ARG002 - a position takes one tick
        """Return the spikes (units,) that follow the sums (units,) of port "input"."""
        return self.step_on(self._vectors["gain"] * self._currents.step(sums["input"]))
