"""What the page of a DNN's run shows: its layers as one table, what their time is made of, energy, SRAM, and the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure, Html, paragraph, section, table
from host.workloads.dnn.summary import HEAD, LEFT, layer_table
from models.palette import INK, SERIES

_PARTS = ("scheduling", "array", "core", "DMA", "DRAM")
_COLOURS = dict(zip(_PARTS, SERIES, strict=False))  # as of stacked bars
_ARRAY_MACS, _SRAM_LEFT = 64, 88 << 10
_NAMED_POINTS = 16  # of the roofline, the layers that take longest


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on the layers; none where no result came about."""
    result = report.get("result")
    if not result or not result["layers"]:
        return []
    numeric = tuple(place for place in range(len(HEAD)) if place not in LEFT)
    data = f"Samples: {result['data']}. All passes together; a layer's transfers take as long as DMA or DRAM, whichever is longer."
    return [section("Layers", [paragraph(data), table(HEAD, layer_table(result["layers"]), numeric=numeric, is_wide=True)])]


def position_names(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the layers, through which the positions of a run go in turn."""
    return [one["layer"] for one in (report.get("result") or {}).get("layers") or ()]


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawings; none where no result came about."""
    result, cost = report.get("result"), report.get("modelled")
    if not result or not result["layers"]:
        return []
    layers = result["layers"]
    times = {one["layer"]: {name: one["parts_s"][name] for name in _PARTS} for one in layers}
    sram = {one["layer"]: one["sram_bytes"] / 1024 for one in layers}
    drawn = [
        Figure(
            name="timeline", title="Timeline of the layers", draw=lambda: _timeline(layers, result["passes"]),
            caption="When each layer runs and what it does then: the mean of all passes. The scheduler goes first, then the "
            "workers fetch, compute and write; the lowest line is what DRAM is busy with.",
        ),
        Figure(
            name="layer_times", title="Time by layer", caption="Modelled time of each layer's parts, all passes together.",
            draw=lambda: plots.stacked_bars(times, "s"),
        ),
        Figure(
            name="layer_sram", title="SRAM by layer", caption=f"Of a worker's {_SRAM_LEFT >> 10} KiB for tiles: the fullest one's.",
            draw=lambda: plots.bars(sram, "KiB"),
        ),
    ]  # fmt: skip
    if cost is not None:
        energy = _energy_j(layers, cost)
        text = "Modelled energy: array, core and DRAM by what each layer did, the rest by the time that it took."
        drawn.append(
            Figure(name="layer_energy", title="Energy by layer", caption=text, draw=lambda: plots.stacked_bars(energy, "J"))
        )
        caption = (
            "What each layer does a second, over what it does a byte of DRAM: products of the array, or numbers of the core "
            "(open). The lines are what arrays and cores of the PEs in use could do, and DRAM could bring. The longest layers have "
            "their names."
        )
        rate = float(report["result"].get("dram_bytes_per_s") or 0.0)
        clock = float(cost["settings"]["clock_hz"])
        drawn.append(
            Figure(name="roofline", title="Roofline", caption=caption, draw=lambda: _roofline(layers, clock, rate))
        )  # fmt: skip
    return drawn


@plots.styled
def _timeline(layers: Sequence[Mapping[str, Any]], passes: int) -> canvas.Figure:
    """Return a drawing of a pass: a line a layer, one behind the other, and below it one of DRAM."""
    names = [one["layer"] for one in layers]
    figure, axes = plots.new_figure(0.75 + 0.26 * (len(layers) + 1), (1.5, 0.2, 0.45, 0.36))
    rows, begin = np.arange(len(layers) + 1)[::-1], 0.0
    for row, one in zip(rows, layers, strict=False):
        at = begin
        parts = {name: 1e3 * one["parts_s"][name] / passes for name in _PARTS}
        moving = max(parts["DMA"], parts["DRAM"])
        lasting = 1e3 * one["time_s"] / passes
        shown = {"scheduling": parts["scheduling"], "DMA": moving, "array": parts["array"], "core": parts["core"]}
        for name, length in shown.items():
            # What lies behind the work is drawn with it.
            left = at if name != "array" else max(begin + lasting - parts["array"] - parts["core"], begin + parts["scheduling"])
            drawn = axes.barh([row], [length], 0.62, left=[left], color=_COLOURS[name], label=name if row == rows[0] else "_")
            figure.add_hints(next(iter(drawn)), [f"{one['layer']}, {name}: {length:.3g} ms from {left:.3g} ms on"])
            at = left + length
        drawn = axes.barh([0], [parts["DRAM"]], 0.62, left=[begin + parts["scheduling"]], color=_COLOURS["DRAM"])
        words = f"{one['layer']}: DRAM busy for {parts['DRAM']:.3g} ms, {one['dram_bytes'] // passes:,} B"
        figure.add_hints(next(iter(drawn)), [words])
        begin += lasting
    axes.set_yticks(rows, [*(plots.shorten(name, 24) for name in names), "DRAM"])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, begin * 1.02 or 1.0)
    axes.set_xlabel("ms of a pass")
    figure.legend(loc="upper left", ncols=4, handlelength=1, columnspacing=1.2, borderaxespad=0.1)
    return figure


