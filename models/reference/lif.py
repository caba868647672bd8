"""Integrate-and-fire neurons computed plainly: `models/kernels/lif.py` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import F32, I64, Array, Population
from models.spiking import FORMS, MOST_SPIKES, RESETS


class Neurons:
    """The units of a population, for one sequence."""

    def __init__(self, population: Population) -> None:
        self._vectors, params = population.vectors, population.params
        self._form, self._reset = FORMS[int(params.get("form", 0))], RESETS[int(params.get("reset", 0))]
        self._inclusive, self._many = bool(params.get("fire_at_threshold", 0)), bool(params.get("multi_spike", 0))
        self._floor = bool(params.get("floor", 0))
        self.reset()

    def reset(self) -> None:
        """Begin a segment: membranes are where they start."""
        self._v = self._vectors["start"].copy()
        self._earlier = self._spikes(self._v)

    def step(self, sums: Mapping[str, Array], phase: int) -> Array:  # noqa: ARG002 - a position takes one tick
        """Return the spikes (units,) that follow the sums (units,) of port "input"."""
        return self.step_on(self._vectors["gain"] * (sums["input"].astype(np.float32) + self._vectors["bias"]))

    def step_on(self, x: F32) -> Array:
        """Return the spikes that follow what the membranes hear."""
        threshold, reset, late = self._vectors["threshold"], self._vectors["reset"], self._earlier.astype(np.float32)
        v = charged(self._form, self._v, x, self._vectors["rate"], self._vectors["leak"])
        if self._reset in ("subtract-late", "subtract-no-delay"):
            v = v - late * threshold
        if self._reset == "zero-late":
            v = np.where(late > 0, reset, v)
        spikes = self._spikes(v)
        if self._reset == "zero":
            v = np.where(spikes > 0, reset, v)
        if self._reset == "subtract":
            v = v - spikes.astype(np.float32) * threshold
        if self._reset == "subtract-no-delay":
            v = v - (spikes.astype(np.float32) - late) * threshold
        if self._floor:
            v = np.maximum(v + threshold, np.float32(0)) - threshold
        self._v, self._earlier = v, self._spikes(v)
        return spikes.astype(np.uint16 if self._many else np.uint8)

    def _spikes(self, v: F32) -> I64:
        """Return how often membranes fire."""
        threshold = self._vectors["threshold"]
        fires = v >= threshold if self._inclusive else v > threshold
        if not self._many:
            return fires.astype(np.int64)
        ratio = np.where(fires, v / threshold, np.float32(0))
        whole = np.minimum(np.trunc(ratio), MOST_SPIKES)
        if not self._inclusive:
            whole = np.where(whole == ratio, whole - 1, whole)
        return np.where(fires, np.maximum(whole, 1), 0).astype(np.int64)


def charged(form: str, v: F32, x: F32, rate: F32, leak: F32) -> F32:
    """Return membranes after a step on x, before they fire."""
    if form == "difference":
        return v + rate * ((x + leak) - v)
    if form == "quotient-input":
        return v + (x - (v - leak)) / rate
    if form == "quotient":
        return (v - (v - leak) / rate) + x
    return (rate * v + x) + leak
