"""The smallest run: a seeded model of two layers on eight cells, twelve snapshots."""

from pathlib import Path
from typing import Any

import numpy as np

from models.retrieval.file import save_unrolled
from models.retrieval.grid import Grid
from models.retrieval.network import Unrolled


def smallest(folder: Path) -> dict[str, Any]:
    """Write a model into `folder`: untrained, two steps of ISTA; return the options that run it."""
    grid, layers = Grid((4,), (8,)), 2
    kernel = -grid.step * grid.gram()
    kernel[0] += 1
    step = np.full(layers, grid.step, np.float32)
    limits = (step / 10).astype(np.float32)
    model = Unrolled(grid, np.stack([kernel] * layers).astype(np.complex64), step, limits, np.ones(layers, np.float32))
    path = folder / "retrieval.safetensors"
    save_unrolled(path, model)
    return {"checkpoint": str(path), "samples": 12, "targets": 1, "pes": 3, "k": 4, "format": "csr"}
