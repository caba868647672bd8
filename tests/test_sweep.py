"""Sweeps: the grid is what the file says, a sweep in two goes equals one in one go, and what fails is told and passed over."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from host.cli import main
from host.cost.cost_table import apply_settings, load_table
from host.cost.ledger_file import load_ledger
from host.cost.price import price
from host.cost.priced import price_block
from host.errors import Exit, HostError
from host.experiments import sweep as sweep_module
from host.experiments.columns import COLUMNS, DEFAULT, columns_of, format_cell
from host.experiments.experiment_file import MOST_POINTS, read, slug
from host.experiments.plot_tables import Plot
from host.show import sweep_plots
from host.workloads.arrays.seeded_numbers import seeded_features
from host.workloads.site import model_path
from models.reference import Reference
from models.seeded import seeded_egru
from models.tuned_activity import at_activity
from noc.chip import load_chip

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).resolve().parents[1]

BASE = """\
[base]
input = 20
layers = [24, 24, 20]
density = 0.3
tokens = 6
transport = "mem"
"""
SWEEP = (
    BASE
    + """
[grid]
pes = [3, 5]
format = ["csr", "packed"]
schedule = ["sequential", "pipelined"]
branch_refill_cycles = [1, 2.5]

[table]
columns = ["token_ms", "power_mw", "events", "sha256", "activity_percent"]

[[plot]]
x = "pes"
y = "token_ms"
log = "y"

