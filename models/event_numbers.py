"""Values and the numbers that events carry for them, where a population's events stand for value = number * scale.

A population says its scale as parameter `event_scale`, an input too; one that says none sends values as they are. Numbers are
rounded to the nearest, ties to even, and stay within 127 either side: -128 never arises.
"""

from __future__ import annotations

import numpy as np

from models.network import F32, Array, Population
from models.numerics import PAYLOADS

EVENT_SCALE = "event_scale"
LARGEST = 127


def is_scaled(population: Population) -> bool:
    """Tell whether a population's events carry numbers of a scale."""
    return population.payload != "float32" and EVENT_SCALE in population.params


def numbers_of(population: Population, values: Array) -> Array:
    """Return what the events of values, float32 of any shape, carry; the values themselves where there is no scale."""
    if not is_scaled(population):
        return values
    scale = np.float32(population.params[EVENT_SCALE])
    numbers: Array = np.clip(np.rint(values / scale), -LARGEST, LARGEST).astype(PAYLOADS[population.payload])
    return numbers


def values_of(population: Population, numbers: Array) -> F32 | Array:
    """Return the values, float32, that events' numbers stand for; the numbers themselves where there is no scale."""
    if not is_scaled(population):
        return numbers
    return numbers.astype(np.float32) * np.float32(population.params[EVENT_SCALE])
