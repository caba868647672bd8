"""Graphs of EGRU layers by their edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.kernels.egru import GATES, VECTORS
from models.network import Network, Population, Projection, SparseRows


def weights(rng: np.random.Generator, rows: int, columns: int, density: float = 0.7) -> SparseRows:
    """Return a float32 matrix with about that share of its weights, none of them zero."""
    values = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    values[values == 0] = np.float32(0.5)
    return SparseRows.from_dense(np.where(rng.random((rows, columns)) < density, values, np.float32(0)))


def egru_graph(
    units: Mapping[str, int], edges: Sequence[tuple[str, str, str, int]], *, inputs: Sequence[str] = ("input",),
    outputs: Sequence[str] = (), seed: int = 1,
) -> Network:  # fmt: skip
    """Return EGRU populations of so many `units`, in this order, joined by edges (source, layer, port, delay)."""
    rng, number = np.random.default_rng(seed), {name: n for n, name in enumerate(units)}
    populations = []
    for name, size in units.items():
        if name in inputs:
            populations.append(Population(name, size))
            continue
        projections = tuple(
            Projection(number[source], port, weights(rng, GATES * size, units[source]), delay=delay)
            for source, layer, port, delay in edges
            if layer == name
        )
        vectors = {vector: rng.uniform(-0.1, 0.1, spec.length * size).astype(np.float32) for vector, spec in VECTORS.items()}
        vectors["threshold"] = np.abs(vectors["threshold"])
        populations.append(Population(name, size, kernel="egru", projections=projections, vectors=vectors))
    return Network(tuple(populations), tuple(number[name] for name in outputs))
