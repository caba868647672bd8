"""The flags of `gesture` and `gesture-conform`; `commands.py` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.common.flags import Commands, add_events_flag, add_place_flags, add_settings_flags, prepare_torch
from models.training.gesture.settings import GestureSettings


def add_commands(commands: Commands) -> None:
    """Add the parsers of `gesture` and `gesture-conform`."""
    gesture = commands.add_parser("gesture", help="train a gesture classifier on events, write a checkpoint", allow_abbrev=False)
    add_events_flag(gesture)
    add_place_flags(gesture)
    gesture.add_argument("--cache", metavar="DIR", help="where frames are kept for other runs (default: in the run folder)")
    add_settings_flags(gesture.add_argument_group("hyperparameters"), GestureSettings)
    gesture.set_defaults(run=_gesture)

    conform = commands.add_parser(
        "gesture-conform", help="hold the emulator against torch on every test sample of a gesture checkpoint", allow_abbrev=False
    )
    conform.add_argument("file", metavar="CHECKPOINT", help="a checkpoint with a gesture classifier")
    add_events_flag(conform)
    conform.add_argument("--samples", type=int, metavar="N", help="only the first N (default: all)")
    conform.add_argument("--cache", metavar="DIR", help="where frames are kept between runs (default: nowhere)")
    conform.set_defaults(run=_conform)


def _gesture(flags: dict[str, Any]) -> int:
    from models.training.gesture.commands import train

    events, out, cache = flags.pop("events"), Path(flags.pop("out")), flags.pop("cache")
    device, threads = flags.pop("device"), flags.pop("threads")
    settings = GestureSettings(**{name: value for name, value in flags.items() if value is not None})
    settings.check()
    train(events, settings, out, Path(cache) if cache else None, prepare_torch(device, threads), print)
    return 0


def _conform(flags: dict[str, Any]) -> int:
    from models.training.gesture.commands import conform

    cache = Path(flags["cache"]) if flags["cache"] else None
    return 0 if conform(Path(flags["file"]), flags["events"], flags["samples"], cache, print) else 6
