"""Flags by which `quantise` treats a DNN, the samples that it is calibrated by, and the table of what was lost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.errors import HostError
from host.show.text_table import format_table

if TYPE_CHECKING:  # the command line reads this file too, and must not load numpy's friends
    from collections.abc import Sequence

    from models.dnn.graph import OperatorGraph
    from models.dnn.integer import IntegerNetwork
    from models.network import Array
    from models.quantise.dnn import LayerLoss

NAMES = ("calibrate", "samples", "scales", "round", "overflow", "equalise", "shape")
_MOST_SAMPLES = 100_000


def add_dnn_flags(parser: Any) -> None:
    """Add the flags to a parser or a group of one; each is None where nobody gave it."""
    text = "samples to choose scales by: .npy (samples, ...) or, for several inputs, .npz with an array each"
    parser.add_argument("--calibrate", metavar="FILE", help=text)
    parser.add_argument("--samples", type=int, metavar="N", help="how many of them, at least 8 (default: 100)")
    parser.add_argument("--scales", metavar="NAME", help="pow2: powers of two, which need a shift alone, or float (default: pow2)")
    parser.add_argument(
        "--round", metavar="NAME", help="of sums: half-up, floor or even (default: half-up; even where a file has its own scales)"
    )
    text = "a sum beyond 24 bits: saturate, wrap or error (default: saturate); the table counts them"
    parser.add_argument("--overflow", metavar="NAME", help=text)
    text = "bring channels of neighbouring layers to one range before scales are chosen (default: yes)"
    parser.add_argument("--equalise", action=argparse.BooleanOptionalAction, default=None, help=text)
    text = "shape of an input that the file leaves open, as in 1,3,32,32 or NAME=1,3,32,32; may be repeated"
    parser.add_argument("--shape", metavar="SHAPE", action="append", help=text)


def take_dnn_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """Take the flags out of a command's: those that were given."""
    values = {name: flags.pop(name) for name in NAMES}
    return {name: value for name, value in values.items() if value is not None}


def refuse_dnn_flags(of_dnn: dict[str, Any]) -> None:
    """Raise HostError where a network of events is told how to quantise a DNN."""
    if of_dnn:
        raise HostError(f"--{min(of_dnn)}: is for DNNs (ONNX, .pt2); this is a network of events")


def quantise_file(source: Path, of_dnn: dict[str, Any], *, per_channel: bool) -> tuple[Any, list[str]]:
    """Return the quantised model of a file and the lines of what was lost; ModelError or HostError where that cannot be."""
    from dataclasses import replace

    from host.workloads.dnn_files import dnn_importer, load_dnn_model
    from models.network import ModelError
    from models.quantise.dnn import check_settings, quantise_dnn
    from models.quantise.dnn_lower import DnnSettings

    if "shape" in of_dnn and dnn_importer(source) is None:
        raise HostError(f"quantise {source} --shape: a checkpoint's shapes are fixed; --shape belongs to `import`")
    model = load_dnn_model(source, {"shape": of_dnn["shape"]} if "shape" in of_dnn else None)
    if model.prepared is None:
        raise ModelError(f"quantise {source}: holds integers alone; needs the float graph")
    own = bool(model.prepared.grids)
    settings = DnnSettings(
        scales=of_dnn.get("scales", "pow2"), rounding=of_dnn.get("round", "even" if own else "half-up"),
        overflow=of_dnn.get("overflow", "saturate"), per_channel=per_channel, equalise=of_dnn.get("equalise", True),
    )  # fmt: skip
    check_settings(settings)
    most = of_dnn.get("samples", 100)
    if not 1 <= most <= _MOST_SAMPLES:
        raise HostError(f"--samples {most}: needs 1 to {_MOST_SAMPLES:,}")
    samples = None
    if "calibrate" in of_dnn:
        samples = read_samples(Path(of_dnn["calibrate"]), model.prepared.graph, most)
    elif not own:
        raise HostError(f"quantise {source}: a float DNN's scales are chosen by samples; give some with --calibrate FILE")
    who = f"--calibrate {of_dnn['calibrate']}" if samples is not None else f"quantise {source}"
    try:
        network, losses = quantise_dnn(model.prepared, samples, settings, who, most)
    except ModelError as error:
        raise ModelError(str(error) if str(error).startswith(("--", who)) else f"quantise {source}: {error}") from None
    facts = {
        "scales": settings.scales, "round": settings.rounding, "overflow": settings.overflow, "per_channel": per_channel,
        "equalise": settings.equalise and not own, "samples": None if samples is None else len(next(iter(samples.values()))),
    }  # fmt: skip
    return replace(model, network=network, provenance={**model.provenance, "quantised": facts}), report_lines(network, losses)


def read_samples(path: Path, graph: OperatorGraph, most: int) -> dict[str, Array]:
    """Return at most `most` samples of a .npy or .npz file, by input; HostError for what is neither."""
    import numpy as np

    from models.input_file import InputError, check_input

    who, names = f"--calibrate {path}", [one.name for one in graph.inputs]
    try:
        check_input(path)
        read = np.load(path, mmap_mode="r")
        arrays = {names[0]: read} if isinstance(read, np.ndarray) else {name: read[name] for name in read.files}
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except Exception as error:  # numpy's reader answers with errors of a dozen kinds
        raise HostError(f"{who}: is no .npy or .npz file that can be read ({type(error).__name__})") from None
    if isinstance(read, np.ndarray) and len(names) > 1:
        raise HostError(f"{who}: has one array for {len(names)} inputs; needs .npz with {', '.join(names)}")
    if len(arrays) == len(names) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    return {name: np.asarray(array[:most] if array.ndim else array) for name, array in arrays.items()}


def report_lines(network: IntegerNetwork, losses: Sequence[LayerLoss]) -> list[str]:
    """Return the lines of a table of what each operation lost, and what may overflow."""
    heads = ("operation", "kind", "shape", "signal dB", "clipped", "bits of a sum", "over 24 bits")
    rows = [
        (
            one.operation[:40], one.kind, " x ".join(map(str, one.shape)), "" if one.signal_db is None else f"{one.signal_db:.1f}",
            f"{one.saturated:,}", str(one.sum_bits or ""), f"{one.overflows:,}" if one.overflows else "",
        )
        for one in losses
    ]  # fmt: skip
    wide = [one for one in network.operations if one.may_overflow]
    if wide:
        names = ", ".join(one.name[:40] for one in wide[:6]) + (", ..." if len(wide) > 6 else "")
        line = f"24 bits    {len(wide)} of {len(network.operations)} operations could make a wider sum: {names}; a run counts them"
    else:
        line = "24 bits    no input can make a sum that the array's accumulators do not hold"
    rules = f"rules      rounds {network.rounding}, a wider sum: {network.overflow}; part of the hash"
    return [*format_table([heads, *rows]), line, rules, f"sha256     {network.fingerprint()}"]
