"""The command `control` of the trainer: from an environment's name to a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from models.training.common.flags import Commands, add_settings_flags
from models.training.control.settings import ControlSettings


def add_commands(commands: Commands) -> None:
    """Add the parser of `control`."""
    text = "train a spiking Q-network to act in an environment, write a checkpoint"
    control = commands.add_parser("control", help=text, allow_abbrev=False)
    control.add_argument("environment", metavar="ENVIRONMENT", help="cartpole, cartpole-v0, acrobot, or a name of gymnasium's")
    control.add_argument("--out", required=True, metavar="DIR", help="run folder; finished seeds and stages in it are kept")
    control.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
    add_settings_flags(control.add_argument_group("hyperparameters"), ControlSettings)
    control.set_defaults(run=_control)


def _control(flags: dict[str, Any]) -> int:
    from models.control.environments import task_named

    settings = ControlSettings.chosen(flags)
    settings.check()
    task = task_named(flags["environment"])
    settings.scale_for(task)
    import torch

    torch.set_num_threads(flags["threads"] or 1)
    from models.training.control.trainer import train_all

    train_all(task, settings, Path(flags["out"]), partial(print, flush=True))
    return 0
