"""The training loop that all trainers share: epochs, optimiser, log, interrupts, and a state on disk to go on from.

A run folder holds `log.csv`, `best.safetensors` (the parameters of the best epoch) and `state.safetensors`, from which an
interrupted run goes on to the same end: parameters, both moments of the optimiser, progress with the sums since the last row
of the log, random state, and what a trainer adds. All are safetensors: nothing here unpickles.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.network import ModelError
from models.training.common import run_folder
from models.training.common.settings import ActivitySettings, TrainingSettings

STORE_EVERY_S = 300.0  # within an epoch: what a run that is killed has to do again
VALUE = "value:"  # before the name of a parameter or buffer in the state
OnProgress = Callable[[int, int, dict[str, str]], None]  # (iterations done, of how many, what a progress bar shows)


@dataclass
class Sums:
    """Over the iterations since the last row of the log: gradient norms, and each layer's share of units that fire."""

    norms: float = 0.0
    iterations: int = 0
    activity: list[float] = field(default_factory=list)

    def add_iteration(self, norm: float, activity: list[float]) -> None:
        """Add one iteration."""
        self.norms, self.iterations = self.norms + norm, self.iterations + 1
        self.activity = [a + b for a, b in zip(self.activity or [0.0] * len(activity), activity, strict=True)]

    def mean_activity(self) -> list[float]:
        """Return each layer's mean share of units that fire."""
        return [share / self.iterations for share in self.activity]


AnySums = TypeVar("AnySums", bound=Sums)
AnySettings = TypeVar("AnySettings", bound=TrainingSettings)
Batch = TypeVar("Batch")
Evaluation = TypeVar("Evaluation")


@dataclass
class Progress(Generic[AnySums]):
    """Where a run is."""

    sums: AnySums
    iteration: int = 0
    epoch: int = 0  # whole ones done
    best: float = math.inf  # loss or perplexity of the best epoch
    best_epoch: int = 0
    seconds: float = 0.0


