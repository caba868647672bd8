"""The figure of a classifier's confusion: how often each class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from host.show import canvas, plots
from host.show.blocks import Figure
from models.palette import GROUND, INK, SERIES

_CAPTION = "Samples of each class by what they were taken for; right ones on the diagonal."


def confusion_figure(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """Return the figure of such counts; `names` are the classes'."""
    return Figure(name="confusion", title="Confusion", caption=_CAPTION, draw=lambda: _drawing(counts, names))


@plots.styled
def _drawing(counts: Sequence[Sequence[int]], names: Sequence[str]) -> canvas.Figure:
    """Return a drawing of each class (row) by what it was taken for (column), as shares of its row, with the numbers."""
    whole = np.array(counts, float).reshape(len(names), len(names))
    shares = whole / np.maximum(whole.sum(axis=1, keepdims=True), 1)
    figure, axes = plots.new_figure(3.0, (2.1, 0.1, 0.5, 0.1))
    for row, column in np.argwhere(whole > 0):
        share, colour = shares[row, column], SERIES[0 if row == column else 1]
        field = axes.barh(row, 1, 1, left=column - 0.5, color=colour, alpha=0.25 + 0.75 * share, linewidth=0)[0]
        figure.add_hints(field, [f"{names[row]}: {whole[row, column]:.0f} taken for {names[column]}"])
        axes.text(column, row, f"{whole[row, column]:.0f}", ha="center", va="center", color=GROUND if share > 0.5 else INK)
    last = len(names) - 0.5
    axes.set(xlim=(-0.5, last), ylim=(last, -0.5), aspect="equal", xlabel="class found, in the same order")
    axes.set_yticks(range(len(names)), [f"{plots.shorten(name, 28)}  {place}" for place, name in enumerate(names, 1)])
    axes.set_xticks(range(len(names)), [str(place + 1) for place in range(len(names))])
    axes.tick_params(length=0)
    return figure
