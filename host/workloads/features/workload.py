"""The feature workload: one vector of numbers a frame goes in, and what the last layer sends is counted.

The gesture network is fed this way: a CNN makes the vectors beforehand and they lie in DRAM (paper, section IV-C2). Not
known here: where they come from, and the read-out that makes a class of the last layer's events.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.errors import HostError
from host.workloads.lm.workload import EmbeddingStore, Feed
from models.network import F32, U32
from models.seeded import seeded_embedding
from noc.packet import FRESH, RESET, VALID, Section

_TENSOR = "features"


def seeded_features(sequences: int, frames: int, units: int, seed: int = 1) -> F32:
    """Return (sequences, frames, units) float32 without zeros, of the spread of a trained embedding; the same bits on
    every machine, and a sequence does not depend on how many follow it.
    """
    return np.stack([seeded_embedding(frames, units, seed + 1000 * number) for number in range(sequences)])


def save_features(path: Path, features: F32) -> None:
    """Write (sequences, frames, units) float32 to a safetensors file."""
    path.write_bytes(save_tensors({_TENSOR: np.ascontiguousarray(features, np.float32)}))


def load_features(path: Path, units: int, sequences: int, frames: int | None) -> F32:
    """Return the first `sequences` and `frames` (None: all) of a file, (sequences, frames, units) float32.

    HostError, one line, where the file is missing or damaged, has fewer, another width, or a number that is not finite.
    """
    who = f"features {path}"
    try:
        with safe_open(path, "numpy") as file:
            features = file.get_tensor(_TENSOR)
    except Exception as error:  # the library's own, and a stranger's bytes: exceptions of several kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"{who}: cannot be read ({why})") from error
    if features.ndim != 3 or features.dtype != np.float32 or features.shape[2] != units:
        have = f"{features.shape} of {features.dtype}"
        raise HostError(f"{who}: needs (sequences, frames, {units}) of float32 for this network, has {have}")
    for name, need, have_ in (("sequences", sequences, features.shape[0]), ("frames", frames or 1, features.shape[1])):
        if have_ < need:
            raise HostError(f"{who}: needs {need} {name}, has {have_}")
    chosen = features[:sequences, : frames or features.shape[1]]
    if not np.isfinite(chosen).all():
        raise HostError(f"{who}: {int((~np.isfinite(chosen)).sum())} numbers are not finite")
    return np.ascontiguousarray(chosen)


class Features:
    """Feeds sequences of feature vectors, one a lane, from DRAM.

    Args:
        store: the vectors in DRAM, sequence after sequence.
        sequences: how many run side by side.
        frames: vectors of each.

    """

    def __init__(self, store: EmbeddingStore, sequences: int, frames: int) -> None:
        self._store, self._frames = store, frames
        self._first: U32 = np.arange(sequences, dtype=np.uint32) * np.uint32(frames)
        self.positions = frames
        self._next = 0
        self._answered = 0

    def next(self) -> Feed | None:
        """Return the next frame of every sequence."""
        if self.exhausted():
            return None
        position = self._next
        self._next += 1
        flags = VALID if position else VALID | FRESH | RESET
        return Feed(position, flags, *self._store.feed(self._first + np.uint32(position)))

    def exhausted(self) -> bool:
        """Tell whether every frame has been handed out."""
        return self._next >= self.positions

    def answer(self, section: Section) -> None:  # noqa: ARG002 - no read-out yet
        """Count a frame."""
        self._answered += 1

    def progress(self) -> dict[str, Any]:
        """Return frames so far, as tokens."""
        lanes = len(self._first)
        return {"tokens": self._answered * lanes, "tokens_total": self.positions * lanes, "perplexity": None, "text": ""}

    def report(self) -> dict[str, Any]:
        """Return how many frames came through; nothing is scored."""
        nothing = dict.fromkeys(("cross_entropy_nats", "perplexity", "perplexity_per_prediction", "text", "generated"))
        return {"tokens": self._answered * len(self._first), **nothing}
