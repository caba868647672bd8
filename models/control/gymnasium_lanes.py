"""Environments of gymnasium, by their names: any with a vector of numbers to observe and a number of actions to choose from.

A snapshot holds each running episode's seed and actions, and going on takes them again: a seeded episode is what its actions
make it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from models.control.task import Outcome, Task
from models.network import F32, ModelError, in_one_line


class GymnasiumMissing(Exception):
    """There is no such environment, or no gymnasium that could have one; one line for the user."""


@cache
def gymnasium_task(name: str) -> Task:
    """Return gymnasium's environment as a task; ModelError for one that no network of Q values can act in, and
    GymnasiumMissing.
    """
    environment = _made(name)
    try:
        observed, acted = environment.observation_space, environment.action_space
        kinds = f"observes {_kind(observed)} and acts by {_kind(acted)}"
        if type(acted).__name__ != "Discrete":
            raise ModelError(
                f"environment {name!r}: {kinds}; needs actions to choose from (Discrete), and continuous ones cannot be"
            )
        if type(observed).__name__ != "Box" or len(observed.shape) != 1:
            raise ModelError(f"environment {name!r}: {kinds}; needs a vector of numbers (a Box of one dimension) to observe")
        specification = environment.spec
        high = np.abs(np.maximum(np.abs(observed.low), np.abs(observed.high)))
        finite = bool(np.isfinite(high).all() and (high > 0).all() and high.max() < 1e6)
        seconds = environment.metadata.get("render_fps")
        return Task(
            name=name, gymnasium=name, observations=int(observed.shape[0]), actions=int(acted.n),
            scale=tuple(float(value) for value in high) if finite else (),
            limit_steps=int(specification.max_episode_steps or 0), solved_return=specification.reward_threshold,
            period_s=1.0 / seconds if seconds else 0.0,
        )  # fmt: skip
    finally:
        environment.close()


def _kind(space: Any) -> str:
    shape = "x".join(map(str, getattr(space, "shape", None) or ()))
    return f"{type(space).__name__}{f' of {shape}' if shape else ''}"


def _made(name: str) -> Any:
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        raise GymnasiumMissing("others need gymnasium: pip install gymnasium") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a version is out of date is known to whoever named it
            return gymnasium.make(name)
    except gymnasium.error.Error as error:
        raise GymnasiumMissing(f"gymnasium {gymnasium.__version__}: {in_one_line(error)}") from error
    except ImportError as error:  # a simulator that is not installed
        raise ModelError(f"environment {name!r}: gymnasium cannot make it ({in_one_line(error)})") from error


class GymnasiumLanes:
    """Environments of gymnasium, a lane each."""

    def __init__(self, task: Task, lanes: int) -> None:
        self.task = task
        self._environments = [_made(task.name) for _ in range(lanes)]
        self._seeds = [0] * lanes
        self._actions: list[list[int]] = [[] for _ in range(lanes)]

    def begin(self, lane: int, seed: int) -> F32:
        """Begin an episode in a lane; return its first observation (numbers,)."""
        self._seeds[lane], self._actions[lane] = seed, []
        observation, _ = self._environments[lane].reset(seed=seed)
        return np.asarray(observation, np.float32)

    def step(self, lanes: Sequence[int], actions: Sequence[int]) -> Outcome:
        """Take an action in each of these lanes."""
        rows = []
        for lane, action in zip(lanes, actions, strict=True):
            self._actions[lane].append(int(action))
            rows.append(self._environments[lane].step(int(action))[:4])
        observations, rewards, terminated, truncated = zip(*rows, strict=True)
        return Outcome(
            observations=np.asarray(observations, np.float32).reshape(len(rows), self.task.observations),
            rewards=np.asarray(rewards, float), terminated=np.asarray(terminated, bool), truncated=np.asarray(truncated, bool),
        )  # fmt: skip

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return nothing: nobody knows what such an environment looks like."""
        del lane
        return {}

    def snapshot(self) -> bytes:
        """Return each lane's seed and the actions of its episode so far."""
        return json.dumps({"seeds": self._seeds, "actions": self._actions}).encode()

    def restore(self, snapshot: bytes) -> None:
        """Begin each lane's episode again and take its actions again."""
        state = json.loads(snapshot)
        for lane, (seed, actions) in enumerate(zip(state["seeds"], state["actions"], strict=True)):
            self.begin(lane, seed)
            for action in actions:
                self.step([lane], [action])
