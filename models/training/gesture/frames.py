"""Frames of gestures as the trainer reads them: made once of the events, kept as whole numbers, varied batch by batch.

A set's frames are stored beside each other in one safetensors file of the run folder (or of `--cache`), so that a second
run begins at once. They are the counts before they are divided by the scale, doubled so that the mean of two polarities is
whole. A file of another set, another version of it or other frames is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor
from torch.nn import functional

from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import GestureSet
from models.network import Array, ModelError
from models.training.gesture.settings import GestureSettings

WHOLE = 0.5  # the scale that makes whole numbers of frames: the mean of two counts is a multiple of one half
_LARGEST = {np.uint8: 255, np.uint16: 65_535, np.float32: np.inf}  # the narrowest type that holds all counts is stored
_TEXTS = ("subjects", "names", "damages")
_VERSION = 2  # of the readers, too: another one may read other samples of the same files


@dataclass(frozen=True)
class Frames:
    """Samples of one split: counts (n, frames, size, size) in units of `WHOLE`, with each one's label, subject and name."""

    counts: Array
    labels: Array
    subjects: tuple[str, ...]
    names: tuple[str, ...]
    source: str
    sha256: str  # of counts and labels: what a state on disk belongs to
    damages: tuple[str, ...] = ()  # what was wrong with the files they were read from

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, numbers: Array) -> Frames:
        """Return these samples, in this order."""
        chosen = [int(number) for number in numbers]
        counts, labels = self.counts[chosen], self.labels[chosen]
        people, names = tuple(self.subjects[n] for n in chosen), tuple(self.names[n] for n in chosen)
        return replace(self, counts=counts, labels=labels, subjects=people, names=names, sha256=_digest(counts, labels))

    def scaled(self, numbers: Array, scale: float) -> Tensor:
        """Return frames of these samples (n, frames, size, size) float32, equal to `frames_of` with this scale."""
        return torch.from_numpy(self.counts[numbers].astype(np.float32) * np.float32(WHOLE) / np.float32(scale))


def frames_of_set(
    gestures: GestureSet, size: int, folder: Path | None, on_sample: Callable[[], object], marks: str = "",
    samples: int | None = None,
) -> Frames:  # fmt: skip
    """Return the frames of every sample (or the first `samples`), from `folder` if they are kept there, else made of the
    events and, with a folder, kept.

    `marks` says which files a set was read from, so that a changed one is read again. `on_sample` hears of each sample made.
    ModelError where the set has no samples; what is damaged is left to `gestures.damages`.
    """
    spec = FrameSpec(size=size, scale=WHOLE)
    about = {
        "version": _VERSION, "set": gestures.name, "split": gestures.split, "source": gestures.source, "marks": marks,
        "samples": gestures.count, "size": size,
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    path = folder / f"frames-{gestures.split}-{key[:16]}.safetensors" if folder else None
    stored = _kept(path, gestures.source) if path else None
    if stored is not None:
        return stored
    counts, labels, subjects, names = [], [], [], []
    for sample in islice(gestures.samples(), samples):
        frames = frames_of(sample.events, spec)
        counts.append(frames.astype(next(kind for kind, largest in _LARGEST.items() if frames.max(initial=0) <= largest)))
        labels.append(sample.label)
        subjects.append(sample.subject)
        names.append(sample.name)
        on_sample()
    if not counts:
        need = f"a sample needs {spec.slice_us / 1e6} s of events"
        why = gestures.damages[0] if gestures.damages else need
        raise ModelError(f"{gestures.name}: no samples in its {gestures.split} split; {why}")
    whole, classes = np.stack(counts), np.array(labels)  # numpy widens all to the widest
    damages = tuple(map(str, gestures.damages))
    split = Frames(
        counts=whole, labels=classes, subjects=tuple(subjects), names=tuple(names), source=gestures.source,
        sha256=_digest(whole, classes), damages=damages,
    )  # fmt: skip
    if path is None:
        return split
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    texts = {name: json.dumps(getattr(split, name)) for name in _TEXTS}
    save_file({"counts": whole, "labels": classes}, unfinished, texts | {"sha256": split.sha256})
    unfinished.replace(path)
    return split


def _kept(path: Path, source: str) -> Frames | None:
    """Return what is kept at `path`, or None where there is nothing that is whole."""
    try:
        with safe_open(path, "numpy") as file:
            texts = file.metadata()
            counts, labels = file.get_tensor("counts"), file.get_tensor("labels")
            if texts["sha256"] != _digest(counts, labels):
                return None
            people, names, damages = (tuple(json.loads(texts[name])) for name in _TEXTS)
            return Frames(
                counts=counts, labels=labels, subjects=people, names=names, source=source, sha256=texts["sha256"], damages=damages
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _digest(counts: Array, labels: Array) -> str:
    digest = hashlib.sha256(json.dumps([counts.dtype.str, counts.shape]).encode())
    digest.update(np.ascontiguousarray(counts).data)
    digest.update(np.ascontiguousarray(labels, np.int64).data)
    return digest.hexdigest()


def hold_out(frames: Frames, subjects: int) -> tuple[Frames, Frames | None]:
    """Return (to train on, to choose the epoch by): the last `subjects` in the order of their names are held out.

    None is held out where fewer than twice as many are there, or where what is left lacks a class.
    """
    people = sorted(set(frames.subjects))
    if not subjects or len(people) < 2 * subjects:
        return frames, None
    held = np.isin(np.array(frames.subjects), people[-subjects:])
    if set(frames.labels[~held]) != set(frames.labels):
        return frames, None
    return frames.take(np.flatnonzero(~held)), frames.take(np.flatnonzero(held))


def batches(count: int, batch: int, seed: int, epoch: int) -> list[Array]:
    """Return an epoch's batches of sample numbers: every sample once, in an order of its own, the last batch smaller."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[first : first + batch] for first in range(0, count, batch)]


def varied(frames: Tensor, settings: GestureSettings, rng: np.random.Generator) -> Tensor:
    """Return augmented frames of a batch (n, frames, size, size): shifted, turned and zoomed as a whole, brighter or darker,
    faster or slower, begun earlier or later. Never mirrored: which hand it is makes the class.
    """
    s, (n, steps) = settings, frames.shape[:2]
    angle = np.deg2rad(rng.uniform(-s.turn, s.turn, n))
    zoom = 1 + rng.uniform(-s.zoom, s.zoom, n)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    across, down = 2 * rng.uniform(-s.shift, s.shift, (2, n))  # the frame spans -1 to 1
    affine = torch.from_numpy(np.stack([cos, -sin, across, sin, cos, down], 1).reshape(n, 2, 3).astype(np.float32))
    speed, start = 1 + rng.uniform(-s.tempo, s.tempo, n), rng.integers(-s.delay, s.delay + 1, n)
    middle = (steps - 1) / 2
    when = np.rint(middle + start[:, None] + speed[:, None] * (np.arange(steps) - middle)).clip(0, steps - 1).astype(np.int64)
    frames = frames[torch.arange(n)[:, None], torch.from_numpy(when)]
    grid = functional.affine_grid(affine, list(frames.shape), align_corners=False)
    seen = functional.grid_sample(frames, grid, align_corners=False)
    brightness = torch.from_numpy(np.exp(rng.normal(0, s.contrast, (n, 1, 1, 1))).astype(np.float32))
    return seen * brightness


def labels_of(frames: Frames, numbers: Array) -> Tensor:
    """Return the labels of these samples, (n,) int64."""
    return torch.from_numpy(frames.labels[numbers].astype(np.int64))