def _energy_j(layers: Sequence[Mapping[str, Any]], cost: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return joules by layer and part."""
    parts = cost.get("energy_parts_j") or {"all": cost["energy_j"]}
    by = {"array": "array_busy_s", "compute": "core_busy_s", "DRAM": "dram_bytes"}
    energy: dict[str, dict[str, float]] = {one["layer"]: {} for one in layers}
    for part, joules in parts.items():
        key = by.get(part, "time_s")
        whole = sum(one.get(key, 0.0) for one in layers)
        for one in layers:
            if joules and whole:
                energy[one["layer"]][part] = joules * one.get(key, 0.0) / whole
    return energy


@plots.styled
def _roofline(layers: Sequence[Mapping[str, Any]], clock_hz: float, dram_bytes_per_s: float) -> canvas.Figure:
    """Return a drawing of rates over intensities: a line each for what arrays, cores and DRAM could do, and layers by name."""
    figure, axes = plots.new_figure(3.6, (0.8, 0.15, 0.5, 0.3))
    rows = [(one, one["macs"] or one.get("core_operations", 0)) for one in layers if one["dram_bytes"] and one["time_s"]]
    rows = [(one, done) for one, done in rows if done]
    across = np.array([done / one["dram_bytes"] for one, done in rows] or [1.0])
    rates = np.array([1e-9 * done / one["time_s"] for one, done in rows] or [1.0])
    span = np.geomspace(across.min() / 2, across.max() * 4, 50)
    pes = max((one["pes"] for one in layers), default=1)
    for most, name, look in ((_ARRAY_MACS, "arrays", "-"), (1, "cores", ":")):
        axes.plot(span, np.full(50, 1e-9 * most * clock_hz * pes), look, color=INK, linewidth=1, label=f"{name} of {pes} PEs")
    if dram_bytes_per_s:
        axes.plot(span, 1e-9 * span * dram_bytes_per_s, "--", color=INK, linewidth=1, label="DRAM")
    top = 1e-9 * _ARRAY_MACS * clock_hz * pes
    axes.set(xscale="log", yscale="log", xlabel="products or numbers a byte of DRAM", ylabel="10⁹ a second")
    axes.set_xlim(span[0], span[-1])
    axes.set_ylim(rates.min() / 3, top * 3)
    for axis in (axes.xaxis, axes.yaxis):
        canvas.number_ticks(axis)
    longest = sorted(range(len(rows)), key=lambda place: -float(rows[place][0]["time_s"]))[:_NAMED_POINTS]
    at = _apart([float(np.log(rates[place])) for place in longest], float(np.log(top * 9 / rates.min())) / 18)
    for place, (one, done) in enumerate(rows):
        colour = SERIES[place % len(SERIES)]
        face = colour if one["macs"] else "none"
        drawn = axes.plot([across[place]], [rates[place]], "o", color=colour, markerfacecolor=face)[0]
        figure.add_hints(drawn, [f"{one['layer']}: {rates[place]:.2f} G a second, {done / one['dram_bytes']:.2f} a byte"])
    for place, height in zip(longest, at, strict=True):
        axes.annotate(
            plots.shorten(rows[place][0]["layer"], 16), (across[place], rates[place]),
            (across[place] * 1.15, float(np.exp(height))),
            fontsize="small", verticalalignment="center",
        )  # fmt: skip
    figure.legend(loc="upper left", ncols=3, handlelength=1.6, columnspacing=1.2, borderaxespad=0.1)
    return figure


def _apart(heights: Sequence[float], distance: float) -> list[float]:
    """Return heights for labels, at least so far apart, each as near to its own as goes from the lowest up."""
    moved, last = list(heights), -np.inf
    for place in sorted(range(len(heights)), key=lambda place: heights[place]):
        last = moved[place] = max(heights[place], last + distance)
    return moved
