"""The training loop of the transformer: contiguous streams, in segments as long as its context that begin elsewhere each epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.network import U32, ModelError
from models.text.perplexity import perplexity_of
from models.training.common.loop import OnProgress, Sums, TrainingLoop
from models.training.common.run_folder import append_row
from models.training.language.text_streams import Text, streams
from models.training.transformer.network import Transformer
from models.training.transformer.settings import TransformerSettings

LOG_EVERY = 25
_SIDE_BY_SIDE = 16  # segments of an evaluation


@dataclass
class TextSums(Sums):
    """Since the last report also: nats, and words."""

    nats: float = 0.0
    words: int = 0


def windows_of(ids: U32, context: int) -> tuple[Tensor, Tensor]:
    """Return segments (n, context) of ids, which overlap by half, and the words (n, context) that follow each; -100 where a segment
    before it has predicted the word already, with more of a context, or there is none.
    """
    half, whole = context // 2, torch.from_numpy(ids.astype(np.int64))
    starts = range(0, max(1, len(ids) - 1 - half), half)
    inputs, targets = torch.zeros(len(starts), context, dtype=torch.int64), torch.full((len(starts), context), -100)
    for row, start in enumerate(starts):
        part = whole[start : start + context]
        following = whole[start + 1 : start + context + 1]
        inputs[row, : len(part)] = part
        fresh = 0 if start == 0 else context - half
        targets[row, fresh : len(following)] = following[fresh:]
    return inputs, targets


@torch.no_grad()
def score(model: Transformer, ids: U32) -> float:
    """Return the perplexity of a text, without dropout: each word but the first is predicted once, with half a context or more
    before it (but at the text's beginning). As the EGRU's, over all words, the first included although nothing predicts it.
    """
    was, device = model.training, model.decoder_bias.device
    model.eval()
    nats, (inputs, targets) = 0.0, windows_of(ids, model.settings.context)
    for at in range(0, len(inputs), _SIDE_BY_SIDE):
        logits = model(inputs[at : at + _SIDE_BY_SIDE].to(device)).flatten(0, 1)
        goals = targets[at : at + _SIDE_BY_SIDE].flatten().to(device)
        nats += float(functional.cross_entropy(logits, goals, reduction="sum").double())
    model.train(was)
    perplexity = perplexity_of(nats, len(ids))
    return math.inf if math.isnan(perplexity) else perplexity


class TransformerTrainer(TrainingLoop[TransformerSettings, TextSums, int, float]):
    """One training run on a text in a folder; a batch is where a segment begins in the streams."""

    COLUMNS = ("iteration", "epoch", "lr", "train_perplexity", "valid_perplexity", "gradient_norm", "seconds")
    DATA_KEY, OTHER_DATA, new_sums = "text", "another text", TextSums
    model: Transformer

    def __init__(
        self, text: Text, settings: TransformerSettings, folder: Path, device: torch.device | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, folder, device, on_progress)
        self.text = text
        self.model = Transformer(len(text.vocabulary), settings)
        self._begin_at_unigrams()
        self.model.to(self.device)
        matrices = [one for one in self.model.parameters() if one.ndim > 1]
        others = [one for one in self.model.parameters() if one.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": settings.weight_decay, "factor": 1.0},
            {"params": others, "weight_decay": 0.0, "factor": 1.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, 0.98), fused=True)
        self.streams = streams(text.splits["train"], settings.batch).to(self.device)
        if len(self.streams) < 2 * settings.context:
            raise ModelError(
                f"--context {settings.context}: {settings.batch} streams of {len(self.streams)} words are too short for it"
            )

    @torch.no_grad()
    def _begin_at_unigrams(self) -> None:
        counts = np.bincount(self.text.splits["train"], minlength=len(self.text.vocabulary)) + 0.5
        self.model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def first_iteration(self, epoch: int) -> int:
        """Return how many iterations lie before an epoch."""
        return epoch * ((len(self.streams) - self.settings.context) // self.settings.context)

    def batches(self, epoch: int) -> Sequence[int]:
        """Return where each segment begins, in an order of this epoch's own."""
        rng, context = np.random.default_rng([self.settings.seed, epoch]), self.settings.context
        starts = int(rng.integers(context)) + context * rng.permutation(self.first_iteration(1))
        return [int(start) for start in starts]

    def step(self, batch: int) -> None:
        """Learn from a segment of all streams."""
        window = self.streams[batch : batch + self.settings.context + 1].T
        logits = self.model(window[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        sums = self.progress.sums
        sums.add_iteration(self.descend(loss, [], self.rate(self.progress.iteration)), [])
        sums.nats, sums.words = sums.nats + float(loss.detach()) * window[:, 1:].numel(), sums.words + window[:, 1:].numel()

    def after_step(self) -> None:
        """Report every `LOG_EVERY` iterations."""
        if self.progress.iteration % LOG_EVERY == 0:
            self._report()

    def evaluate(self) -> float:
        """Return the perplexity of the validation text."""
        return score(self.model, self.text.splits["valid"])

    def end_epoch(self, evaluation: float) -> None:
        """Keep the best model, and report."""
        if evaluation < self.progress.best:
            self.keep_best(evaluation)
        self._report(evaluation)

    def _report(self, valid: float | None = None) -> None:
        at, sums = self.progress, self.take_sums()
        row: dict[str, Any] = {
            "iteration": at.iteration, "epoch": round(at.iteration / self.iterations * self.settings.epochs, 3),
            "lr": self.rate(at.iteration), "train_perplexity": perplexity_of(sums.nats, max(1, sums.words)),
            "gradient_norm": sums.norms / max(1, sums.iterations), "seconds": round(at.seconds, 1),
        }  # fmt: skip
        if valid is not None:
            row["valid_perplexity"] = valid
        append_row(self.folder, self.COLUMNS, row)
        self.shown = {"train": f"{row['train_perplexity']:.1f}", "best": f"{at.best:.1f}"}

    def data_digest(self) -> str:
        """Return a hash of vocabulary and training text."""
        return hashlib.sha256(self.text.vocabulary.sha256.encode() + self.text.splits["train"].tobytes()).hexdigest()
