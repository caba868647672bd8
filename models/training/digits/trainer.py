"""The training loop of the digits model: batches of varied images, scored on images held out.

`best.safetensors` keeps the parameters of the epoch with the lowest loss on them. Every batch's augmentation follows from seed
and iteration, and dropout from the random state that is stored, so an interrupted run goes on to the same end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.network import Array
from models.training.common.loop import OnProgress, Sums, TrainingLoop
from models.training.common.run_folder import append_row
from models.training.digits.images import Digits, varied
from models.training.digits.network import DigitsModel
from models.training.digits.settings import DigitsSettings
from models.training.digits.vision_transformer import VisionTransformer

NETWORKS: dict[str, type[DigitsModel | VisionTransformer]] = {"cnn": DigitsModel, "vit": VisionTransformer}


class Outcome(NamedTuple):
    """An evaluation: scores (n, 10) float32, loss in nats an image, share that is right."""

    scores: Array
    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(model: nn.Module, digits: Digits) -> Outcome:
    """Score every image in float32, without dropout or augmentation."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    scores = model(torch.from_numpy(digits.images).float().to(device)).cpu()
    model.train(was)
    labels = torch.from_numpy(digits.labels)
    loss = float(functional.cross_entropy(scores.double(), labels))
    return Outcome(scores.numpy(), loss, float((scores.argmax(1) == labels).double().mean()))


@dataclass
class ImageSums(Sums):
    """Over the iterations of an epoch so far also: images, their loss, and how many were right."""

    images: int = 0
    loss: float = 0.0
    right: int = 0


class DigitsTrainer(TrainingLoop[DigitsSettings, ImageSums, Array, Outcome]):
    """One training run in a folder; a batch is the numbers of its images."""

    COLUMNS = (
        "iteration", "epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "gradient_norm", "seconds",
    )  # fmt: skip
    DATA_KEY, OTHER_DATA, new_sums = "data", "other images", ImageSums

    def __init__(
        self, train: Digits, valid: Digits, settings: DigitsSettings, folder: Path, device: torch.device | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, folder, device, on_progress)
        self.train, self.valid = train, valid
        self.model = NETWORKS[settings.network](settings).to(self.device)
        groups = [{"params": [*self.model.parameters()], "factor": 1.0}]
        betas = settings.beta1, 0.999
        self.optimiser = torch.optim.AdamW(groups, lr=settings.lr, betas=betas, weight_decay=settings.weight_decay, fused=True)

    def first_iteration(self, epoch: int) -> int:
        """Return how many iterations lie before an epoch."""
        return epoch * -(-len(self.train) // self.settings.batch)

    def batches(self, epoch: int) -> Sequence[Array]:
        """Return the numbers of each batch's images: every image once, the last batch smaller."""
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.train))
        return np.split(order, range(self.settings.batch, len(order), self.settings.batch))

    def step(self, batch: Array) -> None:
        """Learn from varied images."""
        s, iteration, sums = self.settings, self.progress.iteration, self.progress.sums
        images = torch.from_numpy(self.train.images[batch]).float()
        images = varied(images, s, np.random.default_rng([s.seed, iteration, 1])).to(self.device)
        labels = torch.from_numpy(self.train.labels[batch]).to(self.device)
        scores = self.model(images)
        loss = functional.cross_entropy(scores, labels, label_smoothing=s.smoothing)
        sums.add_iteration(self.descend(loss, [], self.rate(iteration)), [])
        sums.images, sums.loss = sums.images + len(batch), sums.loss + float(loss.detach()) * len(batch)
        sums.right += int((scores.argmax(1) == labels).sum())

    def evaluate(self) -> Outcome:
        """Score the model on the images held out."""
        return evaluate(self.model, self.valid)

    def end_epoch(self, evaluation: Outcome) -> None:
        """Keep the best model, and write a row of the log."""
        at, sums = self.progress, self.take_sums()
        if evaluation.loss <= at.best:
            self.keep_best(evaluation.loss)
        row = {"iteration": at.iteration, "epoch": at.epoch, "lr": self.rate(at.iteration), "seconds": round(at.seconds, 1)}
        row |= {"train_loss": sums.loss / sums.images, "train_accuracy": sums.right / sums.images}
        row |= {"valid_loss": evaluation.loss, "valid_accuracy": evaluation.accuracy}
        append_row(self.folder, self.COLUMNS, row | {"gradient_norm": sums.norms / sums.iterations})
        self.shown = {"train": f"{row['train_accuracy']:.3f}", "valid": f"{evaluation.accuracy:.3f}"}

    def data_digest(self) -> str:
        """Return a hash of all images and labels."""
        arrays = [array for digits in (self.train, self.valid) for array in (digits.images, digits.labels)]
        return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
