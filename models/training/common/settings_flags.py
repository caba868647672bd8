"""Settings as flags: a dataclass field says its default and its help, and what a run cannot take ends in one line.

The command line (`__main__.py`) makes a flag of every field; each kind of run has its own record of settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from models.network import ModelError

WIDEST = 65_536  # units of a layer: far beyond what any chip holds
PRECISIONS = ("float32", "bfloat16")
MASKS_OVER = ("sequence", "batch")


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


def need_one_of(settings: Any, name: str, allowed: Sequence[str]) -> None:
    """Raise ModelError unless this field is one of these names."""
    if getattr(settings, name) not in allowed:
        raise _refuse(name, repr(getattr(settings, name)), f"one of {', '.join(allowed)}")


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
