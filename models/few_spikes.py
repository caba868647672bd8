"""What Few-Spikes neurons have in common: a value in K bits, said tick by tick, the most significant first.

A value is a number of steps of alpha / 2^K, at most 2^K - 1 of them. Alpha is a power of two, so that all thresholds, and what is
left after each of them, are exact in float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.network import F32, Array, ModelError, Population

MOST_BITS = 16
DEFAULTS = {"bits": 8.0, "alpha": 1.0, "rounds": 1.0}
"""`bits` is K; with `rounds` half a step is added first, and else a value is cut off."""
FILL: Mapping[str, Any] = {"gain": np.float32(1), "bias": np.float32(0), "theta": np.float32(0)}
"""The vectors of `fs_complex`, and what stands where none is given; `fs` has no theta."""
PAYLOADS = ("int32", "float32")
"""An event is worth its tick: 2^(K - 1 - t) steps as int32, or alpha / 2^(t + 1) as float32."""
COUNTS = ("units",)
"""Ticks of units."""


def ticks(params: Mapping[str, float]) -> int:
    """Return how many ticks a position takes: K."""
    return int(params["bits"])


def steps_per_one(params: Mapping[str, float]) -> np.float32:
    """Return how many steps there are in 1."""
    return np.float32(2.0 ** ticks(params) / params["alpha"])


def bindings(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> dict[str, Any]:
    """Return what the step of either neuron model is bound to, by the names of its arguments."""
    operands: dict[str, Any] = {name: mem[name] for name in ("gain", "bias", "units", "v", "counts")}
    operands |= {"sums": mem["input.sums"], "keys": mem["send_keys"], "values": mem["send_values"], "width": width}
    operands |= {"bits": ticks(params), "scale": np.float32(steps_per_one(params))}
    operands |= {"half": np.float32(0.5 if params["rounds"] else 0.0)}
    return {**operands, "worths": worths(params, mem["send_values"].dtype)}


def worths(params: Mapping[str, float], payload: np.dtype[np.generic]) -> Array:
    """Return what an event is worth at each tick, (K,), in numbers of the payload."""
    steps = 2.0 ** np.arange(ticks(params) - 1, -1, -1)
    return np.asarray(steps / steps_per_one(params) if payload.kind == "f" else steps, payload)


def check(population: Population) -> None:
    """Raise ModelError, one line, for parameters or vectors that no Few-Spikes neuron can have."""
    params = {**DEFAULTS, **population.params}
    bits, alpha = params["bits"], params["alpha"]
    if bits not in range(1, MOST_BITS + 1):
        raise ModelError(f"{population.name}: bits {bits!r}; needs a whole number from 1 to {MOST_BITS}")
    if not (2.0**-60 <= alpha <= 2.0**60 and math.frexp(alpha)[0] == 0.5):
        raise ModelError(f"{population.name}: alpha {alpha!r}; needs a power of two")
    if params["rounds"] not in (0, 1):
        raise ModelError(f"{population.name}: rounds {params['rounds']!r}; needs 0 (cut off) or 1 (round)")
    for name, vector in population.vectors.items():
        if not np.isfinite(vector).all():
            raise ModelError(f"{population.name}: vector {name!r} has a number that is not finite")


class Quantiser:
    """The K-bit quantiser of plain numbers: what neurons of these parameters say of them, all ticks together."""

    def __init__(self, params: Mapping[str, float]) -> None:
        params = {**DEFAULTS, **params}
        self.bits, self.scale = ticks(params), steps_per_one(params)
        self._half = np.float32(0.5 if params["rounds"] else 0.0)

    def steps(self, values: F32) -> Array:
        """Return how many steps each value has, 0 to 2^K - 1, int64; what is below zero has none, nor what is no number."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.asarray(values, np.float32) * self.scale + self._half
            steps = np.nan_to_num(np.clip(np.floor(scaled), 0, 2.0**self.bits - 1), nan=0.0)
        return np.asarray(steps, np.int64)

    def saturated(self, values: F32) -> int:
        """Return how many values are too large for K bits, and are said as 2^K - 1 steps."""
        return int(np.count_nonzero(np.abs(values) * self.scale + self._half >= np.float32(2.0**self.bits)))

    def signed_steps(self, values: F32) -> Array:
        """Return how many steps each value's size has, with the value's sign."""
        return np.asarray(np.where(np.signbit(values), -1, 1) * self.steps(np.abs(values)), np.int64)
