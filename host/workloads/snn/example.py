"""The smallest run of a spiking network: a seeded classifier of few channels, two synthetic samples of eight steps."""

from pathlib import Path
from typing import Any

from models.checkpoint import Model, save
from models.dvs.samples import CLASSES
from models.spiking_classifier import seeded_classifier


def smallest(folder: Path) -> dict[str, Any]:
    """Write a checkpoint into `folder`; return the options that run it."""
    checkpoint = folder / "snn.safetensors"
    network = seeded_classifier(len(CLASSES), channels=(3, 3, 2), hidden=8, size=16)
    save(checkpoint, Model(network, segment=8, state="zeroed"))
    chosen = {"size": 16, "steps": 8, "bin_ms": 20.0, "bits": 8, "samples": 2, "membrane": "lif4:3"}
    return {"checkpoint": str(checkpoint), "pes": 5, **chosen}
