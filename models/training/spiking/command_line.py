"""The flags of `snn`; `commands.py` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.common.flags import Commands, add_events_flag, add_place_flags, add_settings_flags, prepare_torch
from models.training.spiking.settings import SpikingSettings


def add_commands(commands: Commands) -> None:
    """Add the parser of `snn`."""
    snn = commands.add_parser("snn", help="train a spiking gesture classifier, write a checkpoint and NIR", allow_abbrev=False)
    add_events_flag(snn)
    add_place_flags(snn)
    snn.add_argument("--cache", metavar="DIR", help="where spikes are kept for other runs (default: in the run folder)")
    add_settings_flags(snn.add_argument_group("hyperparameters"), SpikingSettings)
    snn.set_defaults(run=_snn)


def _snn(flags: dict[str, Any]) -> int:
    from models.training.spiking.commands import train

    events, out, cache = flags.pop("events"), Path(flags.pop("out")), flags.pop("cache")
    device, threads = flags.pop("device"), flags.pop("threads")
    settings = SpikingSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    train(events, settings, out, Path(cache) if cache else None, prepare_torch(device, threads), print)
    return 0
