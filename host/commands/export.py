"""`launch.py export`: one of our models as a file that other programs read, so that it can go on there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from host.commands._labelled_lines import print_labelled
from host.commands._new_file import check_new, write_new
from host.errors import HostError, need_file
from host.workloads.site import SEEDED, load_model, model_path
from models import shipped
from models.network import ModelError, in_one_line

HELP = "write a model for torch and other programs"
EXAMPLES = (
    ("export MODEL OUT.pth", "a state_dict that torch loads"),
    ("export MODEL OUT.nir", "a spiking network in NIR"),
)
DESCRIPTION = """\
Write MODEL as a file that another program reads; which one, the suffix of OUT
says. A .pth is a state_dict for torch.load(OUT, weights_only=True): of a
torch.nn.GRU where the model is a mirrored one, else with EvNN's keys. What
becomes of a model there: docs/import.md. A .nir is a spiking network in NIR
(docs/nir.md); of a run folder with events.npz (--save events), its spikes."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = ", ".join(shipped.names())
    parser.add_argument("model", metavar="MODEL", help=f"a checkpoint file, {names}, or a run folder with events.npz")
    parser.add_argument("target", metavar="OUT", help="the file to write; must not exist")
    parser.add_argument("--dt", type=float, default=1.0, metavar="T", help="of a run's spikes: length of a step (default: 1)")


def run(flags: dict[str, Any]) -> int:
    """Export, print what was done; ModelError or HostError in one line where that cannot be."""
    from models.exporters import exporter_for

    target = Path(flags["target"])
    if Path(flags["model"]).is_dir():
        return _export_events(Path(flags["model"]), target, flags["dt"])
    source = model_path(flags["model"], "")
    if source is None:
        raise HostError(f"export {SEEDED}: it is made when a run needs it, there is no file to export")
    exporter, notes = exporter_for(target), list[str]()
    check_new("export", target)
    model = load_model(source)
    try:
        size = write_new("export", target, lambda path: exporter.write(path, model, notes))
    except ModelError as error:
        raise ModelError(f"export {target}: {error}") from error
    rows = [("source", source), *(("note", note) for note in notes), ("written", f"{target} ({size:,} bytes)")]
    print_labelled((f"{name:<14} {value}" for name, value in rows), label=15)
    return 0


def _export_events(folder: Path, target: Path, dt: float) -> int:
    """Export the events that a run saved, print what was done; ModelError or HostError in one line where that cannot be."""
    import numpy as np

    from models.exporters import exporter_for
    from models.foreign.nir_data import recorded_of

    path, exporter = folder / "events.npz", exporter_for(target)
    write = getattr(exporter, "write_events", None)
    if write is None:
        raise HostError(f"export {target}: files called so hold no spikes of a run; needs another suffix, such as .nir")
    if not (dt > 0 and np.isfinite(dt)):
        raise HostError(f"export --dt {dt}: needs a finite number above 0")
    need_file(path, f"export {folder}: events.npz")
    check_new("export", target)
    try:
        with np.load(path) as archive:
            recorded = recorded_of({name: archive[name] for name in archive.files}, f"export {path}")
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise HostError(f"export {path}: cannot be read ({in_one_line(error)})") from error
    size = write_new("export", target, lambda part: write(part, recorded, dt))
    print(f"{'source':<14} {path} ({len(recorded.events):,} events)")
    print(f"{'written':<14} {target} ({size:,} bytes)")
    return 0
