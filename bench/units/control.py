"""An action of the shipped CartPole network, 32 episodes side by side on 8 PEs, beside the same network in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench.units import Unit, seconds_of
from host.workloads.control.options import Options
from host.workloads.site import load_model
from models import shipped
from models.checkpoint.tasks.control import PART
from models.training.control.export import TorchPolicy

_LANES, _STEPS = 32, 60


def unit(_: Path) -> Unit:
    """Return what is measured; the peer acts on observations, and steps no environment."""
    path = shipped.path_of("cartpole")
    assert path is not None
    model = load_model(path)
    policy = model.parts[PART]
    network = TorchPolicy(model.network, policy.scale, policy.ticks)
    observations = np.random.default_rng(1).normal(size=(_LANES, len(policy.scale))).astype(np.float32)

    @torch.no_grad()
    def act() -> object:
        return network(observations)

    options = Options(environment="cartpole", batch=_LANES, episodes=_LANES, steps=_STEPS, pes=8, answers="none")
    return Unit(
        name="an action, 32 episodes side by side", options=options, count=lambda report: int(report["result"]["actions_taken"]),
        peer="torch", peer_s=lambda: seconds_of(act, _LANES),
    )  # fmt: skip
