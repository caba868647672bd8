"""`launch.py scale`: a grid of settings, one table and plots."""

import argparse
from collections.abc import Mapping
from typing import Any

HELP = "run a grid of settings: one table and plots"
EXAMPLES = (("scale FILE.toml", "a grid of settings: table, plots"),)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("file", metavar="FILE.toml", help="the experiment (docs/scaling.md, experiments/)")
    parser.add_argument("--out", metavar="DIR", help="folder for table, plots and runs (default runs/scale-NAME)")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted sweep stopped")


def run(flags: Mapping[str, Any]) -> int:
    """Run what is missing of the sweep; return the exit code."""
    from host.experiments.sweep import scale

    return scale(flags)
