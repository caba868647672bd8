"""The training loop of the spiking model: batches of varied spikes, scored on held-out subjects.

`best.safetensors` keeps the parameters of the epoch with the lowest loss on the held-out subjects, or of the last epoch where
none are held out. Every batch's augmentation follows from seed and iteration, so an interrupted run goes on to the same end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from models.dvs.samples import CLASSES
from models.network import Array, ModelError
from models.training.common.loop import VALUE, OnProgress, TrainingLoop, adamw
from models.training.common.run_folder import STATE, append_row
from models.training.gesture.frames import batches
from models.training.gesture.trainer import SampleSums
from models.training.spiking.frames import SpikeSamples, varied
from models.training.spiking.network import SpikingModel
from models.training.spiking.settings import SpikingSettings

_SCORED = 32  # samples side by side in an evaluation


class Outcome(NamedTuple):
    """An evaluation: loss in nats a sample, share that is right, activity by layer."""

    loss: float
    accuracy: float
    activity: list[float]


@torch.no_grad()
def evaluate(model: SpikingModel, samples: SpikeSamples) -> Outcome:
    """Score every sample, without augmentation."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    scores, activity = list[Tensor](), np.zeros(0)
    every = np.arange(len(samples))
    for first in range(0, len(samples), _SCORED):
        numbers = every[first : first + _SCORED]
        answer = model(samples.spikes(numbers).transpose(0, 1).contiguous().to(device))
        scores.append(answer.scores.cpu())
        shares = torch.stack(answer.activity).double().cpu().numpy() * len(numbers)
        activity = activity + shares if first else shares
    model.train(was)
    whole, labels = torch.cat(scores), samples.labels_of(every)
    loss = float(functional.cross_entropy(whole.double() * model.settings.temperature, labels))
    right = float((whole.argmax(1) == labels).double().mean())
    return Outcome(loss, right, [float(share) for share in activity / len(samples)])


class SpikingTrainer(TrainingLoop[SpikingSettings, SampleSums, Array, "Outcome | None"]):
    """One training run on spikes in a folder; a batch is the numbers of its samples."""

    COLUMNS = (
        "iteration", "epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "gradient_norm", "seconds",
        "activity",
    )  # fmt: skip
    DATA_KEY, OTHER_DATA, new_sums = "data", "other events", SampleSums
    model: SpikingModel

    def __init__(
        self, train: SpikeSamples, valid: SpikeSamples | None, settings: SpikingSettings, folder: Path,
        device: torch.device | None = None, on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, folder, device, on_progress)
        self.train, self.valid = train, valid
        self.model = SpikingModel(len(CLASSES), settings)
        if settings.begin_with:
            self._begin_with(Path(settings.begin_with))
        self.model.to(self.device)
        names = [name for name, _ in self.model.named_parameters() if name.endswith("beta_logit")]
        self.optimiser = adamw(self.model, settings, dict.fromkeys(names, settings.beta_lr))

    def _begin_with(self, run: Path) -> None:
        """Take the last parameters of another run; ModelError where it has none, or none of these sizes."""
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
        """Learn from varied spikes of these samples."""
        s, iteration = self.settings, self.progress.iteration
        spikes = varied(self.train.cells_of(batch), s, np.random.default_rng([s.seed, iteration, 1]))
        labels = self.train.labels_of(batch).to(self.device)
        answer = self.model(spikes.transpose(0, 1).contiguous().to(self.device))
        loss = functional.cross_entropy(answer.scores * s.temperature, labels, label_smoothing=s.smoothing)
        norm = self.descend(loss, answer.activity, self.rate(iteration))
        right = int((answer.scores.argmax(1) == labels).sum())
        activity = torch.stack([share.detach() for share in answer.activity]).tolist()
        self.progress.sums.add(len(batch), float(loss.detach()), right, norm, activity)

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
        """Return a hash of all spikes."""
        return hashlib.sha256((self.train.sha256 + (self.valid.sha256 if self.valid else "")).encode()).hexdigest()
