"""`launch.py scale`: runs an experiment's grid, point by point, and makes one table and its plots.

Each run keeps its own folder; a line of `points.jsonl` says how it ended, so an interrupted sweep goes on where it stopped
and a failed point stands in the table with its cause. The table is made of the run folders alone, at the end, so it
does not matter in how many goes they were made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.cost.ledger_file import open_ledger
from host.cost.price import price_at
from host.errors import Exit, HostError
from host.experiments import experiment_file
from host.experiments.columns import DEFAULT, Result, columns_of, format_cell
from host.experiments.experiment_file import EXPECTED, POSITION, RECORDED, Experiment, Settings
from host.experiments.headless import run_headless
from host.experiments.offline_points import expect_into, record_into
from host.experiments.plot_tables import Plot
from host.options import RunOptions
from host.run_folder import new_folder, read_report
from host.show import sweep_plots
from host.show.sweep_plots import Curve, Labels
from host.show.text_table import format_markdown
from host.show.words import COLUMN_WORDS, name_of
from models import shipped
from models.network import ModelError
from models.text.tokeniser import TextError
from noc.chip import ChipError

STATE = "points.jsonl"
_STOPPED = (Exit.INTERRUPTED, Exit.TERMINATED, Exit.HUNG_UP)
_SHOWN_ROWS = 40


@dataclass(frozen=True)
class Ended:
    """How a run ended: `problem` is None where it came through."""

    problem: str | None
    seconds: float


def scale(flags: Mapping[str, Any]) -> int:
    """Run what is missing of the sweep, then write its table and plots; return the exit code, 0 also where points failed.

    HostError, one line, for a file or folder that cannot be used.
    """
    file = Path(flags["file"])
    experiment = experiment_file.read(file, columns_of, DEFAULT)
    if experiment.plots:
        sweep_plots.require()
    folder = Path(flags["out"]) if flags["out"] else Path("runs") / f"scale-{experiment.name}"
    if not flags["resume"]:
        if folder.exists():
            raise HostError(f"--out {folder}: exists already; go on there with --resume, or use another folder")
        new_folder(folder)
    elif not folder.is_dir():
        raise HostError(f"--resume: {folder} is no folder; without --resume a sweep begins there")
    copied_file = folder / "experiment.toml"
    if not (copied_file.exists() and copied_file.samefile(file)):
        shutil.copyfile(file, copied_file)
    names, points = _named(experiment)
    code = _run_all(experiment, folder, points)
    if code is not Exit.OK:
        print(f"interrupted; go on with: launch.py scale {file} --out {folder} --resume", flush=True)
        return int(code)
    _write(experiment, folder, table(experiment, folder, names))
    return int(Exit.OK)


def _named(experiment: Experiment) -> tuple[list[tuple[Settings, str]], dict[str, Settings]]:
    """Return every point with its run's name, and every run's settings by name, in order."""
    axes = [name for name in experiment.grid if name in experiment.run_keys]
    marks: dict[str, str] = {}
    names, runs = [], {}
    for point in experiment.points():
        run = experiment.of_run(point)
        path = run.get("checkpoint")
        if path is not None and path not in marks:
            marks[path] = _mark(path)
        name = experiment_file.slug(run, axes, marks.get(str(path), ""))
        names.append((point, name))
        runs[name] = run
    return names, runs


def _mark(checkpoint: str) -> str:
    """Return what tells a checkpoint from a later one of that name: a file's hash, or a name that is no file's ('seeded')."""
    path = shipped.path_of(checkpoint) or Path(checkpoint)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        if experiment_file.is_name(checkpoint):
            return checkpoint
        raise HostError(f"checkpoint {path}: cannot be read ({error.strerror})") from error


def _run_all(experiment: Experiment, folder: Path, runs: Mapping[str, Settings]) -> Exit:
    """Run what has not come through yet, one after another; stop where the user wants it."""
    done = {name for name, ended in ended_runs(folder).items() if ended.problem is None and _complete(folder / "runs" / name)}
    missing = [name for name in runs if name not in done]
    points = len(experiment.points())
    _say(f"{experiment.title}: {points:,} points from {len(runs):,} runs, {len(runs) - len(missing):,} of them there already")
    began = time.monotonic()
    for number, name in enumerate(missing, start=1):
        _say(f"[{number:>{len(str(len(missing)))}}/{len(missing)}] {name} ... ", end="")
        code, ended, remark = _run(experiment, folder, name, runs[name])
        if code in _STOPPED:
            _say("interrupted")
            return code
        entry = {"run": name, "settings": runs[name], "problem": ended.problem, "seconds": ended.seconds}
        _append(folder / STATE, json.dumps(entry))
        left = (time.monotonic() - began) / number * (len(missing) - number)
        _say(f"{remark if ended.problem is None else 'failed: ' + ended.problem}; {ended.seconds:.1f} s, {_clock(left)} left")
    return Exit.OK


def _run(experiment: Experiment, folder: Path, name: str, settings: Settings) -> tuple[Exit, Ended, str]:
    """Run one point's network; a failure of any kind that a user can cause becomes its one line."""
    began, where = time.monotonic(), folder / "runs" / name
    if where.exists():
        shutil.rmtree(where)  # what an interrupted or failed attempt left
    try:
        how = settings.get("transport")
        options = _with_shared_files(experiment, experiment.options(settings), folder, how)
        options.check()
        if how == EXPECTED:
            expect_into(where, settings, options)
            return Exit.OK, Ended(None, round(time.monotonic() - began, 3)), "expected, not run"
        if how == RECORDED:
            record_into(where, options, folder / "recordings")
            return Exit.OK, Ended(None, round(time.monotonic() - began, 3)), "placed on recorded events"
        outcome = run_headless(where, options)
    except (HostError, ModelError, TextError, ChipError, OSError) as error:
        return Exit.USAGE, Ended(" ".join(str(error).split()), time.monotonic() - began), ""
    remark = ""
    if outcome.problem is None and outcome.report is not None:
        report = outcome.report
        remark = f"{1e3 * report['modelled']['time_per_token_s']:.3f} ms a {report['unit']} on the chip at its usual price"
    return outcome.code, Ended(outcome.problem, round(time.monotonic() - began, 3)), remark


