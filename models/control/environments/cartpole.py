"""Cart and pole: push a cart left or right so that the pole on it stays up (Barto, Sutton, Anderson 1983), as gymnasium has it.

Observed: x, its speed, the pole's angle, its speed. The equations and their order are those that gymnasium computes, so that a step
has its bits; they come from coneural.org/florian/papers/05_cart_pole.pdf. Euler's rule, steps of 20 ms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.control.task import Bools, StateLanes, Task
from models.network import F32, F64, I64

TAU_S = 0.02
GRAVITY, CART_KG, POLE_KG, HALF_LENGTH_M, FORCE_N = 9.8, 1.0, 0.1, 0.5, 10.0
ALL_KG = POLE_KG + CART_KG
POLE_KG_M = POLE_KG * HALF_LENGTH_M
EDGE_M = 2.4
TIPPED_RAD = 12 * 2 * math.pi / 360
_SCALE = (2.4, 3.0, 0.21, 3.0)
TASKS = {
    "cartpole": Task(
        name="cartpole", gymnasium="CartPole-v1", observations=4, actions=2, scale=_SCALE, limit_steps=500, solved_return=475.0,
        period_s=TAU_S,
    ),
    "cartpole-v0": Task(
        name="cartpole-v0", gymnasium="CartPole-v0", observations=4, actions=2, scale=_SCALE, limit_steps=200, solved_return=195.0,
        period_s=TAU_S,
    ),
}  # fmt: skip


class Lanes(StateLanes):
    """Carts with poles, a lane each."""

    START = 0.05

    def moved(self, state: F64, actions: I64) -> F64:
        """Return the states (lanes, numbers) that follow these."""
        x, speed, angle, turning = state.T
        force = np.where(actions == 1, FORCE_N, -FORCE_N)
        cos, sin = np.cos(angle), np.sin(angle)
        push = (force + POLE_KG_M * np.square(turning) * sin) / ALL_KG
        tipping = (GRAVITY * sin - cos * push) / (HALF_LENGTH_M * (4.0 / 3.0 - POLE_KG * np.square(cos) / ALL_KG))
        rolling = push - POLE_KG_M * tipping * cos / ALL_KG
        return np.stack([x + TAU_S * speed, speed + TAU_S * rolling, angle + TAU_S * turning, turning + TAU_S * tipping], axis=1)

    def observed(self, state: F64) -> F32:
        """Return the states themselves, in float32."""
        return state.astype(np.float32)

    def terminal(self, state: F64) -> Bools:
        """Return which carts left the track or lost their pole."""
        x, angle = state[:, 0], state[:, 2]
        out: Bools = (x < -EDGE_M) | (x > EDGE_M) | (angle < -TIPPED_RAD) | (angle > TIPPED_RAD)
        return out

    def rewards(self, terminated: Bools) -> F64:
        """Return 1 for every step."""
        return np.ones(len(terminated))

    def drawing(self, lane: int) -> Mapping[str, Any]:
        """Return where the cart is, in metres of the track's 2.4 either way, and the pole's angle."""
        x, _, angle, _ = self.state[lane]
        return {"kind": "cartpole", "x": float(x), "edge": EDGE_M, "angle": float(angle)}
