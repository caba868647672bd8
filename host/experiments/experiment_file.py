"""Experiment files: a base of settings, a grid of lists to cross, lists that move together, the columns of a table, and
plots.

Everything a user can get wrong is found here, before the first run, in one line that names the key and the nearest one
that exists. Two kinds of settings cross in one grid: those that need a run of their own (network, mapping, batch) and
those of its price (`launch.py price --set`), for which a recorded run is priced again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.cost.cost_table import CHOICES, CLOCKS, apply_settings, load_table, read_toml
from host.errors import HostError
from host.experiments.plot_tables import Plot, check_keys, names_of, plot_of, text_of
from host.flags import Bounds, OneOf, Whole, bounds_of, option_fields
from host.options import RunOptions, transport_names, transports_with
from host.workloads.registry import Workload, claimed_workload, workloads
from models.network import ModelError
from noc.chip import load_chip

MOST_POINTS = 10_000
MOST_RUNS = 1_000

Settings = dict[str, Any]
RECORDED, EXPECTED = "recorded", "expected"  # in the place of a transport: points that start no process
EXPECTED_KEYS = {name: Whole(1, 1_000_000) for name in ("depth", "pes_a_chip", "units_a_pe", "fan_in")}
"""Of the uniform networks whose ledger is only expected: layers, PEs of each chip, units of each PE, weights of a row."""


def run_keys(workload: Workload) -> dict[str, Bounds]:
    """Return the settings that need a run of their own: what of a workload's options may vary, and how a point is run."""
    swept = {entry.name: entry.metadata["bounds"] for entry in option_fields(workload.options) if entry.metadata["sweep"]}
    transports = OneOf(lambda: (*transport_names(), RECORDED, EXPECTED))
    return {**swept, **EXPECTED_KEYS, "workload": OneOf(lambda: tuple(workloads())), "transport": transports}


POSITION = "token"
"""What columns of a sweep call a position."""


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file. `base` and `grid` hold settings of both kinds by name; `axes` are the names of the grid that
    move together, mostly one each; `run_keys` are the settings that need a run of their own.
    """

    name: str
    title: str
    workload: Workload
    run_keys: Mapping[str, Bounds]
    base: Settings
    grid: Mapping[str, Sequence[Any]]
    axes: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    plots: tuple[Plot, ...]

    @property
    def unit(self) -> str:
        """What a position is called: a token, unless the file names a workload with another word for it."""
        return str(self.workload.about.UNIT) if "workload" in self.base else POSITION

    def points(self) -> list[Settings]:
        """Return the settings of every point, the last axis moving fastest."""
        along = [zip(*(self.grid[name] for name in axis), strict=True) for axis in self.axes]
        steps = [[dict(zip(axis, values, strict=True)) for values in rows] for axis, rows in zip(self.axes, along, strict=True)]
        return [{**self.base, **{k: v for step in point for k, v in step.items()}} for point in itertools.product(*steps)]

    def of_run(self, point: Settings) -> Settings:
        """Return the settings that need a run of their own."""
        return {name: value for name, value in point.items() if name in self.run_keys}

    def of_price(self, point: Settings) -> list[str]:
        """Return the settings of the price as `name=value` texts."""
        return [f"{name}={value}" for name, value in point.items() if name not in self.run_keys]

    def options(self, run: Settings) -> RunOptions:
        """Return the options of a run's settings; what only says how a point is run or expected is left out."""
        chosen: dict[str, Any] = {name: value for name, value in run.items() if name not in (*EXPECTED_KEYS, "workload")}
        if chosen.get("transport") in (RECORDED, EXPECTED):
            chosen["transport"] = transports_with("PROCESSES", False)[0]
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
        return self.workload.options(**values)


def slug(run: Settings, axes: Iterable[str], more: str = "") -> str:
    """Return a folder name for a run: what varies, readably, and a hash of all its settings (and of `more`)."""
    text = json.dumps([sorted(run.items()), more], sort_keys=True)
    parts = [f"{name}-{_plain(run[name])}" for name in axes if name in run]
    return "_".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])[-120:].lstrip("-_.")


def _plain(value: Any) -> str:
    text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(text).stem if "/" in text else text)


