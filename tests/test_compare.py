"""`launch.py compare`: runs side by side, and a run beside what was measured on a board."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.cost.ledger_file import load_ledger
from host.cost.price import price_at
from host.launch.recorded_run import run_into
from host.run_folder import read_report
from host.workloads.registry import restore_options, workloads

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one network, in two formats; the second kept its events."""
    files, folders = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("runs")
    smallest = {"workload": "arrays", "transport": "mem", **workloads()["arrays"].part("example", "smallest")(files)}
    changes = {"csr": {}, "packed": {"format": "packed", "save": ["events"]}}
    for name, changed in changes.items():
        (folders / name).mkdir()
        run_into(folders / name, restore_options(smallest | changed))
    return [folders / name for name in changes]


@pytest.fixture
def compare(capsys):
    def go(*arguments):
        code = main(["compare", *map(str, arguments)])
        return code, *capsys.readouterr()

    return go


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


# -- runs --


@pytest.mark.wide
def test_runs_stand_side_by_side_with_how_they_differ(runs, compare):
    code, out, _ = compare(*runs)
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert code == 0
    assert out.splitlines()[0].split() == ["csr", "packed"]
    before, after = (price_at(load_ledger(run)).time_s for run in runs)
    assert lines["time a vector"].endswith(f"{100 * (after / before - 1):+.0f} %")
    assert lines["format"].split() == ["format", "csr", "packed", "another"]
    assert len(lines["events"].split()) == 3  # as many in both: no difference is told
    assert "egru1 recurrent product R y" in lines
    assert "egru_internal" not in out


def test_the_same_as_csv_and_as_json(runs, compare):
    told = json.loads(compare(*runs, "--json")[1])
    rows = list(csv.DictReader(io.StringIO(compare(*runs, "--csv")[1])))
    assert told["runs"] == ["csr", "packed"]
    assert [row["figure"] for row in rows] == [figure["figure"] for figure in told["figures"]]
    assert "egru1 egru_internal" in [row["figure"] for row in rows]  # a program's name for it
    row = next(row for row in rows if row["figure"] == "time a vector")
    assert float(row["packed"]) == next(f["values"][1] for f in told["figures"] if f["figure"] == "time a vector")


def test_settings_are_those_of_price(runs, compare):
    told = json.loads(compare(*runs, "--set", "clock=300MHz", "--json")[1])
    value = next(f["values"][0] for f in told["figures"] if f["figure"] == "power")
    assert value == price_at(load_ledger(runs[0]), ["clock=300MHz"]).power_w


