"""The command `plot`, which draws the logs of any trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.training.common.flags import Commands


def add_commands(commands: Commands) -> None:
    """Add the parser of `plot`."""
    plot = commands.add_parser("plot", help="draw the logs of run folders", allow_abbrev=False)
    plot.add_argument("runs", nargs="+", metavar="[NAME=]DIR", help="run folders")
    plot.add_argument("--out", required=True, metavar="FILE", help="PNG or SVG")
    plot.set_defaults(run=_plot)


def _plot(flags: dict[str, Any]) -> int:
    from models.training.common.log_plot import plot

    named = [run.rpartition("=") for run in flags["runs"]]
    plot({name or Path(folder).name: Path(folder) / "log.csv" for name, _, folder in named}, Path(flags["out"]))
    return 0