def read(path: Path, columns: Callable[[Workload], Iterable[str]], default_columns: Sequence[str]) -> Experiment:
    """Return the experiment in a file; `columns` names those that a workload's table may have beside those of its grid.

    Raises HostError, one line, for whatever cannot be used.
    """
    who = f"experiment {path}"
    data = read_toml(path, who)
    check_keys(who, data, ("title", "base", "grid", "together", "table", "plot"))
    tables = [data.get("base"), data.get("grid"), *(data["together"] if isinstance(data.get("together"), list) else [])]
    settings = {name: value for table in tables if isinstance(table, dict) for name, value in table.items()}
    try:
        workload = claimed_workload(settings)
    except HostError as error:
        raise HostError(f"{who}: {error}") from error
    keys = run_keys(workload)
    base = _settings(f"{who}: [base]", _table(who, data, "base"), workload)
    for name, value in base.items():
        _check(f"{who}: [base] {name}", name, value, keys)
    grid, axes = _axes(who, data, workload)
    if "workload" in grid:
        raise HostError(f"{who}: workload: goes into [base]; an experiment has one")
    if {"clock", "chip"} <= {*base, *grid}:
        raise HostError(f"{who}: clock and chip: choose one")
    lengths = [len(grid[axis[0]]) for axis in axes]
    points = math.prod(lengths)
    runs = math.prod(n for axis, n in zip(axes, lengths, strict=True) if any(name in keys for name in axis))
    for have, most, what in ((points, MOST_POINTS, "points"), (runs, MOST_RUNS, "runs")):
        if have > most:
            raise HostError(f"{who}: the grid has {have:,} {what}, at most {most:,} are allowed")
    table = _table(who, data, "table")
    check_keys(f"{who}: [table]", table, ("columns",))
    chosen = names_of(f"{who}: [table] columns", table.get("columns", list(default_columns)), columns(workload))
    title = text_of(f"{who}: title", data.get("title", path.stem))
    plots = _tables(who, data, "plot")
    folder, files = path.parent, {entry.name for entry in option_fields(workload.options) if entry.metadata["file"]}

    def beside(name: str, value: Any) -> Any:
        return _beside(folder, value) if name in files and isinstance(value, str) else value

    grid = {name: [beside(name, value) for value in values] for name, values in grid.items()}
    drawn = tuple(plot_of(f"{who}: [[plot]] {n}", plot, beside, grid, axes, chosen) for n, plot in enumerate(plots, start=1))
    experiment = Experiment(
        name=path.stem, title=title, workload=workload, run_keys=keys,
        base={name: beside(name, value) for name, value in base.items()}, grid=grid, axes=axes, columns=chosen, plots=drawn,
    )  # fmt: skip
    for number, plot in enumerate(drawn, start=1):
        if not any(plot.shows(point) for point in experiment.points()):
            wanted = " and ".join(f"{name} = {value!r}" for name, value in plot.where.items())
            raise HostError(f"{who}: [[plot]] {number} where: no point has {wanted}")
    _check_runs(who, experiment)
    return experiment


def _beside(folder: Path, name: str) -> str:
    """Return a path from the experiment's folder; a plain word that is no file there stays ('seeded', a shipped model's name)."""
    path = folder / name
    return name if is_name(name) and not path.exists() else str(path)


def is_name(text: str) -> bool:
    """Tell whether a checkpoint, or another file, may be named by a word that a run knows."""
    return re.fullmatch(r"[\w-]+", text) is not None


def _check_runs(who: str, experiment: Experiment) -> None:
    """Raise HostError for the first run whose options contradict each other, before anything has run."""
    runs = {json.dumps(run, sort_keys=True): run for run in map(experiment.of_run, experiment.points())}
    for run in runs.values():
        try:
            experiment.options(run).check()
        except (HostError, ModelError) as error:
            raise HostError(f"{who}: {error}") from error


def _axes(who: str, data: Mapping[str, Any], workload: Workload) -> tuple[Settings, tuple[tuple[str, ...], ...]]:
    """Return every list of `[grid]` and of the `[[together]]` tables by name, and which of them move together."""
    together = _tables(who, data, "together")
    crossed = _settings(f"{who}: [grid]", _table(who, data, "grid"), workload)
    tables = [(f"{who}: [grid]", {name: values}) for name, values in crossed.items()]
    for number, table in enumerate(together, start=1):
        tables.append((f"{who}: [[together]] {number}", _settings(f"{who}: [[together]] {number}", table, workload)))
    grid, keys = Settings(), run_keys(workload)
    for what, lists in tables:
        for name, values in lists.items():
            if not isinstance(values, list) or not values:
                raise HostError(f"{what} {name}: needs a list of at least one value, has {values!r}")
            if name in grid:
                raise HostError(f"{what} {name}: varies already")
            for number, value in enumerate(values):
                _check(f"{what} {name}", name, value, keys)
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


def _table(who: str, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise HostError(f"{who}: {key}: needs a table [{key}], has {table!r}")
    return table


def _tables(who: str, data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    tables = data.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise HostError(f"{who}: {key}: needs [[{key}]] tables")
    return tables


def _settings(what: str, table: Mapping[str, Any], workload: Workload) -> Settings:
    """Return a table's settings, `chip.NAME` written flat, each with a name that exists."""
    flat, keys = Settings(), run_keys(workload)
    for name, value in table.items():
        if name == "chip" and isinstance(value, dict):
            flat |= {f"chip.{fact}": number for fact, number in value.items()}
        else:
            flat[name] = value
    facts = load_chip().facts
    for name in flat:
        others = [one.name for one in workloads().values() if name in bounds_of(one.options)]
        if name not in keys and others:
            here = "which this experiment runs unless [base] names another workload"
            raise HostError(f"{what}: {name} is an option of {', '.join(others)}, not of {workload.name}, {here}")
    known = [*keys, "clock", *CHOICES, *load_table().constants, *(f"chip.{name}" for name in facts)]
    check_keys(what, flat, known)
    return flat


def _check(what: str, name: str, value: Any, keys: Mapping[str, Bounds]) -> None:
    if name in keys:
        if not keys[name].fits(value):
            raise HostError(f"{what}: needs {keys[name].need}, has {value!r}")
        return
    choices = tuple(CLOCKS) if name == "clock" else CHOICES.get(name)
    if choices is None and (type(value) not in (int, float) or not 0 <= value < math.inf):
        raise HostError(f"{what}: needs a finite number from 0, has {value!r}")
    if choices is not None and value not in choices:
        raise HostError(f"{what}: needs one of {', '.join(choices)}, has {value!r}")
    apply_settings(load_table(), [f"{name}={value}"])  # what the price itself would refuse
