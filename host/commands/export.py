"""`launch.py export`: one of our models as a file that other programs read, so that it can go on there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from host.commands._new_file import check_new, write_new
from host.errors import HostError
from host.workloads.site import SEEDED, load_model, model_path
from models import shipped
from models.network import ModelError

HELP = "write a model for torch and other programs"
EXAMPLES = (("export MODEL OUT.pth", "a state_dict that torch loads"),)
DESCRIPTION = """\
Write MODEL as a file that another program reads; which one, the suffix of OUT
says. A .pth is a state_dict for torch.load(OUT, weights_only=True): of a
torch.nn.GRU where the model is a mirrored one, else with EvNN's keys. What
becomes of a model there: docs/import.md."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", metavar="MODEL", help=f"a checkpoint file, or {', '.join(shipped.names())}")
    parser.add_argument("target", metavar="OUT", help="the file to write; must not exist")


def run(flags: dict[str, Any]) -> int:
    """Export, print what was done; ModelError or HostError in one line where that cannot be."""
    from models.exporters import exporter_for

    source, target = model_path(flags["model"], ""), Path(flags["target"])
    if source is None:
        raise HostError(f"export {SEEDED}: it is made when a run needs it, there is no file to export")
    exporter, notes = exporter_for(target), list[str]()
    check_new("export", target)
    model = load_model(source)
    try:
        size = write_new("export", target, lambda path: exporter.write(path, model, notes))
    except ModelError as error:
        raise ModelError(f"export {target}: {error}") from error
    print(f"{'source':<14} {source}")
    for note in notes:
        print(f"{'note':<14} {note}")
    print(f"{'written':<14} {target} ({size:,} bytes)")
    return 0
