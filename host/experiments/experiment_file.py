"""Experiment files: a base of settings, a grid of lists to cross, lists that move together, the columns of a table, and
plots.

Everything a user can get wrong is found here, before the first run, in one line that names the key and the nearest one
that exists. Two kinds of settings cross in one grid: those that need a run of their own (network, mapping, batch) and
those of its price (`launch.py price --set`), for which a recorded run is priced again. Not known here: how a point is run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.cost.cost_table import CHOICES, CLOCKS, changed, load_table
from host.errors import HostError, nearest_name
from host.mapping import strategies
from host.options import EXPECTED, RECORDED, SPLITS, STATES, TRANSPORTS
from models import formats
from noc.chip import load_chip

MOST_POINTS = 10_000
MOST_RUNS = 1_000
_MOST_UNITS = 1_000_000

Settings = dict[str, Any]


def _whole(least: int, most: int = _MOST_UNITS) -> tuple[Callable[[Any], bool], str]:
    return lambda v: type(v) is int and least <= v <= most, f"a whole number from {least} to {most:,}"


def _number(least: float, most: float) -> tuple[Callable[[Any], bool], str]:
    return lambda v: type(v) in (int, float) and least <= v <= most, f"a number from {least:g} to {most:g}"


def _one_of(names: Iterable[str]) -> tuple[Callable[[Any], bool], str]:
    known = tuple(names)
    return lambda v: v in known, f"one of {', '.join(known)}"


def _text() -> tuple[Callable[[Any], bool], str]:
    return lambda v: isinstance(v, str) and bool(v) and "\0" not in v, "a text"


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(n) is int and 1 <= n <= _MOST_UNITS for n in value)


EXPECTED_KEYS = ("depth", "pes_a_chip", "units_a_pe", "fan_in")
"""Of the uniform networks whose ledger is only expected: layers, PEs of each chip, units of each PE, weights of a row."""
NETWORK_KEYS = {
    "input": _whole(1),
    "layers": (_sizes, "a list of units, one number a layer"),
    "hidden": _whole(1),
    "density": (lambda v: type(v) in (int, float) and 0 < v <= 1, "a number above 0 and up to 1"),
    "threshold": _number(0, 1),
    "activity": _number(0, 1),
    "seed": _whole(0),
    **{name: _whole(1) for name in EXPECTED_KEYS},
}
"""Of a seeded network; `hidden` is the number of units of every layer but the last."""
CHECKPOINT_KEYS = {"text": _text(), "wikitext": _text(), "split": _one_of(SPLITS), "state": _one_of(STATES)}
RUN_KEYS = {
    **NETWORK_KEYS,
    "checkpoint": _text(),
    **CHECKPOINT_KEYS,
    "tokens": _whole(1),
    "batch": _whole(1),
    "pes": _whole(1),
    "chips": _whole(1),
    "mapping": _one_of(strategies.names()),
    "format": _one_of(formats.names()),
    "transport": _one_of((*TRANSPORTS, RECORDED, EXPECTED)),
    "chip": _text(),
    "chip_file": _text(),
}
FILE_KEYS = ("checkpoint", "text", "wikitext", "chip_file")  # paths, from the experiment file's own folder
_PLOT_KEYS = ("x", "y", "series", "log", "title")


@dataclass(frozen=True)
class Plot:
    """One picture: `y` (columns) over `x` (a column or a setting of the grid), one line for each column and each combination
    of the settings in `series`: unless the file says otherwise, all that vary but x and what moves together with it.
    """

    x: str
    y: tuple[str, ...]
    series: tuple[str, ...]
    log: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file. `base` and `grid` hold settings of both kinds by name; `axes` are the names of the grid that
    move together, mostly one each.
    """

    name: str
    title: str
    base: Settings
    grid: Mapping[str, Sequence[Any]]
    axes: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    plots: tuple[Plot, ...]

    def points(self) -> list[Settings]:
        """Return the settings of every point, the last axis moving fastest."""
        steps = [[dict(zip(axis, values, strict=True)) for values in self._along(axis)] for axis in self.axes]
        return [{**self.base, **{k: v for step in point for k, v in step.items()}} for point in itertools.product(*steps)]

    def _along(self, axis: tuple[str, ...]) -> Iterable[tuple[Any, ...]]:
        return zip(*(self.grid[name] for name in axis), strict=True)


