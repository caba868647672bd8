"""The commands `gesture` and `gesture-conform` of the trainer: from events to a checkpoint, and a checkpoint against torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.checkpoint import load
from models.dvs.samples import GestureSet
from models.dvs.synthetic import open_synthetic
from models.network import ModelError
from models.training.common.progress_bar import progress_bar
from models.training.gesture.conformance import compare, report
from models.training.gesture.export import finish
from models.training.gesture.frames import Frames, frames_of_set, hold_out
from models.training.gesture.settings import GestureSettings
from models.training.gesture.trainer import GestureTrainer

CACHE = "frames"  # in the run folder
SYNTHETIC = "synthetic"
_SAMPLES_EACH = 48  # of every person and light in a training split, over the number of people: 2,112 in all


def train(
    events: str, settings: GestureSettings, out: Path, cache: Path | None, device: torch.device, say: Callable[[str], object]
) -> None:
    """Train on the events to the end, or on from where the run folder stands, and write the checkpoint.

    ModelError or DvsError, one line, for what cannot be; KeyboardInterrupt leaves a state to go on from.
    """
    frames_folder = cache or out / CACHE
    splits = {split: read(events, split, settings.size, frames_folder, say, people=settings.people) for split in ("train", "test")}
    shared = set(splits["train"].subjects) & set(splits["test"].subjects)
    if shared:
        raise ModelError(f"{events}: subject {min(shared)} is in both splits; needs people in the test that training never sees")
    trained, valid = hold_out(splits["train"], settings.valid_subjects)
    if settings.valid_subjects and valid is None:
        say("no subjects held out: too few; the last epoch is kept")
    trainer = GestureTrainer(trained, valid, settings, out, device)
    trainer.begin({"events": events})
    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    finish(trainer, splits["test"], say)


def read(
    events: str, split: str, size: int, folder: Path | None, say: Callable[[str], object],
    samples: int | None = None, people: int | None = None,
) -> Frames:  # fmt: skip
    """Return a split's frames, kept in `folder` if there is one, and say what they are and what of the files is damaged."""
    gestures = open_events(events, split, people)
    with tqdm(desc=f"frames, {split}", unit="sample", total=samples or gestures.count, leave=False, dynamic_ncols=True) as bar:
        frames = frames_of_set(gestures, size, folder, bar.update, marks_of(gestures, events), samples)
    say(f"{split:6} {len(frames):6,} samples of {len(set(frames.subjects))} subjects: {frames.source}")
    for damage in frames.damages:
        say(f"  damaged: {damage}")
    return frames


def open_events(events: str, split: str, people: int | None = None) -> GestureSet:
    """Return the split of `synthetic` or of recordings that a reader knows; DvsError, one line, for another.

    `people`: how many the synthetic camera shows in training, the fewer the more often; None leaves that to it.
    """
    if events == SYNTHETIC:
        if split != "train" or people is None:
            return open_synthetic(split)
        return open_synthetic(split, subjects=people, repetitions=max(1, _SAMPLES_EACH // people))
    from models.dvs.folder import open_folder

    return open_folder(Path(events), split)


def marks_of(gestures: GestureSet, events: str) -> str:
    """Return what changes when a set does: name, size and time of each file, and the first sample's events."""
    digest = hashlib.sha256()
    folder = Path(events)
    if events != SYNTHETIC:
        for path in [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file()):
            facts = path.stat()
            digest.update(f"{path.relative_to(folder)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    for sample in gestures.samples():
        for part in sample.events:
            digest.update(np.ascontiguousarray(part).data)
        break
    return digest.hexdigest()


def conform(file: Path, events: str, samples: int | None, cache: Path | None, say: Callable[[str], object]) -> bool:
    """Hold the emulator's arithmetic against torch on the test split of the events; return whether they agree.

    `events` is `synthetic` or a folder; only the first `samples` are compared where that is given.
    """
    model = load(file)
    if model.gesture is None:
        raise ModelError(f"checkpoint {file}: needs a gesture classifier, this one has none")
    if samples is not None and samples < 1:
        raise ModelError(f"--samples {samples}: needs at least 1")
    frames = read(events, "test", model.gesture.size, cache, say, samples)
    recorded = model.gesture.record.get("test_frames_sha256")
    if samples is None and recorded != frames.sha256:
        say("these are not the frames that the checkpoint was tested on")
    with tqdm(unit="sample", total=len(frames), leave=False, dynamic_ncols=True) as bar:
        conformance = compare(model, frames, lambda _: bar.update())
    report(conformance, say)
    return conformance.holds
