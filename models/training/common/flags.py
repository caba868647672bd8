"""Flags that commands of several trainers have, and what they stand for."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

from models.network import ModelError

if TYPE_CHECKING:
    import torch

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # what a trainer adds its parsers to

_MOST_THREADS = 1024
_METAVARS: dict[type, str] = {int: "N", float: "X", str: "TEXT"}


def add_settings_flags(group: argparse._ArgumentGroup, settings: type[Any]) -> None:
    """Make a flag of every field of a record of settings; one that is not given is None."""
    for entry in fields(settings):
        name, default = f"--{entry.name.replace('_', '-')}", entry.default
        text = f"{entry.metadata['help']} (default {default})"
        if isinstance(default, bool):
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            kind = type(default)
            group.add_argument(name, type=kind, default=None, metavar=_METAVARS[kind], help=text.replace("%", "%%"))


def add_out_flag(command: argparse.ArgumentParser) -> None:
    """Add the run folder of a training that goes on from a state."""
    command.add_argument("--out", required=True, metavar="DIR", help="run folder; one that holds a state is gone on with")


def add_place_flags(command: argparse.ArgumentParser) -> None:
    """Add where a training writes, and where it runs; `prepare_torch` reads device and threads."""
    add_out_flag(command)
    command.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N (default cpu)")
    command.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads (default: torch's choice)")


def add_events_flag(command: argparse.ArgumentParser) -> None:
    """Add which recordings of gestures are read."""
    text = "synthetic, or a folder with DVS128 Gesture as distributed or as tonic leaves it (default synthetic)"
    command.add_argument("--events", default="synthetic", metavar="WHAT", help=text)


def prepare_torch(device: str, threads: int) -> torch.device:
    """Set torch up and return the device to train on; ModelError for one that is not there."""
    import torch

    if not 0 <= threads <= _MOST_THREADS:
        raise ModelError(f"--threads {threads}: needs 0 (torch's choice) to {_MOST_THREADS}")
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Beta(0.03, 3) thresholds hold denormals
    cuda = re.fullmatch(r"cuda:?(\d*)", device, re.ASCII)
    if device != "cpu" and not (cuda and int(cuda[1] or 0) < torch.cuda.device_count()):
        raise ModelError(f"--device {device}: torch {torch.__version__} sees no such device; use --device cpu")
    return torch.device(device)
