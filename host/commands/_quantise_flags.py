"""Flags by which a command quantises a spiking model, the quantising, and the table of what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from host.errors import HostError
from host.show.text_table import format_table

if TYPE_CHECKING:  # the command line reads this file too, and must not load a compiler
    from collections.abc import Sequence

    from models.checkpoint import Model
    from models.quantise.spiking import QuantisedPopulation

FLOAT = "float"


class QuantiseFlags(NamedTuple):
    """What a user chose: `bits` are a number or "float"."""

    bits: str
    percentile: float | None
    per_channel: bool
    int32_state: bool
    input_events: str | None


def add_quantise_flags(parser: Any, bits: str) -> None:
    """Add the flags to a parser or a group of one; `bits` is the default of `--bits`."""
    parser.add_argument("--bits", default=bits, metavar="N", help=f"weights of 8 bits (or 2 to 7), or {FLOAT} (default: {bits})")
    text = "percentile of a population's weights that becomes 127; larger ones are clipped (default: 100)"
    parser.add_argument("--percentile", type=float, metavar="P", help=text)
    parser.add_argument("--per-channel", action="store_true", help="a scale for each channel out, not for each population")
    text = "membranes in int32, exact; of integrate-and-fire neurons (default: float32)"
    parser.add_argument("--int32-state", action="store_true", help=text)
    text = "what float inputs send: spike (0 or 1) or count (default: spike), or float32, and who hears them keeps float weights"
    parser.add_argument("--input-events", metavar="NAME", help=text)


def take_quantise_flags(flags: dict[str, Any]) -> QuantiseFlags:
    """Take the flags out of a command's; HostError for bits that cannot be, or for flags that say how to do what is not done."""
    settings = QuantiseFlags(**{name: flags.pop(name) for name in QuantiseFlags._fields})
    if settings.bits == FLOAT:
        names = [
            f"--{name.replace('_', '-')}" for name in QuantiseFlags._fields[1:] if getattr(settings, name) not in (None, False)
        ]
        if names:
            raise HostError(f"{', '.join(names)}: says how to quantise; needs --bits 8")
    elif settings.bits not in {str(bits) for bits in range(2, 9)}:
        raise HostError(f"--bits {settings.bits}: needs 8 (or 2 to 7), or {FLOAT}")
    return settings


def quantise_model(model: Model, settings: QuantiseFlags) -> tuple[Model, list[str]]:
    """Return a spiking model with int8 weights and lines of what was done; ModelError where it cannot be. Of "float": as it is."""
    if settings.bits == FLOAT:
        return model, []
    from dataclasses import replace

    from models.quantise.grids import Grid
    from models.quantise.spiking import quantise_spiking

    percentile = 100.0 if settings.percentile is None else settings.percentile
    grid = Grid(bits=int(settings.bits), percentile=percentile, per_row=settings.per_channel)
    state, inputs = "int32" if settings.int32_state else "float32", settings.input_events or ("float32" if model.front else "spike")
    network, report = quantise_spiking(model.network, grid, state=state, inputs=inputs)
    facts = {"bits": grid.bits, "percentile": percentile, "per_channel": grid.per_row, "state": state, "inputs": inputs}
    return replace(model, network=network, provenance={**model.provenance, "quantised": facts}), format_report(report)


def format_report(report: Sequence[QuantisedPopulation]) -> list[str]:
    """Return the lines of a table of what was done to each population, and notes."""
    rows = [
        (
            one.name, f"{one.weights:,}", _range(one.scales) + (" (kept)" if one.kept else ""), f"{one.clipped:,}",
            f"{one.vanished:,}", f"{one.signal_db:.1f}", _range(one.thresholds) if one.thresholds else "", str(one.sum_bits),
        )
        for one in report if not one.note
    ]  # fmt: skip
    heads = ("population", "weights", "scale", "clipped", "now 0", "signal dB", "threshold", "bits of a sum")
    notes = [f"{one.name}: {one.note}" for one in report if one.note]
    return [*(format_table([heads, *rows]) if rows else []), *notes]


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
