"""The first screen of a run: its bottleneck, the change that helps most, and a table of single settings that `price` repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.cost.bottleneck import bottleneck_of
from host.cost.cost_table import CHOICES, CLOCKS
from host.cost.ledger_file import load_ledger
from host.cost.price import price_at
from host.cost.what_if import PricingTerms, best, what_if
from host.errors import Exit
from host.launch.recorded_run import run_into
from host.run.offline import record
from host.run.placed_answers import answers_of_folder, recorded_placement
from host.run.replaced_ledger import replaced_ledger
from host.run_folder import read_report
from host.show.answers import format_what_if, quote_number
from host.workloads.registry import default_workload, prepare, restore_options, workloads
from models.seeded import seeded_egru
from tests.tools.ledgers import invented
from tests.tools.ledgers import placed as placed_on

pytestmark = pytest.mark.timeout(120)
FIGURES = ("time_s", "energy_j")


def run_of(folder: Path, record: dict) -> Path:
    """Run the options of a record in this process; return its folder."""
    folder.mkdir()
    outcome = run_into(folder, restore_options({"transport": "mem", "answers": "placed", **record}))
    assert outcome.code is Exit.OK, outcome.problem
    return folder


class Smallest(dict):
    """The folder of each workload's smallest run, by its name; run when it is first asked for."""

    def __init__(self, files: Path, folders: Path) -> None:
        super().__init__()
        self._files, self._folders = files, folders

    def __missing__(self, name: str) -> Path:
        options = workloads()[name].part("example", "smallest")(self._files)
        self[name] = run_of(self._folders / name, {"workload": name, **options})
        return self[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Smallest(tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def price(capsys):
    def priced(*arguments):
        assert main(["price", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return priced


def chain():
    """The invented ledger of three layers of different sizes."""
    return invented(placed_on(seeded_egru(32, (48, 32, 16), 0.5), 12), 5)


def answers_in(folder: Path) -> dict:
    return json.loads((folder / "answers.json").read_text())


# -- the table --


def test_a_table_tells_between_its_prices_that_it_goes_on():
    """On a slow machine the table takes seconds; whoever waits for a host takes it for stalled if it says nothing for so long."""
    calls: list[None] = []
    pricing = PricingTerms(chain(), alive=lambda: calls.append(None))
    priced = pricing.price()
    before = len(calls)
    assert before
    rows = [row for row in what_if(pricing, priced) if row.time_s is not None]
    assert len(calls) - before >= len(rows) > 5


@pytest.mark.slow_but("lm")
@pytest.mark.parametrize("name", workloads())
def test_each_row_s_figures_are_those_of_price_to_the_digit(name, runs, price):
    answers = answers_in(runs[name])
    rows = [row for row in answers["rows"] if row["setting"]]
    assert {row["group"] for row in rows} == {"clock", "waiting_power_share", *CHOICES}
    for row in rows if name == default_workload().name else rows[::3]:
        priced = price(runs[name], "--set", row["setting"])["priced"]
        assert {figure: row[figure] for figure in FIGURES} == {figure: priced[figure] for figure in FIGURES}, row["setting"]
        recorded = answers["recorded"]["time_s"]
        assert row["time_change"] == priced["time_s"] / recorded - 1


@pytest.mark.few(1)
@pytest.mark.slow_but("lm", "snn")
@pytest.mark.parametrize("name", workloads())
def test_price_says_what_the_run_said(name, runs, price, capsys):
    answers = answers_in(runs[name])
    assert price(runs[name], "--what-if") == answers
    report = read_report(runs[name])
    assert report["answers"]["bottleneck"] == answers["bottleneck"]["sentence"]
    assert answers["recorded"]["time_s"] == report["modelled"]["time_s"]
    assert main(["price", str(runs[name]), "--what-if"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines).startswith(answers["bottleneck"]["sentence"])
    assert max(map(len, lines)) <= 80


@pytest.mark.wide
def test_a_table_on_top_of_settings_has_what_price_would_say_of_both(runs, price):
    rows = price(runs["lm"], "--what-if", "--set", "clock=300MHz")["rows"]
    row = next(row for row in rows if row["setting"] == "schedule=pipelined")
    both = price(runs["lm"], "--set", "clock=300MHz", "--set", "schedule=pipelined")["priced"]
    assert row["time_s"] == both["time_s"]
    assert next(row for row in rows if row["group"] == "clock")["value"] == next(name for name in CLOCKS if name != "300MHz")


def test_whoever_waits_for_the_table_hears_at_each_price_and_placement(runs):
    """A host that works on answers for a minute is not taken for one that stands still."""
    calls: list[int] = []
    pricing = PricingTerms(load_ledger(runs["lm"]), alive=lambda: calls.append(1))
    answers = answers_of_folder(runs["lm"], pricing, read_report(runs["lm"]))
    assert len(calls) >= sum(row["time_s"] is not None for row in answers["rows"])


def test_a_folder_whose_network_is_gone_says_so_in_the_rows_that_need_it(runs, tmp_path, price):
    folder = tmp_path / "moved"
    folder.mkdir()
    for file in runs["lm"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | {"checkpoint": str(tmp_path / "gone.safetensors")}
    (folder / "config.json").write_text(json.dumps(config))
    rows = {row["group"]: row for row in price(folder, "--what-if")["rows"]}
    for group in ("format", "mapping", "chips"):
        assert rows[group]["time_s"] is None
        assert rows[group]["note"].startswith("needs a run: ")
    assert rows["clock"]["time_s"] is not None


@pytest.mark.wide
def test_the_table_fits_the_terminal_and_leaves_out_what_changes_nothing(runs):
    answers = answers_in(runs["dvs"])
    for columns in (80, 140):
        lines = format_what_if(answers, "frame", columns)
        assert max(map(len, lines)) <= columns
    same = next(line for line in lines if line.startswith("no change: "))
    assert "zero_skip yes" in same  # its weights are dense
    assert not any(line.startswith("zero_skip") for line in lines)


# -- bottleneck and advice --


def test_the_bottleneck_is_the_largest_part_of_the_priced_stages():
    ledger = chain()
    priced = price_at(ledger)
    slow = bottleneck_of(priced, ledger)
    cells = {(layer, stage): s for layer, stages in priced.stages_s.items() for stage, s in stages.items()}
    assert (slow.layer, slow.stage) == max(cells, key=cells.get)
    assert slow.share == pytest.approx(max(cells.values()) / priced.time_s)
    assert sum(slow.by_layer.values()) == pytest.approx(1)
    assert sum(slow.by_kind.values()) == pytest.approx(1)


def test_side_by_side_the_layer_that_is_busy_longest_sets_the_pace():
    ledger = chain()
    priced = price_at(ledger, ["schedule=pipelined"])
    slow = bottleneck_of(priced, ledger)
    seconds = {layer: sum(stages.values()) for layer, stages in priced.stages_s.items()}
    assert next(iter(slow.by_layer)) == slow.layer == max(seconds, key=seconds.get)
    assert slow.by_layer[slow.layer] == pytest.approx(seconds[slow.layer] / priced.time_s)
    assert slow.by_layer[slow.layer] <= 1


def test_what_helps_most_takes_most_off_time_times_energy():
    ledger = chain()
    pricing = PricingTerms(ledger)
    rows = what_if(pricing, pricing.price())
    first = best(rows)
    assert first.time_s * first.energy_j == min(row.time_s * row.energy_j for row in rows)
    assert best([replace(first, time_change=-0.002, energy_change=0.0)]) is None


# -- other placements --


def placed(options: dict, **changes):
    job = prepare(restore_options({"transport": "mem", **options, **changes}))
    return job, record(job.placement, job.source, job.readout).ledger(job.placement)


@pytest.mark.few(1)
@pytest.mark.slow_but("dvs", "lm", "snn")
@pytest.mark.parametrize("name", workloads())
def test_another_format_on_the_same_shares_is_exact(name, runs):
    """Its counts are those of a run that was made with it, to the last integer."""
    config = json.loads((runs[name] / "config.json").read_text())
    was, ledger = recorded_placement(runs[name]), load_ledger(runs[name])
    if was.transfers.allowed:
        pytest.skip("its PEs exchange transfers, which are only there where it runs")
    job, own = placed(config, format="packed", answers="none")
    again, expected = replaced_ledger(ledger, was, job.placement)
    assert not expected
    for field in ("events", "port_counts", "stepped", "input_events"):
        np.testing.assert_array_equal(getattr(again, field), getattr(own, field), field)
    answers = answers_in(runs[name])
    row = next(row for row in answers["rows"] if (row["group"], row["value"]) == ("format", "packed"))
    assert row["time_s"] == price_at(own).time_s
    assert not row["expected"]


def test_another_mapping_keeps_every_layer_s_totals_and_is_marked_as_expected(runs):
    config = json.loads((runs["lm"] / "config.json").read_text())
    was, ledger = recorded_placement(runs["lm"]), load_ledger(runs["lm"])
    job, own = placed(config, mapping="uniform", chips=2, pes=6, answers="none")
    again, expected = replaced_ledger(ledger, was, job.placement)
    assert expected
    np.testing.assert_array_equal(again.sent, own.sent)
    assert again.port_counts[:, :, 0].sum() == own.port_counts[:, :, 0].sum()
    assert abs(price_at(again).time_s / price_at(own).time_s - 1) < 0.1
    row = next(row for row in answers_in(runs["lm"])["rows"] if row["group"] == "chips")
    assert (row["value"], row["expected"], row["flags"]) == ("2", True, "--chips 2 --pes 6")
    assert row["time_s"] == pytest.approx(price_at(again).time_s)


@pytest.mark.wide
def test_a_ledger_of_another_placement_is_refused(runs):
    was, ledger = recorded_placement(runs["lm"]), load_ledger(runs["arrays"])
    with pytest.raises(ValueError, match="not of this network and placement"):
        replaced_ledger(ledger, was, was)


@pytest.mark.wide
def test_answers_of_python_and_of_the_command_line_are_one(runs):
    report = read_report(runs["arrays"])
    pricing = PricingTerms(load_ledger(runs["arrays"]))
    assert json.loads(json.dumps(answers_of_folder(runs["arrays"], pricing, report))) == answers_in(runs["arrays"])


def test_a_layer_whose_name_is_a_number_stands_in_quotation_marks():
    assert [quote_number(name) for name in ("egru1", "1", "4.lif")] == ["egru1", '"1"', '"4.lif"']
