"""Plots of tables: Figure 2 of the paper, and lines over a grid of settings, each as PNG and SVG.

matplotlib is imported when a plot is drawn, so nothing else needs it. A plot is the same bytes for the same numbers and
the same matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from host.errors import HostError
from host.show.plot_style import STANDALONE, escape_formula

if TYPE_CHECKING:
    from host.cost.tornado import Bar
    from host.show.canvas import Axes, Figure

SUFFIXES = (".png", ".svg")
_MARKS = "osD^vP*X"


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
            axes.bar(names, heights, 0.62, bottom=bottoms, edgecolor="white", linewidth=0.6, label=layer)
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
            axes.axvline(0, color="black", linewidth=0.8)
            axes.set(xlabel=f"{word}, % of the price")
            axes.grid(axis="x", alpha=0.3)
        names = [
            f"{fill(bar.constant.words, 44)}\n{bar.constant.low:.3g} to {bar.constant.high:.3g} {bar.constant.unit}" for bar in bars
        ]
        panels[0].set_yticks(places, [escape_formula(name) for name in names], fontsize=7)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2)
        figure.suptitle(escape_formula(title), x=0.01, ha="left", fontsize=9.5)
        return _write(figure, path)


def lines(
    series: Mapping[str, Sequence[tuple[Any, float]]], labels: tuple[str, str], title: str,
    key: str, log: Sequence[str], path: Path,
) -> list[Path]:  # fmt: skip
    """Draw one line a series of (x, y) points, or groups of bars where x are names; return the files.

    `labels` are those of x and y, `key` says what the names of the series are; `log` names the axes ("x", "y") with a
    logarithmic scale; `path` is without suffix.
    HostError where matplotlib is missing or a file cannot be written.
    """
    with _style():
        many = len(series) > 1
        figure, axes = _figure(6.4, 3.8 + 0.12 * len(series) * many)
        xs = list(dict.fromkeys(x for points in series.values() for x, _ in points))
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in xs)
        for number, (name, points) in enumerate(series.items()):
            if numbers:
                mark = _MARKS[number % len(_MARKS)]
                axes.plot(*zip(*sorted(points), strict=True), marker=mark, markersize=4, linewidth=1.3, label=name)
            else:
                width = 0.8 / len(series)
                at = [xs.index(x) - 0.4 + width * (number + 0.5) for x, _ in points]
                axes.bar(at, [y for _, y in points], 0.92 * width, label=name)
        if not numbers:
            axes.set_xticks(range(len(xs)), [str(x) for x in xs])
        if "x" in log and numbers:
            axes.set_xscale("log")
        if "y" in log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set(xlabel=labels[0], ylabel=labels[1], title=escape_formula(title))
        axes.grid(axis="both" if numbers else "y", alpha=0.3)
        if many:  # below, where it hides no point
            figure.legend(loc="outside lower center", ncols=min(3, len(series)), title=key)
        return _write(figure, path)


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
