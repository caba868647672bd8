"""Flags by which `quantise` brings an EGRU to 8 bits, and the table of what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.errors import HostError
from host.show.text_table import format_table

if TYPE_CHECKING:  # the command line reads this file too, and must not load a compiler
    from models.checkpoint import Model
    from models.quantise.egru import QuantisedPort

NAMES = ("weights", "events", "cell")
_BITS = {"weights": ("8", "4"), "events": ("8", "4"), "cell": ("8",)}
_SCALES = ("pow2", "float")
_OF_DNNS_TOO = ("calibrate", "samples", "scales")
_MOST_SAMPLES = 100_000


def add_egru_flags(parser: Any) -> None:
    """Add the flags to a parser or a group of one; each is None where nobody gave it."""
    parser.add_argument("--weights", metavar="N", help="bits of an EGRU's weights: 8, or 4, two to a byte (default: 8)")
    text = "bits of what an EGRU's layers send: 8 or 4 (default: 8). Its --calibrate is a text, recordings or .npy; optional"
    parser.add_argument("--events", metavar="N", help=text)
    parser.add_argument("--cell", metavar="N", help="bits of an EGRU's cell states: 8 (default: float32)")


def take_egru_flags(flags: dict[str, Any]) -> dict[str, str]:
    """Take the flags out of a command's: those that were given; HostError for bits that cannot be."""
    of_egru = {name: value for name in NAMES if (value := flags.pop(name)) is not None}
    for name, value in of_egru.items():
        if value not in _BITS[name]:
            raise HostError(f"--{name} {value}: needs {' or '.join(_BITS[name])}")
    return of_egru


def refuse_egru_flags(of_egru: Mapping[str, str], what: str) -> None:
    """Raise HostError where something else is told how to quantise an EGRU."""
    if of_egru:
        raise HostError(f"--{min(of_egru)}: is for EGRUs; this is {what}")


def is_egru(model: Model) -> bool:
    """Tell whether a model's layers are EGRUs, of any form."""
    network = model.network
    return all(network.populations[n].kernel.partition("_")[0] == "egru" for n in network.layers)


def quantise_egru_model(model: Model, of_egru: Mapping[str, str], shared: Mapping[str, Any]) -> tuple[Model, list[str]]:
    """Return the model with int8 weights and events and the lines of what was done; HostError or ModelError where it cannot be.

    `of_egru` are the flags of EGRUs alone, `shared` those that DNNs have too.
    """
    from dataclasses import replace

    import numpy as np

    from models.quantise import egru
    from models.quantise.egru_calibration import layer_values, samples_of

    if more := sorted(shared.keys() - set(_OF_DNNS_TOO)):
        raise HostError(f"--{more[0]}: is for DNNs (ONNX, .pt2); this is an EGRU")
    scales, most = shared.get("scales", _SCALES[0]), shared.get("samples")
    if scales not in _SCALES:
        raise HostError(f"--scales {scales}: needs {' or '.join(_SCALES)}")
    if most is not None and not 1 <= most <= _MOST_SAMPLES:
        raise HostError(f"--samples {most}: needs 1 to {_MOST_SAMPLES:,}")
    egru.check_quantisable(model.network)
    weight_bits, event_bits = (int(of_egru.get(name, _BITS[name][0])) for name in ("weights", "events"))
    whole = scales == "pow2"
    samples = samples_of(model, Path(shared["calibrate"]) if "calibrate" in shared else None, most)
    (into,) = model.network.inputs
    who = model.network.populations[into].name
    input_scales = {into: egru.fitted_scale(who, samples.inputs, 8, powers_of_two=whole)}
    event_scales = {n: egru.layer_scale(event_bits, powers_of_two=whole) for n in model.network.layers}
    sent, heard = layer_values(model, samples)
    for n, values in (sent if "calibrate" in shared else {}).items():
        if values.any():
            event_scales[n] = egru.fitted_scale(model.network.populations[n].name, values, event_bits, powers_of_two=whole)
    sources = {n: p.source for n in model.network.layers for p in model.network.populations[n].projections if p.trace}
    scale_of = {**input_scales, **event_scales}
    shifts = {n: egru.fitted_shift(heard[n], scale_of[source]) for n, source in sources.items() if n in heard}
    network, ports = egru.quantise_egru(
        model.network, input_scales=input_scales, event_scales=event_scales, weight_bits=weight_bits, event_bits=event_bits,
        trace_shifts=shifts, int8_cell="cell" in of_egru, powers_of_two=whole,
    )  # fmt: skip
    names = {n: model.network.populations[n].name for n in (*input_scales, *event_scales)}
    facts = {
        **({"cell": 8} if "cell" in of_egru else {}),
        "weights": weight_bits, "events": event_bits, "scales": scales, "by": samples.words,
        "event_scales": {names[n]: scale for n, scale in {**input_scales, **event_scales}.items()},
        **({"trace_shifts": {names[n]: shift for n, shift in shifts.items()}} if shifts else {}),
    }  # fmt: skip
    changed = replace(model, network=network, provenance={**model.provenance, "quantised": facts})
    if model.embedding is not None:
        scale = np.float32(input_scales[into])
        numbers = np.clip(np.rint(model.embedding / scale), -127, 127)
        changed = replace(changed, embedding=(numbers * scale).astype(np.float32), embedding_scale=float(scale))
    return changed, report_lines(ports, facts)


def report_lines(ports: Sequence[QuantisedPort], facts: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of what was done to each projection, and the scales of events."""
    heads = ("layer", "port", "weights", "scale of a row", "now 0", "signal dB", "bits of a sum")
    rows = [
        (
            one.layer, one.port, f"{one.weights:,}", _range(one.scales), f"{one.vanished:,}", f"{one.signal_db:.1f}",
            f"{one.sum_bits} of 24",
        )
        for one in ports
    ]  # fmt: skip
    scales = ", ".join(f"{name} {scale:.6g}" for name, scale in facts["event_scales"].items())
    shifts = ", ".join(f"{name} {shift}" for name, shift in facts.get("trace_shifts", {}).items())
    traces = [f"traces     heard so many bits to the left: {shifts}"] if shifts else []
    return [*format_table([heads, *rows]), f"events     what a 1 stands for: {scales}", *traces, f"by         {facts['by']}"]


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
