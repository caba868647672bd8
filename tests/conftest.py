"""Fixtures that more than one test file uses: a tiny model in a checkpoint file, and a way to run it on real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import answer

from host.cluster import Cluster
from host.options import LmOptions
from host.outcome import Outcome
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


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.safetensors`, `none.safetensors` (silent), `all.safetensors` (all active) and `text.txt`."""
    path = tmp_path_factory.mktemp("tiny")
    for name in ("usual", "none", "all"):
        save_tiny(path / f"{'tiny' if name == 'usual' else name}.safetensors", tiny_network(name))
    save_tiny(path / "zoneout.safetensors", tiny_network(zoneout=0.25))
    words = np.random.default_rng(5).integers(0, WORDS + 5, 400)  # some words are unknown
    (path / "text.txt").write_text("\n\n".join(" ".join(f"w{n}" for n in words[i : i + 40]) for i in range(0, 400, 40)))
    return path


@pytest.fixture
def run(folder: Path) -> Callable[..., Outcome]:
    """Return a function that runs the tiny model on real processes with the options given, and returns the outcome."""

    def go(
        started: Callable[[str, int], None] = lambda *_: None,
        observe: Callable[[dict[str, Any]], None] = lambda _: None,
        **options: Any,
    ) -> Outcome:
        chosen = {"checkpoint": str(folder / "tiny.safetensors"), "tokens": 24, "pes": 5}
        if "prompt" not in options:
            chosen["text"] = str(folder / "text.txt")
        else:
            chosen["tokens"] = None
        chosen |= options
        lm = LmOptions(**chosen)
        lm.check()
        return Cluster(lm, lambda layout: None, observe, started).run()

    return go


@pytest.fixture(scope="session")
def reference(folder: Path) -> Any:
    """The answer of one PE that holds everything, in one process, to the text and tokens that `run` takes by itself."""
    options = LmOptions(
        checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), tokens=24, pes=1, transport="mem"
    )
    return answer(Cluster(options, lambda layout: None, lambda status: None).run())
