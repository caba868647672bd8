"""The pictures of an experiment: tables `[[plot]]` of its file, and how a name or a text in such a file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from host.errors import HostError, nearest_name

IDEALS = ("inverse", "constant")
"""What a plot may show as the ideal: twice the x, half the y; or the same y for every x."""


@dataclass(frozen=True)
class Plot:
    """One picture: `y` (columns) over `x` (a column or a setting of the grid), one line for each column and each combination
    of the settings in `series`: unless the file says otherwise, all that vary but x and what moves together with it. `ideal`, one
    of `IDEALS` or "", is drawn beside them, from the first point of the first line. `where`: settings of the grid and their values;
    points with others are not in it.
    """

    x: str
    y: tuple[str, ...]
    series: tuple[str, ...]
    log: tuple[str, ...]
    title: str
    ideal: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    def shows(self, point: Mapping[str, Any]) -> bool:
        """Tell whether a point of the grid is in the picture."""
        return all(point[name] == value for name, value in self.where.items())


def check_keys(what: str, table: Iterable[str], known: Iterable[str]) -> None:
    """Raise HostError, which begins with `what` and names the nearest key, for one that is not known."""
    names = list(known)
    for key in table:
        if key not in names:
            raise HostError(f"{what}: unknown key {key!r}; the nearest is {nearest_name(key, names)!r}")


def names_of(what: str, names: Any, known: Iterable[str]) -> tuple[str, ...]:
    """Return a list of known names, each once; HostError, one line that begins with `what`, for anything else."""
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise HostError(f"{what}: needs a list of names, has {names!r}")
    check_keys(what, names, known)
    return tuple(dict.fromkeys(names))


def text_of(what: str, value: Any) -> str:
    """Return a text; HostError, one line that begins with `what`, for anything else."""
    if not isinstance(value, str):
        raise HostError(f"{what}: needs a text, has {value!r}")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def plot_of(
    what: str, plot: dict[str, Any], beside: Callable[[str, Any], Any], grid: Mapping[str, Any], axes: Iterable[tuple[str, ...]],
    chosen: Sequence[str],
) -> Plot:  # fmt: skip
    """Return what a table `[[plot]]` asks for; HostError, one line that begins with `what`, where that cannot be.

    `beside`: a setting's name and value -> the value as points have it, with the file's own folder before names of files. `grid`:
    the settings that vary, with those values; `axes`, which of them move together; `chosen`, the columns of the table.
    """
    known = [*grid, *chosen]
    check_keys(what, plot, ("x", "y", "series", "log", "title", "ideal", "where"))
    if not isinstance(plot.get("x"), str):
        raise HostError(f"{what}: needs x, the name of a column")
    ys = _listed(plot.get("y"))
    if not isinstance(ys, list) or not ys:
        raise HostError(f"{what}: needs y, the name of a column, or a list of them")
    check_keys(f"{what} x", [plot["x"]], known)
    ys = names_of(f"{what} y", ys, chosen)
    with_x = next((axis for axis in axes if plot["x"] in axis), ())  # what moves together with x tells no lines apart
    where = _where(f"{what} where", plot.get("where", {}), beside, grid)
    varying = [name for name, values in grid.items() if name not in (plot["x"], *with_x, *where) and len(values) > 1]
    series, log = _listed(plot.get("series", varying)), _listed(plot.get("log", []))
    series = names_of(f"{what} series", series, grid) if series else ()
    log = names_of(f"{what} log", log, ("x", "y")) if log else ()
    of_it = "".join(f", {name} {value}" for name, value in where.items())
    title = text_of(f"{what} title", plot.get("title", f"{', '.join(ys)} over {plot['x']}{of_it}"))
    ideal = text_of(f"{what} ideal", plot.get("ideal", ""))
    check_keys(f"{what} ideal", [ideal] if ideal else [], IDEALS)
    return Plot(x=plot["x"], y=ys, series=series, log=log, title=title, ideal=ideal, where=where)


def _where(what: str, where: Any, beside: Callable[[str, Any], Any], grid: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(where, dict):
        raise HostError(f"{what}: needs a table of settings and values, has {where!r}")
    check_keys(what, where, grid)
    values = {name: beside(name, value) for name, value in where.items()}
    for name, value in values.items():
        if value not in grid[name]:
            raise HostError(f"{what}: {name} = {value!r} is at no point; the grid has {', '.join(map(repr, grid[name]))}")
    return values
