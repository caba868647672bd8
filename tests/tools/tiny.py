"""A tiny network of three layers, and a checkpoint around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.checkpoint import Model, save
from models.network import Network, Population
from models.seeded import seeded_egru, seeded_embedding

WORDS = 60
UNITS = 20
LAYERS = (24, 24, UNITS)


def tiny_network(activity: str = "usual", zoneout: float = 0.0) -> Network:
    """Return three small layers; `activity` is "usual" (10 to 50 %), "none" or "all"."""
    network = seeded_egru(UNITS, LAYERS, density=0.3, seed=7, threshold=1.0 if activity == "none" else 0.3, zoneout=zoneout)
    if activity != "all":
        return network
    populations = [network.populations[0]]
    for layer in network.populations[1:]:
        # A candidate state near 1 and no threshold: every unit is over it at every step.
        bias = np.concatenate([np.zeros(2 * layer.units), np.full(layer.units, 50.0)]).astype(np.float32)
        vectors = {**layer.vectors, "threshold": np.zeros(layer.units, np.float32), "bias": bias}
        populations.append(Population(layer.name, layer.units, layer.kernel, layer.projections, vectors, layer.params))
    return Network(tuple(populations))


def save_tiny(path: Path, network: Network, segment: int = 7) -> Path:
    """Write a model around `network` with a vocabulary of `WORDS` words."""
    vocabulary = ("<unk>", "<eos>", *(f"w{n}" for n in range(WORDS - 2)))
    bias = np.linspace(-1, 1, WORDS, dtype=np.float32)
    save(path, Model(network, seeded_embedding(WORDS, UNITS, seed=3), bias, vocabulary, segment))
    return path
