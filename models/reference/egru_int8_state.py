"""EGRU units on integer sums with cell states of a byte: `models/kernels/egru_int8_state.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import I32, Array, Population
from models.reference import egru_int8


class Neurons(egru_int8.Neurons):
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._scale = np.float32(population.params.get("cell_scale", 1 / 128))
        super().__init__(population)

    def step(self, sums: Mapping[str, I32], phase: int) -> Array:
        """Return the events' numbers (units,) int8 after a step; what stays of the cell state is its nearest number."""
        events = super().step(sums, phase)
        numbers = np.clip(np.rint(self._cell * (np.float32(1) / self._scale)), -127, 127)
        self._cell = (numbers * self._scale).astype(np.float32)
        return events
