"""What the page of a spiking run shows: raster, rates, confusion, a membrane, and every sample, float beside 8 bits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure, Html, details, heading, listing, paragraph, section, table
from host.show.confusion_figure import confusion_figure
from host.workloads.snn.results import beside_published, by_layer
from host.workloads.snn.summary import answer_words
from models.palette import SERIES

_COLUMNS = ("sample", "subject", "class", "found", "in float", "tie")


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on the spiking network; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    share = "no label is known" if result["accuracy"] is None else f"{100 * result['accuracy']:.1f} % right"
    beside = "" if result["float_accuracy"] is None else f"; before quantising {100 * result['float_accuracy']:.1f} %"
    blocks: list[Html] = [paragraph(f"{share}{beside}; {result['bits']}; answer: {answer_words(result)}; {result['ties']} ties.")]
    trained = [f"the trainer's test set, {line}" for line in result["trained"]]
    blocks.append(listing([*result["reading"], *trained, *beside_published(report)]))
    rows = [(name, f"{spikes:,.1f}", f"{events:,.0f}") for name, spikes, events in by_layer(report)]
    blocks.append(table(("layer", "spikes a step", "synaptic events a step"), rows, numeric=(1, 2)))
    if result["damages"]:
        blocks += [heading("Damaged"), listing(result["damages"])]
    samples = details(f"All {len(result['predictions'])} samples", table(_COLUMNS, _rows(result), long=0))
    return [section("Spiking network", [*blocks, samples])]


def _rows(result: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for sample in result["predictions"]:
        classes = (sample[key] for key in ("label", "prediction", "float"))
        names = (None if number is None else result["classes"][number] for number in classes)
        rows.append((sample["name"], sample["subject"], *names, "tie" if sample["tie"] else ""))
    return rows


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawings; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    raster, drawn = result["raster"], []
    if any(raster["spikes"]):
        caption = f"Spikes of {raster['layer']} in the first sample, a dot each{'; cut' if raster['cut'] else ''}."
        drawn.append(Figure(name="spikes", title="Spikes", caption=caption, draw=lambda: _raster(raster)))
    rates = {name: spikes for name, spikes, _ in by_layer(report)}
    if any(rates.values()):
        caption = "Of all neurons of a layer together, a step of a sample."
        drawn.append(
            Figure(name="rates", title="Spikes by layer", caption=caption, draw=lambda: plots.bars(rates, "", "spikes a step"))
        )
    if (membrane := result["membrane"]) and membrane["v"]:
        caption = f"Of unit {membrane['unit']} of {membrane['layer']} after each step of the first sample, and its threshold."
        drawn.append(Figure(name="membrane", title="Membrane", caption=caption, draw=lambda: _membrane(membrane)))
    if result["accuracy"] is not None:
        drawn.append(confusion_figure(result["confusion"], result["classes"]))
    return drawn


@plots.styled
def _raster(raster: Mapping[str, Any]) -> canvas.Figure:
    """Return a drawing of which units fired at which step."""
    steps = np.repeat(np.arange(len(raster["spikes"])), [len(units) for units in raster["spikes"]])
    units = np.concatenate([np.asarray(units, np.int64) for units in raster["spikes"]])
    figure, axes = plots.new_figure(2.6, (0.62, 0.15, 0.45, 0.12))
    grid = np.zeros((min(raster["units"], 256), len(raster["spikes"])))
    np.add.at(grid, (units * len(grid) // raster["units"], steps), 1.0)
    each = len(grid) / raster["units"]
    shares = np.clip(grid * each, 0, 1)
    axes.imshow(
        1 - shares, aspect="auto", interpolation="none", cmap="gray", vmin=0, vmax=1, extent=(0, grid.shape[1], raster["units"], 0)
    )
    axes.set(xlabel="step", ylabel=f"unit of {raster['layer']}")
    return figure


@plots.styled
def _membrane(membrane: Mapping[str, Any]) -> canvas.Figure:
    """Return a drawing of a membrane over the steps."""
    figure, axes = plots.new_figure(2.2, (0.8, 0.15, 0.45, 0.12))
    axes.plot(range(1, len(membrane["v"]) + 1), membrane["v"], linewidth=1.1, color=SERIES[0])
    if membrane["threshold"] is not None:
        axes.axhline(membrane["threshold"], color=SERIES[1], linewidth=1, linestyle="--")
    axes.set(xlabel="step", ylabel="membrane")
    return figure
