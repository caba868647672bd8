"""The smallest run on arrays: two small seeded layers, two sequences of twelve vectors."""

from pathlib import Path
from typing import Any

from host.workloads.arrays.read_arrays import save_features
from host.workloads.arrays.seeded_numbers import seeded_features
from models.checkpoint import Model, save
from models.seeded import seeded_egru

_UNITS, _VECTORS, _SEQUENCES = 12, 12, 2


def smallest(folder: Path) -> dict[str, Any]:
    """Write a network and vectors into `folder`; return the options that run them."""
    checkpoint, vectors = folder / "network.safetensors", folder / "features.safetensors"
    save(checkpoint, Model(seeded_egru(_UNITS, (16, 16), density=0.5, seed=1, threshold=0.3)))
    save_features(vectors, seeded_features(_SEQUENCES, _VECTORS, _UNITS))
    return {"checkpoint": str(checkpoint), "features": str(vectors), "pes": 3}
