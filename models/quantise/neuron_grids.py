"""What becomes of a spiking neuron's numbers where its weights come to stand on a grid.

The equations are linear between spikes. With weights w = n / lam (lam one number a unit, n whole numbers) a membrane in units of
1 / lam sums the n, and fires as before, where bias, threshold, leak, reset and start are multiplied by lam too. What multiplies
the sum (gain, or of a current its own gain) is divided out of all of them, so that the numbers n are added as they are.
Computed in float64.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.network import F64, Array, ModelError, Population
from models.spiking import FORMS, RESETS, SYNAPSES

SPIKING = ("lif", "cuba_lif")
SILENT = ("li", "cuba_li")
WHOLE = "iaf"
_MOST = 2**31 - 1


def scaled(population: Population, lam: F64) -> tuple[Mapping[str, Array], Mapping[str, float]]:
    """Return vectors and params for sums of numbers on a grid, of lam (units,): form and synapse "decay" where it spikes.

    An integrator keeps its form and the unit of what it sends: its gain becomes gain / lam. ModelError for a gain that is 0.
    """
    old = {name: vector.astype(np.float64) for name, vector in population.vectors.items()}
    params = dict(population.params)
    new = old | {"bias": old["bias"] * lam}
    into = "synapse_gain" if "synapse_gain" in old else "gain"
    if population.kernel in SILENT:
        new[into] = old[into] / lam
        return _stored(population, new), params
    rate, gain, leak = _as_decay(FORMS[int(params.get("form", 0))], old)
    params["form"] = float(FORMS.index("decay"))
    if into == "synapse_gain":
        synapse, hears = SYNAPSES[int(params.get("synapse", 0))], old["synapse_gain"]
        if synapse == "difference":
            hears, old["synapse_rate"] = old["synapse_rate"] * hears, 1 - old["synapse_rate"]
        elif synapse == "sum-first":
            hears = old["synapse_rate"] * hears
        params["synapse"] = float(SYNAPSES.index("decay"))
        new |= {"synapse_rate": old["synapse_rate"], "synapse_gain": np.ones(population.units)}
        gain = gain * hears
    if np.any(gain <= 0):
        at = int(np.flatnonzero(gain <= 0)[0])
        raise ModelError(
            f"quantise: {population.name}: what it hears is multiplied by {gain[at]:g} (unit {at}); needs a gain above 0"
        )
    unit = lam / gain
    new |= {"rate": rate, "gain": np.ones(population.units), "leak": leak * unit}
    new |= {name: old[name] * unit for name in ("threshold", "reset", "start")}
    return _stored(population, new), params


def _as_decay(form: str, old: Mapping[str, F64]) -> tuple[F64, F64, F64]:
    """Return rate, gain and leak with which form "decay" takes the same step, but for its rounding."""
    rate, gain, leak = old["rate"], old["gain"], old["leak"]
    if form == "difference":
        return 1 - rate, rate * gain, rate * leak
    if form == "quotient-input":
        return 1 - 1 / rate, gain / rate, leak / rate
    if form == "quotient":
        return 1 - 1 / rate, gain, leak / rate
    return rate, gain, leak


def _stored(population: Population, vectors: Mapping[str, F64]) -> dict[str, Array]:
    """Return vectors in float32; ModelError for a number that it does not hold."""
    for name, vector in vectors.items():
        over = np.flatnonzero(~(np.abs(vector) <= np.finfo(np.float32).max))
        if over.size:
            have = f"{name} of unit {over[0]} becomes {vector[over[0]]:g}"
            raise ModelError(f"quantise: {population.name}: {have}, too large for float32")
    return {name: vector.astype(np.float32) for name, vector in vectors.items()}


def whole(name: str, vectors: Mapping[str, Array], params: Mapping[str, float]) -> tuple[dict[str, Array], dict[str, float]]:
    """Return vectors and params of the neuron in int32 that takes the place of one on a grid; ModelError where it leaks.

    A threshold that is only compared with is rounded down where a membrane must be above it, and up where it may be at it: that
    changes nothing. One that is also subtracted, or counted in, is rounded to the nearest whole number, as all others are.
    """
    leaky = np.flatnonzero((vectors["rate"] != 1) | (vectors["leak"] != 0))
    if leaky.size:
        unit = int(leaky[0])
        have = f"rate {vectors['rate'][unit]:g} and leak {vectors['leak'][unit]:g} of unit {unit}"
        raise ModelError(f"quantise: {name} leaks ({have}); an int32 state is for neurons that do not, take float32")
    inclusive, subtracts = bool(params.get("fire_at_threshold")), RESETS[int(params.get("reset", 0))].startswith("subtract")
    exact = not (subtracts or params.get("multi_spike") or params.get("floor"))
    threshold = vectors["threshold"].astype(np.float64)
    threshold = (np.ceil(threshold) if inclusive else np.floor(threshold)) if exact else np.rint(threshold)
    out = {key: np.rint(vectors[key].astype(np.float64)) for key in ("bias", "reset", "start")}
    out["threshold"] = np.maximum(threshold, 1)
    for key, vector in out.items():
        if np.any(np.abs(vector) > _MOST):
            unit = int(np.argmax(np.abs(vector)))
            raise ModelError(f"quantise: {name}: {key} of unit {unit} becomes {vector[unit]:g}, too large for int32")
    kept = {key: value for key, value in params.items() if key != "form"}
    return {key: vector.astype(np.int32) for key, vector in out.items()}, kept