[[plot]]
x = "format"
y = "power_mw"
series = "schedule"
"""
)


def written(tmp_path, text):
    path = tmp_path / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(path, out, *flags):
    return main(["scale", str(path), "--out", str(out), *flags])


def rows_of(out):
    with (out / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    assert run(written(folder, SWEEP), folder / "out") == 0
    return folder / "out"


# -- the grid --


def test_points_cross_every_list_and_settings_are_told_apart(tmp_path):
    experiment = read(written(tmp_path, SWEEP), columns_of, DEFAULT)
    points = experiment.points()
    assert len(points) == 16
    assert [(p["pes"], p["format"], p["schedule"], p["branch_refill_cycles"]) for p in points[:3]] == [
        (3, "csr", "sequential", 1), (3, "csr", "sequential", 2.5), (3, "csr", "pipelined", 1),
    ]  # fmt: skip
    assert experiment.of_price(points[1]) == ["schedule=sequential", "branch_refill_cycles=2.5"]
    assert set(experiment.of_run(points[0])) == {"input", "layers", "density", "tokens", "transport", "pes", "format"}
    assert len({slug(experiment.of_run(point), experiment.grid) for point in points}) == 4
    assert experiment.plots[0].series == ("format", "schedule", "branch_refill_cycles")


@pytest.mark.parametrize(("base", "unit"), [("", "token"), ("workload = 'lm'", "token"), ("workload = 'dvs'", "frame")])
def test_a_plot_calls_a_position_what_the_named_workload_does(tmp_path, base, unit):
    assert read(written(tmp_path, f"[base]\n{base}\n[grid]\npes = [1, 2]\n"), columns_of, DEFAULT).unit == unit


def test_lists_that_move_together_are_one_axis(tmp_path):
    text = (
        "[grid]\nformat = ['csr', 'packed']\n[[together]]\nchips = [1, 2, 4]\nhidden = [10, 14, 20]\n[[together]]\nseed = [1, 2]\n"
    )
    experiment = read(written(tmp_path, text), columns_of, DEFAULT)
    points = [(p["format"], p["chips"], p["hidden"], p["seed"]) for p in experiment.points()]
    expected = [(f, c, h, s) for f in ("csr", "packed") for c, h in ((1, 10), (2, 14), (4, 20)) for s in (1, 2)]
    assert points == expected


def test_a_chip_s_number_may_be_written_either_way(tmp_path):
    for text in ("chip.sram_wait_states = [0, 1]", '"chip.sram_wait_states" = [0, 1]', "[grid.chip]\nsram_wait_states = [0, 1]"):
        assert read(written(tmp_path, f"[grid]\n{text}\n"), columns_of, DEFAULT).grid == {"chip.sram_wait_states": [0, 1]}


def test_names_of_runs_are_plain_and_told_apart_by_every_setting():
    assert slug({"layers": [24, 20], "checkpoint": "/some where/a model.safetensors"}, ["layers", "checkpoint"]).startswith(
        "layers-24x20_checkpoint-a-model_"
    )
    assert slug({"pes": 3}, []) != slug({"pes": 4}, [])
    assert slug({"pes": 3}, [], "one content") != slug({"pes": 3}, [], "another")


# -- a sweep --


@pytest.mark.wide
def test_the_table_has_a_row_a_point_and_the_columns_asked_for(sweep):
    rows = rows_of(sweep)
    assert len(rows) == 16
    assert list(rows[0]) == [
        "pes", "format", "schedule", "branch_refill_cycles",
        "token_ms", "power_mw", "events", "sha256", "activity_percent", "problem",
    ]  # fmt: skip
    assert len({row["sha256"] for row in rows}) == 1  # one answer, whatever the mapping and format
    assert all(not row["problem"] and float(row["token_ms"]) > 0 for row in rows)
    assert len(list((sweep / "runs").iterdir())) == 4
    for name in ("plot-1.png", "plot-1.svg", "plot-2.png", "plot-2.svg", "summary.md", "experiment.toml"):
        assert (sweep / name).stat().st_size > 200


@pytest.mark.wide
def test_a_price_setting_gives_what_the_run_costs_at_that_price(sweep):
    entries = [json.loads(line) for line in (sweep / "points.jsonl").read_text().splitlines()]
    runs = {(e["settings"]["pes"], e["settings"]["format"]): sweep / "runs" / e["run"] for e in entries}
    for row in rows_of(sweep):
        ledger = load_ledger(runs[int(row["pes"]), row["format"]])
        sets = [f"schedule={row['schedule']}", f"branch_refill_cycles={row['branch_refill_cycles']}"]
        cost = price_block(price(ledger, load_chip(), apply_settings(load_table(), sets)[0]), ledger)
        assert row["token_ms"] == format_cell(1e3 * cost["time_per_token_s"])
        assert row["power_mw"] == format_cell(1e3 * cost["power_w"])
        assert int(row["events"]) == cost["work"]["events"]


@pytest.mark.wide
def test_a_sweep_in_two_goes_is_the_same_to_the_byte(sweep, tmp_path, monkeypatch, capsys):
    out, real, goes = tmp_path / "out", sweep_module.run_headless, []

    def stopped(folder, options, *more):
        goes.append(folder)
        outcome = real(folder, options, *more)
        if len(goes) == 3:
            (folder / "report.json").unlink()  # as a Ctrl-C in the middle leaves it
            outcome.code, outcome.problem = Exit.INTERRUPTED, "interrupted"
        return outcome

    monkeypatch.setattr(sweep_module, "run_headless", stopped)
    path = written(tmp_path, SWEEP)
    assert run(path, out) == Exit.INTERRUPTED
    assert "--resume" in capsys.readouterr().out
    assert not (out / "table.csv").exists()
    with (out / "points.jsonl").open("a") as state:
        state.write('{"run": "torn')
    assert run(path, out, "--resume") == 0
    assert len(goes) == 5  # two that came through, the one that did not twice, and the last
    for name in ("table.csv", "plot-1.svg", "plot-2.png"):
        assert (out / name).read_bytes() == (sweep / name).read_bytes()
    assert run(path, out, "--resume") == 0
    assert len(goes) == 5  # nothing was left to do


@pytest.mark.slow
def test_a_resumed_sweep_may_ask_for_other_columns_and_more_points(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "run_headless", lambda *_: pytest.fail("ran again"))
    text = SWEEP.replace('["token_ms", "power_mw", "events", "sha256", "activity_percent"]', '["token_ms", "power_mw", "macs"]')
    text = text.replace("[1, 2.5]", "[1, 2, 3]")
    copied = tmp_path / "out"
    shutil.copytree(sweep, copied)
    assert run(written(tmp_path, text), copied, "--resume") == 0
    assert len(rows_of(copied)) == 24


@pytest.mark.slow
def test_a_resumed_sweep_tries_again_what_failed_or_is_damaged(sweep, tmp_path, monkeypatch):
    copied, goes, real = tmp_path / "out", [], sweep_module.run_headless
    shutil.copytree(sweep, copied)
    first, second, *_ = (json.loads(line) for line in (copied / "points.jsonl").read_text().splitlines())
    with (copied / "points.jsonl").open("a") as state:
        state.write(json.dumps(first | {"problem": "it died"}) + "\n")
    (copied / "runs" / second["run"] / "ledger.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(sweep_module, "run_headless", lambda folder, *more: goes.append(folder.name) or real(folder, *more))
    assert run(written(tmp_path, SWEEP), copied, "--resume") == 0
    assert goes == [first["run"], second["run"]]
    assert (copied / "table.csv").read_bytes() == (sweep / "table.csv").read_bytes()


def test_a_failed_point_keeps_its_cause_and_the_rest_goes_on(tmp_path, capsys):
    text = BASE + '\n[grid]\npes = [200, 4]\n\n[[plot]]\nx = "pes"\ny = "token_ms"\n'
    assert run(written(tmp_path, text), tmp_path / "out") == 0
    first, second = rows_of(tmp_path / "out")
    assert first["problem"].startswith("--pes 200: one chip has 152 PEs")
    assert first["token_ms"] == ""
    assert (second["problem"], float(second["token_ms"]) > 0) == ("", True)
    printed = capsys.readouterr().out
    assert "failed: --pes 200" in printed
    assert "2 points, 1 failed" in printed


@pytest.mark.wide
def test_a_price_that_cannot_be_is_a_failed_point(tmp_path):
    text = BASE + "\n[grid]\nchip.flit_bits = [128, 8]\n"
    assert run(written(tmp_path, text), tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert [row["problem"][:12] for row in rows] == ["", "facts.payloa"]


@pytest.mark.wide
def test_a_checkpoint_with_a_text(folder, tmp_path):
    shutil.copy(folder / "tiny.safetensors", tmp_path)
    shutil.copy(folder / "text.txt", tmp_path)
    text = '[base]\ncheckpoint = "tiny.safetensors"\ntext = "text.txt"\ntokens = 5\ntransport = "mem"\n'
    text += '[grid]\npes = [4]\n[table]\ncolumns = ["perplexity"]\n'
    assert run(written(tmp_path, text), tmp_path / "out") == 0
    (row,) = rows_of(tmp_path / "out")
    assert float(row["perplexity"]) > 1


# -- activity --


@pytest.mark.few(2)
@pytest.mark.parametrize("target", [0.0, 0.05, 0.2, 0.5, 0.8, 1.0])
def test_thresholds_are_set_for_an_activity(target):
    inputs = seeded_features(1, 40, 60)[0]
    network = at_activity(seeded_egru(60, (100, 80), density=0.2), target, inputs[:12])
    reference = Reference(network)
    outputs = [[y for (y,) in reference.step({0: x}).values()] for x in inputs]
    for layer in range(2):
        share = np.mean([np.count_nonzero(y[layer]) / len(y[layer]) for y in outputs])
        assert share == pytest.approx(target, abs=0 if target in (0, 1) else 0.06)
    for number in network.layers:
        threshold = network.populations[number].vectors["threshold"]
        assert threshold.dtype == np.float32
        assert threshold.min() >= 0
        assert threshold.max() <= 1


@pytest.mark.wide
def test_the_table_states_the_activity_that_a_run_showed(tmp_path):
    text = BASE.replace("24, 24", "60, 60") + '\n[grid]\nactivity = [0, 0.3, 1]\n[table]\ncolumns = ["activity_percent", "macs"]\n'
    assert run(written(tmp_path, text), tmp_path / "out") == 0
    none, some, every = (float(row["activity_percent"]) for row in rows_of(tmp_path / "out"))
    assert none == 0
    assert 10 < some < 60
    assert every == 100


# -- what users do wrong --

WRONG = [
    ("# nothing", "needs [grid]"),
    ("", "is empty"),
    ("[grid", "cannot be read as TOML"),
    ("[gird]\npes = [1]", "unknown key 'gird'; the nearest is 'grid'"),
    ("[grid]\npse = [1]", "[grid]: unknown key 'pse'; the nearest is 'pes'"),
    ("[base]\nshedule = 'pipelined'\n[grid]\npes = [1]", "[base]: unknown key 'shedule'; the nearest is 'schedule'"),
    ("[grid]\npes = []", "[grid] pes: needs a list of at least one value, has []"),
    ("[grid]\npes = 5", "[grid] pes: needs a list of at least one value, has 5"),
    ("[grid]\npes = [5, 'six']", "[grid] pes: needs a whole number of at least 1, has 'six'"),
    ("[[together]]\npes = [5, 6]\nchips = [1]", "[[together]] 1 chips: needs 2 values as pes, has 1"),
    ("[grid]\npes = [5]\n[[together]]\npes = [5]", "[[together]] 1 pes: varies already"),
    ("together = 3", "together: needs [[together]] tables"),
    ("[grid]\npes = [5, 5]", "[grid] pes: has 5 twice"),
    ("[grid]\npes = [true]", "[grid] pes: needs a whole number"),
    ("[grid]\nactivity = [nan]", "[grid] activity: needs a finite number from 0 to 1, has nan"),
    ("[grid]\ndensity = [0]", "[grid] density: needs a finite number above 0 and up to 1, has 0"),
    ("[grid]\nlayers = [24]", "[grid] layers: needs a list of units"),
    ("[grid]\nformat = ['cst']", "[grid] format: needs one of array, conv, csr, dense, packed, vectors, has 'cst'"),
    ("[grid]\nschedule = ['parallel']", "[grid] schedule: needs one of sequential, pipelined, has 'parallel'"),
    ("[grid]\nclock = ['200MHz']", "[grid] clock: needs one of 150MHz, 300MHz, has '200MHz'"),
    ("[grid]\nbranch_refill_cycles = ['two']", "branch_refill_cycles: needs a finite number from 0, has 'two'"),
    ("[grid]\nbranch_refill_cycles = [-1]", "branch_refill_cycles: needs a finite number from 0, has -1"),
    ("[grid]\nchip.sram_wait_state = [1]", "unknown key 'chip.sram_wait_state'; the nearest is 'chip.sram_wait_states'"),
    (f"[grid]\npes = {list(range(1, 101))}\nbatch = {list(range(1, 102))}", "10,100 points, at most 10,000"),
    (f"[grid]\npes = {list(range(1, 101))}\nbatch = {list(range(1, 12))}", "1,100 runs, at most 1,000"),
    ("[base]\ncheckpoint = 'a'\n[grid]\nhidden = [5]", "checkpoint and hidden: choose one"),
    ("[base]\ntext = 'a'\n[grid]\nhidden = [5]", "text is an option of lm, not of arrays"),
    ("[base]\nthreshold = 0.5\n[grid]\nactivity = [0.5]", "threshold and activity: choose one"),
    ("[base]\nchip = 'spinnaker2'\n[grid]\nclock = ['150MHz']", "clock and chip: choose one"),
    ("[grid]\npes = [1]\n[table]\ncolumns = ['tokn_ms']", "[table] columns: unknown key 'tokn_ms'; the nearest is 'token_ms'"),
    ("[grid]\npes = [1]\n[table]\ncolumns = []", "[table] columns: needs a list of names, has []"),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'", "[[plot]] 1: needs y"),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'macs'", "[[plot]] 1 y: unknown key 'macs'"),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nlog = 'z'", "[[plot]] 1 log: unknown key 'z'"),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nwhere = 'pes'", "[[plot]] 1 where: needs a table of settings"),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nwhere.chips = 1", "[[plot]] 1 where: unknown key 'chips'"),
    (
        "[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nwhere.pes = 2",
        "[[plot]] 1 where: pes = 2 is at no point; the grid has 1",
    ),
    ("[grid]\npes = [1]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nseries = ['format']", "[[plot]] 1 series: unknown key 'format'"),
    ("plot = 5\n[grid]\npes = [1]", "plot: needs [[plot]] tables"),
    ("title = 5\n[grid]\npes = [1]", "title: needs a text, has 5"),
    ("base = 5\n[grid]\npes = [1]", "base: needs a table [base], has 5"),
    ("[base]\ncheckpoint = 'missing.safetensors'\n[grid]\npes = [1]", "missing.safetensors: cannot be read"),
]


@pytest.mark.few(10)
@pytest.mark.parametrize(("text", "line"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_file_gets_one_line_before_anything_runs(tmp_path, capsys, monkeypatch, text, line):
    monkeypatch.setattr(sweep_module, "run_headless", lambda *_: pytest.fail("ran"))
    assert run(written(tmp_path, text), tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 5000, b"\x00"])
def test_a_file_that_is_no_toml_gets_one_line(tmp_path, capsys, content):
    path = tmp_path / "some.toml"
    path.write_bytes(content)
    assert run(path, tmp_path / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_folders_that_are_there_or_not(tmp_path, capsys):
    path = written(tmp_path, SWEEP)
    (tmp_path / "out").mkdir()
    assert run(path, tmp_path / "out") == 2
    assert "exists already; go on there with --resume" in capsys.readouterr().err
    assert run(path, tmp_path / "new", "--resume") == 2
    assert "is no folder" in capsys.readouterr().err
    assert run(tmp_path / "missing.toml", tmp_path / "new") == 2
    assert "missing.toml: cannot be read (no such file)" in capsys.readouterr().err


@pytest.mark.few(7)
@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_the_experiments_that_are_shipped_can_be_read(path):
    experiment = read(path, columns_of, DEFAULT)
    assert 1 < len(experiment.points()) < MOST_POINTS
    assert experiment.plots
    for name in {point.get("checkpoint") for point in ({**experiment.base, **one} for one in experiment.points())} - {None}:
        assert (file := model_path(name, "")) is None or file.is_file(), name


def test_a_model_is_a_path_from_the_experiment_or_a_name_that_a_run_knows(tmp_path):
    (tmp_path / "mine").touch()
    text = 'checkpoint = "{}"\n[grid]\npes = [3]\n'
    for name, path in {"seeded": "seeded", "mine": tmp_path / "mine", "x.safetensors": tmp_path / "x.safetensors"}.items():
        assert read(written(tmp_path, f"[base]\n{text.format(name)}"), columns_of, DEFAULT).base["checkpoint"] == str(path)


def test_every_column_says_what_it_is():
    assert set(DEFAULT) <= set(COLUMNS)
    assert all(column.what for column in COLUMNS.values())


# -- plots --


@pytest.fixture
def axes_of(monkeypatch, tmp_path):
    """Return a function that draws lines and returns the axes, in place of files."""
    figures = []
    monkeypatch.setattr(sweep_plots, "_write", lambda figure, _: figures.append(figure) or [])

    def draw(series, **settings):
        sweep_plots.lines(series, sweep_plots.Labels("PEs", "ms", "Time"), tmp_path / "plot", **settings)
        return figures[-1].axes[0]

    return draw


def test_no_bar_of_the_outlook_is_longer_than_its_picture(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(sweep_plots, "_write", lambda figure, _: figures.append(figure) or [])
    sweep_plots.outlook({"as published": (1.0, 1.0), "few PEs": (1.79, 1.19), "vectors": (0.2, 0.2)}, tmp_path / "plot")
    (axes,) = figures[0].axes
    figures[0].canvas.draw()
    right = axes.get_window_extent().x1
    assert all(text.get_window_extent().x1 <= right for text in axes.texts)
    assert len(axes.texts) == len(axes.patches) == 6


CURVE = sweep_plots.Curve([(4, 2.5), (1, 8.0), (2, 5.0)], [(2.0, 3.0), (7.0, 10.0), (4.0, 6.0)])


def test_a_line_has_its_band_between_the_ends_of_each_point_in_its_colour(axes_of):
    axes = axes_of({"csr": CURVE, "packed": sweep_plots.Curve([(1, 6.0), (2, 5.5)])})
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 8], [2, 5], [4, 2.5]], [[1, 6], [2, 5.5]]]
    (band,) = axes.collections  # the second line has none
    corners = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert corners == {(1, 7), (1, 10), (2, 4), (2, 6), (4, 2), (4, 3)}
    assert band.get_facecolor()[0][:3].tolist() == list(to_rgb(axes.lines[0].get_color()))
    assert 0 < band.get_facecolor()[0][3] < 1


def test_where_is_read_beside_the_file_and_takes_its_setting_out_of_the_lines(tmp_path, folder):
    shutil.copy(folder / "tiny.safetensors", tmp_path / "a.safetensors")
    shutil.copy(folder / "tiny.safetensors", tmp_path / "b.safetensors")
    lines = [
        "[base]",
        'workload = "arrays"',
        "batch = 2",
        "[grid]",
        'checkpoint = ["a.safetensors", "b.safetensors"]',
        "pes = [3, 5]",
    ]
    lines += ["[[plot]]", 'x = "pes"', 'y = "token_ms"', 'where = { checkpoint = "a.safetensors" }']
    experiment = read(written(tmp_path, "\n".join(lines)), columns_of, DEFAULT)
    (plot,) = experiment.plots
    assert [point["pes"] for point in experiment.points() if plot.shows(point)] == [3, 5]
    assert (plot.series, plot.title) == ((), f"token_ms over pes, checkpoint {tmp_path / 'a.safetensors'}")


def test_where_needs_values_that_meet(tmp_path):
    text = "[[together]]\npes = [1, 2]\nbatch = [1, 2]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\nwhere = { pes = 1, batch = 2 }"
    with pytest.raises(HostError, match=r"\[\[plot\]\] 1 where: no point has pes = 1 and batch = 2"):
        read(written(tmp_path, text), columns_of, DEFAULT)


def test_a_plot_shows_the_points_of_its_settings_alone():
    rows = [{"pes": pes, "clock": clock, "token_ms": 8.0 / pes * clock, "problem": None} for clock in (1, 2) for pes in (2, 4)]
    plot = Plot(x="pes", y=("token_ms",), series=(), log=(), title="", where={"clock": 2})
    (curve,) = sweep_module.series_of(plot, rows).values()
    assert [(x, y) for x, y, *_ in curve.points] == [(2, 8.0), (4, 4.0)]


@pytest.mark.parametrize(("ideal", "ys"), [("inverse", [8, 4, 2]), ("constant", [8, 8, 8])])
def test_an_ideal_line_begins_at_the_first_point_and_says_what_it_is(axes_of, ideal, ys):
    *_, line = axes_of({"csr": CURVE}, ideal=ideal).lines
    assert line.get_xydata().tolist() == [[x, y] for x, y in zip((1, 2, 4), ys, strict=True)]
    assert line.get_label().startswith("ideal: ")
    assert len(axes_of({"csr": CURVE}).lines) == 1


def test_ticks_of_a_logarithmic_axis_are_the_numbers_that_were_run(axes_of):
    axes = axes_of({"csr": CURVE}, log=("x", "y"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [((1, 60), "1 2 5 10 20 50"), ((0.02, 300), "0.1 1 10 100"), ((1e4, 2e11), "10,000 100,000 1 M 10 M 100 M 1 G 10 G 100 G")],
)
def test_ticks_between_few_and_many_powers_of_ten_are_numbers_never_powers(axes_of, ends, ticks):
    axes = axes_of({"csr": sweep_plots.Curve([*zip(range(30), [ends[0]] * 15 + [ends[1]] * 15, strict=True)])}, log=("y",))
    axes.set_ylim(*ends)
    axes.figure.canvas.draw()
    labels = [
        label.get_text() for label, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True) if ends[0] <= at <= ends[1]
    ]
    assert " ".join(labels) == ticks


def test_a_band_needs_both_ends_of_every_point(tmp_path):
    text = "[grid]\npes = [1, 2]\n[[plot]]\nx = 'pes'\ny = 'token_ms'\n"
    (plot,) = read(written(tmp_path, text), columns_of, DEFAULT).plots
    rows = [{"pes": n, "token_ms": 6 / n, "token_ms_low": 5 / n, "token_ms_high": 9 / n, "problem": None} for n in (1, 2)]
    (curve,) = sweep_module.series_of(plot, rows).values()
    assert (curve.points, curve.bands) == ([(1, 6.0), (2, 3.0)], [(5.0, 9.0), (2.5, 4.5)])
    (curve,) = sweep_module.series_of(plot, [rows[0], {**rows[1], "token_ms_high": None}]).values()
    assert (len(curve.points), curve.bands) == (2, ())


def test_no_picture_without_matplotlib_but_one_line(monkeypatch, tmp_path):
    import builtins

    real = builtins.__import__

    def without(name, *more, **named):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HostError, match="pictures need matplotlib"):
        sweep_plots.lines({"a": sweep_plots.Curve([(1, 2.0)])}, sweep_plots.Labels("x", "y", "title"), tmp_path / "plot")
