"""The smallest run of a Q-network: six and five neurons, two episodes of five actions of three ticks."""

from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model, save
from models.checkpoint.tasks.control import PART
from models.control.environments import task_named
from models.control.policy import Policy
from models.control.q_network import q_network
from models.network import F32

_TICKS, _EPISODES, _STEPS, _SIZES = 3, 2, 5, (8, 6, 5, 2)


def smallest(folder: Path) -> dict[str, Any]:
    """Write a Q-network into `folder`; return the options that run it."""
    task, draw = task_named("cartpole"), np.random.default_rng(1)

    def numbers(*shape: int) -> F32:
        return (draw.integers(-64, 64, shape) / 64).astype(np.float32)

    shapes = list(zip(_SIZES[1:], _SIZES[:-1], strict=True))
    network = q_network([8 * numbers(*shape) for shape in shapes], [numbers(units) for units, _ in shapes], 0.5)
    policy = Policy(task.name, task.scale, task.actions, _TICKS)
    checkpoint = folder / "policy.safetensors"
    save(checkpoint, Model(network, segment=_TICKS, state="zeroed", parts={PART: policy}))
    return {"checkpoint": str(checkpoint), "episodes": _EPISODES, "steps": _STEPS, "pes": 3, "format": "csr"}
