"""Vectors of numbers: from a file or a seed, and fed to the network one a position.

The gesture network's feature vectors may come this way: a CNN makes them beforehand and they lie in DRAM (paper, section
IV-C2).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.errors import HostError, need_file
from host.workloads.contract import Feed, Metric, Progress, Source
from host.workloads.rows_in_dram import RowsInDram
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
    need_file(path, who)
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


class VectorSource(Source):
    """Feeds `sequences` sequences of `frames` vectors, one a lane, from DRAM, one sequence behind the other."""

    def __init__(self, store: RowsInDram, sequences: int, frames: int) -> None:
        self._store = store
        self._first: U32 = np.arange(sequences, dtype=np.uint32) * np.uint32(frames)
        self.positions = frames

    def feed_at(self, position: int) -> Feed:
        """Return a vector of every sequence."""
        flags = VALID if position else VALID | FRESH | RESET
        return Feed(position, flags, *self._store.feed(self._first + np.uint32(position)))


class VectorCount:
    """Counts the vectors of `sequences` sequences of `frames` each that came through; nothing is scored."""

    def __init__(self, sequences: int, frames: int) -> None:
        self._sequences, self._total, self._done = sequences, sequences * frames, 0

    def answer(self, section: Section) -> None:  # noqa: ARG002 - that it is there is all that counts
        """Count a vector of each sequence."""
        self._done += self._sequences

    def progress(self) -> Progress:
        """Return how many vectors came through."""
        return Progress(self._done, self._total)

    def result(self) -> dict[str, Any]:
        """Return how many vectors came through."""
        return {"vectors": self._done}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - nothing is scored
        """Return nothing."""
        return []

    def snapshot(self) -> bytes:
        """Return the count."""
        return json.dumps(self._done).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        self._done = json.loads(snapshot)
