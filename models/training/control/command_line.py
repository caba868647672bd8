"""The command `control` of the trainer: from an environment's name to a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.training.control.settings import ControlSettings

HELP = "train a spiking Q-network to act in an environment, write a checkpoint"


def train(flags: dict[str, Any], say: Callable[[str], object]) -> int:
    """Train what the flags say, and say what comes of it; return the exit code."""
    from models.control.environments import task_named

    settings = ControlSettings.chosen(flags)
    settings.check()
    task = task_named(flags["environment"])
    settings.scale_for(task)
    import torch

    torch.set_num_threads(flags["threads"] or 1)
    from models.training.control.trainer import train_all

    train_all(task, settings, Path(flags["out"]), say)
    return 0
