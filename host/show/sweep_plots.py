"""Plots of tables: Figure 2 of the paper, and lines over a grid of settings, each as PNG and SVG.

matplotlib is imported when a plot is drawn, so nothing else needs it. A plot is the same bytes for the same numbers and
the same matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from host.errors import HostError
from host.show.plot_style import STANDALONE, escape_formula
from host.show.quantities import format_constant
from models.palette import FAINT, GROUND

if TYPE_CHECKING:
    from host.cost.tornado import Bar
    from host.show.canvas import Axes, Figure

SUFFIXES = (".png", ".svg")
_MARKS = "osD^vP*X"
_DASHES = ("-", "--", "-.", ":")
_IDEALS = {"inverse": "twice as many, half as much", "constant": "always as much"}
_MOST_TICKS = 10


def figure_2(stages: Mapping[str, Mapping[str, float]], title: str, path: Path) -> list[Path]:
    """Draw `stages` (layer -> stage -> seconds) as one bar a stage, stacked by layer; return the files.

    `path` is without suffix. HostError where matplotlib is missing or a file cannot be written.
    """
    with _style():
        figure, axes = _figure(6.4, 3.6)
        names = list(next(iter(stages.values())))
        bottoms = [0.0] * len(names)
        for layer, seconds in stages.items():  # each in the next colour
            heights = [1e3 * seconds[name] for name in names]
            axes.bar(names, heights, 0.62, bottom=bottoms, edgecolor=GROUND, linewidth=0.6, label=layer)
            bottoms = [a + b for a, b in zip(bottoms, heights, strict=True)]
        total = sum(bottoms)
        for x, height in enumerate(bottoms):
            axes.text(x, height + 0.012 * max(bottoms), f"{height:.1f} ms\n{100 * height / total:.0f} %", ha="center", va="bottom")
        axes.set(ylim=(0, 1.2 * max(bottoms)), ylabel="time, ms", title=escape_formula(title))
        axes.grid(axis="y", alpha=0.3)
        axes.legend(reverse=True)
        return _write(figure, path)


def tornado(bars: Sequence[Bar], title: str, path: Path) -> list[Path]:
    """Draw how far each constant's two ends move time and energy, in percent, the widest on top; return the files.

    `path` is without suffix. HostError where matplotlib is missing or a file cannot be written.
    """
    with _style():
        from host.show.canvas import Figure

        figure = Figure((8.4, 1.3 + 0.42 * len(bars)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        places = list(range(len(bars)))[::-1]
        for axes, (measure, word) in zip(panels, (("time_s", "time"), ("energy_j", "energy")), strict=True):
            for number, end in enumerate(("low end", "high end")):  # each in a colour
                axes.barh(places, [100 * bar.changes(measure)[number] for bar in bars], 0.62, label=end)
            axes.axvline(0, color=FAINT, linewidth=0.8)
            axes.set(xlabel=f"{word}, % of the price")
            axes.grid(axis="x", alpha=0.3)
        names = [
            f"{fill(one.words, 44)}\n{format_constant(one.value, (one.low, one.high), one.unit)}"
            for one in (bar.constant for bar in bars)
        ]
        panels[0].set_yticks(places, [escape_formula(name) for name in names], fontsize=7)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        figure.suptitle(escape_formula(title), x=0.01, ha="left", fontsize=9.5)
        return _write(figure, path)


class Curve(NamedTuple):
    """A line of a plot: (x, y) points, and where uncertain constants may put them: (low, high) a point, or none at all."""

    points: Sequence[tuple[Any, float]]
    bands: Sequence[tuple[float, float]] = ()


class Labels(NamedTuple):
    """What a plot says in words: of x, of y, above it, and what the names of its lines are."""

    x: str
    y: str
    title: str
    key: str = ""


def outlook(shares: Mapping[str, tuple[float, float]], path: Path) -> list[Path]:
    """Draw `shares` (title -> time and energy, of those of a form as published) as two bars a form, the first on top.

    `path` is without suffix; the files are returned. HostError where matplotlib is missing or a file cannot be written.
    """
    with _style():
        figure, axes = _figure(7.4, 1.2 + 0.42 * len(shares))
        places = list(range(len(shares)))[::-1]
        for number, (name, offset) in enumerate((("time", 0.19), ("energy", -0.19))):
            values = [100 * share[number] for share in shares.values()]
            axes.barh([place + offset for place in places], values, 0.36, label=name)
            for place, value in zip(places, values, strict=True):
                axes.text(value + 1.5, place + offset, f"{value:.0f} %", va="center", fontsize="small")
        axes.set(xlabel="% of the form as published, modelled", xlim=(0, 115 * max(1.0, *map(max, shares.values()))))
        axes.set_yticks(places, list(shares))
        axes.grid(axis="x", alpha=0.3)
        axes.legend(loc="lower right")
        return _write(figure, path)


def lines(series: Mapping[str, Curve], labels: Labels, path: Path, *, log: Sequence[str] = (), ideal: str = "") -> list[Path]:
    """Draw one line a series, with its band, or groups of bars where x are names; return the files.

    `log` names the axes ("x", "y") with a logarithmic scale. `ideal`: what is drawn beside the lines, from the first point of the
    first: "inverse", y times x, or "constant"; "" for nothing. `path` is without suffix.
    HostError where matplotlib is missing or a file cannot be written.
    """
    with _style():
        many = len(series) > 1 or bool(ideal)
        figure, axes = _figure(6.4, 3.8 + 0.12 * len(series) * many)
        xs = list(dict.fromkeys(x for curve in series.values() for x, _ in curve.points))
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in xs)
        if numbers:
            _draw_curves(axes, series)
            _draw_ideal(axes, next(iter(series.values())), sorted(xs), ideal)
            _number_axes(axes, sorted(xs), log)
        else:
            width = 0.8 / len(series)
            for number, (name, curve) in enumerate(series.items()):
                at = [xs.index(x) - 0.4 + width * (number + 0.5) for x, _ in curve.points]
                axes.bar(at, [y for _, y in curve.points], 0.92 * width, label=name)
            axes.set_xticks(range(len(xs)), [str(x) for x in xs])
            _number_axes(axes, [], [axis for axis in log if axis == "y"])
        axes.set(xlabel=labels.x, ylabel=labels.y, title=escape_formula(labels.title))
        axes.grid(axis="both" if numbers else "y", alpha=0.3)
        if many:  # below, where it hides no point
            figure.legend(loc="outside lower center", ncols=min(3, len(series) + bool(ideal)), title=labels.key)
        return _write(figure, path)


def _draw_curves(axes: Axes, series: Mapping[str, Curve]) -> None:
    """Draw each line with a mark and a dash of its own, so that one under another is seen."""
    for number, (name, curve) in enumerate(series.items()):
        order = sorted(range(len(curve.points)), key=lambda n: curve.points[n][0])
        xs, ys = zip(*(curve.points[n] for n in order), strict=True)
        mark, dash = _MARKS[number % len(_MARKS)], _DASHES[number % len(_DASHES)]
        (drawn,) = axes.plot(xs, ys, marker=mark, linestyle=dash, markersize=4, linewidth=1.3, label=name)
        if curve.bands:
            lows, highs = zip(*(curve.bands[n] for n in order), strict=True)
            axes.fill_between(xs, lows, highs, color=drawn.get_color(), alpha=0.15, linewidth=0)


def _draw_ideal(axes: Axes, curve: Curve, xs: Sequence[float], ideal: str) -> None:
    if ideal:
        x, y = min(curve.points)
        reach = [one for one in xs if one >= x]
        ys = [y * x / one if ideal == "inverse" else y for one in reach]
        axes.plot(reach, ys, color=FAINT, linewidth=1, linestyle=(0, (1, 2)), label=f"ideal: {_IDEALS[ideal]}")


def _number_axes(axes: Axes, xs: Sequence[float], log: Sequence[str]) -> None:
    """Set the scales, with ticks that are numbers: on x at the values that were run, where they are few."""
    from host.show.canvas import number_ticks

    if "x" in log and xs:
        axes.set_xscale("log")
        if len(xs) <= _MOST_TICKS:
            axes.set_xticks(xs, [f"{x:,g}" for x in xs])
            axes.minorticks_off()
        else:
            number_ticks(axes.xaxis)
    if "y" in log:
        axes.set_yscale("log")
        number_ticks(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)


def require() -> None:
    """Raise HostError, one line, where no picture can be drawn; called before long work."""
    try:
        import host.show.canvas  # noqa: F401, I001 - first: it leaves out a user's settings
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise HostError(f"pictures need {error.name}; run `pip install {error.name}`") from error
    except Exception as error:  # of whatever kind a setting's check raises
        raise HostError(f"pictures cannot be drawn ({' '.join(str(error).split())[:160]})") from error


def _style() -> Any:
    require()
    from host.show.canvas import styled

    return styled(STANDALONE)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from host.show.canvas import Figure

    figure = Figure((width, height), layout="constrained")
    return figure, figure.add_subplot()


def _write(figure: Figure, path: Path) -> list[Path]:
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    try:
        for file in files:
            figure.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else {"Software": None})
    except OSError as error:
        raise HostError(f"{path}: pictures cannot be written ({error.strerror})") from error
    return files