def _with_shared_files(experiment: Experiment, options: RunOptions, folder: Path, how: str | None) -> RunOptions:
    """Return the options with the files that points of a sweep have in common, which are written once."""
    share_files = experiment.workload.part("prepare", "share_files")
    return options if share_files is None or how == EXPECTED else replace(options, **share_files(options, folder / "networks"))


def ended_runs(folder: Path) -> dict[str, Ended]:
    """Return how each run ended last; a line that a killed sweep left torn counts for nothing."""
    ended: dict[str, Ended] = {}
    path = folder / STATE
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
            problem = entry["problem"]
            ended[entry["run"]] = Ended(None if problem is None else str(problem), float(entry["seconds"]))
        except (ValueError, KeyError, TypeError):
            continue
    return ended


def _append(path: Path, line: str) -> None:
    """Add a line to a file, behind whatever a killed sweep left there without its end."""
    torn = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + line + "\n")


def _complete(run: Path) -> bool:
    """Tell whether a run's folder holds what the table needs; one that another version wrote may not."""
    try:
        read_report(run)
        open_ledger(run)
    except (OSError, ValueError):  # also HostError
        return False
    return True


def table(experiment: Experiment, folder: Path, names: Sequence[tuple[Settings, str]]) -> list[dict[str, Any]]:
    """Return one row a point: the grid's settings, the columns, and `problem`, which says why a point has no columns."""
    ended, runs, rows, columns = ended_runs(folder), {}, [], columns_of(experiment.workload)
    for point, name in names:
        row: dict[str, Any] = {axis: point[axis] for axis in experiment.grid} | dict.fromkeys(experiment.columns)
        problem = ended[name].problem
        try:
            if problem is None:
                run = folder / "runs" / name
                if name not in runs:
                    runs[name] = read_report(run), open_ledger(run)
                report, ledger = runs[name]
                result = Result(report, ledger, price_at(ledger, experiment.of_price(point)))
                row |= {column: columns[column].value(result) for column in experiment.columns}
        except (HostError, ChipError) as error:
            problem = " ".join(str(error).split())
        rows.append({**row, "problem": problem})
    return rows


def _write(experiment: Experiment, folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([format_cell(value) for value in row.values()] for row in rows)
    (folder / "table.csv").write_text(text.getvalue(), encoding="utf-8")
    files, columns = [folder / "table.csv"], columns_of(experiment.workload)
    for number, plot in enumerate(experiment.plots, start=1):
        series = series_of(plot, rows)
        if series:
            words = [name_of(y, COLUMN_WORDS) for y in plot.y]
            units = dict.fromkeys(word.rpartition(", ")[2] for word in words)
            labels = Labels(
                x=columns[plot.x].what if plot.x in columns else name_of(plot.x),
                y=(columns[plot.y[0]].what if len(plot.y) == 1 else ", ".join(units)).replace(POSITION, experiment.unit),
                title=plot.title, key=", ".join(map(name_of, plot.series)),
            )  # fmt: skip
            files += sweep_plots.lines(series, labels, folder / f"plot-{number}", log=plot.log, ideal=plot.ideal)
    failed = sum(row["problem"] is not None for row in rows)
    head = [name for name in rows[0] if name != "problem" or failed]
    lines = format_markdown(head, [[format_cell(row[name])[:60] for name in head] for row in rows[:_SHOWN_ROWS]]).splitlines()
    if len(rows) > _SHOWN_ROWS:
        lines.append(f"and {len(rows) - _SHOWN_ROWS:,} more rows in table.csv")
    summary = "\n".join([experiment.title, "", *lines, "", f"{len(rows):,} points, {failed:,} failed"])
    (folder / "summary.md").write_text(summary + "\n", encoding="utf-8")
    _say(f"\n{summary}\nwritten      {', '.join(map(str, files))}")


def series_of(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Return a plot's lines by name, with bands where the table has those of a column; points without a value are left out."""
    points: dict[str, list[tuple[Any, float]]] = {}
    bands: dict[str, list[tuple[float, float]]] = {}
    for row in filter(plot.shows, rows):
        for column in plot.y:
            x, y, ends = row[plot.x], row[column], (row.get(f"{column}_low"), row.get(f"{column}_high"))
            if row["problem"] is None and x is not None and isinstance(y, int | float):
                labels = [
                    *(format_cell(row[key]) for key in plot.series),
                    *([name_of(column, COLUMN_WORDS).rpartition(", ")[0] or column] if len(plot.y) > 1 or not plot.series else []),
                ]
                name = ", ".join(labels)
                points.setdefault(name, []).append((x if isinstance(x, int | float) else format_cell(x), float(y)))
                if all(isinstance(end, int | float) for end in ends):
                    bands.setdefault(name, []).append((float(ends[0] or 0), float(ends[1] or 0)))
    return {name: Curve(of, bands[name] if len(bands.get(name, ())) == len(of) else ()) for name, of in points.items()}


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)
