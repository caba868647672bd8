"""Reset gates of an EGRU, inside the recurrent product, computed plainly: `models/kernels/egru_gate.py` has the equation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.exponentials import sigmoid_of
from models.network import F32, Population


class Neurons:
    """The gates of a layer, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._bias = np.asarray(population.vectors["bias"], np.float32)

    def reset(self) -> None:
        """Begin a segment: a gate keeps nothing."""

    def step(self, sums: Mapping[str, F32], phase: int) -> F32:  # noqa: ARG002 - a position takes one tick
        """Return r * y (units,), of the sums (units,) of ports "input" and "recurrent" and the units' `own` y."""
        r = np.empty_like(self._bias)
        sigmoid_of((sums["input"] + sums["recurrent"]) + self._bias, r)
        return r * sums["own"]
