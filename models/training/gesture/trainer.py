"""The training loop of the gesture model: batches of varied frames, scored on held-out subjects.

`best.safetensors` keeps the parameters of the epoch with the lowest loss on the held-out subjects, or of the last epoch where
none are held out. Every batch's augmentation follows from seed and iteration, so an interrupted run goes on to the same end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch.nn import functional

from models.dvs.samples import CLASSES
from models.network import F32, Array, ModelError
from models.training.common.loop import VALUE, OnProgress, Sums, TrainingLoop, adamw
from models.training.common.run_folder import STATE, append_row
from models.training.gesture.frames import Frames, batches, labels_of, varied
from models.training.gesture.network import GestureModel
from models.training.gesture.settings import GestureSettings

_CALIBRATED = 64  # samples that initial weights are scaled by
_SCORED = 64  # samples side by side in an evaluation


class Outcome(NamedTuple):
    """An evaluation: scores (n, classes) float32, loss in nats a sample, share that is right, activity by layer."""

    scores: F32
    loss: float
    accuracy: float
    activity: list[float]

    @property
    def predictions(self) -> Array:
        """The class of each sample, (n,): the first of the highest scores."""
        return np.asarray(self.scores.argmax(1))


@torch.no_grad()
def evaluate(model: GestureModel, frames: Frames) -> Outcome:
    """Score every sample in float32, without dropout or augmentation."""
    was, device = model.training, model.readout_bias.device
    model.eval()
    scores, activity = [], np.zeros(len(model.layers))
    every = np.arange(len(frames))
    for first in range(0, len(frames), _SCORED):
        numbers = every[first : first + _SCORED]
        answer = model(frames.scaled(numbers, model.settings.scale).transpose(0, 1).to(device))
        scores.append(answer.scores.cpu())
        activity += torch.stack(answer.activity).double().cpu().numpy() * len(numbers)
    model.train(was)
    whole, labels = torch.cat(scores), labels_of(frames, every)
    loss = float(functional.cross_entropy(whole.double(), labels))
    right = float((whole.argmax(1) == labels).double().mean())
    return Outcome(whole.numpy(), loss, right, [float(share) for share in activity / len(frames)])


@dataclass
class SampleSums(Sums):
    """Over the iterations of an epoch so far also: samples, their loss, and how many were right."""

    samples: int = 0
    loss: float = 0.0
    right: int = 0

    def add(self, samples: int, loss: float, right: int, norm: float, activity: list[float]) -> None:
        """Add one iteration over `samples` at a mean of `loss`."""
        self.add_iteration(norm, activity)
        self.samples, self.loss, self.right = self.samples + samples, self.loss + loss * samples, self.right + right


class GestureTrainer(TrainingLoop[GestureSettings, SampleSums, Array, "Outcome | None"]):
    """One training run on frames in a folder; a batch is the numbers of its samples."""

    COLUMNS = (
        "iteration", "epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "gradient_norm", "seconds",
        "activity",
    )  # fmt: skip
    DATA_KEY, OTHER_DATA, new_sums = "data", "other events", SampleSums
    model: GestureModel

    def __init__(
        self, train: Frames, valid: Frames | None, settings: GestureSettings, folder: Path,
        device: torch.device | None = None, on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, folder, device, on_progress)
        self.train, self.valid = train, valid
        self.model = GestureModel(len(CLASSES), settings)
        first = np.sort(batches(len(train), _CALIBRATED, settings.seed, 0)[0])
        self.model.calibrate(train.scaled(first, settings.scale).transpose(0, 1))
        if settings.begin_with:
            self._begin_with(Path(settings.begin_with))
        self.model.to(self.device)
        # A factor, because a mean over sparse events is small.
        self.optimiser = adamw(self.model, settings, {"readout_weight": settings.readout_lr})

    def _begin_with(self, run: Path) -> None:
        """Take the last parameters of another run; ModelError where it has none, or none of these sizes.

        With a decayed learning rate the last epoch is as good as the best; the difference is noise of the held-out subjects.
        """
        try:
            with safe_open(run / STATE, "pt") as file:
                values = {name: file.get_tensor(name) for name in file.keys() if name.startswith(VALUE)}  # noqa: SIM118 - no dict
            self.model.load_state_dict({name.removeprefix(VALUE): value for name, value in values.items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(f"--begin-with {run}: {' '.join(str(error).split())[:200]}") from error

    def first_iteration(self, epoch: int) -> int:
        """Return how many iterations lie before an epoch."""
        return epoch * -(-len(self.train) // self.settings.batch)

    def batches(self, epoch: int) -> Sequence[Array]:
        """Return the numbers of the samples of each batch."""
        return batches(len(self.train), self.settings.batch, self.settings.seed, epoch)

    def step(self, batch: Array) -> None:
        """Learn from varied frames of these samples."""
        s, iteration = self.settings, self.progress.iteration
        frames = varied(self.train.scaled(batch, s.scale), s, np.random.default_rng([s.seed, iteration, 1]))
        labels = labels_of(self.train, batch).to(self.device)
        answer = self.model(frames.transpose(0, 1).to(self.device))
        loss = functional.cross_entropy(answer.scores, labels, label_smoothing=s.smoothing)
        norm = self.descend(loss, answer.activity, self.rate(iteration))
        right = int((answer.scores.argmax(1) == labels).sum())
        self.progress.sums.add(len(batch), float(loss.detach()), right, norm, torch.stack(answer.activity).tolist())

    def evaluate(self) -> Outcome | None:
        """Score the model on the held-out subjects, if there are any."""
        return None if self.valid is None else evaluate(self.model, self.valid)

    def end_epoch(self, evaluation: Outcome | None) -> None:
        """Keep the best model, and write a row of the log."""
        at, sums = self.progress, self.take_sums()
        row: dict[str, Any] = {"iteration": at.iteration, "epoch": at.epoch, "lr": self.rate(at.iteration)}
        row |= {"train_loss": sums.loss / sums.samples, "train_accuracy": sums.right / sums.samples}
        self.shown = {"train": f"{row['train_accuracy']:.3f}"}
        activity, loss = sums.mean_activity(), 1.0 - at.epoch  # without held-out subjects each epoch is the best so far
        if evaluation is not None:
            row |= {"valid_loss": evaluation.loss, "valid_accuracy": evaluation.accuracy}
            self.shown |= {"valid": f"{evaluation.accuracy:.3f}", "loss": f"{evaluation.loss:.3f}"}
            activity, loss = evaluation.activity, evaluation.loss
        if loss <= at.best and math.isfinite(row["train_loss"]):
            self.keep_best(loss)
        row |= {"gradient_norm": sums.norms / sums.iterations, "seconds": round(at.seconds, 1)}
        append_row(self.folder, self.COLUMNS, row | {"activity": " ".join(f"{share:.4f}" for share in activity)})
        self.shown |= {"active": " ".join(f"{share:.2f}" for share in activity)}

    def data_digest(self) -> str:
        """Return a hash of all frames."""
        return hashlib.sha256((self.train.sha256 + (self.valid.sha256 if self.valid else "")).encode()).hexdigest()