def test_metrics_follow_the_settings_too(runs, compare, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    report = read_report(run)
    report |= {"workload": "dnn", "metrics": [{"name": "sample_time", "label": "chip time a sample", "unit": "ms", "value": 3.0}]}
    (run / "report.json").write_text(json.dumps(report))
    figures = json.loads(compare(run, runs[1], "--set", "clock=300MHz", "--json")[1])["figures"]
    (values,) = (figure["values"] for figure in figures if figure["figure"] == "chip time a sample")
    faster = price_at(load_ledger(run), ["clock=300MHz"]).time_s / report["modelled"]["time_s"]
    assert values == [pytest.approx(3.0 * faster), None]


# -- a board --


def test_measured_figures_stand_beside_the_model_s_with_its_bands(runs, compare, tmp_path):
    ledger = load_ledger(runs[0])
    priced, each = price_at(ledger), ledger.executions
    layer, stages = next(iter(priced.stages_s.items()))
    exact = 1e3 * sum(stages.values()) / each
    path = write(
        tmp_path / "times.csv", "# a board", "layer,stage,positions,time_ms,power_mw",
        f"all,all,{each},{1e3 * priced.time_s},400", f"{layer},all,,{exact},", f"{layer},pointwise,1,1e3,",
    )  # fmt: skip
    rows = json.loads(compare(runs[0], "--measured", path, "--json")[1])["figures"]
    whole, power, of_layer, stage = rows
    assert whole["measured"] == pytest.approx(whole["modelled"]) == pytest.approx(priced.time_s / each)
    assert (whole["low"], whole["high"]) == tuple(end / each for end in priced.time_band_s)
    assert whole["inside"]
    assert (power["quantity"], power["measured"], power["modelled"]) == ("power", 0.4, priced.power_w)
    assert of_layer["difference"] == pytest.approx(0)
    assert stage["modelled"] == pytest.approx(stages["pointwise"] / each)
    assert not stage["inside"]
    code, out, _ = compare(runs[0], "--measured", path)
    assert code == 0
    assert "figures lie in the model's band; the one that differs most is time of" in " ".join(out.split())


def test_the_published_figures_of_the_paper_are_such_a_file(runs, compare):
    rows = json.loads(compare(runs[0], "--measured", ROOT / "docs" / "measured-paper.csv", "--json")[1])["figures"]
    assert [(row["quantity"], row["measured"]) for row in rows] == [
        ("time", pytest.approx(0.17025 / 70)), ("energy", pytest.approx(0.0653 / 70)), ("power", 0.39),
    ]  # fmt: skip


def test_spikes_are_compared_one_by_one_where_the_run_kept_them(runs, compare, tmp_path):
    with np.load(runs[1] / "events.npz") as file:
        events = file["events"]
    told = json.loads(compare(runs[1], "--spikes", runs[1] / "events.npz", "--json")[1])["spikes"]
    assert all(row["measured"] == row["modelled"] == row["both"] and row["first"] is None for row in told)
    fewer = events[1:]
    fields = {name: fewer[name] for name in ("sequence", "position", "population", "unit")}
    np.savez(tmp_path / "board.npz", **fields)
    row = json.loads(compare(runs[1], "--spikes", tmp_path / "board.npz", "--json")[1])["spikes"][0]
    assert row["modelled"] - row["measured"] == 1
    assert row["first"] == [int(events[0][name]) for name in ("sequence", "position", "unit")]
    assert compare(runs[0], "--spikes", tmp_path / "board.npz")[1].splitlines()[-1].startswith("counts alone")


# -- what users do wrong --

WRONG = [
    (["layer,stage,time"], "column 'time': unknown; the nearest is 'time_s'"),
    (["layer,stage"], "needs each column once, and one of time_s"),
    (["layer,time_ms", "egru1,fast"], "line 2: time_ms needs a number above 0, has 'fast'"),
    (["layer,time_ms", "egru1,-1"], "line 2: time_ms needs a number above 0, has '-1'"),
    (["layer,time_ms", "egru1"], "line 2: has 1 cells; needs 2"),
    (["layer,time_ms", "egru9,1"], "line 2: layer 'egru9': the run has none; the nearest is 'egru"),
    (["layer,stage,time_ms", "egru1,wat,1"], "line 2: stage 'wat': the run has none; the nearest is 'wait'"),
    (["layer,energy_j", "egru1,1"], "line 2: energy of egru1, all: is of the whole chip; needs all,all"),
    (["layer,time_ms"], "has no figure behind its header"),
    ([""], "is empty; needs a header"),
]


@pytest.mark.parametrize(("lines", "said"), WRONG)
def test_a_wrong_file_gets_one_line(lines, said, runs, compare, tmp_path):
    code, out, err = compare(runs[0], "--measured", write(tmp_path / "wrong.csv", *lines))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_wrong_runs_and_spikes_get_one_line(runs, compare, tmp_path):
    np.savez(tmp_path / "half.npz", sequence=np.zeros(3, int), position=np.zeros(3, int))
    np.savez(tmp_path / "input.npz", **{name: np.zeros(3, int) for name in ("sequence", "position", "population", "unit")})
    for arguments, said in (
        ([runs[0]], "needs a second RUN, or --measured CSV, or --spikes NPZ"),
        ([*runs, "--measured", "x.csv"], "needs one RUN, has 2"),
        ([runs[0], tmp_path], "is incomplete: has no report.json"),
        ([runs[0], "--spikes", tmp_path / "half.npz"], "lacks population, unit"),
        ([runs[0], "--spikes", tmp_path / "input.npz"], "population 0 is no layer of the run; have 1 egru1, 2 egru2"),
        ([runs[0], "--spikes", runs[0] / "report.json"], "cannot be read as .npz"),
        ([*runs, "--set", "clok=1"], "--set clok=1: unknown name; the nearest is 'clock'"),
    ):
        code, out, err = compare(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert said in err
