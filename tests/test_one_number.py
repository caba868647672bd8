"""One number for one thing: what terminal, page, report.json, `price`, `compare`, sweeps, Python and the monitor say of a run."""

from __future__ import annotations

import gzip
import json
import re
from html import unescape
from pathlib import Path

import pytest

from gennaker.costs import cost_of
from host.cli import main
from host.cost.ledger_file import load_ledger
from host.cost.price import price_at
from host.errors import Exit
from host.experiments.columns import COLUMNS, Result
from host.launch.recorded_run import run_into
from host.run_folder import read_report
from host.show import page
from host.show.blocks import Html
from host.show.perfetto import write_trace
from host.show.pictures import content_of
from host.show.quantities import format_quantity
from host.show.run_words import activity_words, links_sentence
from host.show.sections.links import link_rows
from host.show.summary import summary
from host.workloads.registry import restore_options, workloads
from tests.tools.grids import some

pytestmark = pytest.mark.timeout(120)
CASES = some(
    [*workloads(), "lm on two chips", "dvs with an idle lane"], lambda name: name not in {"arrays", "dvs", "retrieval", "snn"}
)
CHANGES = {"lm on two chips": {"chips": 2, "pes": 6}, "dvs with an idle lane": {"samples": 3, "batch": 2}}


@pytest.fixture(scope="module", params=CASES)
def recorded(request, tmp_path_factory):
    """A run: its folder, its report, and the last status that the monitor saw."""
    name = request.param.split()[0]
    options = workloads()[name].part("example", "smallest")(tmp_path_factory.mktemp("files"))
    folder, statuses = tmp_path_factory.mktemp("run"), []
    record = {"workload": name, "transport": "mem", "answers": "placed", **options, **CHANGES.get(request.param, {})}
    outcome = run_into(folder, restore_options(record), observe=statuses.append)
    assert outcome.code is Exit.OK, outcome.problem
    return folder, read_report(folder), statuses[-1]


@pytest.fixture
def text_of_page(recorded, monkeypatch):
    """What stands on the page, without its figures."""
    monkeypatch.setattr(page, "figure_row", lambda *_: Html(""))
    return unescape(re.sub(r"<[^>]*>", " ", page.html(content_of(recorded[0]))))


