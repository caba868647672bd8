"""Reach: a decoder reads the spikes of a population of neurons and moves a cursor into a target, as a neural prosthesis does.

The task has the form of NeuroBench's closed-loop decoding challenge: 96 neurons with a preferred direction each, ticks of 10
ms, a target of radius 2.5 at a distance of 8, which must be held for half a second within three; the return is minus the
seconds taken. The simulated person wants a speed towards the target that falls with the root of the distance, and the neurons'
rates follow the change of velocity that this takes: from `low` to `high` spikes a second with the cosine to their direction.

The neurons come from a seed, or from a table (cx, cy, low, high a row). Every draw is a counter's: (episode, step), for all
neurons.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.control.task import Outcome, Task
from models.input_file import MOST_TEXT_BYTES, InputError, read_text_input
from models.network import F32, F64, ModelError

STEP_S = 0.01
NEURONS = 96
HELD_S, LIMIT_S = 0.5, 3.0
TARGET_DISTANCE, TARGET_RADIUS, EDGE = 8.0, 2.5, 10.0
MOST_SPEED = 20.0  # a second, of the cursor
ACCELERATION = 0.3  # share of a wanted change of velocity that is made in a step
OUTPUT_SPEED = 3.77  # the speed that an output of 1 means
GAIN = 1.5
LOWEST, HIGH_FROM, HIGH_TO = 5.0, 40.0, 100.0  # spikes a second
TASKS = {
    "reach": Task(
        name="reach", gymnasium="", observations=NEURONS, actions=2, limit_steps=round(LIMIT_S / STEP_S), period_s=STEP_S,
        continuous=True, solved_by_end=True,
    ),
}  # fmt: skip
_NEURON_SEED = 96_001
_TARGET_STREAM = 1 << 63  # of a key, apart from that of spikes


def seeded_neurons(seed: int = _NEURON_SEED) -> F64:
    """Return neurons, (neurons, 4): the two parts of the preferred direction, lowest and highest rate; half never rest
    silent.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    angles = draw.uniform(-math.pi, math.pi, NEURONS)
    low = draw.uniform(0, LOWEST, NEURONS) * (draw.uniform(size=NEURONS) < 0.5)
    return np.stack([np.cos(angles), np.sin(angles), low, draw.uniform(HIGH_FROM, HIGH_TO, NEURONS)], axis=1)


def read_neurons(path: Path) -> F64:
    """Return the neurons of a table with four columns; ModelError, one line, where it is none."""
    who = f"--neurons {path}"
    try:
        text = read_text_input(path, MOST_TEXT_BYTES)
        table = np.array([[float(cell) for cell in line.split(",")] for line in text.splitlines() if line.strip()])
    except InputError as error:
        raise ModelError(f"{who}: {error}") from error
    except ValueError as error:
        raise ModelError(f"{who}: needs rows of four numbers with commas: {error}") from error
    if table.shape != (NEURONS, 4) or not np.isfinite(table).all() or (table[:, 2] > table[:, 3]).any() or table[:, 2:].min() < 0:
        raise ModelError(f"{who}: needs {NEURONS} rows of cx, cy, lowest and highest rate; has a table of {table.shape}")
    return table


class Lanes:
    """People with a cursor, a lane each."""

    def __init__(self, task: Task, lanes: int, neurons: F64 | None = None) -> None:
        self.task, self._neurons = task, seeded_neurons() if neurons is None else neurons
        self._position, self._velocity, self._target = (np.zeros((lanes, 2)) for _ in range(3))
        self._steps, self._held, self._seeds = (np.zeros(lanes, np.int64) for _ in range(3))

    def begin(self, lane: int, seed: int) -> F32:
        """Begin an episode in a lane; return its first spikes (neurons,)."""
        angle = np.random.Generator(np.random.Philox(key=_TARGET_STREAM + seed)).uniform(-math.pi, math.pi)
        self._target[lane] = TARGET_DISTANCE * np.array([math.cos(angle), math.sin(angle)])
        self._position[lane] = self._velocity[lane] = 0.0
        self._steps[lane] = self._held[lane] = 0
        self._seeds[lane] = seed
        return self._spikes(lane)

    def step(self, lanes: Sequence[int], actions: Sequence[Any]) -> Outcome:
        """Move each of these cursors at the speed (2,) that its action says."""
        at = np.asarray(lanes, np.int64)
        moved = np.clip(np.nan_to_num(np.asarray(actions, np.float64).reshape(len(at), 2)), -1e6, 1e6) * OUTPUT_SPEED * STEP_S
        self._position[at] += moved
        self._velocity[at] = moved
        self._steps[at] += 1
        away = np.hypot(*(self._target[at] - self._position[at]).T)
        self._held[at] = np.where(away < TARGET_RADIUS, self._held[at] + 1, 0)
        return Outcome(
            observations=np.stack([self._spikes(lane) for lane in at]), rewards=np.full(len(at), -STEP_S),
            terminated=self._held[at] >= round(HELD_S / STEP_S), truncated=self._steps[at] >= self.task.limit_steps,
        )  # fmt: skip

    def intended(self, lane: int) -> tuple[F64, F64]:
        """Return the change of a step's way that the person wants, (2,), and the way itself, (2,), which a perfect decoder
        makes.
        """
        vector = self._target[lane] - self._position[lane]
        distance, most = float(np.hypot(*vector)), MOST_SPEED * STEP_S
        speed = min(most / math.sqrt(2 * TARGET_RADIUS) * math.sqrt(distance), most)
        target_velocity = speed * vector / distance if distance else vector
        change = (target_velocity - self._velocity[lane]) * ACCELERATION
        return change, self._velocity[lane] + change

    def _spikes(self, lane: int) -> F32:
        change, _ = self.intended(lane)
        along = np.clip(GAIN * (self._neurons[:, :2] @ change) / (MOST_SPEED * STEP_S * ACCELERATION), 0, 1)
        rates = self._neurons[:, 2] + (self._neurons[:, 3] - self._neurons[:, 2]) * along
        draw = np.random.Generator(np.random.Philox(key=int(self._seeds[lane]), counter=[0, 0, 0, int(self._steps[lane])]))
        spikes: F32 = (draw.random(NEURONS) < rates * STEP_S).astype(np.float32)
        return spikes

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return where cursor and target are, in shares of the field's edge."""
        (x, y), (target_x, target_y) = self._position[lane] / EDGE, self._target[lane] / EDGE
        return {
            "kind": "reach", "x": float(x), "y": float(y), "target_x": float(target_x), "target_y": float(target_y),
            "radius": TARGET_RADIUS / EDGE,
        }  # fmt: skip

    def snapshot(self) -> bytes:
        """Return cursors, targets and counters."""
        arrays = (self._position, self._velocity, self._target, self._steps, self._held, self._seeds)
        return json.dumps([array.tolist() for array in arrays]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of environments of the same task and number."""
        state = json.loads(snapshot)
        self._position, self._velocity, self._target = (np.array(part, float).reshape(-1, 2) for part in state[:3])
        self._steps, self._held, self._seeds = (np.array(part, np.int64) for part in state[3:])
