"""Plots of a run, drawn with matplotlib: stacked bars, chip maps, link loads, rasters, lines.

Each function takes plain numbers and returns a `Figure`, a hand's width so that it can be read on a phone; `svg` makes
it text for a page. The bytes of a figure depend on its numbers alone: no dates, no random names.
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from host.show import canvas
from host.show.canvas import Axes, Figure, LineCollection, PolyCollection, colormaps, to_rgb
from host.show.plot_style import COLOURS, FAINT, INK, STYLE, escape_formula
from noc.chip import HOLES, QPES, PeId
from noc.machine import DIRECTIONS, ChipLink
from noc.mesh_routes import Link

WIDTH_IN = 4.4  # 422 CSS pixels, 360 and a bit less on a phone: a label of 9 points stays readable
MAP = "viridis"

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
def svg(figure: Figure, prefix: str) -> str:
    """Return a figure as SVG to stand within a page: as wide as its place, in the page's text colour.

    `prefix` sets its identifiers apart from those of other figures on the page.
    """
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for size in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    # Names of groups are of no use here, and would be there once for each figure.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)
    # A hundredth of a point is finer than any screen; factors of transforms keep their digits.
    text = re.sub(r'\bd="[^"]*"', lambda match: re.sub(r"\.(\d\d)\d+", r".\1", match[0]), text)
    return text.replace(INK, "currentColor").strip()


@styled
def stacked_bars(rows: Mapping[str, Mapping[str, float]], unit: str) -> Figure:
    """Draw one horizontal bar a row, stacked by part: {row: {part: value in `unit`}}; the first row on top."""
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    figure, axes, places = _bar_rows(list(rows), unit, 1.15 + 0.36 * len(rows), (1.5, 0.2, 0.45, 0.55))
    left = np.zeros(len(rows))
    for part in parts:  # each in the next colour
        values = np.array([row.get(part, 0.0) for row in rows.values()])
        axes.barh(places, values, 0.62, left=left, label=shorten(part))
        left += values
    axes.margins(x=0.02)
    figure.legend(loc="upper left", ncols=3, handlelength=1, columnspacing=1.2, borderaxespad=0.1)
    return figure


@styled
def bars(values: Mapping[str, float], unit: str) -> Figure:
    """Draw one horizontal bar a value, with its number."""
    figure, axes, places = _bar_rows(list(values), unit, 0.6 + 0.34 * len(values), (1.6, 0.55, 0.45, 0.1))
    axes.barh(places, list(values.values()), 0.62, color=COLOURS)
    for row, value in zip(places, values.values(), strict=True):
        axes.annotate(f"{value:.3g}", (value, row), (4, 0), textcoords="offset points", va="center")
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
    axes.set_yticks(places, [shorten(name, 18) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit)
    return figure, axes, places


@styled
def lines(
    series: Mapping[str, tuple[Sequence[float] | Values, Sequence[float] | Values]], x: str, y: str, *, low: float | None = None
) -> Figure:
    """Draw {label: (x values, y values)}; `low` is y's lower end."""
    figure, axes = new_figure(2.5, (0.62, 0.15, 0.45, 0.35 if len(series) > 1 else 0.12))
    for label, (across, up) in series.items():
        axes.plot(across, up, linewidth=1.1, label=shorten(label))
    if low is not None:
        axes.set_ylim(bottom=low)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)
    if len(series) > 1:
        figure.legend(loc="upper left", ncols=4, handlelength=1.2, columnspacing=1.2, borderaxespad=0.1)
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
        axes.axhline(start, color="white", linewidth=1)
    axes.set_xlabel(x)
    _bar(figure, image, unit)
    return figure


