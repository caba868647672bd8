"""Vectors of numbers: from a file or a seed, and fed to the network's inputs one a position.

The gesture network's feature vectors may come this way: a CNN makes them beforehand and they lie in DRAM (paper, section
IV-C2).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.errors import HostError, need_file
from host.workloads.contract import Feed, Metric, Outputs, Progress, Source
from host.workloads.rows_in_dram import RowsInDram
from models.network import F32, U32, Array, Population
from models.numerics import PAYLOADS
from models.seeded import seeded_embedding
from noc.packet import FRESH, RESET, VALID

_TENSOR = "features"


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


def save_features(path: Path, features: F32) -> None:
    """Write (sequences, frames, units) float32 to a safetensors file, for a network with one input."""
    path.write_bytes(save_tensors({_TENSOR: np.ascontiguousarray(features, np.float32)}))


def load_features(path: Path, units: int, sequences: int, frames: int | None) -> F32:
    """Return what `load_inputs` does, of a network with one input of so many units and float32 events."""
    return load_inputs(path, [Population("input", units)], sequences, frames)[0]


def load_inputs(path: Path, inputs: Sequence[Population], sequences: int, frames: int | None) -> list[Array]:
    """Return for each input the first `sequences` and `frames` (None: all) of a file, (sequences, frames, units) of its payload.

    The file's tensor is called `features` where there is one input, else as the input is; a spike is a 1 of uint8. HostError,
    one line, where the file is missing or damaged, has fewer, another width, or a number that is not finite.
    """
    who = f"features {path}"
    names = [_TENSOR] if len(inputs) == 1 else [population.name for population in inputs]
    need_file(path, who)
    try:
        with safe_open(path, "numpy") as file:
            arrays = [file.get_tensor(name) for name in names]
    except Exception as error:  # the library's own, and a stranger's bytes: exceptions of several kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"{who}: cannot be read ({why})") from error
    shortest = min((array.shape[1] for array in arrays if array.ndim == 3), default=0)
    chosen = []
    for name, population, array in zip(names, inputs, arrays, strict=True):
        what, dtype = who if len(inputs) == 1 else f"{who}: {name}", np.dtype(PAYLOADS[population.payload] or "|u1")
        if array.ndim != 3 or array.dtype != dtype or array.shape[2] != population.units:
            need, have = f"(sequences, frames, {population.units}) of {dtype.name}", f"{array.shape} of {array.dtype}"
            raise HostError(f"{what}: needs {need} for this network, has {have}")
        for axis, least, count in (("sequences", sequences, array.shape[0]), ("frames", frames or 1, array.shape[1])):
            if count < least:
                raise HostError(f"{what}: needs {least} {axis}, has {count}")
        part = array[:sequences, : frames or shortest]
        if not np.isfinite(part).all():
            raise HostError(f"{what}: {int((~np.isfinite(part)).sum())} numbers are not finite")
        chosen.append(np.ascontiguousarray(part))
    return chosen


class VectorSource(Source):
    """Feeds `sequences` sequences of `frames` vectors, one a lane, from DRAM, one sequence behind the other, to each input that
    has a store.
    """

    def __init__(self, stores: Mapping[int, RowsInDram], sequences: int, frames: int) -> None:
        self._stores = stores
        self._first: U32 = np.arange(sequences, dtype=np.uint32) * np.uint32(frames)
        self.positions = frames

    def feed_at(self, position: int) -> Feed:
        """Return a vector of every sequence."""
        flags = VALID if position else VALID | FRESH | RESET
        rows = self._first + np.uint32(position)
        return Feed(position, flags, {number: store.feed(rows) for number, store in self._stores.items()})


class VectorCount:
    """Counts the vectors of `sequences` sequences of `frames` each that came through; nothing is scored."""

    def __init__(self, sequences: int, frames: int) -> None:
        self._sequences, self._total, self._done = sequences, sequences * frames, 0

    def answer(self, position: int, outputs: Outputs) -> None:  # noqa: ARG002 - that it is there is all that counts
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
