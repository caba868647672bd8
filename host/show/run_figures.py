"""The figures of a run in one list, for putting runs side by side: each with a name, a unit and a number or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from host.cost.bottleneck import Bottleneck
from host.cost.ledger import RunLedger
from host.cost.priced import Priced
from host.cost.what_if import moved_bytes
from host.show.quantities import format_change, format_quantity
from host.show.status import unit_of
from host.show.text_table import format_table
from host.show.words import name_of, stages_of

_SAME = 1e-9  # relative: what differs less is the same figure, summed up in another order
Value = float | int | str | None


@dataclass(frozen=True)
class FigureOfRun:
    """A figure: `name` and `unit` ("" of a text or a plain count), `value`, and `band`, the ends of what is uncertain.

    `words`: what a table for people calls it, where that is not its name.
    """

    name: str
    unit: str
    value: Value
    band: tuple[float, float] | None = None
    words: str = ""


def figures_of_run(
    report: Mapping[str, Any], ledger: RunLedger, priced: Priced, slow: Bottleneck | None, metrics: Mapping[str, Value]
) -> list[FigureOfRun]:
    """Return the figures of a run, as the summary and the page say them; those of stages a unit. `metrics`: values of the report's
    metrics at this price, by name.
    """
    unit, each, mapping = unit_of(report), max(ledger.executions, 1), report["mapping"]
    worst = mapping["sram"]["worst"]
    figures = [FigureOfRun(metric["label"], metric.get("unit") or "", metrics[metric["name"]]) for metric in report["metrics"]]
    figures += [
        FigureOfRun(f"time a {unit}", "s", priced.time_s / each, _each(priced.time_band_s, each)),
        FigureOfRun(f"energy a {unit}", "J", priced.energy_j / each, _each(priced.energy_band_j, each)),
        FigureOfRun("power", "W", priced.power_w, priced.power_band_w),
        FigureOfRun(f"moved a {unit}", "B", moved_bytes(priced) / each),
        FigureOfRun("SRAM used, fullest PE", "B", worst["weights"] + worst["variables"]),
        FigureOfRun("slowest layer", "", next(iter(slow.by_layer)) if slow else None),
        FigureOfRun("PEs", "", mapping["pes"]), FigureOfRun("chips", "", mapping["chips"]),
        FigureOfRun("mapping", "", mapping["strategy"]), FigureOfRun("format", "", mapping["format"]),
        FigureOfRun("sequences side by side", "", ledger.lanes), FigureOfRun("positions", "", ledger.positions),
        FigureOfRun("events", "", report["events"]["count"]), FigureOfRun("event hash", "", report["events"]["sha256"][:12]),
    ]  # fmt: skip
    active = zip(ledger.layer_names, report["events"]["sparsity_by_layer"], strict=True)
    figures += [FigureOfRun(f"{layer} active units", "%", 100 * (1 - sparsity)) for layer, sparsity in active]
    called = stages_of(ledger.populations[number].kernel for number in ledger.layers)
    for layer, stages in priced.stages_s.items():
        figures += [
            FigureOfRun(f"{layer} {stage}", "s", seconds / each, words=f"{layer} {name_of(stage, called)}")
            for stage, seconds in stages.items()
        ]
    return figures


def _each(band: tuple[float, float], each: int) -> tuple[float, float]:
    return band[0] / each, band[1] / each


def side_by_side(runs: Sequence[Sequence[FigureOfRun]]) -> list[tuple[str, str, list[FigureOfRun | None]]]:
    """Return (name, unit, the runs' figures, None where a run lacks it), in the order in which names first stand."""
    by_name = [{(one.name, one.unit): one for one in figures} for figures in runs]
    names = dict.fromkeys((one.name, one.unit) for figures in runs for one in figures)
    return [(*name, [figures.get(name) for figures in by_name]) for name in names]


def format_side_by_side(names: Sequence[str], runs: Sequence[Sequence[FigureOfRun]]) -> list[str]:
    """Return runs side by side as lines: the first as it is, of the others also how they differ from it."""
    lines: list[list[str]] = [["", *(cell for n, name in enumerate(names) for cell in ([name, ""] if n else [name]))]]
    for name, _, figures in side_by_side(runs):
        cells = [next((one.words for one in figures if one is not None and one.words), name)]
        for n, one in enumerate(figures):
            cells += [_text(one), _difference(figures[0], one)] if n else [_text(one)]
        lines.append(cells)
    return [line.rstrip() for line in format_table(lines, separator="  ")]


def _text(one: FigureOfRun | None) -> str:
    if one is None or one.value is None:
        return "-"
    if isinstance(one.value, str):
        return one.value
    if one.unit in ("s", "J", "W", "B"):
        return format_quantity(one.value, one.unit)
    return f"{one.value:,}" if isinstance(one.value, int) else f"{one.value:,.4g} {one.unit}".strip()


def _difference(first: FigureOfRun | None, one: FigureOfRun | None) -> str:
    if first is None or one is None or first.value is None or one.value is None:
        return ""
    if isinstance(one.value, str) or isinstance(first.value, str):
        return "" if one.value == first.value else "another"
    if not first.value or abs(one.value / first.value - 1) < _SAME:
        return ""
    return format_change(one.value / first.value - 1)
