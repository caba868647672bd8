"""The training loop: optimiser, schedules, pruning, a log as CSV, and a state on disk to go on from.

A run folder holds `settings.json`, `log.csv` (a row per report and per epoch), `best.safetensors` (the parameters with
the lowest validation perplexity at the target sparsity) and `state.safetensors`, from which an interrupted run goes on
to the same end: parameters, both moments of the optimiser, masks, recurrent state, position, random state, sums of the report
under way. What is pruned is left out of it, so it shrinks with the model. Both files are safetensors: nothing here
unpickles.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from models.network import ModelError
from models.training.common.interrupts import interrupt_noted
from models.training.common.log_plot import COLUMNS
from models.training.common.pruning import Pruner, sparsity_at
from models.training.common.run_folder import (
    STATE,
    append_row,
    damage_named,
    forget_rows_behind,
    moments,
    need_same_settings,
    random_state,
    set_random_state,
    write_best,
    write_state,
)
from models.training.common.schedule import activity_penalty, rate_at
from models.training.language.evaluate import Score, score
from models.training.language.network import LanguageModel
from models.training.language.settings import Settings
from models.training.language.text_streams import Text, streams

LOG_EVERY = 25
VALID_SEQUENCES = 64  # side by side while training: quick; the final figures use one, as the authors' test does
_SHORTEST = 5  # of a drawn length, as the authors have it
_SPREAD = 5  # standard deviation of drawn lengths
_HALVED = 0.05  # share of drawn lengths whose mean is half the usual one


@dataclass
class Sums:
    """Over the iterations since the last report: nats a step, steps, gradient norms, iterations, activity by layer."""

    nats: float = 0.0
    words: int = 0
    norms: float = 0.0
    iterations: int = 0
    activity: list[float] = field(default_factory=list)

    def add(self, length: int, nats: float, norm: float, activity: list[float]) -> None:
        """Take in one iteration over `length` words a stream at a mean of `nats`."""
        self.nats, self.words, self.norms = self.nats + nats * length, self.words + length, self.norms + norm
        self.iterations += 1
        self.activity = [a + b for a, b in zip(self.activity or [0.0] * len(activity), activity, strict=True)]


@dataclass
class Progress:
    """Where a run is."""

    iteration: int = 0
    epoch: int = 0  # whole ones done
    best: float = math.inf
    seconds: float = 0.0
    sums: Sums = field(default_factory=Sums)


@dataclass
class Trainer:
    """One training run in a folder. `told` is called with (iterations done, of how many, what a progress bar shows)."""

    text: Text
    settings: Settings
    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    told: Callable[[int, int, dict[str, str]], None] = lambda *_: None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.settings.check()
        torch.manual_seed(self.settings.seed)
        self.model = LanguageModel(len(self.text.vocabulary), self.settings)
        self._words_as_often_as_they_are()
        self.model.to(self.device)
        self.pruner = Pruner(self.model.matrices(), self.settings.score)
        self.optimiser = self._optimiser()
        self.streams = streams(self.text.splits["train"], self.settings.batch).to(self.device)
        # Lengths are drawn apart from masks, so that the number of iterations is known before the run.
        self.lengths = self._lengths()

    @torch.no_grad()
    def _words_as_often_as_they_are(self) -> None:
        """Begin at the unigram level: the decoder's bias is each word's log frequency (scaled initialisation only)."""
        if self.settings.init != "scaled":
            return
        counts = np.bincount(self.text.splits["train"], minlength=len(self.text.vocabulary)) + 0.5
        self.model.decoder_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def _optimiser(self) -> torch.optim.AdamW:
        s = self.settings
        slow = [p for name, p in self.model.named_parameters() if name.endswith("threshold")]
        rest = [p for name, p in self.model.named_parameters() if not name.endswith("threshold")]
        for threshold in slow:
            threshold.requires_grad_(s.threshold_lr > 0)
        groups = [
            {"params": rest, "weight_decay": s.weight_decay, "factor": 1.0},
            {"params": [p for p in slow if p.requires_grad], "weight_decay": 0.0, "factor": s.threshold_lr},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=s.lr, betas=(s.beta1, 0.999), fused=True)

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

    @property
    def iterations(self) -> int:
        """How many steps of the optimiser the whole run takes."""
        return sum(len(lengths) for lengths in self.lengths)

    def rate(self, iteration: int) -> float:
        """Return the learning rate at an iteration: a linear rise, a plateau, a cosine to 0."""
        s = self.settings
        return rate_at(iteration, self.iterations, s.lr, s.warm_up, s.cosine_from)

    def prepare(self) -> None:
        """Take up the folder's state, if it has one; ModelError where that belongs to another run."""
        if self.progress.iteration:
            return
        with damage_named(self.folder):
            if (self.folder / STATE).exists():
                self._resume()
            else:
                forget_rows_behind(self.folder, COLUMNS, 0)  # of a run that died before its first state

    def run(self) -> Progress:
        """Train to the end, or on from where the folder's state stands.

        KeyboardInterrupt, by a signal or out of `told`, leaves the state of the iteration it came in; a second signal
        ends at once, with the state of the last epoch. ModelError where the state belongs to another run.
        """
        self.prepare()
        with interrupt_noted() as noted:
            while self.progress.epoch < self.settings.epochs:
                self._epoch(noted)
        return self.progress

    def _epoch(self, noted: list[int]) -> None:
        """One pass over the training text, then an evaluation; the state is kept at its end."""
        s, at = self.settings, self.progress
        lengths = self.lengths[at.epoch]
        skip = at.iteration - sum(len(one) for one in self.lengths[: at.epoch])
        if not skip:
            self.states = self.model.begin(s.batch)
        self.model.train()
        begun = time.monotonic()
        for number in range(skip, len(lengths)):
            start = sum(lengths[:number])
            window = self.streams[start : start + lengths[number] + 1]
            at.sums.add(lengths[number], *self._step(window[:-1], window[1:], lengths[number]))
            at.iteration += 1
            if number + 1 == len(lengths):
                break
            now = time.monotonic()
            at.seconds, begun = at.seconds + now - begun, now
            if at.iteration % LOG_EVERY == 0:
                self._report()
            self._leave_if(noted)
        result = score(self.model, self.text.splits["valid"], min(VALID_SEQUENCES, len(self.text.splits["valid"]) // 2))
        at.seconds += time.monotonic() - begun
        at.epoch += 1
        reached = s.sparsity == 0 or self.pruner.reached(s.sparsity)
        if reached and result.perplexity < at.best:
            at.best = result.perplexity
            write_best(self.folder, self.model.named_parameters())
        self._report(result)
        self._store()
        self._leave_if(noted)

    def _report(self, valid: Score | None = None) -> None:
        """Log and tell what the last iterations gave, and begin new sums."""
        at = self.progress
        sums, at.sums = at.sums, Sums()
        row: dict[str, Any] = {
            "train_perplexity": math.exp(min(sums.nats / sums.words, 700.0)),
            "gradient_norm": sums.norms / sums.iterations,
        }
        if valid:
            row["valid_perplexity"] = valid.perplexity
        row = self._log(row, valid.activity if valid else [share / sums.iterations for share in sums.activity])
        shown = {"train": f"{row['train_perplexity']:.1f}", "best": f"{at.best:.1f}", "sparse": f"{row['sparsity']:.3f}"}
        try:
            self.told(at.iteration, self.iterations, shown)
        except KeyboardInterrupt:
            self._store()
            raise

    def _leave_if(self, noted: list[int]) -> None:
        if noted:
            self._store()
            raise KeyboardInterrupt

    def _step(self, words: Tensor, targets: Tensor, length: int) -> tuple[float, float, list[float]]:
        """One step of the optimiser; returns cross entropy in nats, the gradient's norm, and each layer's activity."""
        s, at = self.settings, self.progress
        rate = self.rate(at.iteration) * (length / s.length if s.vary_length else 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        answer = self.model(words, self.model.next_segment(self.states))
        self.states = answer.states
        loss = functional.cross_entropy(answer.logits.flatten(0, 1), targets.flatten())
        objective = loss + activity_penalty(answer.activity, s.activity_floor, s.activity_target, s.activity_weight)
        self.optimiser.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        self.pruner.observe()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
        self.optimiser.step()
        if s.sparsity:
            # The last step prunes to the target whatever the schedule, so that a run of few iterations is pruned too.
            due = sparsity_at(at.iteration / self.iterations, s.sparsity, s.prune_from, s.prune_until)
            if at.iteration + 1 == self.iterations:
                due = s.sparsity
            if (at.iteration % s.prune_every == 0 or due == s.sparsity) and due and not self.pruner.reached(s.sparsity):
                self.pruner.prune(due)
            self.pruner.apply()
        return float(loss.detach()), float(norm), torch.stack(answer.activity).tolist() if answer.activity else []

    def _log(self, row: dict[str, Any], activity: list[float]) -> dict[str, Any]:
        """Append a row to the log and return it whole."""
        at = self.progress
        zeros = self.pruner.sparsity()
        row |= {
            "iteration": at.iteration,
            "epoch": round(at.iteration / self.iterations * self.settings.epochs, 3),
            "lr": self.rate(at.iteration),
            "sparsity": sum(zeros.values()) / max(1, len(zeros)),
            "seconds": round(at.seconds, 1),
            "activity": " ".join(f"{share:.4f}" for share in activity),
        }
        append_row(self.folder, COLUMNS, row)
        return row

    def _store(self) -> None:
        """Write the state whole or not at all."""
        tensors = random_state(self.device)
        tensors |= {f"moved:{name}": moved.cpu().contiguous() for name, moved in self.pruner.moved.items()}
        for name, parameter in self.model.named_parameters():
            mask = self.pruner.masks.get(name)
            parts = {"value": parameter.detach(), **moments(self.optimiser, parameter)}
            for part, tensor in parts.items():
                tensors[f"{part}:{name}"] = (tensor if mask is None else tensor[mask]).cpu().contiguous()
            if mask is not None:
                tensors[f"mask:{name}"] = torch.from_numpy(np.packbits(mask.cpu().numpy()))
        for number, (y, c) in enumerate(self.states):
            tensors[f"y:{number}"], tensors[f"c:{number}"] = y.detach().cpu().contiguous(), c.detach().cpu().contiguous()
        about = {
            "progress": json.dumps(asdict(self.progress)),
            "settings": json.dumps(asdict(self.settings)),
            "text": self._text_digest(),
        }
        write_state(self.folder, tensors, about)

    def _text_digest(self) -> str:
        return hashlib.sha256(self.text.vocabulary.sha256.encode() + self.text.splits["train"].tobytes()).hexdigest()

    @torch.no_grad()
    def _resume(self) -> None:
        """Take up the folder's state; ModelError where it belongs to other settings or another text."""
        path = self.folder / STATE
        with safe_open(path, "pt") as file:
            about = file.metadata()
            need_same_settings(path, Settings.of(json.loads(about["settings"])), self.settings)
            if about.get("text", self._text_digest()) != self._text_digest():
                raise ModelError(f"{path}: belongs to a run on another text; use another --out")
            names = set(file.keys())
            progress = json.loads(about["progress"])
            self.progress = Progress(**progress | {"sums": Sums(**progress.get("sums", {}))})
            forget_rows_behind(self.folder, COLUMNS, self.progress.iteration)
            for name, parameter in self.model.named_parameters():
                mask = None
                if f"mask:{name}" in names:
                    bits = np.unpackbits(file.get_tensor(f"mask:{name}").numpy())[: parameter.numel()]
                    mask = torch.from_numpy(bits.astype(bool)).view_as(parameter).to(self.device)
                    self.pruner.masks[name] = mask

                def whole(part: str, name: str = name, mask: Tensor | None = mask, like: Tensor = parameter) -> Tensor:
                    tensor: Tensor = file.get_tensor(f"{part}:{name}").to(self.device)
                    if mask is None:
                        return tensor
                    full = torch.zeros_like(like)
                    full[mask] = tensor
                    return full

                parameter.copy_(whole("value"))
                if f"exp_avg:{name}" in names:
                    steps = torch.tensor(float(self.progress.iteration), device=self.device)
                    self.optimiser.state[parameter] = {
                        "step": steps, "exp_avg": whole("exp_avg"), "exp_avg_sq": whole("exp_avg_sq"),
                    }  # fmt: skip
            pairs = range(len(self.model.layers))
            self.states = [(file.get_tensor(f"y:{n}").to(self.device), file.get_tensor(f"c:{n}").to(self.device)) for n in pairs]
            for name in [name for name in names if name.startswith("moved:")]:
                self.pruner.moved[name.removeprefix("moved:")] = file.get_tensor(name).to(self.device)
            set_random_state({name: file.get_tensor(name) for name in names if name.startswith("random")}, self.device)
