"""What a Q-network in a checkpoint is beside its weights: the task it acts in, and how observations become its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Policy:
    """A Q-network's part in a checkpoint.

    `environment`: the task it was trained for; each observation is divided by its `scale`; `ticks`: how often each neuron steps an
    action; `record`: what was measured, as the trainer left it.
    """

    environment: str
    scale: tuple[float, ...]
    actions: int
    ticks: int
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Units of the input: a pair a number."""
        return 2 * len(self.scale)
