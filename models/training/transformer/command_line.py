"""The command `transformer` of the trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.common.flags import Commands, add_place_flags, add_settings_flags, prepare_torch
from models.training.language.command_line import LICENCES
from models.training.transformer.settings import TransformerSettings


def add_commands(commands: Commands) -> None:
    """Add the parser of `transformer`."""
    command = commands.add_parser(
        "transformer", help="train a transformer language model on the text of `lm`, write int8 checkpoints", allow_abbrev=False
    )
    command.add_argument("--data", default="stdlib", metavar="WHAT", help="as of lm")
    add_place_flags(command)
    command.add_argument("--licence", default=None, metavar="TEXT", help="licence of the text, kept in the checkpoint")
    add_settings_flags(command.add_argument_group("hyperparameters"), TransformerSettings)
    command.set_defaults(run=_transformer)


def _transformer(flags: dict[str, Any]) -> int:
    from models.training.common.progress_bar import progress_bar
    from models.training.language.text_streams import read_text
    from models.training.transformer.export import finish
    from models.training.transformer.trainer import TransformerTrainer

    data, out, licence = flags.pop("data"), Path(flags.pop("out")), flags.pop("licence")
    device, threads = flags.pop("device"), flags.pop("threads")
    settings = TransformerSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    place = prepare_torch(device, threads)
    text = read_text(data, settings.min_count)
    trainer = TransformerTrainer(text, settings, out, place)
    trainer.begin({"data": data})
    with progress_bar(trainer.progress.iteration, trainer.iterations) as trainer.on_progress:
        trainer.run()
    finish(trainer, licence or LICENCES.get(text.name, "unknown"), print)
    return 0
