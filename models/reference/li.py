"""Integrators without spikes, computed plainly: `models/kernels/li.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import F32, Array, Population
from models.reference.lif import charged
from models.spiking import FORMS


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._vectors, self._form = population.vectors, FORMS[int(population.params.get("form", 0))]
        self.reset()

    def reset(self) -> None:
        """Begin a segment: membranes are where they start."""
        self._v = self._vectors["start"].copy()

    def step(self, sums: Mapping[str, Array], phase: int) -> F32:  # noqa: ARG002 - a position takes one tick
        """Return the membranes (units,) that follow the sums (units,) of port "input"."""
        return self.step_on(self._vectors["gain"] * (sums["input"].astype(np.float32) + self._vectors["bias"]))

    def step_on(self, x: F32) -> F32:
        """Return the membranes that follow what they hear."""
        self._v = charged(self._form, self._v, x, self._vectors["rate"], self._vectors["leak"])
        return self._v
