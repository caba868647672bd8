"""The smallest run on vectors: two small seeded layers, two sequences of twelve vectors."""

from pathlib import Path
from typing import Any

from host.workloads.arrays.read_arrays import save_features
from host.workloads.arrays.seeded_numbers import seeded_features

_UNITS, _VECTORS, _SEQUENCES = 12, 12, 2


def smallest(folder: Path) -> dict[str, Any]:
    """Write vectors into `folder`; return the options that run a seeded network on them."""
    path = folder / "features.safetensors"
    save_features(path, seeded_features(_SEQUENCES, _VECTORS, _UNITS))
    return {"features": str(path), "input": _UNITS, "layers": (16, 16), "threshold": 0.3, "density": 0.5, "pes": 3}
