"""`launch.py quantise`: a spiking checkpoint with weights of 8 bits, and a table of what that cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from host.commands._new_file import check_new, write_new
from host.commands._quantise_flags import FLOAT, add_quantise_flags, quantise_model, take_quantise_flags
from host.errors import HostError

HELP = "give a spiking checkpoint weights of 8 bits"
EXAMPLES = (("quantise SRC DST", "a spiking network in 8 bits"),)
DESCRIPTION = """\
Give a spiking network weights of 8 bits with one scale a population (or a
channel), and scale its biases, thresholds, leaks and resets with them. Weights
that lie on a grid already keep it. What it costs: docs/snn.md."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="SRC", help="a checkpoint, or a NIR file as `import` reads it without flags")
    parser.add_argument("target", metavar="DST", help="the checkpoint to write; must not exist")
    add_quantise_flags(parser, "8")


def run(flags: dict[str, Any]) -> int:
    """Quantise, print the table; ModelError or HostError in one line where that cannot be."""
    from host.workloads.site import load_model, model_path

    source, target, chosen = flags.pop("source"), Path(flags.pop("target")), take_quantise_flags(flags)
    if chosen.bits == FLOAT:
        raise HostError(f"quantise --bits {FLOAT}: does nothing; needs 8 (or 2 to 7)")
    check_new("quantise", target)
    model, report = quantise_model(load_model(model_path(source, "") or Path(source)), chosen)
    from models.checkpoint import save

    size = write_new("quantise", target, lambda path: save(path, model))
    print("\n".join([*report, f"written {target} ({size:,} bytes)"]))
    return 0
