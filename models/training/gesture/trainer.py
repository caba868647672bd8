"""The training loop of the gesture model: batches of varied frames, an optimiser, a log, a state on disk to go on from.

It shares its run folder, schedules and interrupts with the language model's trainer. `best.safetensors` keeps the
parameters of the epoch with the lowest loss on the held-out subjects, or of the last epoch where none are held out. Every
batch's augmentation follows from seed and iteration, so an interrupted run goes on to the same end.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from models.dvs.samples import CLASSES
from models.network import F32, Array, ModelError
from models.training.common.interrupts import interrupt_noted
from models.training.common.run_folder import (
    MOMENTS,
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
from models.training.gesture.frames import Frames, batches, in_turn, labels_of, varied
from models.training.gesture.network import GestureModel
from models.training.gesture.settings import GestureSettings

COLUMNS = (
    "iteration", "epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "gradient_norm", "seconds",
    "activity",
)  # fmt: skip
_VALUE = "value:"  # of a parameter or buffer in the state
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
    for numbers in in_turn(len(frames), _SCORED):
        answer = model(frames.scaled(numbers, model.settings.scale).transpose(0, 1).to(device))
        scores.append(answer.scores.cpu())
        activity += torch.stack(answer.activity).double().cpu().numpy() * len(numbers)
    model.train(was)
    whole, labels = torch.cat(scores), labels_of(frames, np.arange(len(frames)))
    loss = float(functional.cross_entropy(whole.double(), labels))
    right = float((whole.argmax(1) == labels).double().mean())
    return Outcome(whole.numpy(), loss, right, [float(share) for share in activity / len(frames)])


@dataclass
class Sums:
    """Over the iterations of an epoch so far: samples, their loss and how many were right, gradient norms, activity by layer."""

    samples: int = 0
    loss: float = 0.0
    right: int = 0
    norms: float = 0.0
    iterations: int = 0
    activity: list[float] = field(default_factory=list)

    def add(self, samples: int, loss: float, right: int, norm: float, activity: list[float]) -> None:
        """Take in one iteration."""
        self.samples, self.right, self.iterations = self.samples + samples, self.right + right, self.iterations + 1
        self.loss, self.norms = self.loss + loss * samples, self.norms + norm
        self.activity = [a + b for a, b in zip(self.activity or [0.0] * len(activity), activity, strict=True)]


@dataclass
class Progress:
    """Where a run is."""

    iteration: int = 0
    epoch: int = 0  # whole ones done
    best: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    sums: Sums = field(default_factory=Sums)


@dataclass
class GestureTrainer:
    """One training run in a folder. `told` is called with (iterations done, of how many, what a progress bar shows)."""

    train: Frames
    valid: Frames | None
    settings: GestureSettings
    folder: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    told: Callable[[int, int, dict[str, str]], None] = lambda *_: None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.settings.check()
        torch.manual_seed(self.settings.seed)
        self.model = GestureModel(len(CLASSES), self.settings)
        some = np.sort(batches(len(self.train), _CALIBRATED, self.settings.seed, 0)[0])
        self.model.calibrate(self.train.scaled(some, self.settings.scale).transpose(0, 1))
        if self.settings.begin_with:
            self._begin_with(Path(self.settings.begin_with))
        self.model.to(self.device)
        self.optimiser = self._optimiser()

    def _begin_with(self, run: Path) -> None:
        """Take the last parameters of another run; ModelError where it has none, or none of these sizes.

        Not the best ones: a learning rate that fell to 0 leaves the last ones best but for the luck of the held-out people.
        """
        try:
            with safe_open(run / STATE, "pt") as file:
                values = {name: file.get_tensor(name) for name in file.keys() if name.startswith(_VALUE)}  # noqa: SIM118 - no dict
            self.model.load_state_dict({name.removeprefix(_VALUE): value for name, value in values.items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(f"--begin-with {run}: {' '.join(str(error).split())[:200]}") from error

    def _optimiser(self) -> torch.optim.AdamW:
        s = self.settings
        named = dict(self.model.named_parameters())
        slow = [p for name, p in named.items() if name.endswith("threshold")]
        rest = [p for name, p in named.items() if not name.endswith(("threshold", "readout_weight"))]
        for threshold in slow:
            threshold.requires_grad_(s.threshold_lr > 0)
        groups = [
            {"params": rest, "weight_decay": s.weight_decay, "factor": 1.0},
            {"params": [named["readout_weight"]], "weight_decay": s.weight_decay, "factor": s.readout_lr},
            {"params": [p for p in slow if p.requires_grad], "weight_decay": 0.0, "factor": s.threshold_lr},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=s.lr, betas=(s.beta1, 0.999), fused=True)

    @property
    def iterations(self) -> int:
        """How many steps of the optimiser the whole run takes."""
        return self.settings.epochs * -(-len(self.train) // self.settings.batch)

    def rate(self, iteration: int) -> float:
        """Return the learning rate at an iteration."""
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
        s, at = self.settings, self.progress
        drawn = batches(len(self.train), s.batch, s.seed, at.epoch)
        self.model.train()
        begun = time.monotonic()
        for number in range(at.iteration - at.epoch * len(drawn), len(drawn)):
            at.sums.add(len(drawn[number]), *self._step(drawn[number]))
            at.iteration += 1
            if number + 1 == len(drawn):
                break
            now = time.monotonic()
            at.seconds, begun = at.seconds + now - begun, now
            self._tell(noted)
        row: dict[str, Any] = {"iteration": at.iteration, "epoch": at.epoch + 1, "lr": self.rate(at.iteration)}
        sums, at.sums = at.sums, Sums()
        row |= {"train_loss": sums.loss / sums.samples, "train_accuracy": sums.right / sums.samples}
        activity, loss = [share / sums.iterations for share in sums.activity], -float(at.epoch)
        if self.valid is not None:
            outcome = evaluate(self.model, self.valid)
            row |= {"valid_loss": outcome.loss, "valid_accuracy": outcome.accuracy}
            activity, loss = outcome.activity, outcome.loss
        at.seconds += time.monotonic() - begun
        at.epoch += 1
        if loss <= at.best and math.isfinite(row["train_loss"]):
            at.best, at.best_epoch = loss, at.epoch
            write_best(self.folder, self.model.state_dict().items())
        row |= {"gradient_norm": sums.norms / sums.iterations, "seconds": round(at.seconds, 1)}
        append_row(self.folder, COLUMNS, row | {"activity": " ".join(f"{share:.4f}" for share in activity)})
        self._shown = {"train": f"{row['train_accuracy']:.3f}"}
        if self.valid is not None:
            self._shown |= {"valid": f"{row['valid_accuracy']:.3f}", "loss": f"{row['valid_loss']:.3f}"}
        self._shown |= {"active": " ".join(f"{share:.2f}" for share in activity)}
        self._store()
        self._tell(noted)

    _shown: dict[str, str] = field(default_factory=dict, init=False)

    def _tell(self, noted: list[int]) -> None:
        """Say how far the run is; store it and leave where the user wants to."""
        try:
            self.told(self.progress.iteration, self.iterations, self._shown)
            if noted:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            self._store()
            raise

    def _step(self, numbers: Array) -> tuple[float, int, float, list[float]]:
        """One step of the optimiser; returns the loss, how many were right, the gradient's norm, each layer's activity."""
        s, at = self.settings, self.progress
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(at.iteration) * group["factor"]
        frames = varied(self.train.scaled(numbers, s.scale), s, np.random.default_rng([s.seed, at.iteration, 1]))
        labels = labels_of(self.train, numbers).to(self.device)
        answer = self.model(frames.transpose(0, 1).to(self.device))
        loss = functional.cross_entropy(answer.scores, labels, label_smoothing=s.smoothing)
        activity = answer.activity
        objective = loss + activity_penalty(activity, s.activity_floor, s.activity_target, s.activity_weight)
        self.optimiser.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
        self.optimiser.step()
        right = int((answer.scores.argmax(1) == labels).sum())
        shares = torch.stack(activity).tolist()
        return float(loss.detach()), right, float(norm), shares

    def _data_digest(self) -> str:
        return hashlib.sha256((self.train.sha256 + (self.valid.sha256 if self.valid else "")).encode()).hexdigest()

    def _store(self) -> None:
        """Write the state whole or not at all."""
        tensors = random_state(self.device)
        tensors |= {f"{_VALUE}{name}": value.cpu().contiguous() for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            kept = moments(self.optimiser, parameter)
            tensors |= {f"{part}:{name}": tensor.cpu().contiguous() for part, tensor in kept.items()}
        texts = {"progress": json.dumps(asdict(self.progress)), "settings": json.dumps(asdict(self.settings))}
        write_state(self.folder, tensors, texts | {"data": self._data_digest()})

    @torch.no_grad()
    def _resume(self) -> None:
        path = self.folder / STATE
        with safe_open(path, "pt") as file:
            about = file.metadata()
            need_same_settings(path, GestureSettings.of(json.loads(about["settings"])), self.settings)
            if about["data"] != self._data_digest():
                raise ModelError(f"{path}: belongs to a run on other events; use another --out")
            progress = json.loads(about["progress"])
            self.progress = Progress(**progress | {"sums": Sums(**progress["sums"])})
            forget_rows_behind(self.folder, COLUMNS, self.progress.iteration)
            names = set(file.keys())

            def stored(name: str) -> Tensor:
                tensor: Tensor = file.get_tensor(name).to(self.device)
                return tensor

            self.model.load_state_dict({name: stored(f"{_VALUE}{name}") for name in self.model.state_dict()})
            for name, parameter in self.model.named_parameters():
                if f"{MOMENTS[0]}:{name}" in names:
                    step = torch.tensor(float(self.progress.iteration))
                    self.optimiser.state[parameter] = {"step": step} | {part: stored(f"{part}:{name}") for part in MOMENTS}
            set_random_state({name: file.get_tensor(name) for name in names if name.startswith("random")}, self.device)
