"""Settings of a training run: dataclass fields that are flags of the command line, and checks of one line each.

`flags.py` makes a flag of the command line of every field; each kind of run has its own record of settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any, Self

from models.network import ModelError

WIDEST = 65_536  # units of a layer: far beyond what any chip holds
PRECISIONS = ("float32", "bfloat16")


def flag(default: Any, text: str) -> Any:
    """Return a dataclass field that is a flag of the command line, with its help."""
    return field(default=default, metadata={"help": text})


SHARED = {
    "batch": "samples side by side",
    "lr": "learning rate of AdamW",
    "beta1": "AdamW's first beta",
    "weight_decay": "AdamW's",
    "warm_up": "share of the run over which the learning rate rises",
    "cosine_from": "share of the run after which the learning rate falls to 0 as a cosine",
    "clip": "largest norm of the gradient",
    "smoothing": "label smoothing",
    "threshold_mean": "mean of the Beta(a, 3) that thresholds are drawn from",
    "threshold_lr": "learning rate of the thresholds, as a factor (0: frozen)",
    "dampening": "lambda, the height of the surrogate derivative",
    "support": "k, one over its half-width",
    "zoneout": "share of units that keep their state in a step",
    "activity_floor": "mean share of units that fire below which the regulariser acts, each layer",
    "activity_target": "mean share of units that fire above which the regulariser acts, each layer",
    "activity_weight": "weight of the activity regulariser: squared distance from the range (0: off)",
    "precision": "of the factors in products while training: bfloat16 or float32; evaluation is float32",
    "zoom": "augmentation: largest change of size, as a share",
    "tempo": "augmentation: largest change of speed, as a share",
}
"""What settings that several kinds of run have stand for, by name."""


def shared_flag(name: str, default: Any, more: str = "") -> Any:
    """Return a field of this name, with the help that all kinds of run give it, and `more` behind it."""
    return flag(default, SHARED[name] + more)


def sizes_of(hidden: str, example: str) -> tuple[int, ...]:
    """Return the sizes that a text such as `1350,1350` names; ModelError where it names none."""
    try:
        return tuple(int(size) for size in hidden.split(",") if size.strip())
    except ValueError:
        raise ModelError(f"--hidden {hidden!r}: needs sizes such as {example}") from None


def _refuse(name: str, have: Any, need: str) -> ModelError:
    return ModelError(f"--{name.replace('_', '-')} {have}: needs {need}")


def need_one_of(settings: Any, name: str, allowed: Sequence[str | int]) -> None:
    """Raise ModelError unless this field is one of these."""
    if getattr(settings, name) not in allowed:
        raise _refuse(name, repr(getattr(settings, name)), f"one of {', '.join(map(str, allowed))}")


def need_shares(settings: Any, *names: str) -> None:
    """Raise ModelError unless each of these fields is a share that leaves something."""
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise _refuse(name, getattr(settings, name), "a share from 0 to below 1")


def need_above_zero(settings: Any, *names: str) -> None:
    """Raise ModelError unless each of these fields is finite and above 0."""
    for name in names:
        if not 0 < getattr(settings, name) < math.inf:
            raise _refuse(name, getattr(settings, name), "a number above 0")


def need_from(settings: Any, least: int, *names: str) -> None:
    """Raise ModelError unless each of these fields is finite and at least `least`."""
    for name in names:
        if not least <= getattr(settings, name) < math.inf:
            raise _refuse(name, getattr(settings, name), f"at least {least}" if least else "a number from 0")


def need_equal_heads(settings: Any) -> None:
    """Raise ModelError unless the heads of an attention share its width."""
    if settings.width > WIDEST or settings.width % settings.heads:
        raise ModelError(f"--width {settings.width}, --heads {settings.heads}: need a width of equal heads, at most {WIDEST:,}")


class TrainingSettings:
    """What the settings of every run of AdamW have: a dataclass with at least these fields."""

    epochs: int
    batch: int
    lr: float
    beta1: float
    weight_decay: float
    clip: float
    warm_up: float
    cosine_from: float
    seed: int

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_from(self, 1, "epochs", "batch")
        need_shares(self, "beta1", "warm_up", "cosine_from")
        need_above_zero(self, "lr", "clip")
        need_from(self, 0, "weight_decay")
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"--seed {self.seed}: needs a number from 0 to below 2**63")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a record from what was stored; unknown names are left out."""
        known = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]  # a dataclass
        return cls(**{name: value for name, value in values.items() if name in known})


class ActivitySettings(TrainingSettings):
    """Those of networks whose units send events: their thresholds are learned, and how many fire is drawn into a range."""

    threshold_lr: float
    activity_floor: float
    activity_target: float
    activity_weight: float

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        super().check()
        need_from(self, 0, "threshold_lr", "activity_floor", "activity_target", "activity_weight")
        if self.activity_floor > self.activity_target:
            raise ModelError(f"--activity-floor {self.activity_floor}: needs at most --activity-target, {self.activity_target}")


class EgruSettings(ActivitySettings):
    """Those of event-based GRUs."""

    threshold_mean: float
    dampening: float
    support: float
    zoneout: float
    precision: str

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        super().check()
        need_one_of(self, "precision", PRECISIONS)
        need_shares(self, "zoneout")
        need_above_zero(self, "support")
        need_from(self, 0, "dampening")
        if not 0 < self.threshold_mean < 1:
            raise ModelError(f"--threshold-mean {self.threshold_mean}: needs a number between 0 and 1")
