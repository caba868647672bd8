"""Integrators that hear a synaptic current, computed plainly: `models/kernels/cuba_li.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

from models.network import F32, Array, Population
from models.reference import li
from models.reference.cuba_lif import Currents


class Neurons(li.Neurons):
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._currents = Currents(population)
        super().__init__(population)

    def reset(self) -> None:
        """Begin a segment: membranes are where they start, and hear no current."""
        super().reset()
        self._currents.reset()

    def step(self, sums: Mapping[str, Array], phase: int) -> F32:  # noqa: ARG002 - a position takes one tick
        """Return the membranes (units,) that follow the sums (units,) of port "input"."""
        return self.step_on(self._vectors["gain"] * self._currents.step(sums["input"]))
