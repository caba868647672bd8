"""Episodes of an earlier run in place of environments: each observation as it was then, whatever the network answers now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError, need_file
from models.control.task import Outcome
from models.network import F32, Array, in_one_line

_NAMES = ("observations", "actions", "rewards", "lengths")


class RecordedLanes:
    """Recorded episodes, (episodes, time, ...) arrays of which `lengths` count; an episode's seed is its number.

    `compared` counts actions, `agreed` those that are as recorded.
    """

    def __init__(self, arrays: Mapping[str, Array], lanes: int) -> None:
        self._observations, self._actions, self._rewards, self._lengths = (arrays[name] for name in _NAMES)
        self._at = [(0, 0)] * lanes  # (episode, step)
        self.compared = self.agreed = 0

    def begin(self, lane: int, seed: int) -> F32:
        """Begin a recorded episode."""
        self._at[lane] = (seed, 0)
        first: F32 = self._observations[seed, 0]
        return first

    def step(self, lanes: Sequence[int], actions: Sequence[Any]) -> Outcome:
        """Compare the actions; return what followed those that were taken then."""
        observations, rewards, ended = [], [], []
        for lane, action in zip(lanes, actions, strict=True):
            episode, step = self._at[lane]
            self.compared += 1
            self.agreed += bool(np.array_equal(self._actions[episode, step], action))
            self._at[lane] = (episode, step + 1)
            over = step + 1 >= self._lengths[episode]
            observations.append(self._observations[episode, step if over else step + 1])
            rewards.append(float(self._rewards[episode, step]))
            ended.append(bool(over))
        cut = np.array(ended, bool)
        return Outcome(observations=np.stack(observations), rewards=np.array(rewards), terminated=np.zeros_like(cut), truncated=cut)

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return nothing."""
        del lane
        return {}

    def snapshot(self) -> bytes:
        """Return where each lane is, and the counts."""
        return json.dumps([self._at, self.compared, self.agreed]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        at, self.compared, self.agreed = json.loads(snapshot)
        self._at = [(episode, step) for episode, step in at]


def read_recording(path: Path, numbers: int) -> dict[str, Array]:
    """Return the arrays of an earlier run's `--outputs` file; HostError, one line, where it is none of `numbers` observed."""
    who = f"--replay {path}"
    need_file(path, who)
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in _NAMES if name in archive.files}
    except Exception as error:  # numpy's and zipfile's own, of several kinds
        raise HostError(f"{who}: cannot be read ({in_one_line(error)})") from error
    if missing := [name for name in _NAMES if name not in arrays]:
        raise HostError(f"{who}: has no array {missing[0]!r}; needs what `control --outputs FILE` wrote")
    observations, lengths = arrays["observations"], arrays["lengths"]
    shape = (*observations.shape[:2], numbers)
    if observations.shape != shape or observations.dtype != np.float32 or not np.isfinite(observations).all():
        raise HostError(f"{who}: observations need (episodes, time, {numbers}) finite float32, have {observations.shape}")
    if arrays["actions"].shape[:2] != shape[:2] or arrays["rewards"].shape != shape[:2] or lengths.shape != shape[:1]:
        raise HostError(f"{who}: arrays are of unequal shapes")
    if not len(lengths) or lengths.min() < 1 or lengths.max() > shape[1] or arrays["actions"].ndim > 3:
        raise HostError(f"{who}: needs episodes of 1 to {shape[1]} actions")
    return arrays
