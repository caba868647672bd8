"""What the page of a run on snapshots shows beside what every run does: true and recovered grid, errors by SNR and by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure, Html, details, paragraph, section, table
from host.workloads.retrieval.summary import PUBLISHED
from models.palette import MAP, SERIES

_METHODS = {"run": "run", "cnn": "CNN", "ista6": "ISTA, 6 steps", "ista200": "ISTA, 200 steps"}
_LISTED = 20  # snapshots whose frequencies the page lists


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on what was recovered; none where no result came about."""
    result = report.get("result")
    if not result or not result["snapshots"]:
        return []
    blocks = [paragraph(f"Published: {PUBLISHED.removeprefix('published').strip()}.", "faint")]
    if result["by_snr"]:
        rows = [
            (f"{row['snr']} dB", label, f"{row[name]['nmse_db']:.2f}", f"{row[name]['detected']} of {row[name]['targets']}")
            for row in result["by_snr"]
            for name, label in _METHODS.items()
        ]
        blocks.append(table(("SNR", "of", "NMSE, dB", "detected"), rows, numeric=(2, 3)))
    if result["by_layer"]:
        rows_of = [
            (n, f"{row['db']:.1f}", f"{row['largest']:.5f}", f"{row['bound']:.5f}")
            for n, row in enumerate(result["by_layer"], start=1)
        ]
        blocks.append(table(("layer", "against the CNN, dB", "largest", "of one value at most"), rows_of, numeric=(1, 2, 3)))
    peaks = [
        (number, ", ".join(f"{f:.4f}" for f in peak["frequency"]), f"{peak['amplitude']:.3f}", f"{peak['phase']:.2f}")
        for number, found in enumerate(result["frequencies"][:_LISTED])
        for peak in found
    ]
    head = ("snapshot", "frequency, cycles a sample", "amplitude", "phase, rad")
    blocks.append(
        details(f"Frequencies of the first {min(_LISTED, result['snapshots'])} snapshots", table(head, peaks, numeric=(2, 3)))
    )
    return [section("Frequencies", blocks)]


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawing of the first snapshot's grids; none where no result came about."""
    result = report.get("result")
    if not result or not result["first"]:
        return []
    caption = (
        "The first snapshot: sizes of all cells, of the matched filter, of what was recovered, and of the truth where it is known."
    )
    grids, sweep = result["first"], result["sweep"]
    bits = "What the integer CNN of each K makes of the same snapshots, against the CNN of float32 and against the truth."
    return [
        Figure(name="grids", title="Grids", caption=caption, draw=lambda: _grids(grids)),
        Figure(name="bits", title="Bits of a value", caption=bits, draw=lambda: _sweep(sweep)),
    ]


@plots.styled
def _grids(grids: Mapping[str, Any]) -> canvas.Figure:
    """Return a drawing of grids side by side: images of two dimensions, lines of one."""
    names = [name for name in ("filtered", "recovered", "truth") if grids[name] is not None]
    figure, axes = plots.new_figure(2.4, (0.6, 0.1, 0.5, 0.3))
    axes.set_axis_off()
    for place, name in enumerate(names):
        part = axes.inset_axes((place / len(names) + 0.02, 0, 0.94 / len(names), 1))
        values = np.array(grids[name], float)
        if values.ndim == 1:
            part.vlines(np.arange(values.size), 0, values, color=SERIES[0])
            part.set(ylim=(0, None))
        else:
            part.imshow(values.reshape(-1, values.shape[-1]), cmap=MAP, aspect="auto")
        part.set_title({"filtered": "matched filter"}.get(name, name))
    return figure


@plots.styled
def _sweep(sweep: Sequence[Mapping[str, Any]]) -> canvas.Figure:
    """Return a drawing of errors over K."""
    figure, axes = plots.new_figure(2.4, (0.7, 0.1, 0.5, 0.2))
    for colour, (key, label) in enumerate((("conversion_db", "against the CNN"), ("nmse_db", "against the truth"))):
        rows = [row for row in sweep if row[key] is not None]
        axes.plot([row["k"] for row in rows], [row[key] for row in rows], "o-", color=SERIES[colour], label=label)
    axes.set(xlabel="K, ticks of a value", ylabel="dB")
    axes.legend()
    return figure
