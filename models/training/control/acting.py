"""Acting with a Q-network: greedy evaluation in many environments at once, and a memory of what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.control.environments import lanes_of
from models.control.task import Bools, EnvironmentLanes, Task
from models.control.trajectory import next_link
from models.network import F32, F64, I64

FRESH_SEED = 0  # of the episodes that a checkpoint's returns are measured on; training draws none below 1,000,000
VALIDATION_SEED = 1_000_000
TRAINING_SEED = 10_000_000
QValues = Callable[[F32], Tensor]  # of observations (lanes, numbers)


def greedy_returns(task: Task, values: QValues, episodes: int, seed: int, links: list[str] | None = None) -> F64:
    """Return the returns of episodes `seed`, `seed` + 1, ... in which the action of the highest Q value is taken, (episodes,);
    `links`, if given, become the last links of the episodes' hashes.
    """
    environments = lanes_of(task, episodes)
    observations = np.stack([environments.begin(lane, seed + lane) for lane in range(episodes)])
    returns, running = np.zeros(episodes), np.arange(episodes)
    with torch.no_grad():
        while len(running):
            actions = values(observations).argmax(1).numpy()
            outcome = environments.step(running.tolist(), actions.tolist())
            if links is not None:
                for place, lane in enumerate(running):
                    links[lane] = next_link(links[lane], observations[place], int(actions[place]))
            returns[running] += outcome.rewards
            observations, running = outcome.observations[~outcome.ended], running[~outcome.ended]
    return returns


class Actors:
    """Environments that begin again when their episode is over, with seeds that no evaluation has."""

    def __init__(self, task: Task, lanes: int, seed: int) -> None:
        self._environments: EnvironmentLanes = lanes_of(task, lanes)
        self._next_seed = TRAINING_SEED * (1 + seed)
        self.observations = np.stack([self._begin(lane) for lane in range(lanes)])

    def _begin(self, lane: int) -> F32:
        self._next_seed += 1
        return self._environments.begin(lane, self._next_seed)

    def step(self, actions: I64) -> tuple[F64, F32, Bools]:
        """Take the actions; return rewards, what followed (before any new beginning), and which episodes their rules ended."""
        outcome = self._environments.step(range(len(actions)), actions.tolist())
        self.observations = outcome.observations.copy()
        for lane in np.flatnonzero(outcome.ended):
            self.observations[lane] = self._begin(int(lane))
        return outcome.rewards, outcome.observations, outcome.terminated


@dataclass
class Memory:
    """The last `size` rows of some arrays."""

    size: int
    rows: int = 0
    _next: int = 0

    def __post_init__(self) -> None:
        self._arrays: list[Tensor] = []

    def add(self, *parts: Tensor) -> None:
        """Remember rows, the parts of each in the same order every time."""
        if not self._arrays:
            self._arrays = [torch.zeros((self.size, *part.shape[1:]), dtype=part.dtype) for part in parts]
        at = (torch.arange(len(parts[0])) + self._next) % self.size
        for array, part in zip(self._arrays, parts, strict=True):
            array[at] = part
        self._next = (self._next + len(at)) % self.size
        self.rows = min(self.rows + len(at), self.size)

    def draw(self, count: int) -> list[Tensor]:
        """Return as many rows, drawn with replacement."""
        at = torch.randint(self.rows, (count,))
        return [array[at] for array in self._arrays]
