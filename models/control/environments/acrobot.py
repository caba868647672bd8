"""Acrobot: swing a chain of two links up by a torque at the joint between them (Sutton 1996), as gymnasium has it.

Observed: cosine and sine of both angles and the two speeds. The equations and their order are those that gymnasium computes
(the book's form), so that a step has its bits. Runge-Kutta's rule of fourth order, one step of 0.2 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.control.task import Bools, StateLanes, Task
from models.network import F32, F64, I64

STEP_S = 0.2
MOST_SPEEDS = (4 * math.pi, 9 * math.pi)
GRAVITY, LINK_M, LINK_KG, CENTRE_M, INERTIA = 9.8, 1.0, 1.0, 0.5, 1.0
TASKS = {
    "acrobot": Task(
        name="acrobot", gymnasium="Acrobot-v1", observations=6, actions=3, scale=(1.0, 1.0, 1.0, 1.0, 6.0, 12.0), limit_steps=500,
        solved_return=-100.0, period_s=STEP_S,
    ),
}  # fmt: skip


class Lanes(StateLanes):
    """Chains of two links, a lane each."""

    START = 0.1

    def started(self, drawn: F64) -> F64:
        """Return the draw rounded to float32, as gymnasium begins."""
        return drawn.astype(np.float32).astype(np.float64)

    def begin(self, lane: int, seed: int) -> F32:
        """Begin an episode in a lane; return its first observation (numbers,), computed in float32 as gymnasium does."""
        super().begin(lane, seed)
        return np.asarray(_observed(self.state[lane : lane + 1].astype(np.float32))[0], np.float32)

    def moved(self, state: F64, actions: I64) -> F64:
        """Return the states (lanes, numbers) that follow these."""
        torque = actions - 1.0
        y, half = np.asarray(state.T, np.float64), STEP_S / 2.0
        k1 = _rates(y, torque)
        k2 = _rates(y + half * k1, torque)
        k3 = _rates(y + half * k2, torque)
        k4 = _rates(y + STEP_S * k3, torque)
        angle1, angle2, speed1, speed2 = y + STEP_S / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        most1, most2 = MOST_SPEEDS
        return np.stack(
            [_wrapped(angle1), _wrapped(angle2), np.clip(speed1, -most1, most1), np.clip(speed2, -most2, most2)], axis=1
        )

    def observed(self, state: F64) -> F32:
        """Return cosines and sines of the angles, and the speeds."""
        return _observed(state)

    def terminal(self, state: F64) -> Bools:
        """Return which free ends are above the height of a link over the first joint."""
        high: Bools = -np.cos(state[:, 0]) - np.cos(state[:, 1] + state[:, 0]) > 1.0
        return high

    def rewards(self, terminated: Bools) -> F64:
        """Return -1 for every step but the last."""
        return np.where(terminated, 0.0, -1.0)

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return the two angles: the first from hanging down, the second from the first."""
        first, second, _, _ = self.state[lane]
        return {"kind": "acrobot", "first": float(first), "second": float(second)}


def _observed(state: Any) -> F32:
    one, two = state[:, 0], state[:, 1]
    parts = [np.cos(one), np.sin(one), np.cos(two), np.sin(two), state[:, 2], state[:, 3]]
    return np.stack(parts, axis=1).astype(np.float32)


def _rates(y: Any, torque: Any) -> F64:
    """Return the derivatives (4, lanes) of states (4, lanes)."""
    angle1, angle2, speed1, speed2 = y
    m, l, c, i, g = LINK_KG, LINK_M, CENTRE_M, INERTIA, GRAVITY  # noqa: E741 - the book's letters
    cos2, sin2 = np.cos(angle2), np.sin(angle2)
    d1 = m * c**2 + m * (l**2 + c**2 + 2 * l * c * cos2) + i + i
    d2 = m * (c**2 + l * c * cos2) + i
    phi2 = m * c * g * np.cos(angle1 + angle2 - math.pi / 2.0)
    phi1 = (
        -m * l * c * _squared(speed2) * sin2
        - 2 * m * l * c * speed2 * speed1 * sin2
        + (m * c + m * l) * g * np.cos(angle1 - math.pi / 2)
        + phi2
    )
    rate2 = (torque + d2 / d1 * phi1 - m * l * c * _squared(speed1) * sin2 - phi2) / (m * c**2 + i - _squared(d2) / d1)
    rate1 = -(d2 * rate2 + phi1) / d1
    return np.stack([speed1, speed2, rate1, rate2])


def _squared(values: F64) -> F64:
    """Return squares by the C library's power, whose last bit gymnasium's single numbers have; numpy squares arrays by a
    product.
    """
    return np.array([value**2 for value in values.tolist()])


def _wrapped(angle: F64) -> F64:
    """Return angles from -pi to pi; no speed turns a link further than once round in a step."""
    around = np.where(angle > math.pi, angle - 2 * math.pi, angle)
    return np.where(around < -math.pi, around + 2 * math.pi, around)
