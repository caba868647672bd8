"""The words for what spiking neurons differ in; a population's params hold their places in these lists.

Frameworks integrate, reset and fire in ways that files of networks do not say, and each way has spikes of its own. Every one is
written out in the neuron models that offer it (`models/kernels/lif.py`, `models/kernels/cuba_lif.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.network import Array, ModelError, Population

FORMS = ("decay", "difference", "quotient-input", "quotient")
"""How a membrane takes a step."""
SYNAPSES = ("decay", "difference", "sum-first")
"""How a synaptic current takes a step."""
RESETS = ("zero", "subtract", "subtract-late", "subtract-no-delay", "zero-late")
"""What a spike does to a membrane, and when."""
MOST_SPIKES = 65535
"""Of a unit at a position: what a count holds."""


def vectors_of(units: int, need: Mapping[str, Any], **values: Array | float) -> dict[str, Array]:
    """Return the vectors (units,) of a spiking population: a number stands for all units, and what is not given is its default.

    `need` is what the neuron model has defaults for (`FILL`); TypeError for a value of another name.
    """
    if unknown := values.keys() - need.keys():
        raise TypeError(f"vectors: unknown {', '.join(sorted(unknown))}; have {', '.join(need)}")
    filled = {}
    for name, default in need.items():
        dtype = np.asarray(default).dtype
        with np.errstate(over="ignore"):  # a number beyond float32 becomes an infinity, which is refused by name
            filled[name] = np.ascontiguousarray(np.broadcast_to(np.asarray(values.get(name, default)).astype(dtype).ravel(), units))
    return filled


def check_choice(population: Population, name: str, choices: tuple[str, ...], default: float = 0.0) -> str:
    """Return which of `choices` a population's parameter names; ModelError where it is none of them."""
    place = population.params.get(name, default)
    if place not in range(len(choices)):
        have = ", ".join(f"{n} ({choice})" for n, choice in enumerate(choices))
        raise ModelError(f"{population.name}: {name} {place!r}; have {have}")
    return choices[int(place)]


def check_firing(population: Population) -> None:
    """Raise ModelError where a population's thresholds and resets cannot be, or its events do not hold its spikes."""
    threshold, reset = population.vectors["threshold"], population.vectors["reset"]
    bad = np.flatnonzero(~((threshold > 0) & np.isfinite(threshold)))
    if bad.size:
        raise ModelError(f"{population.name}: threshold {threshold[bad[0]]} of unit {bad[0]}; needs a finite number above 0")
    kind = check_choice(population, "reset", RESETS)
    if kind.startswith("subtract") and np.any(reset != 0):
        unit = int(np.flatnonzero(reset)[0])
        raise ModelError(
            f"{population.name}: resets by {kind} and to {reset[unit]} (unit {unit}); takes one of them: a reset of 0, or 'zero'"
        )
    many = bool(population.params.get("multi_spike", 0.0))
    if many != (population.payload == "count"):
        have, need = ("several spikes", "count") if many else ("one spike", "spike")
        raise ModelError(f"{population.name}: sends {have} a position as {population.payload}; needs {need}")
