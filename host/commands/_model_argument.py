"""The argument MODEL, as every command takes it that works on a model: a file, a shipped model's name, or `seeded`."""

from __future__ import annotations

import argparse
from typing import Any

from host.errors import HostError
from models import shipped


def add_model(parser: argparse.ArgumentParser, default: str = "the trained one that is shipped") -> None:
    """Add MODEL to a command's arguments, which may be left out for the `default` in words."""
    text = f"a checkpoint file, {', '.join(shipped.names())}, or seeded for random weights (default: {default})"
    parser.add_argument("model", metavar="MODEL", nargs="?", help=text)


def take_model(flags: dict[str, Any]) -> None:
    """Put MODEL where `--checkpoint` puts its value; HostError where both are given."""
    model = flags.pop("model", None)
    if model is None:
        return
    if flags.get("checkpoint") is not None:
        raise HostError(f"MODEL {model} and --checkpoint {flags['checkpoint']}: choose one, they are the same")
    flags["checkpoint"] = model
