"""What the page of a run on recordings shows beside what every run does: which gesture was taken for which, and every sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure, Html, details, heading, listing, paragraph, section, table
from host.workloads.dvs.results import compare_in_words
from models.palette import GROUND, INK, SERIES

_COLUMNS = ("sample", "subject", "class", "found", "by torch")


def sections(report: Mapping[str, Any]) -> list[Html]:
    """Return the section on gestures; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    blocks: list[Html] = [paragraph(f"{compare_in_words(result)}.")]
    if result["damages"]:
        blocks += [heading("Damaged"), listing(result["damages"])]
    rows = []
    for sample in result["predictions"]:
        classes = (sample[key] for key in ("label", "prediction", "baseline"))
        names = (None if number is None else result["classes"][number] for number in classes)
        rows.append((sample["name"], sample["subject"], *names))
    samples = details(f"All {len(rows)} samples", table(_COLUMNS, rows, long=0))
    return [section("Gestures", [*blocks, samples])]


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the drawing of the confusion; none where no result came about."""
    result = report.get("result")
    if not result:
        return []
    caption = "Samples of each class by what they were taken for; right ones on the diagonal."
    counts, classes = result["confusion"], result["classes"]
    return [Figure(name="confusion", title="Confusion", caption=caption, draw=lambda: _confusion(counts, classes))]


@plots.styled
def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> canvas.Figure:
    """Return a drawing of how often each class (row) was taken for which (column), as shares of its row, with the numbers."""
    table = np.array(counts, float).reshape(len(names), len(names))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = plots.new_figure(3.0, (2.1, 0.1, 0.5, 0.1))
    for row, column in np.argwhere(table > 0):
        share, colour = shares[row, column], SERIES[0 if row == column else 1]
        field = axes.barh(row, 1, 1, left=column - 0.5, color=colour, alpha=0.25 + 0.75 * share, linewidth=0)[0]
        figure.add_hints(field, [f"{names[row]}: {table[row, column]:.0f} taken for {names[column]}"])
        axes.text(column, row, f"{table[row, column]:.0f}", ha="center", va="center", color=GROUND if share > 0.5 else INK)
    last = len(names) - 0.5
    axes.set(xlim=(-0.5, last), ylim=(last, -0.5), aspect="equal", xlabel="class found, in the same order")
    axes.set_yticks(range(len(names)), [f"{plots.shorten(name, 28)}  {place}" for place, name in enumerate(names, 1)])
    axes.set_xticks(range(len(names)), [str(place + 1) for place in range(len(names))])
    axes.tick_params(length=0)
    return figure