class TrainingLoop(ABC, Generic[AnySettings, AnySums, Batch, Evaluation]):
    """One training run in a folder.

    A trainer makes `model` and `optimiser`, and says what its batches are, how one is learnt from, and how an epoch ends.
    """

    COLUMNS: ClassVar[tuple[str, ...]]  # of the log
    DATA_KEY: ClassVar[str]  # of the data's digest in the state
    OTHER_DATA: ClassVar[str]  # what a state of another digest belongs to
    new_sums: type[AnySums]
    model: nn.Module
    optimiser: torch.optim.AdamW

    def __init__(self, settings: AnySettings, folder: Path, device: torch.device | None, on_progress: OnProgress | None) -> None:
        settings.check()
        torch.manual_seed(settings.seed)
        self.settings, self.folder, self.device = settings, folder, device or torch.device("cpu")
        self.on_progress = on_progress or (lambda *_: None)
        self.progress = Progress(self.new_sums())
        self.shown: dict[str, str] = {}  # beside a progress bar
        self._stored_at = time.monotonic()

    @abstractmethod
    def first_iteration(self, epoch: int) -> int:
        """Return how many iterations lie before an epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> Sequence[Batch]:
        """Return the batches of an epoch, one an iteration; they follow from the settings alone."""

    @abstractmethod
    def step(self, batch: Batch) -> None:
        """Learn from a batch, and add it to the sums."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Score the model at the end of an epoch; its time counts as training."""

    @abstractmethod
    def end_epoch(self, evaluation: Evaluation) -> None:
        """Keep the best model and write a row of the log."""

    @abstractmethod
    def data_digest(self) -> str:
        """Return a hash of what is trained on."""

    def after_step(self) -> None:
        """Follow an iteration that does not end its epoch."""

    def observe_gradients(self) -> None:
        """Look at the gradients before they are clipped."""

    @property
    def iterations(self) -> int:
        """How many steps of the optimiser the whole run takes."""
        return self.first_iteration(self.settings.epochs)

    def rate(self, iteration: int) -> float:
        """Return the learning rate at an iteration: a linear rise, a plateau, a cosine to 0.

        `warm_up` and `cosine_from` are shares of the run: until the first the rate rises to `lr`, from the second it falls.
        """
        s, share = self.settings, iteration / max(1, self.iterations)
        if s.warm_up and share < s.warm_up:
            return s.lr * (iteration + 1) / (s.warm_up * self.iterations + 1)
        if share < s.cosine_from:
            return s.lr
        return s.lr * 0.5 * (1 + math.cos(math.pi * (share - s.cosine_from) / (1 - s.cosine_from)))

    def prepare(self) -> None:
        """Take up the folder's state, if it has one; ModelError where that belongs to another run."""
        if self.progress.iteration:
            return
        with run_folder.damage_named(self.folder):
            if (self.folder / run_folder.STATE).exists():
                self._resume()
            else:
                run_folder.forget_rows_behind(self.folder, self.COLUMNS, 0)  # of a run that died before its first state

    def begin(self, data: Mapping[str, str]) -> None:
        """Take up the folder's state, and write `settings.json` with what is trained on."""
        self.prepare()
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**data, **asdict(self.settings)}, indent=1)  # type: ignore[call-overload]  # a dataclass
        (self.folder / "settings.json").write_text(text, encoding="utf-8")

    def run(self) -> Progress[AnySums]:
        """Train to the end, or on from where the folder's state stands.

        KeyboardInterrupt, by a signal or out of `on_progress`, leaves the state of the iteration it came in; a second signal
        ends at once, with the last state stored: of the last epoch, or of the last five minutes. ModelError where the state
        belongs to another run.
        """
        self.prepare()
        with interrupt_noted() as noted:
            while self.progress.epoch < self.settings.epochs:
                self._epoch(noted)
        return self.progress

    def _epoch(self, noted: list[int]) -> None:
        at = self.progress
        batches = self.batches(at.epoch)
        self.model.train()
        begun = time.monotonic()
        for number in range(at.iteration - self.first_iteration(at.epoch), len(batches)):
            self.step(batches[number])
            at.iteration += 1
            if number + 1 == len(batches):
                break
            now = time.monotonic()
            at.seconds, begun = at.seconds + now - begun, now
            self.after_step()
            self._tell(noted)
            if now - self._stored_at >= STORE_EVERY_S:
                self._store()
        evaluation = self.evaluate()
        at.seconds += time.monotonic() - begun
        at.epoch += 1
        self.end_epoch(evaluation)
        self._store()
        self._tell(noted)

    def _tell(self, noted: list[int]) -> None:
        """Say how far the run is; store it and leave where the user wants to."""
        try:
            self.on_progress(self.progress.iteration, self.iterations, self.shown)
            if noted:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            self._store()
            raise

    def descend(self, loss: Tensor, activity: list[Tensor], rate: float) -> float:
        """Make one step of the optimiser against `loss` and the activity penalty; return the gradient's norm."""
        s = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        objective = loss
        if activity and isinstance(s, ActivitySettings) and s.activity_weight:
            # squared distances of the layers' shares of events from the range
            shares = torch.stack(activity)
            outside = torch.clamp(shares - s.activity_target, min=0) + torch.clamp(s.activity_floor - shares, min=0)
            objective = loss + s.activity_weight * (outside**2).sum()
        self.optimiser.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        self.observe_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
        self.optimiser.step()
        return float(norm)

    def take_sums(self) -> AnySums:
        """Return the sums since the last row of the log, and begin new ones."""
        sums, self.progress.sums = self.progress.sums, self.new_sums()
        return sums

    def keep_best(self, loss: float) -> None:
        """Keep the parameters as the best ones."""
        self.progress.best, self.progress.best_epoch = loss, self.progress.epoch
        run_folder.write_best(self.folder, self.model.state_dict().items())

    def state_tensors(self) -> dict[str, Tensor]:
        """Return what a state holds of model and optimiser."""
        tensors = {f"{VALUE}{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            tensors |= {f"{moment}:{name}": tensor for moment, tensor in run_folder.moments(self.optimiser, parameter).items()}
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` gave, on the run's device."""
        self.model.load_state_dict({name: tensors[f"{VALUE}{name}"] for name in self.model.state_dict()})
        for name, parameter in self.model.named_parameters():
            if f"{run_folder.MOMENTS[0]}:{name}" in tensors:
                steps = torch.tensor(float(self.progress.iteration), device=self.device)
                self.optimiser.state[parameter] = {"step": steps} | {part: tensors[f"{part}:{name}"] for part in run_folder.MOMENTS}

    def _store(self) -> None:
        """Write the state whole or not at all."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_tensors().items()}
        settings = json.dumps(asdict(self.settings))  # type: ignore[call-overload]  # a dataclass
        texts = {"progress": json.dumps(asdict(self.progress)), "settings": settings, self.DATA_KEY: self.data_digest()}
        run_folder.write_state(self.folder, run_folder.random_state(self.device) | tensors, texts)
        self._stored_at = time.monotonic()

    @torch.no_grad()
    def _resume(self) -> None:
        path = self.folder / run_folder.STATE
        with safe_open(path, "pt") as file:
            about = file.metadata()
            run_folder.need_same_settings(path, type(self.settings).of(json.loads(about["settings"])), self.settings)
            if about.get(self.DATA_KEY, self.data_digest()) != self.data_digest():
                raise ModelError(f"{path}: belongs to a run on {self.OTHER_DATA}; use another --out")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        progress: dict[str, Any] = json.loads(about["progress"])
        self.progress = Progress(**progress | {"sums": self.new_sums(**progress.get("sums", {}))})
        run_folder.forget_rows_behind(self.folder, self.COLUMNS, self.progress.iteration)
        random = {name: tensors.pop(name) for name in [*tensors] if name.startswith("random")}
        self.load_state_tensors({name: tensor.to(self.device) for name, tensor in tensors.items()})
        run_folder.set_random_state(random, self.device)


@contextmanager
def interrupt_noted() -> Iterator[list[int]]:
    """Note a first SIGINT instead of raising in the middle of a step, which could not be stored whole; a second raises."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def note(number: int, frame: object) -> None:  # noqa: ARG001 - a handler's signature
        noted.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def adamw(model: nn.Module, settings: ActivitySettings, factors: Mapping[str, float]) -> torch.optim.AdamW:
    """Return the optimiser of a model's parameters.

    Thresholds have no weight decay and a learning rate of their own (0 freezes them), and so has each parameter that
    `factors` names; a group's `factor` says by how much its rate differs.
    """
    named = dict(model.named_parameters())
    thresholds = [named.pop(name) for name in [*named] if name.endswith("threshold")]
    for threshold in thresholds:
        threshold.requires_grad_(settings.threshold_lr > 0)
    own = [{"params": [named.pop(name)], "weight_decay": settings.weight_decay, "factor": f} for name, f in factors.items()]
    groups: list[dict[str, Any]] = [
        {"params": [*named.values()], "weight_decay": settings.weight_decay, "factor": 1.0},
        *own,
        {"params": [p for p in thresholds if p.requires_grad], "weight_decay": 0.0, "factor": settings.threshold_lr},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, betas=(settings.beta1, 0.999), fused=True)
