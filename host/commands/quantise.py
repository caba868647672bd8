"""`launch.py quantise`: an EGRU, a spiking network or a DNN in 8 bits, and a table of what that cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from host.commands._dnn_flags import add_dnn_flags, quantise_file, refuse_dnn_flags, take_dnn_flags
from host.commands._egru_flags import add_egru_flags, is_egru, quantise_egru_model, refuse_egru_flags, take_egru_flags
from host.commands._new_file import check_new, write_new
from host.commands._quantise_flags import FLOAT, QuantiseFlags, add_quantise_flags, quantise_model, take_quantise_flags
from host.errors import HostError

HELP = "bring an EGRU, a spiking network or a DNN to 8 bits"
EXAMPLES = (("quantise SRC DST", "an EGRU, an SNN or a DNN in 8 bits"),)
DESCRIPTION = """\
Give a spiking network weights of 8 bits with one scale a population (or a
channel), and scale its biases, thresholds, leaks and resets with them. Weights
that lie on a grid already keep it. What it costs: docs/snn.md.

Give an EGRU int8 weights, a scale a row, and int8 events, a scale a
population; sums are integers, gates and cell states stay float32: docs/int8.md.

Give a DNN (ONNX, .pt2, or what `import` made of one) int8 weights and
activations, by scales that --calibrate's samples choose: docs/dnn.md."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="SRC", help="a checkpoint, or what `import` reads without flags (.nir, .onnx, .pt2)")
    parser.add_argument("target", metavar="DST", help="the checkpoint to write; must not exist")
    add_quantise_flags(parser, "8")
    add_egru_flags(parser.add_argument_group("of EGRUs"))
    add_dnn_flags(parser.add_argument_group("of DNNs (--calibrate, --samples, --scales: of EGRUs too)"))


def run(flags: dict[str, Any]) -> int:
    """Quantise, print the table; ModelError or HostError in one line where that cannot be."""
    from host.workloads.dnn_files import holds_dnn
    from host.workloads.site import load_model, model_path

    of_dnn, of_egru = take_dnn_flags(flags), take_egru_flags(flags)
    source, target, settings = flags.pop("source"), Path(flags.pop("target")), take_quantise_flags(flags)
    if settings.bits == FLOAT:
        raise HostError(f"quantise --bits {FLOAT}: does nothing; needs 8 (or 2 to 7)")
    check_new("quantise", target)
    path = model_path(source, "") or Path(source)
    if holds_dnn(path):
        refuse_egru_flags(of_egru, "a DNN")
        return _quantise_dnn(path, target, settings, of_dnn)
    model = load_model(path)
    if is_egru(model):
        _refuse_spiking(settings, "an EGRU takes --weights and --events")
        model, report = quantise_egru_model(model, of_egru, of_dnn)
    else:
        refuse_egru_flags(of_egru, "no network of them")
        refuse_dnn_flags(of_dnn)
        model, report = quantise_model(model, settings)
    from models.checkpoint import save

    size = write_new("quantise", target, lambda path: save(path, model))
    print("\n".join([*report, f"written {target} ({size:,} bytes)"]))
    return 0


def _quantise_dnn(source: Path, target: Path, settings: QuantiseFlags, of_dnn: dict[str, Any]) -> int:
    from models.dnn.file import save_dnn

    _refuse_spiking(settings._replace(per_channel=False), "a DNN is quantised to 8 bits")
    model, report = quantise_file(source, of_dnn, per_channel=settings.per_channel)
    size = write_new("quantise", target, lambda path: save_dnn(path, model))
    print("\n".join([*report, f"written {target} ({size:,} bytes)"]))
    return 0


def _refuse_spiking(settings: QuantiseFlags, instead: str) -> None:
    """Raise HostError where something else is told how to quantise a spiking network."""
    names = ("percentile", "per_channel", "int32_state", "input_events")
    spiking = [f"--{name.replace('_', '-')}" for name in names if getattr(settings, name)]
    if settings.bits != "8" or spiking:
        raise HostError(f"{', '.join(spiking) or f'--bits {settings.bits}'}: is for spiking networks; {instead}")