def downsample(values: Values, most: int) -> Values:
    """Return `values` (rows, columns) with at most `most` columns, each the mean of as many neighbours as it takes."""
    width = -(-values.shape[1] // most) if values.size else 1
    if width <= 1:
        return np.asarray(values, float)
    starts = np.arange(0, values.shape[1], width)
    counts = np.diff([*starts, values.shape[1]])
    return np.asarray(np.add.reduceat(values.astype(float), starts, axis=1) / counts)


@styled
def chip_map(values: Mapping[PeId, float], unit: str, *, high: float | None = None) -> Figure:
    """Draw one chip's floor plan, every PE coloured by its value; PEs without one are hollow. `high` ends the scale."""
    figure, axes = _plan()
    sites = [PeId(0, x, y, p) for x, y in QPES for p in range(4)]
    by_place = {pe[1:]: value for pe, value in values.items()}
    used = [pe for pe in sites if pe[1:] in by_place]
    hollow = [_pe_square(pe) for pe in sites if pe[1:] not in by_place]
    axes.add_collection(PolyCollection(hollow, facecolors="none", edgecolors=FAINT, linewidths=0.5))
    squares = PolyCollection([_pe_square(pe) for pe in used], cmap=MAP, edgecolors="none")
    squares.set_array(np.array([by_place[pe[1:]] for pe in used], float))
    squares.set_clim(0, high if high is not None else (max(by_place.values(), default=0) or 1))
    axes.add_collection(squares)
    _bar(figure, squares, unit)
    return figure


@styled
def link_map(loads: Mapping[Link, float], unit: str) -> Figure:
    """Draw the mesh between the QPEs, every directed link coloured and widened by its load; the two directions keep left."""
    figure, axes = _plan()
    squares = [_square(x - 0.16, y - 0.16, 0.32) for x, y in QPES]
    axes.add_collection(PolyCollection(squares, facecolors=FAINT, edgecolors="none", alpha=0.5))
    segments = []
    for link, _ in _rising(loads):
        start, way = np.array([link.x, link.y]), np.array([link.to_x - link.x, link.to_y - link.y])
        aside = 0.09 * np.array([-way[1], way[0]])
        segments.append([start + 0.2 * way + aside, start + 0.8 * way + aside])
    _bar(figure, _draw_loads(axes, segments, loads, (1, 3.5)), unit)
    return figure


_PITCH = 16  # columns from chip to chip, in PEs: 14 and a gap


@styled
def chip_maps(
    values: Mapping[PeId, float], positions: Mapping[int, tuple[int, int]], unit: str, *, high: float | None = None
) -> Figure:
    """Draw the floor plans of several chips as they lie on the mesh, on one scale; a pixel is a PE, faint where it has no value.

    `positions`: chip -> (x, y) on the mesh. `high` ends the scale.
    """
    left, top = min(2 * x - y for x, y in positions.values()), max(y for _, y in positions.values())
    corners = {chip: ((2 * x - y - left) * _PITCH // 2, top - y) for chip, (x, y) in positions.items()}
    columns = max(column for column, _ in corners.values()) + 14
    points = min((WIDTH_IN - 0.95) * 72 / columns, 7)  # a PE's size
    title = 10 / points  # rows, for the chip's number
    down = int(np.ceil(12 + title))
    rows = down * (max(row for _, row in corners.values()) + 1)
    pixels = np.full((rows, columns), np.nan)
    places = {}
    for chip, (column, row) in corners.items():
        places[chip] = column, row * down + down - 12
        for x, y in QPES:
            at = places[chip][1] + 2 * (y - 1), column + 2 * (x - 1)
            pixels[at[0] : at[0] + 2, at[1] : at[1] + 2] = -1  # no value
    for pe, value in values.items():
        column, row = places[pe.chip]
        pixels[row + 2 * (pe.y - 1) + pe.p // 2, column + 2 * (pe.x - 1) + pe.p % 2] = value
    colours = colormaps[MAP].with_extremes(bad=(0, 0, 0, 0), under=(*to_rgb(FAINT), 0.35))
    most = high if high is not None else (max(values.values(), default=0) or 1)
    wide_in, high_in = points * columns / 72, points * rows / 72
    figure, axes = new_figure(high_in + 0.16, (0.1, WIDTH_IN - 0.1 - wide_in, 0.08, 0.08))
    image = axes.imshow(pixels, interpolation="none", cmap=colours, aspect="auto", extent=(0, columns, rows, 0))
    image.set_clim(0, most)
    for chip, (column, row) in places.items():
        axes.text(column, row - 0.15 * title, str(chip), fontsize=8, va="bottom")
    axes.set_axis_off()
    _bar(figure, image, unit, 0.12)
    return figure


@styled
def mesh_links(loads: Mapping[ChipLink, float], positions: Mapping[int, tuple[int, int]], unit: str) -> Figure:
    """Draw the links between chips, coloured and widened by their load; the two directions keep left, and a link around the
    torus ends where it leaves.

    `positions`: chip -> (x, y) on the mesh.
    """
    places = {chip: _on_mesh(*position) for chip, position in positions.items()}
    across, up = (np.array([place[axis] for place in places.values()]) for axis in (0, 1))
    inches = min((WIDTH_IN - 1.0) / (np.ptp(across) + 1), 1.1)
    wide_in, high_in = inches * (np.ptp(across) + 1), inches * (np.ptp(up) + 1)
    figure, axes = new_figure(high_in + 0.16, (0.1, WIDTH_IN - 0.1 - wide_in, 0.08, 0.08))
    axes.set(xlim=(across.min() - 0.5, across.max() + 0.5), ylim=(up.min() - 0.5, up.max() + 0.5))
    segments = []
    for link, _ in _rising(loads):
        start, way = np.array(places[link.chip]), np.array(_on_mesh(*DIRECTIONS[link.direction]))
        aside = 0.075 * np.array([-way[1], way[0]])
        reaches = np.allclose(start + way, places[link.to])
        segments.append([start + 0.26 * way + aside, start + (0.74 if reaches else 0.5) * way + aside])
    drawn = _draw_loads(axes, segments, loads, (0.8, 4.5 * min(inches / 0.6, 1)))
    chips = [_square(x - 0.2, y - 0.2, 0.4) for x, y in places.values()]
    axes.add_collection(PolyCollection(chips, facecolors=FAINT, edgecolors="none", alpha=0.25))
    for chip, (x, y) in places.items():
        axes.text(x, y, str(chip), fontsize=8, ha="center", va="center")
    axes.set_axis_off()
    _bar(figure, drawn, unit, 0.12)
    return figure


def _on_mesh(x: float, y: float) -> tuple[float, float]:
    """Return where a chip of the triangular mesh is drawn: its six neighbours lie around it, each as far."""
    return x - y / 2, y * 3**0.5 / 2


def _rising(loads: Mapping[Any, float]) -> list[tuple[Any, float]]:
    """Return the loads in the order in which they are drawn: the busiest on top."""
    return sorted(loads.items(), key=lambda item: item[1])


def _draw_loads(axes: Axes, segments: Sequence[Any], loads: Mapping[Any, float], widths: tuple[float, float]) -> LineCollection:
    """Draw rising loads as segments, coloured by load; `widths`: that of no load, and what the largest load adds."""
    weights = np.array([load for _, load in _rising(loads)], float)
    most = float(weights.max(initial=0)) or 1.0
    thin, more = widths
    lines = LineCollection(segments, cmap=MAP, linewidths=thin + more * weights / most, capstyle="butt")
    lines.set_array(weights)
    lines.set_clim(0, most)
    axes.add_collection(lines)
    return lines


def _plan() -> tuple[Figure, Axes]:
    figure, axes = new_figure(3.05, (0.3, 0.78, 0.3, 0.08))
    # Row 1 on top, as the live monitor has it.
    axes.set(xlim=(0.45, 7.55), ylim=(6.55, 0.45), xticks=range(1, 8), yticks=range(1, 7))
    axes.tick_params(length=0, labelsize=8)
    axes.spines[["left", "bottom"]].set_visible(False)
    holes = [_square(x - 0.45, y - 0.45, 0.9) for x, y in sorted(HOLES)]
    axes.add_collection(PolyCollection(holes, facecolors=FAINT, edgecolors="none", alpha=0.18))
    return figure, axes


def _square(x: float, y: float, size: float) -> list[tuple[float, float]]:
    return [(x, y), (x + size, y), (x + size, y + size), (x, y + size)]


def _pe_square(pe: PeId) -> list[tuple[float, float]]:
    return _square(pe.x - 0.44 + 0.45 * (pe.p % 2), pe.y - 0.44 + 0.45 * (pe.p // 2), 0.43)


def _bar(figure: Figure, drawn: Any, unit: str, bottom: float = 0.45) -> None:
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
