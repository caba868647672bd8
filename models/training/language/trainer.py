"""The training loop of the language model: text in streams, gradual pruning, a report every few iterations.

`best.safetensors` keeps the parameters with the lowest validation perplexity at the target sparsity. What is pruned is left out
of the state, so that it shrinks with the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.text.perplexity import perplexity_of
from models.training.common.egru_layer import Egru
from models.training.common.log_plot import COLUMNS
from models.training.common.loop import VALUE, OnProgress, Sums, TrainingLoop, adamw
from models.training.common.pruning import Pruner, sparsity_at
from models.training.common.run_folder import MOMENTS, STATE, append_row
from models.training.language.evaluate import Score, score
from models.training.language.network import LanguageModel
from models.training.language.settings import LanguageSettings
from models.training.language.start import begin_with
from models.training.language.text_streams import Text, streams

LOG_EVERY = 25
VALID_SEQUENCES = 64  # side by side while training: quick; the final figures use one, as the authors' test does
_SHORTEST = 5  # of a drawn length, as the authors have it
_SPREAD = 5  # standard deviation of drawn lengths
_HALVED = 0.05  # share of drawn lengths whose mean is half the usual one
_MOVED, _MASK, _INPUTS = "moved:", "mask:", "inputs:"  # before the name of a matrix in the state


@dataclass
class TextSums(Sums):
    """Since the last report also: nats a step, and steps."""

    nats: float = 0.0
    words: int = 0

    def add(self, length: int, nats: float, norm: float, activity: list[float]) -> None:
        """Add one iteration over `length` words a stream at a mean of `nats`."""
        self.add_iteration(norm, activity)
        self.nats, self.words = self.nats + nats * length, self.words + length


class LanguageTrainer(TrainingLoop[LanguageSettings, TextSums, tuple[int, int], Score]):
    """One training run on a text in a folder; a batch is where a segment starts in the streams, and its length."""

    COLUMNS, DATA_KEY, OTHER_DATA, new_sums = COLUMNS, "text", "another text", TextSums
    model: LanguageModel

    def __init__(
        self, text: Text, settings: LanguageSettings, folder: Path, device: torch.device | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:  # fmt: skip
        super().__init__(settings, folder, device, on_progress)
        self.text = text
        self.model = LanguageModel(len(text.vocabulary), settings)
        self._begin_at_unigrams()
        self.pruner = Pruner(self.model.matrices(), settings.score, settings.vector_height)
        if settings.start != "none" and not (folder / STATE).exists():
            self.pruner.inputs_before = begin_with(self.model, text, Path(settings.start))
        self.model.to(self.device)
        self.optimiser = adamw(self.model, settings, {})
        self.streams = streams(text.splits["train"], settings.batch).to(self.device)
        # Lengths are drawn apart from masks, so that the number of iterations is known before the run.
        self.lengths = self._lengths()
        self.states: list[tuple[Tensor, Tensor]] = []  # y and c of each layer, between two segments

    @torch.no_grad()
    def _begin_at_unigrams(self) -> None:
        """Begin at the unigram level: the decoder's bias is each word's log frequency (scaled initialisation only)."""
        if self.settings.init != "scaled":
            return
        counts = np.bincount(self.text.splits["train"], minlength=len(self.text.vocabulary)) + 0.5
        self.model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def _lengths(self) -> list[list[int]]:
        """Return the segment lengths of every epoch."""
        s, total = self.settings, len(self.streams) - 1
        rng = np.random.default_rng([s.seed, 1])
        epochs = []
        for _ in range(s.epochs):
            lengths: list[int] = []
            while (left := total - sum(lengths)) > 0:
                length = s.length
                if s.vary_length:
                    mean = s.length / 2 if rng.random() < _HALVED else s.length
                    length = max(_SHORTEST, int(rng.normal(mean, _SPREAD)))
                lengths.append(min(length, left))
            epochs.append(lengths)
        return epochs

    def first_iteration(self, epoch: int) -> int:
        """Return how many iterations lie before an epoch."""
        return sum(len(lengths) for lengths in self.lengths[:epoch])

    def batches(self, epoch: int) -> Sequence[tuple[int, int]]:
        """Return start and length of each segment."""
        lengths = self.lengths[epoch]
        return [(sum(lengths[:number]), length) for number, length in enumerate(lengths)]

    def step(self, batch: tuple[int, int]) -> None:
        """Learn from a segment of all streams, and prune where that is due."""
        s, (start, length) = self.settings, batch
        if start == 0:
            self.states = self.model.begin(s.batch)
        window = self.streams[start : start + length + 1]
        answer = self.model(window[:-1], self.model.next_segment(self.states))
        self.states = answer.states
        loss = functional.cross_entropy(answer.logits.flatten(0, 1), window[1:].flatten())
        rate = self.rate(self.progress.iteration) * (length / s.length if s.vary_length else 1.0)
        norm = self.descend(loss, answer.activity, rate)
        if s.sparsity:
            self._prune()
        activity = torch.stack(answer.activity).tolist() if answer.activity else []
        self.progress.sums.add(length, float(loss.detach()), norm, activity)

    def observe_gradients(self) -> None:
        """Let the pruner see how weights move."""
        self.pruner.observe()

    def _prune(self) -> None:
        s, iteration = self.settings, self.progress.iteration
        # The last step prunes to the target whatever the schedule, so that a run of few iterations is pruned too.
        due = sparsity_at(iteration / self.iterations, s.sparsity, s.prune_from, s.prune_until)
        if iteration + 1 == self.iterations:
            due = s.sparsity
        if (iteration % s.prune_every == 0 or due == s.sparsity) and due and not self.pruner.reached(s.sparsity):
            self.pruner.prune(due)
            self._lay_out()
        self.pruner.apply()

    def _lay_out(self) -> None:
        """Let layers multiply with the vectors that are left, where that is faster."""
        for name, layout in self.pruner.layouts().items():
            layer, _, matrix = name.rpartition(".")
            egru = self.model.get_submodule(layer)
            assert isinstance(egru, Egru)
            egru.vectors[matrix] = layout

    def after_step(self) -> None:
        """Report every `LOG_EVERY` iterations."""
        if self.progress.iteration % LOG_EVERY == 0:
            self._report()

    def evaluate(self) -> Score:
        """Score the model on the validation text."""
        valid = self.text.splits["valid"]
        return score(self.model, valid, min(VALID_SEQUENCES, len(valid) // 2))

    def end_epoch(self, evaluation: Score) -> None:
        """Keep the best model of the target sparsity, and report."""
        reached = self.settings.sparsity == 0 or self.pruner.reached(self.settings.sparsity)
        if reached and evaluation.perplexity < self.progress.best:
            self.keep_best(evaluation.perplexity)
        self._report(evaluation)

    def _report(self, valid: Score | None = None) -> None:
        """Write what the last iterations gave into the log and beside the progress bar."""
        at, sums, zeros = self.progress, self.take_sums(), self.pruner.sparsity()
        activity = valid.activity if valid else sums.mean_activity()
        row: dict[str, Any] = {
            "iteration": at.iteration, "epoch": round(at.iteration / self.iterations * self.settings.epochs, 3),
            "lr": self.rate(at.iteration), "train_perplexity": perplexity_of(sums.nats, sums.words),
            "sparsity": sum(zeros.values()) / max(1, len(zeros)), "gradient_norm": sums.norms / sums.iterations,
            "seconds": round(at.seconds, 1), "activity": " ".join(f"{share:.4f}" for share in activity),
        }  # fmt: skip
        if valid:
            row["valid_perplexity"] = valid.perplexity
        append_row(self.folder, COLUMNS, row)
        self.shown = {"train": f"{row['train_perplexity']:.1f}", "best": f"{at.best:.1f}", "sparse": f"{row['sparsity']:.3f}"}

    def data_digest(self) -> str:
        """Return a hash of vocabulary and training text."""
        return hashlib.sha256(self.text.vocabulary.sha256.encode() + self.text.splits["train"].tobytes()).hexdigest()

    def state_tensors(self) -> dict[str, Tensor]:
        """Return also masks, recurrent states and scores; of a pruned matrix, only the weights that are left."""
        tensors = super().state_tensors()
        for name, mask in self.pruner.masks.items():
            for part in (f"{VALUE}{name}", *(f"{moment}:{name}" for moment in MOMENTS)):
                if part in tensors:
                    tensors[part] = tensors[part][mask]
            tensors[f"{_MASK}{name}"] = torch.from_numpy(np.packbits(mask.cpu().numpy()))
        for number, (y, c) in enumerate(self.states):
            tensors |= {f"y:{number}": y, f"c:{number}": c}
        tensors |= {f"{_INPUTS}{name}": torch.tensor(inputs) for name, inputs in self.pruner.inputs_before.items()}
        return tensors | {f"{_MOVED}{name}": moved for name, moved in self.pruner.moved.items()}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` gave."""
        whole = dict(tensors)
        for name, matrix in self.model.matrices().items():
            if f"{_MASK}{name}" in tensors:
                bits = np.unpackbits(tensors[f"{_MASK}{name}"].cpu().numpy())[: matrix.numel()]
                mask = torch.from_numpy(bits.astype(bool)).view_as(matrix).to(self.device)
                self.pruner.masks[name] = mask
                for part in (f"{VALUE}{name}", *(f"{moment}:{name}" for moment in MOMENTS)):
                    if part in tensors:
                        whole[part] = torch.zeros_like(matrix)
                        whole[part][mask] = tensors[part]
            if f"{_INPUTS}{name}" in tensors:
                self.pruner.inputs_before[name] = int(tensors[f"{_INPUTS}{name}"])
            if f"{_MOVED}{name}" in tensors:
                self.pruner.moved[name] = tensors[f"{_MOVED}{name}"]
        super().load_state_tensors(whole)
        self._lay_out()
        self.states = [(tensors[f"y:{number}"], tensors[f"c:{number}"]) for number in range(len(self.model.layers))]
