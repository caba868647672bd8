"""The command `digits` of the trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.common.flags import Commands, add_place_flags, add_settings_flags, prepare_torch
from models.training.digits.settings import DigitsSettings


def add_commands(commands: Commands) -> None:
    """Add the parser of `digits`."""
    digits = commands.add_parser(
        "digits", help="train a CNN or a vision transformer on handwritten digits, write an int8 checkpoint", allow_abbrev=False
    )
    add_place_flags(digits)
    add_settings_flags(digits.add_argument_group("hyperparameters"), DigitsSettings)
    digits.set_defaults(run=_digits)


def _digits(flags: dict[str, Any]) -> int:
    from models.training.common.progress_bar import progress_bar
    from models.training.digits.export import finish
    from models.training.digits.images import read_digits
    from models.training.digits.trainer import DigitsTrainer

    out, device, threads = Path(flags.pop("out")), flags.pop("device"), flags.pop("threads")
    settings = DigitsSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    digits = read_digits()
    trainer = DigitsTrainer(digits["train"], digits["valid"], settings, out, prepare_torch(device, threads))
    trainer.begin({"images": digits["train"].about})
    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    finish(trainer, digits["test"], print)
    return 0
