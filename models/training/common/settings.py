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


class TrainingSettings:
    """What the settings of every kind of run have: a dataclass with at least these fields."""

    epochs: int
    lr: float
    beta1: float
    weight_decay: float
    clip: float
    warm_up: float
    cosine_from: float
    threshold_mean: float
    threshold_lr: float
    activity_floor: float
    activity_target: float
    activity_weight: float
    seed: int

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_one_of(self, "precision", PRECISIONS)
        need_from(self, 1, "epochs", "batch")
        need_shares(self, "beta1", "warm_up", "cosine_from", "zoneout")
        need_above_zero(self, "lr", "clip", "support")
        need_from(self, 0, "weight_decay", "threshold_lr", "dampening", "activity_floor", "activity_target", "activity_weight")
        if self.activity_floor > self.activity_target:
            raise ModelError(f"--activity-floor {self.activity_floor}: needs at most --activity-target, {self.activity_target}")
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"--seed {self.seed}: needs a number from 0 to below 2**63")
        if not 0 < self.threshold_mean < 1:
            raise ModelError(f"--threshold-mean {self.threshold_mean}: needs a number between 0 and 1")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a record from what was stored; unknown names are left out."""
        known = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]  # a dataclass
        return cls(**{name: value for name, value in values.items() if name in known})
