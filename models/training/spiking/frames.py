"""Spikes of gestures as the trainer reads them: made once of the events, kept as bits, varied batch by batch.

A split's spikes lie in one safetensors file of the run folder (or of `--cache`), with eight cells a byte where they are binary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from models.dvs.samples import GestureSet
from models.dvs.spike_frames import SpikeBins, spike_frames
from models.network import F64, Array, ModelError
from models.training.spiking.settings import SpikingSettings

_VERSION = 1
_TEXTS = ("subjects", "names", "damages")


@dataclass(frozen=True)
class SpikeSamples:
    """Samples of one split: cells (n, bytes) uint8 packed or (n, cells) uint16, with each one's label, subject and name."""

    cells: Array
    labels: Array
    subjects: tuple[str, ...]
    names: tuple[str, ...]
    source: str
    bins: SpikeBins
    damages: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def sha256(self) -> str:
        """A hash of cells and labels: what a state on disk belongs to."""
        return _digest(self.cells, self.labels)

    def take(self, numbers: Array) -> SpikeSamples:
        """Return these samples, in this order."""
        people, names = (tuple(column[int(n)] for n in numbers) for column in (self.subjects, self.names))
        return SpikeSamples(
            cells=self.cells[numbers], labels=self.labels[numbers], subjects=people, names=names, source=self.source,
            bins=self.bins, damages=self.damages,
        )  # fmt: skip

    def cells_of(self, chosen: Array) -> Array:
        """Return what each cell of these samples sends, (n, steps, channels, size, size) uint8 or uint16."""
        bins, cells = self.bins, self.cells[chosen]
        if bins.binary:
            cells = np.unpackbits(cells, axis=1, count=bins.steps * bins.units)
        return np.asarray(cells.reshape(len(chosen), bins.steps, bins.channels, bins.size, bins.size))

    def spikes(self, numbers: Array) -> Tensor:
        """Return the same as float32."""
        return torch.from_numpy(self.cells_of(numbers).astype(np.float32))

    def labels_of(self, numbers: Array) -> Tensor:
        """Return the labels of these samples, (n,) int64."""
        return torch.from_numpy(self.labels[numbers].astype(np.int64))


def spikes_of_set(
    gestures: GestureSet, bins: SpikeBins, folder: Path | None, on_sample: Callable[[], object], marks: str = ""
) -> SpikeSamples:
    """Return the spikes of every sample, from `folder` if they are kept there, else made of the events and kept.

    `marks` says which files a set was read from, so that a changed one is read again. ModelError where it has no samples.
    """
    about = {
        "version": _VERSION, "set": gestures.name, "split": gestures.split, "source": gestures.source, "marks": marks,
        "samples": gestures.count, **asdict(bins),
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    path = folder / f"spikes-{gestures.split}-{key[:16]}.safetensors" if folder else None
    stored = _kept(path, gestures.source, bins) if path else None
    if stored is not None:
        return stored
    cells, labels, subjects, names = [], [], [], []
    for sample in gestures.samples():
        every = spike_frames(sample.events, bins).reshape(-1)
        cells.append(np.packbits(every.astype(bool)) if bins.binary else every)
        labels.append(sample.label)
        subjects.append(sample.subject)
        names.append(sample.name)
        on_sample()
    if not labels:
        why = gestures.damages[0] if gestures.damages else "it has none"
        raise ModelError(f"{gestures.name}: no samples in its {gestures.split} split; {why}")
    rendered = SpikeSamples(
        cells=np.stack(cells), labels=np.array(labels, np.int64), subjects=tuple(subjects), names=tuple(names),
        source=gestures.source, bins=bins, damages=tuple(map(str, gestures.damages)),
    )  # fmt: skip
    if path is not None:
        _store(path, rendered)
    return rendered


def _store(path: Path, samples: SpikeSamples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    texts = {name: json.dumps(getattr(samples, name)) for name in _TEXTS}
    save_file({"cells": samples.cells, "labels": samples.labels}, unfinished, texts | {"sha256": samples.sha256})
    unfinished.replace(path)


def _kept(path: Path, source: str, bins: SpikeBins) -> SpikeSamples | None:
    """Return what is kept at `path`, or None where there is nothing that is whole."""
    try:
        with safe_open(path, "numpy") as file:
            texts = file.metadata()
            cells, labels = file.get_tensor("cells"), file.get_tensor("labels")
            if texts["sha256"] != _digest(cells, labels):
                return None
            people, names, damages = (tuple(json.loads(texts[name])) for name in _TEXTS)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return SpikeSamples(cells=cells, labels=labels, subjects=people, names=names, source=source, bins=bins, damages=damages)


def _digest(cells: Array, labels: Array) -> str:
    digest = hashlib.sha256(json.dumps([cells.dtype.str, cells.shape]).encode())
    digest.update(np.ascontiguousarray(cells).data)
    digest.update(np.ascontiguousarray(labels, np.int64).data)
    return digest.hexdigest()


def hold_out(samples: SpikeSamples, subjects: int) -> tuple[SpikeSamples, SpikeSamples | None]:
    """Return (to train on, to choose the epoch by): the last `subjects` in the order of their names are held out.

    None is held out where fewer than twice as many are there, or where what is left lacks a class.
    """
    people = sorted(set(samples.subjects))
    if not subjects or len(people) < 2 * subjects:
        return samples, None
    held = np.isin(np.array(samples.subjects), people[-subjects:])
    if set(samples.labels[~held]) != set(samples.labels):
        return samples, None
    return samples.take(np.flatnonzero(~held)), samples.take(np.flatnonzero(held))


def varied(spikes: Array, settings: SpikingSettings, rng: np.random.Generator) -> Tensor:
    """Return augmented spikes of a batch (n, steps, channels, size, size) as float32: shifted, turned and zoomed as a whole, faster
    or slower, begun earlier or later; each cell is some cell of before. Never mirrored: which hand it is makes the class.
    """
    s, (n, steps, channels, size, _) = settings, spikes.shape
    angle, zoom = np.deg2rad(rng.uniform(-s.turn, s.turn, (n, 1, 1))), 1 + rng.uniform(-s.zoom, s.zoom, (n, 1, 1))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    across, down = 2 * rng.uniform(-s.shift, s.shift, (2, n, 1, 1))  # the frame spans -1 to 1
    speed, start = 1 + rng.uniform(-s.tempo, s.tempo, (n, 1)), rng.integers(-s.delay, s.delay + 1, (n, 1))
    middle = (steps - 1) / 2
    when = np.rint(middle + start + speed * (np.arange(steps) - middle)).clip(0, steps - 1).astype(np.int64)
    at: F64 = (2 * np.arange(size, dtype=np.float64) + 1) / size - 1  # middles of cells
    column, row = cos * at - sin * at[:, None] + across, sin * at + cos * at[:, None] + down
    row, column = (np.rint(((part + 1) * size - 1) / 2).astype(np.int64) for part in (row, column))
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    cell = np.where(inside, row * size + column, size * size).reshape(n, -1)  # behind the last cell lies one that is silent
    seen = np.empty((n, steps, channels, size * size), spikes.dtype)
    padded = np.zeros((steps, channels, size * size + 1), spikes.dtype)
    for number in range(n):
        padded[:, :, :-1] = spikes[number, when[number]].reshape(steps, channels, -1)
        np.take(padded, cell[number], axis=2, out=seen[number])
    return torch.from_numpy(seen.reshape(spikes.shape)).float()
