"""The command `snn` of the trainer: from events to a checkpoint and a NIR file of a spiking network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from models.network import ModelError
from models.training.common.progress_bar import progress_bar
from models.training.gesture.commands import marks_of, open_events
from models.training.spiking.export import finish
from models.training.spiking.frames import SpikeSamples, hold_out, spikes_of_set
from models.training.spiking.settings import SpikingSettings
from models.training.spiking.trainer import SpikingTrainer

CACHE = "spikes"  # in the run folder


def train(
    events: str, settings: SpikingSettings, out: Path, cache: Path | None, device: torch.device, say: Callable[[str], object]
) -> None:
    """Train on the events to the end, or on from where the run folder stands, and write checkpoint and NIR file.

    ModelError or DvsError, one line, for what cannot be; KeyboardInterrupt leaves a state to go on from.
    """
    folder = cache or out / CACHE
    splits = {split: read(events, split, settings, folder, say) for split in ("train", "test")}
    shared = set(splits["train"].subjects) & set(splits["test"].subjects)
    if shared:
        raise ModelError(f"{events}: subject {min(shared)} is in both splits; needs people in the test that training never sees")
    trained, valid = hold_out(splits["train"], settings.valid_subjects)
    if settings.valid_subjects and valid is None:
        say("no subjects held out: too few; the last epoch is kept")
    trainer = SpikingTrainer(trained, valid, settings, out, device)
    trainer.begin({"events": events})
    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    finish(trainer, splits["test"], say)


def read(events: str, split: str, settings: SpikingSettings, folder: Path | None, say: Callable[[str], object]) -> SpikeSamples:
    """Return a split's spikes, kept in `folder` if there is one, and say what they are and what of the files is damaged."""
    gestures = open_events(events, split, settings.people)
    with tqdm(desc=f"spikes, {split}", unit="sample", total=gestures.count, leave=False, dynamic_ncols=True) as bar:
        samples = spikes_of_set(gestures, settings.bins, folder, bar.update, marks_of(gestures, events))
    say(f"{split:6} {len(samples):6,} samples of {len(set(samples.subjects))} subjects: {samples.source}")
    for damage in samples.damages:
        say(f"  damaged: {damage}")
    return samples
