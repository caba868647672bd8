"""Open the events of a gesture run, synthetic or a folder, and mark which files a stored file of frames belongs to."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from models.dvs.samples import GestureSet
from models.dvs.synthetic import open_synthetic

SYNTHETIC = "synthetic"


_SAMPLES_EACH = 48  # of every person and light in a training split, over the number of people: 2,112 in all


def open_events(events: str, split: str, people: int | None = None) -> GestureSet:
    """Return the split of `synthetic` or of a folder in DVS128 Gesture's or tonic's layout; DvsError, one line, for another.

    `people`: how many the synthetic camera shows in training, the fewer the more often; None leaves that to it.
    """
    if events == SYNTHETIC:
        if split != "train" or people is None:
            return open_synthetic(split)
        return open_synthetic(split, subjects=people, repetitions=max(1, _SAMPLES_EACH // people))
    from models.dvs.folder import open_folder

    return open_folder(Path(events), split)


def marks_of(gestures: GestureSet, events: str) -> str:
    """Return what changes when a set does: names, sizes and times of a folder's files, and the first sample's events."""
    digest = hashlib.sha256()
    folder = Path(events)
    if events != SYNTHETIC:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            facts = path.stat()
            digest.update(f"{path.relative_to(folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    for sample in gestures.samples():
        for part in sample.events:
            digest.update(np.ascontiguousarray(part).data)
        break
    return digest.hexdigest()
