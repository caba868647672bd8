"""What a control task is, and what environments that run side by side can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.network import F32, F64, I64

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A control task.

    `scale`: what each observation is divided by before it is clipped to -1 ... 1 (empty: nobody has said); `limit_steps`: after
    which an episode is cut off (0: never); `solved_return`: the mean return from which on it counts as solved, and an episode
    of which is called solved; None where nobody has said. `period_s`: the time of a step, by which an action must be there; 0
    where the environment has none. `continuous`: an action is numbers and no choice; `solved_by_end`: an episode that its rules
    ended is solved.
    """

    name: str
    gymnasium: str
    observations: int
    actions: int
    scale: tuple[float, ...] = ()
    limit_steps: int = 0
    solved_return: float | None = None
    period_s: float = 0.0
    continuous: bool = False
    solved_by_end: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What follows the actions of some lanes: observations (lanes, numbers) float32, rewards (lanes,), and which episodes have
    `terminated` by the task's rules or were `truncated` at its limit.
    """

    observations: F32
    rewards: F64
    terminated: Bools
    truncated: Bools

    @property
    def ended(self) -> Bools:
        """Which episodes are over, (lanes,)."""
        return self.terminated | self.truncated


class EnvironmentLanes(Protocol):
    """Environments that run side by side, a lane each. An episode's number is its seed."""

    def begin(self, lane: int, seed: int) -> F32:
        """Begin an episode in a lane; return its first observation (numbers,)."""

    def step(self, lanes: Sequence[int], actions: Sequence[Any]) -> Outcome:
        """Take an action in each of these lanes."""

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return what a picture of a lane shows: `kind` and its numbers; empty where there is none."""

    def snapshot(self) -> bytes:
        """Return all that is needed to go on from here in another process."""

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of environments of the same task and number."""


class StateLanes:
    """Environments whose state is some float64 numbers a lane, drawn uniformly at an episode's begin as gymnasium draws
    them.
    """

    NUMBERS = 4
    START = 0.0  # half the width of the uniform draw

    def __init__(self, task: Task, lanes: int) -> None:
        self.task = task
        self.state: F64 = np.zeros((lanes, self.NUMBERS))
        self.steps: I64 = np.zeros(lanes, np.int64)

    def begin(self, lane: int, seed: int) -> F32:
        """Begin an episode in a lane; return its first observation (numbers,)."""
        draw = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self.state[lane] = self.started(draw.uniform(low=-self.START, high=self.START, size=(self.NUMBERS,)))
        self.steps[lane] = 0
        return np.asarray(self.observed(self.state[lane : lane + 1])[0], np.float32)

    def step(self, lanes: Sequence[int], actions: Sequence[int]) -> Outcome:
        """Take an action in each of these lanes."""
        at = np.asarray(lanes, np.int64)
        state = self.moved(self.state[at], np.asarray(actions, np.int64))
        self.state[at] = state
        self.steps[at] += 1
        terminated = self.terminal(state)
        limit = self.task.limit_steps
        truncated = self.steps[at] >= limit if limit else np.zeros(len(at), bool)
        return Outcome(
            observations=self.observed(state), rewards=self.rewards(terminated), terminated=terminated, truncated=truncated
        )

    def snapshot(self) -> bytes:
        """Return the states and the steps of the episodes; nothing else is random than how an episode begins."""
        return json.dumps({"state": self.state.tolist(), "steps": self.steps.tolist()}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of environments of the same task and number."""
        state = json.loads(snapshot)
        self.state, self.steps = np.array(state["state"], float).reshape(self.state.shape), np.array(state["steps"], np.int64)

    def started(self, drawn: F64) -> F64:
        """Return the state that an episode begins with."""
        return drawn

    def moved(self, state: F64, actions: I64) -> F64:
        """Return the states (lanes, numbers) that follow these."""
        raise NotImplementedError

    def observed(self, state: F64) -> F32:
        """Return what is observed of states, (lanes, observations)."""
        raise NotImplementedError

    def terminal(self, state: F64) -> Bools:
        """Return which states end an episode, (lanes,)."""
        raise NotImplementedError

    def rewards(self, terminated: Bools) -> F64:
        """Return the rewards of a step, (lanes,)."""
        raise NotImplementedError