def of_run(point: Settings) -> Settings:
    """Return the settings that need a run of their own."""
    return {name: value for name, value in point.items() if name in RUN_KEYS}


def of_price(point: Settings) -> list[str]:
    """Return the settings of the price as `name=value` texts."""
    return [f"{name}={value}" for name, value in point.items() if name not in RUN_KEYS]


def slug(run: Settings, axes: Iterable[str], more: str = "") -> str:
    """Return a folder name for a run: what varies, readably, and a hash of all its settings (and of `more`)."""
    text = json.dumps([sorted(run.items()), more], sort_keys=True)
    parts = [f"{name}-{_plain(run[name])}" for name in axes if name in run]
    return "_".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])[-120:].lstrip("-_.")


def _plain(value: Any) -> str:
    text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(text).stem if "/" in text else text)


def read(path: Path, columns: Iterable[str], default_columns: Sequence[str]) -> Experiment:
    """Return the experiment in a file; `columns` are the names a table may have beside those of its grid.

    Raises HostError, one line, for whatever cannot be used.
    """
    who = f"experiment {path}"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HostError(f"{who}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HostError(" ".join(f"{who}: cannot be read as TOML: {error}".split())) from error
    _known(who, data, ("title", "base", "grid", "together", "table", "plot"))
    base = _settings(f"{who}: [base]", _table(who, data, "base"))
    for name, value in base.items():
        _check(f"{who}: [base] {name}", name, value)
    grid, axes = _axes(who, data)
    _fit_together(who, set(base) | set(grid))
    lengths = [len(grid[axis[0]]) for axis in axes]
    points = math.prod(lengths)
    runs = math.prod(n for axis, n in zip(axes, lengths, strict=True) if any(name in RUN_KEYS for name in axis))
    for have, most, what in ((points, MOST_POINTS, "points"), (runs, MOST_RUNS, "runs")):
        if have > most:
            raise HostError(f"{who}: the grid has {have:,} {what}, at most {most:,} are allowed")
    table = _table(who, data, "table")
    _known(f"{who}: [table]", table, ("columns",))
    chosen = _names(f"{who}: [table] columns", table.get("columns", list(default_columns)), columns)
    known = [*grid, *chosen]
    title = data.get("title", path.stem)
    if not isinstance(title, str):
        raise HostError(f"{who}: title: needs a text, has {title!r}")
    plots = data.get("plot", [])
    if not isinstance(plots, list) or not all(isinstance(plot, dict) for plot in plots):
        raise HostError(f"{who}: plot: needs [[plot]] tables")
    drawn = tuple(_plot(f"{who}: [[plot]] {n}", plot, grid, axes, chosen, known) for n, plot in enumerate(plots, start=1))
    folder = path.parent
    base = _with_paths(base, folder)
    crossed = {name: [str(folder / v) for v in values] if name in FILE_KEYS else values for name, values in grid.items()}
    return Experiment(path.stem, title, base, crossed, axes, chosen, drawn)


def _axes(who: str, data: Mapping[str, Any]) -> tuple[Settings, tuple[tuple[str, ...], ...]]:
    """Return every list of `[grid]` and of the `[[together]]` tables by name, and which of them move together."""
    together = data.get("together", [])
    if not isinstance(together, list) or not all(isinstance(table, dict) for table in together):
        raise HostError(f"{who}: together: needs [[together]] tables")
    crossed = _settings(f"{who}: [grid]", _table(who, data, "grid"))
    tables = [(f"{who}: [grid]", {name: values}) for name, values in crossed.items()]
    tables += [(f"{who}: [[together]] {n}", _settings(f"{who}: [[together]] {n}", t)) for n, t in enumerate(together, start=1)]
    grid: Settings = {}
    for what, lists in tables:
        for name, values in lists.items():
            if not isinstance(values, list) or not values:
                raise HostError(f"{what} {name}: needs a list of at least one value, has {values!r}")
            if name in grid:
                raise HostError(f"{what} {name}: varies already")
            for number, value in enumerate(values):
                _check(f"{what} {name}", name, value)
                if value in values[:number] and len(lists) == 1:
                    raise HostError(f"{what} {name}: has {value!r} twice")
            grid[name] = values
        first = next(iter(lists), None)
        for name, values in lists.items():
            if len(values) != len(lists[str(first)]):
                raise HostError(f"{what} {name}: needs {len(lists[str(first)])} values as {first}, has {len(values)}")
    if not grid:
        raise HostError(f"{who}: needs [grid] with at least one list, such as pes = [100, 150]")
    return grid, tuple(tuple(lists) for _, lists in tables if lists)


def _with_paths(settings: Settings, folder: Path) -> Settings:
    return {name: str(folder / value) if name in FILE_KEYS else value for name, value in settings.items()}


def _table(who: str, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise HostError(f"{who}: {key}: needs a table [{key}], has {table!r}")
    return table


def _settings(what: str, table: Mapping[str, Any]) -> Settings:
    """Return a table's settings, `chip.NAME` written flat, each with a name that exists."""
    flat: Settings = {}
    for name, value in table.items():
        if name == "chip" and isinstance(value, dict):
            flat |= {f"chip.{fact}": number for fact, number in value.items()}
        else:
            flat[name] = value
    facts = load_chip().facts
    known = [*RUN_KEYS, "clock", *CHOICES, *load_table().constants, *(f"chip.{name}" for name in facts)]
    _known(what, flat, known)
    return flat


def _known(what: str, table: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise HostError(f"{what}: unknown key {key!r}; the nearest is {nearest_name(key, names)!r}")


def _check(what: str, name: str, value: Any) -> None:
    if name in RUN_KEYS:
        fits, need = RUN_KEYS[name]
        if not fits(value):
            raise HostError(f"{what}: needs {need}, has {value!r}")
        return
    choices = tuple(CLOCKS) if name == "clock" else CHOICES.get(name)
    if choices is None and (type(value) not in (int, float) or not 0 <= value < math.inf):
        raise HostError(f"{what}: needs a finite number from 0, has {value!r}")
    if choices is not None and value not in choices:
        raise HostError(f"{what}: needs one of {', '.join(choices)}, has {value!r}")
    changed(load_table(), [f"{name}={value}"])  # what the price itself would refuse


def _fit_together(who: str, names: set[str]) -> None:
    sizes = sorted(names & set(NETWORK_KEYS))
    if "checkpoint" in names and sizes:
        raise HostError(f"{who}: checkpoint and {sizes[0]}: choose one, {sizes[0]} is of a seeded network")
    texts = sorted(names & set(CHECKPOINT_KEYS))
    if texts and "checkpoint" not in names:
        raise HostError(f"{who}: {texts[0]}: needs a checkpoint; a seeded network is fed with numbers from its seed")
    for pair in (("threshold", "activity"), ("text", "wikitext"), ("clock", "chip")):
        if names >= set(pair):
            raise HostError(f"{who}: {' and '.join(pair)}: choose one")


def _names(what: str, names: Any, known: Iterable[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise HostError(f"{what}: needs a list of names, has {names!r}")
    _known(what, names, known)
    return tuple(dict.fromkeys(names))


def _plot(
    what: str, plot: dict[str, Any], grid: Settings, axes: Iterable[tuple[str, ...]], chosen: Sequence[str], known: Sequence[str]
) -> Plot:
    _known(what, plot, _PLOT_KEYS)
    if not isinstance(plot.get("x"), str):
        raise HostError(f"{what}: needs x, the name of a column")
    ys = [plot["y"]] if isinstance(plot.get("y"), str) else plot.get("y")
    if not isinstance(ys, list) or not ys:
        raise HostError(f"{what}: needs y, the name of a column, or a list of them")
    _known(f"{what} x", [plot["x"]], known)
    ys = _names(f"{what} y", ys, chosen)
    with_x = next((axis for axis in axes if plot["x"] in axis), ())  # what moves together with x tells no lines apart
    series = plot.get("series", [name for name, values in grid.items() if name not in (plot["x"], *with_x) and len(values) > 1])
    series = [series] if isinstance(series, str) else series
    if series:
        series = list(_names(f"{what} series", series, grid))
    log = plot.get("log", [])
    log = [log] if isinstance(log, str) else log
    if log:
        log = list(_names(f"{what} log", log, ("x", "y")))
    title = plot.get("title", f"{', '.join(ys)} over {plot['x']}")
    if not isinstance(title, str):
        raise HostError(f"{what} title: needs a text, has {title!r}")
    return Plot(plot["x"], ys, tuple(series), tuple(log), title)
