"""Numbers from a seed, for runs without a file: of the spread of a trained embedding."""

from __future__ import annotations

import numpy as np

from models.network import F32, Array, Population
from models.numerics import PAYLOADS
from models.seeded import seeded_embedding


def seeded_features(sequences: int, frames: int, units: int, seed: int = 1) -> F32:
    """Return (sequences, frames, units) float32 without zeros, of the spread of a trained embedding; the same bits on
    every machine, and a sequence does not depend on how many follow it.
    """
    return np.stack([seeded_embedding(frames, units, seed + 1000 * number) for number in range(sequences)])


def seeded_numbers(population: Population, sequences: int, frames: int, seed: int) -> Array:
    """Return seeded features as numbers that an input may send: whole ones are scaled, about half the units spike."""
    features = seeded_features(sequences, frames, population.units, seed)
    if population.payload == "float32":
        return features
    if population.payload == "spike":
        return (features > 0).astype(np.uint8)
    limits = np.iinfo(PAYLOADS[population.payload])
    scale = np.float32(1 << (16 if limits.bits == 32 else 8))
    whole: Array = np.clip(np.rint(features * scale), limits.min, limits.max).astype(limits.dtype)
    return whole
