"""Plots of a run, drawn with matplotlib: stacked bars, bars, lines and rasters; maps are in `host/show/chip_plots.py`.

Each function takes plain numbers and returns a `Figure`, a hand's width so that it can be read on a phone; its parts say
what they are where a pointer rests on them. The bytes of a figure depend on its numbers alone: no dates, no random names.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from host.show import canvas
from host.show.canvas import Axes, Figure
from host.show.plot_style import STYLE, escape_formula
from host.show.quantities import scale_of
from models.palette import FAINT, GROUND, MAP, SERIES

WIDTH_IN = 4.4  # 422 CSS pixels, 360 and a bit less on a phone: a label of 9 points stays readable

styled = canvas.styled(STYLE)
"""Decorates what draws for a page."""
Values = npt.NDArray[Any]


def new_figure(height_in: float, free_in: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Return a figure and its axes; `free_in` is what stays free around them: left, right, bottom, top."""
    figure = Figure(figsize=(WIDTH_IN, height_in))
    left, right, bottom, top = free_in
    axes = figure.add_axes(
        (left / WIDTH_IN, bottom / height_in, 1 - (left + right) / WIDTH_IN, 1 - (bottom + top) / height_in)
    )  # fmt: skip
    return figure, axes


@styled
def stacked_bars(rows: Mapping[str, Mapping[str, float]], unit: str, each: str = "") -> Figure:
    """Draw one horizontal bar a row, stacked by part: {row: {part: value in `unit`}}; the first row on top. `each`: of what a
    value is ("a token").
    """
    factor, prefixed = scale_of(max((sum(row.values()) for row in rows.values()), default=0.0), unit)
    rows = {name: {part: factor * value for part, value in row.items()} for name, row in rows.items()}
    unit, total = f"{prefixed} {each}".strip(), sum(sum(row.values()) for row in rows.values()) or 1.0
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    figure, axes, places = _bar_rows(
        list(rows),
        unit,
        0.65 + 0.19 * -(-len(parts) // _columns(parts)) + 0.36 * len(rows),
        (1.5, 0.2, 0.45, 0.17 + 0.19 * -(-len(parts) // _columns(parts))),
    )
    left = np.zeros(len(rows))
    for part in parts:  # each in the next colour
        values = np.array([row.get(part, 0.0) for row in rows.values()])
        for bar, name, value in zip(axes.barh(places, values, 0.62, left=left, label=shorten(part)), rows, values, strict=True):
            figure.add_hints(bar, [f"{name}, {part}: {value:.3g} {unit}, {100 * value / total:.1f} % of all"])
        left += values
    axes.margins(x=0.02)
    figure.legend(loc="upper left", ncols=_columns(parts), handlelength=1, columnspacing=1.2, borderaxespad=0.1)
    return figure


def _columns(words: Sequence[str]) -> int:
    """Return how many columns a legend of these words has within a figure's width."""
    return max(1, min(len(words), int(60 / (6 + max(map(len, words), default=0)))))


@styled
def bars(values: Mapping[str, float], unit: str, each: str = "") -> Figure:
    """Draw one horizontal bar a value in `unit`, with its number; `each`: of what a value is ("a token")."""
    factor, prefixed = scale_of(max(values.values(), default=0.0), unit)
    unit, total = f"{prefixed} {each}".strip(), sum(values.values()) or 1.0
    figure, axes, places = _bar_rows(list(values), unit, 0.6 + 0.34 * len(values), (2.0, 0.55, 0.45, 0.1))
    drawn = axes.barh(places, [factor * value for value in values.values()], 0.62, color=SERIES)
    for bar, row, (name, value) in zip(drawn, places, values.items(), strict=True):
        figure.add_hints(bar, [f"{name}: {factor * value:.3g} {unit}, {100 * value / total:.1f} %"])
        axes.annotate(f"{factor * value:.3g}", (factor * value, row), (4, 0), textcoords="offset points", va="center")
    return figure


def _bar_rows(
    names: Sequence[str], unit: str, height_in: float, free_in: tuple[float, float, float, float]
) -> tuple[Figure, Axes, Values]:
    """Return a figure for one horizontal bar a name, its axes, and where the bars go, the first on top; the names stand
    in as much of what is free at the left as they need.
    """
    margin = 0.2 + 0.072 * max(map(len, names), default=0)
    figure, axes = new_figure(height_in, (min(margin, free_in[0]), *free_in[1:]))
    places = np.arange(len(names))[::-1]
    axes.set_yticks(places, [shorten(name, 24) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    return figure, axes, places


@styled
def lines(
    series: Mapping[str, tuple[Sequence[float] | Values, Sequence[float] | Values]], x: str, y: str, *, low: float | None = None
) -> Figure:
    """Draw {label: (x values, y values)} over whole numbers x; `low` is y's lower end."""
    figure, axes = new_figure(2.5, (0.62, 0.15, 0.45, 0.35 if len(series) > 1 else 0.12))
    for label, (across, up) in series.items():
        figure.add_hints(axes.plot(across, up, linewidth=1.1, label=shorten(label))[0], [label])
    if low is not None:
        axes.set_ylim(bottom=low)
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # a MaxNLocator
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)
    if len(series) > 1:
        figure.legend(loc="upper left", ncols=4, handlelength=1.2, columnspacing=1.2, borderaxespad=0.1)
    return figure


@styled
def band(across: Sequence[float] | Values, low: Values, high: Values, x: str, y: str, hint: str) -> Figure:
    """Draw what lies between `low` and `high` at each place `across`; both in the unit that `y` names, which goes down to 0."""
    figure, axes = new_figure(2.3, (0.62, 0.15, 0.45, 0.12))
    area = axes.fill_between(across, low, high, color=SERIES[0], alpha=0.3, linewidth=0)
    figure.add_hints(area, [hint])
    for end in (low, high):
        axes.plot(across, end, linewidth=1.1, color=SERIES[0])
    axes.set(xlabel=x, ylabel=y, ylim=(0, 1.08 * (float(np.max(high, initial=0)) or 1.0)))
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)
    return figure


@styled
def raster(values: Values, rows: Sequence[str], starts: Sequence[int], last: int, unit: str, x: str) -> Figure:
    """Draw an array (rows, columns) as an image; `rows` names the groups of rows that begin at `starts`.

    Columns run from 0 to `last` on the axis `x`; more columns than can be seen are averaged.
    """
    figure, axes = new_figure(3.2, (0.75, 0.75, 0.45, 0.12))
    image = axes.imshow(
        downsample(values, 360), aspect="auto", interpolation="none", cmap=MAP, vmin=0, extent=(0, last, len(values), 0)
    )
    edges = [*starts, len(values)]
    axes.set_yticks([(a + b) / 2 for a, b in pairwise(edges)], [shorten(name, 9) for name in rows])
    axes.tick_params(axis="y", length=0)
    for start in starts[1:]:
        axes.axhline(start, color=GROUND, linewidth=1)
    axes.set_xlabel(x)
    add_scale(figure, image, unit)
    return figure


def downsample(values: Values, most: int) -> Values:
    """Return `values` (rows, columns) with at most `most` columns, each the mean of as many neighbours as it takes."""
    width = -(-values.shape[1] // most) if values.size else 1
    if width <= 1:
        return np.asarray(values, float)
    starts = np.arange(0, values.shape[1], width)
    counts = np.diff([*starts, values.shape[1]])
    return np.asarray(np.add.reduceat(values.astype(float), starts, axis=1) / counts)


def add_scale(figure: Figure, drawn: Any, unit: str, bottom: float = 0.45) -> None:
    """Put the scale of `drawn` at the figure's right edge, from `bottom` inches on, at most 2.5 high."""
    height = figure.get_figheight()
    long = min(height - bottom - 0.15, 2.5)
    place = figure.add_axes((1 - 0.66 / WIDTH_IN, 1 - (0.15 + long) / height, 0.11 / WIDTH_IN, long / height))
    bar = figure.colorbar(drawn, cax=place)
    bar.outline.set_visible(False)
    bar.set_label(unit, fontsize=8, labelpad=2)
    place.tick_params(labelsize=8, length=2, pad=1.5)
    place.locator_params(nbins=5)


def shorten(name: str, most: int = 30) -> str:
    """Return a name that fits beside its row."""
    return escape_formula(name if len(name) <= most else name[: most - 1] + "…")