def printed(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.wide
def test_price_and_answers_repeat_the_report(recorded, capsys):
    folder, report, _ = recorded
    assert printed(capsys, "price", folder)["recorded"] == report["modelled"]
    answers = json.loads((folder / "answers.json").read_text())
    assert answers["recorded"]["time_s"] == report["modelled"]["time_s"]
    assert answers["recorded"]["energy_j"] == report["modelled"]["energy_j"]
    assert answers["recorded"]["executions"] == report["neurobench"]["Executions"]
    worst = report["mapping"]["sram"]["worst"]
    assert answers["recorded"]["sram_bytes"] == worst["weights"] + worst["variables"]


@pytest.mark.few(2)
def test_a_unit_s_share_is_that_of_what_was_run(recorded):
    """Not of idle lanes, on the page, in Python and in sweeps alike."""
    folder, report, _ = recorded
    cost, ledger = report["modelled"], load_ledger(folder)
    runs = report["neurobench"]["Executions"]
    assert cost["time_per_token_s"] == cost["time_s"] / runs
    assert cost["energy_per_token_j"] == cost["energy_j"] / runs
    of_python = cost_of(price_at(ledger), ledger.executions)
    assert of_python.positions == runs
    assert of_python.time_s.value == cost["time_s"]
    assert runs == report["result"].get("frames", runs)


def test_terminal_and_page_say_the_report_s_figures(recorded, text_of_page):
    _, report, _ = recorded
    cost, lines = report["modelled"], summary(report)
    said = [format_quantity(cost["time_per_token_s"], "s"), format_quantity(cost["energy_per_token_j"], "J")]
    said += [format_quantity(cost["power_w"], "W"), activity_words(report["events"]), f"{report['events']['count']:,}"]
    said += [report["answers"]["bottleneck"], report["answers"]["advice"], f"{report['counters']['packets_sent']:,}"]
    for figure in said:
        assert figure in lines
        assert figure in text_of_page


def test_links_carry_as_many_packets_wherever_it_is_said(recorded, text_of_page, capsys):
    folder, report, _ = recorded
    links = report["modelled"]["links"]
    if links is None:
        assert "between chips" not in summary(report)
        return
    said = links_sentence(links)
    assert f"{links['packets']:,} packets over {links['crossed']} links" in said
    assert said in summary(report)
    assert said in text_of_page
    rows = link_rows(content_of(folder).run)
    assert sum(row.packets for row in rows) == links["packets"]
    assert (rows[0].name, rows[0].packets) == (links["busiest"], links["busiest_packets"])
    assert main(["price", str(folder)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_compare_says_the_report_s_figures(recorded, capsys):
    folder, report, _ = recorded
    rows = printed(capsys, "compare", folder, folder)["figures"]
    figures = {(row["figure"], row["unit"]): row["values"] for row in rows}
    cost, unit = report["modelled"], report["unit"]
    assert figures[f"time a {unit}", "s"] == 2 * [cost["time_per_token_s"]]
    assert figures[f"energy a {unit}", "J"] == 2 * [cost["energy_per_token_j"]]
    assert figures["power", "W"] == 2 * [cost["power_w"]]
    assert figures["events", ""] == 2 * [report["events"]["count"]]
    for metric in report["metrics"]:
        assert figures[metric["label"], metric["unit"]] == 2 * [metric["value"]]


def test_sweeps_read_the_report_s_figures(recorded):
    folder, report, _ = recorded
    ledger = load_ledger(folder)
    row, cost = Result(report=report, ledger=ledger, priced=price_at(ledger)), report["modelled"]
    assert COLUMNS["token_ms"].value(row) == pytest.approx(1e3 * cost["time_per_token_s"], rel=1e-12)
    assert COLUMNS["link_packets"].value(row) == (cost["links"] or {"packets": 0})["packets"]


def test_the_monitor_s_last_frame_has_the_report_s_metrics_and_activity(recorded):
    _, report, status = recorded
    metrics = {metric["name"]: metric["value"] for metric in status["metrics"] if metric["value"] is not None}
    for metric in report["metrics"]:
        if metric["name"] in metrics:
            assert metrics[metric["name"]] == metric["value"]
    assert [1 - share for share in status["activity"]] == pytest.approx(report["events"]["sparsity_by_layer"])
    assert status["done"] == report["neurobench"]["Executions"]


def test_python_prints_what_the_terminal_prints(recorded):
    folder, report, _ = recorded
    cost = cost_of(price_at(load_ledger(folder)), load_ledger(folder).executions)
    assert format_quantity(report["modelled"]["time_per_token_s"], "s") in str(cost)
    assert format_quantity(report["modelled"]["energy_per_token_j"], "J") in str(cost)


def test_the_timeline_lasts_as_long_as_the_price_and_counts_the_report_s_events(recorded, tmp_path):
    folder, report, _ = recorded
    run, path = content_of(folder).run, tmp_path / "trace.json.gz"
    write_trace(path, run.ledger, run.priced, run.chip, run.costs, run.ledger.positions, {})
    slices = [event for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"] if event["ph"] == "X"]
    last_s = 1e-6 * max(event["ts"] + event["dur"] for event in slices)
    assert last_s == pytest.approx(report["modelled"]["time_s"], abs=1e-6)
    assert sum(event["args"]["macs"] for event in slices if "macs" in event.get("args", {})) == report["modelled"]["work"]["macs"]


def test_pages_that_repeat_a_figure_of_the_paper_s_page_agree_with_it():
    """README and docs/costs.md, beside Tables II and III of docs/paper.md."""
    root = Path(__file__).resolve().parents[1]
    page, costs, readme = ((root / name).read_text(encoding="utf-8") for name in ("docs/paper.md", "docs/costs.md", "README.md"))
    rows = re.findall(r"^\| (Time|Energy) \((?:ms|J)\) +\|.* ([\d.]+) \|[^|]*\| +([-+][\d.]+ %) \|$", page, re.MULTILINE)
    ours = [(f"{float(value):.1f} ms" if what == "Time" else f"{1e3 * float(value):.1f} mJ", off) for what, value, off in rows]
    table = readme.split("Time and energy on the modelled chip")[1].split("Sweeps over")[0]
    assert re.findall(r"([\d.]+ m[sJ]) \(([-+][\d.]+ %)\)", table) == ours
    assert len(ours) == 6
    assert [figure for figure, _ in ours if figure not in costs] == []


def test_docs_show_what_the_command_prints():
    """The published example of docs/answers.md is the file that `compare --measured` reads."""
    root = Path(__file__).resolve().parents[1]
    example = (root / "docs" / "measured-paper.csv").read_text()
    assert example in (root / "docs" / "answers.md").read_text()
