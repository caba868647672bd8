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
_ARRAY_MACS, _SRAM_LEFT = 64, 88 << 10


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on the layers; none where no result came about."""
    result = report.get("result")
    if not result or not result["layers"]:
        return []
    numeric = tuple(place for place in range(len(HEAD)) if place not in LEFT)
    data = f"Samples: {result['data']}. All passes together; a layer's transfers take as long as DMA or DRAM, whichever is longer."
    return [section("Layers", [paragraph(data), table(HEAD, layer_table(result["layers"]), numeric=numeric)])]


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawings; none where no result came about."""
    result, cost = report.get("result"), report.get("modelled")
    if not result or not result["layers"]:
        return []
    layers = result["layers"]
    times = {one["layer"]: {name: 1e3 * one["parts_s"][name] for name in _PARTS} for one in layers}
    sram = {one["layer"]: one["sram_bytes"] / 1024 for one in layers}
    drawn = [
        Figure(
            name="layer_times", title="Timeline of the layers", caption="Modelled time of each layer's parts, all passes together.",
            draw=lambda: plots.stacked_bars(times, "ms"),
        ),
        Figure(
            name="layer_sram", title="SRAM by layer", caption=f"Of a worker's {_SRAM_LEFT >> 10} KiB for tiles: the fullest one's.",
            draw=lambda: plots.bars(sram, "KiB"),
        ),
    ]  # fmt: skip
    if cost is not None:
        energy = {one["layer"]: 1e3 * cost["energy_j"] * one["time_s"] / max(cost["time_s"], 1e-30) for one in layers}
        text = "Modelled energy, by each layer's share of the time: most of it is what the chip draws whatever runs."
        drawn.append(Figure(name="layer_energy", title="Energy by layer", caption=text, draw=lambda: plots.bars(energy, "mJ")))
        caption = (
            "Products a second of each layer over its products a byte of DRAM; the line is the arrays of the PEs in use, and DRAM."
        )
        rate = float(report["result"].get("dram_bytes_per_s") or 0.0)
        clock = float(cost["settings"]["clock_hz"])
        drawn.append(
            Figure(name="roofline", title="Roofline", caption=caption, draw=lambda: _roofline(layers, clock, rate))
        )  # fmt: skip
    return drawn


@plots.styled
def _roofline(layers: Sequence[Mapping[str, Any]], clock_hz: float, dram_bytes_per_s: float) -> canvas.Figure:
    """Return a drawing of rates over intensities, both as powers of ten."""
    figure, axes = plots.new_figure(2.8, (0.8, 0.15, 0.5, 0.2))
    rows = [one for one in layers if one["macs"] and one["dram_bytes"] and one["time_s"]]
    across = np.array([one["macs"] / one["dram_bytes"] for one in rows] or [1.0])
    span = np.geomspace(min(across.min(), 0.1) / 2, max(across.max(), 100.0) * 2, 50)
    most = _ARRAY_MACS * clock_hz * max((one["pes"] for one in layers), default=1)
    axes.plot(span, np.minimum(span * dram_bytes_per_s, most) if dram_bytes_per_s else np.full(50, most), color=INK, linewidth=1)
    for place, one in enumerate(rows):
        rate = one["macs"] / one["time_s"]
        drawn = axes.plot([across[place]], [rate], "o", color=SERIES[place % len(SERIES)])[0]
        figure.add_hints(drawn, [f"{one['layer']}: {rate / 1e9:.2f} G products a second, {across[place]:.2f} a byte"])
    axes.set(xscale="log", yscale="log", xlabel="products a byte of DRAM", ylabel="products a second")
    return figure
