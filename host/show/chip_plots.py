"""Maps drawn with matplotlib: one chip's floor plan, several chips as they lie on the mesh, the links in and between them.

As `host/show/plots.py`: plain numbers in, a `Figure` out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.show.canvas import Axes, Figure, LineCollection, PolyCollection, Rectangle, colormaps, to_rgb
from host.show.plots import WIDTH_IN, add_scale, new_figure, styled
from models.palette import FAINT, MAP
from noc.chip import HOLES, QPES, PeId
from noc.machine import DIRECTIONS, ChipLink
from noc.mesh_routes import Link


@styled
def chip_map(
    values: Mapping[PeId, float], unit: str, *, high: float | None = None, names: Mapping[PeId, str] | None = None
) -> Figure:
    """Draw one chip's floor plan, every PE coloured by its value; PEs without one are hollow. `high` ends the scale; `names`: what
    PEs are called where a pointer rests on them.
    """
    figure, axes = _plan()
    sites = [PeId(0, x, y, p) for x, y in QPES for p in range(4)]
    by_place = {pe[1:]: value for pe, value in values.items()}
    used = [pe for pe in sites if pe[1:] in by_place]
    unused = [pe for pe in sites if pe[1:] not in by_place]
    hollow = PolyCollection([_pe_square(pe) for pe in unused], facecolors="none", edgecolors=FAINT, linewidths=0.5)
    axes.add_collection(hollow)
    squares = PolyCollection([_pe_square(pe) for pe in used], cmap=MAP, edgecolors="none")
    squares.set_array(np.array([by_place[pe[1:]] for pe in used], float))
    squares.set_clim(0, high if high is not None else (max(by_place.values(), default=0) or 1))
    axes.add_collection(squares)
    called = {pe[1:]: name for pe, name in (names or {}).items()}
    figure.add_hints(squares, [f"{called.get(pe[1:], pe)}: {by_place[pe[1:]]:.3g} {unit}" for pe in used])
    add_scale(figure, squares, unit)
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
    drawn = _draw_loads(axes, segments, loads, (1, 3.5))
    figure.add_hints(drawn, [f"{link.x},{link.y} to {link.to_x},{link.to_y}: {load:,.3g} {unit}" for link, load in _rising(loads)])
    add_scale(figure, drawn, unit)
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
        of_chip = [value for pe, value in values.items() if pe.chip == chip]
        over = axes.add_patch(Rectangle((column, row), 14, 12, facecolor=FAINT, alpha=0, linewidth=0))  # seen by a pointer alone
        mean = sum(of_chip) / len(of_chip) if of_chip else 0.0
        most = max(of_chip, default=0.0)
        figure.add_hints(over, [f"chip {chip}, {len(of_chip)} PEs: {mean:.3g} {unit} on average, {most:.3g} at most"])
    axes.set_axis_off()
    add_scale(figure, image, unit, 0.12)
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
    figure.add_hints(drawn, [f"{link}: {load:,.3g} {unit}" for link, load in _rising(loads)])
    chips = [_square(x - 0.2, y - 0.2, 0.4) for x, y in places.values()]
    axes.add_collection(PolyCollection(chips, facecolors=FAINT, edgecolors="none", alpha=0.25))
    for chip, (x, y) in places.items():
        axes.text(x, y, str(chip), fontsize=8, ha="center", va="center")
    axes.set_axis_off()
    add_scale(figure, drawn, unit, 0.12)
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
