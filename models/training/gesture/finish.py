"""The end of a gesture run: score the best model, rounded as it will be stored, on people it never saw; write its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from models.checkpoint import Model, save
from models.dvs.samples import CLASSES
from models.network import F32
from models.training.common.export import provenance_of
from models.training.common.run_folder import read_best
from models.training.gesture.export import model_of
from models.training.gesture.frames import Frames
from models.training.gesture.mean_frame import mean_frame_accuracy
from models.training.gesture.trainer import GestureTrainer, Outcome, evaluate

CHECKPOINT = "model.safetensors"


def finish(trainer: GestureTrainer, test: Frames, say: Callable[[str], object]) -> Model:
    """Score the run's best model on the test split, and write `figures.json` and `model.safetensors` into its folder.

    ModelError where no epoch gave a model: its loss was never a number.
    """
    model, folder = trainer.model, trainer.folder
    model.load_state_dict(read_best(folder, "loss"))
    model.fold()
    model.round_weights()
    outcome = evaluate(model, test)
    figures: dict[str, Any] = {
        "accuracy": outcome.accuracy,
        "mean_frame_accuracy": _baseline(trainer, test),
        "activity": outcome.activity,
        "loss": outcome.loss,
        "best_epoch": trainer.progress.best_epoch,
        "seconds": round(trainer.progress.seconds),
        "samples": {"train": len(trainer.train), "test": len(test)},
        "subjects": {"train": _people(trainer.train), "test": _people(test)},
    }
    if trainer.valid is not None:
        valid = evaluate(model, trainer.valid)
        figures |= {"valid_accuracy": valid.accuracy, "valid_loss": valid.loss}
        figures["samples"]["valid"], figures["subjects"]["valid"] = len(trainer.valid), _people(trainer.valid)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    record = figures | {
        "events": test.source,
        "test_frames_sha256": test.sha256,
        "torch_predictions": outcome.predictions.tolist(),
        "torch_scores": [[float(f"{score:.7g}") for score in row] for row in outcome.scores.tolist()],
        "labels": test.labels.tolist(),
    }
    result = model_of(model, record, provenance_of({"events": test.source}, trainer.settings))
    save(folder / CHECKPOINT, result)
    _tell(outcome, figures, test, say)
    say(f"checkpoint   {folder / CHECKPOINT}, {(folder / CHECKPOINT).stat().st_size:,} B")
    return result


def _baseline(trainer: GestureTrainer, test: Frames) -> float:
    """Accuracy of a logistic regression on the mean frame, trained on the same samples, held-out ones too."""
    scale, parts = trainer.settings.scale, [trainer.train, *([trainer.valid] if trainer.valid else [])]
    labels = [int(label) for part in parts for label in part.labels]
    people = [subject for part in parts for subject in part.subjects]
    known, unknown = chain.from_iterable(_singly(part, scale) for part in parts), _singly(test, scale)
    return mean_frame_accuracy(known, labels, unknown, test.labels.tolist(), people)


def _singly(frames: Frames, scale: float) -> Iterator[F32]:
    return (frames.scaled(np.array([number]), scale)[0].numpy() for number in range(len(frames)))


def _people(frames: Frames) -> list[str]:
    return sorted(set(frames.subjects))


def _tell(outcome: Outcome, figures: dict[str, Any], test: Frames, say: Callable[[str], object]) -> None:
    right = outcome.predictions == test.labels
    say(f"test         {outcome.accuracy:.2%} of {len(test):,} samples of {len(set(test.subjects))} subjects never seen")
    say(f"mean frame   {figures['mean_frame_accuracy']:.2%} by a logistic regression on the same samples")
    say(f"activity     {' '.join(f'{share:.3f}' for share in outcome.activity)}")
    for label, name in enumerate(CLASSES):
        among = test.labels == label
        if among.any():
            say(f"  {name:28}  {int(right[among].sum()):4} of {int(among.sum()):4}")
