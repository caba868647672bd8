"""`launch.py price` as a user meets it: a recorded run under other prices, nothing written, one line for what is wrong."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.cost import twins
from host.cost.cost_table import CHOICES, load_table
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.price import price, price_at
from host.cost.priced import price_block
from host.run_folder import read_report
from host.show.pictures import make_pictures
from noc.chip import load_chip
from tests.tools.ledgers import cut, paper_lm
from tests.tools.work import count_calls

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def recorded(folder, tmp_path_factory):
    """A run of the tiny model, once."""
    out = tmp_path_factory.mktemp("runs") / "run"
    model, text = str(folder / "tiny.safetensors"), str(folder / "text.txt")
    arguments = ["lm", "--checkpoint", model, "--text", text, "--tokens", "12", "--pes", "5", "--transport", "mem"]
    assert main([*arguments, "--out", str(out), "--no-monitor", "--no-pictures"]) == 0
    return out


@pytest.fixture
def launch(capsys):
    def go(*arguments):
        try:
            code = main(["price", *map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return go


def digest(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.wide
@pytest.mark.parametrize("alone", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_changing_any_price_changes_no_output(recorded, launch, alone):
    """Every setting, and every constant, at once or one by one: the run folder keeps every byte, its hash of events included."""
    before, default = digest(recorded), read_report(recorded)["modelled"]
    settings = [[f"{name}={choice}"] for name, choices in CHOICES.items() for choice in choices]
    table = load_table()
    constants = ["clock=300MHz", "chip.hop_cycles=50"]
    for name in load_table(used=twins.in_use("csr", ["egru"])).constants:
        constants.append(f"{name}={152 if name == 'powered_pes' else 0.5 if name.endswith('_share') else 2 * table[name]}")
    for those in [*settings, *([one] for one in constants)] if alone else [*settings, constants]:
        code, out, err = launch(recorded, *itertools.chain(*(("--set", one) for one in those)), "--json")
        assert (code, err) == (0, ""), those
        told = json.loads(out)
        assert told["recorded"] == default  # what the run itself reported
        events = ("events", "event_copies", "macs", "weights_visited", "units", "rows", "exponentials")
        assert all(told["priced"]["work"][name] == default["work"][name] for name in events)
    assert digest(recorded) == before


def test_traffic_is_the_closed_form_of_events_and_placement(recorded):
    """The copies that were priced are those that the emulated PEs counted as they sent and received them."""
    report = read_report(recorded)
    counters, work = report["counters"], report["modelled"]["work"]
    assert work["event_copies"] == counters["packets_sent"] == counters["packets_delivered"]
    for name in ("events", "macs", "weights_visited", "units", "exponentials"):
        assert work[name] == counters[name]


def test_the_table_fits_80_columns(recorded, launch):
    code, out, err = launch(recorded, "--set", "clock=300MHz", "--set", "schedule=pipelined", "--set", "csr_row_cycles=20")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines[1:])  # the first holds the folder's name
    assert lines[0].endswith("12 positions on 5 PEs, csr")
    assert any(line.startswith("changed      schedule sequential -> pipelined") for line in lines)
    assert "csr_row_cycles 20" in out
    assert sum(line.startswith(("egru1", "egru2", "egru3")) for line in lines) == 6
    assert "assumed      branch_refill_cycles" in out


def test_help(launch):
    code, out, _ = launch("--help")
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())
    for name in CHOICES:
        assert f"{name}=" in out


def test_another_chip(recorded, launch, tmp_path):
    file = tmp_path / "chip.toml"
    file.write_text("facts.hop_cycles = 500\nfacts.pe_clock_hz = 75_000_000")
    slow = json.loads(launch(recorded, "--chip", file, "--json")[1])["priced"]
    assert (slow["settings"]["clock_hz"], slow["settings"]["chip.hop_cycles"]) == (75_000_000, 500)
    assert slow["time_s"] > read_report(recorded)["modelled"]["time_s"]
    other = json.loads(launch(recorded, "--chip", "spinnaker2-300mhz", "--json")[1])["priced"]
    assert other == json.loads(launch(recorded, "--set", "clock=300MHz", "--json")[1])["priced"]
    mine = tmp_path / "costs.toml"
    mine.write_text("[settings]\nschedule = 'pipelined'")
    one = json.loads(launch(recorded, "--costs", mine, "--json")[1])["priced"]
    assert one == json.loads(launch(recorded, "--set", "schedule=pipelined", "--json")[1])["priced"]


def test_what_a_run_overrode_holds_until_something_replaces_it(recorded, launch, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    save_ledger(replace(load_ledger(run), chip={"preset": "spinnaker2", "facts": {"hop_cycles": 50.0, "pe_clock_hz": 75e6}}), run)

    def chip_of(*flags):
        told = json.loads(launch(run, *flags, "--json")[1])["priced"]["settings"]
        return told["clock_hz"], told.get("chip.hop_cycles")

    assert chip_of() == (75e6, 50)
    assert chip_of("--set", "clock=300MHz") == (300e6, 50)
    assert chip_of("--set", "chip.hop_cycles=7") == (75e6, 7)
    assert chip_of("--chip", "spinnaker2") == (150e6, None)


def spoiled(recorded, tmp_path, change):
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    change(run)
    return run


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda run: (run / "report.json").unlink(), "is incomplete: has no report.json"),
        (lambda run: (run / "ledger.safetensors").unlink(), "has no ledger.safetensors"),
        (lambda run: (run / "report.json").write_text("{"), "report.json cannot be read"),
        (lambda run: (run / "report.json").write_text('{"schema": 99}'), "report.json of schema 99; needs 1"),
        (lambda run: (run / "report.json").write_text("[]"), "report.json of schema None; needs 1"),
        (lambda run: (run / "ledger.safetensors").write_bytes(b"x" * 100), "ledger.safetensors is damaged"),
        (lambda run: shutil.rmtree(run), "is no folder"),
    ],
)
def test_a_run_folder_that_cannot_be_priced_gets_one_line(recorded, launch, tmp_path, change, line):
    run = spoiled(recorded, tmp_path, change)
    before = digest(run) if run.exists() else None
    code, out, err = launch(run)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert (digest(run) if run.exists() else None) == before


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--set", "shedule=pipelined"), "unknown name; the nearest is 'schedule'"),
        (("--set", "csr_row_cycles=-1"), "needs a finite number from 0"),
        (("--set", "chip.hop_cycels=4"), "--set chip.hop_cycels=4: unknown name; the nearest is 'chip.hop_cycles'"),
        (("--set", "chip.noc_clock_hz=0"), "need a whole number of Hz, above 0"),
        (("--set", "powered_pes=3"), "powered_pes 3: needs 5"),
        (("--costs", "none.toml"), "cost table none.toml: cannot be read"),
        (("--chip", "none.toml"), "none.toml"),
        (("--chip", "spinnaker3"), "the nearest name is 'spinnaker2'"),
        (("--chip", "spinnaker2", "--set", "clock=300MHz"), "choose one"),
        (("--sets", "a=b"), "unrecognized arguments"),
    ],
)
def test_a_wrong_flag_gets_one_line(recorded, launch, flags, line):
    code, out, err = launch(recorded, *flags)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err


def test_a_chip_without_a_pe_of_the_run(recorded, launch, tmp_path):
    (tmp_path / "chip.toml").write_text('down_cores = ["PE(1,1,0)@0"]')
    code, _, err = launch(recorded, "--chip", tmp_path / "chip.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert "traffic for PE(1,1,0)@0: chip spinnaker2 lacks it" in err


def test_a_run_on_several_chips(recorded, launch, tmp_path):
    """Two of five PEs on a second chip: links have a stage, a part of the energy and prices of their own."""
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    ledger = load_ledger(run)
    moved = tuple(pe._replace(chip=int(number > 2)) for number, pe in enumerate(ledger.pes))
    save_ledger(replace(ledger, pes=moved, chips=2), run)
    code, out, _ = launch(
        run, "--set", "link_bit_pj=50", "--set", "link_router_cycles=400", "--set", "chip.link_onboard_frame_s=1e-6"
    )
    assert code == 0
    assert "5 PEs of 2 chips" in out
    assert max(map(len, out.splitlines())) <= max(80, len(f"run          {run}: 12 positions on 5 PEs of 2 chips, csr"))
    heads = next(line for line in out.splitlines() if line.startswith("priced, ms"))
    assert heads.split()[2:] == ["egru_input", "egru_internal", "pointwise", "broadcast", "links", "wait", "all"]
    assert "packets over 2 links between chips; busiest 0>1" in " ".join(out.split())
    code, out, _ = launch(run, "--set", "link_bit_pj=50", "--set", "link_router_cycles=400", "--json")
    before, after = json.loads(out)["recorded"], json.loads(out)["priced"]
    assert after["energy_parts_j"]["links"] == pytest.approx(10 * before["energy_parts_j"]["links"])
    assert after["links"]["time_share"] > before["links"]["time_share"] > 0
    assert after["links"]["busiest_packets"] == before["links"]["busiest_packets"]
    assert after["computation_per_token_s"] == pytest.approx(before["computation_per_token_s"])
    assert after["communication_per_token_s"] > before["communication_per_token_s"]
    assert {"link_bit_pj", "link_event_frames"} <= set(before["assumed"])
    assert "link_bit_pj" not in after["assumed"]


@pytest.mark.slow
def test_pictures_of_a_run_on_several_chips(recorded, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    ledger = load_ledger(run)
    moved = tuple(pe._replace(chip=int(number > 2)) for number, pe in enumerate(ledger.pes))
    save_ledger(replace(ledger, pes=moved, chips=2), run)
    report = read_report(run)
    report["modelled"] = price_block(price_at(load_ledger(run)), ledger)
    (run / "report.json").write_text(json.dumps(report))
    make_pictures(run, 4)
    events = json.loads(gzip.decompress((run / "trace.json.gz").read_bytes()))["traceEvents"]
    assert {event["pid"] for event in events} == {1, 2}
    assert [event for event in events if event["name"] == "links" and event["ph"] == "X"]
    page = (run / "report.html").read_text()
    assert "way over links between chips" in page


def test_a_run_of_schema_1_is_priced_as_before(recorded, tmp_path, capsys):
    """Its report had a block `lm` and neither metrics nor where it came from; its ledger was the same."""
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    report = read_report(run)
    older = {name: block for name, block in report.items() if name not in ("workload", "title", "unit", "metrics", "provenance")}
    (run / "report.json").write_text(json.dumps({**older, "schema": 1, "lm": older.pop("result")}))
    printed = []
    for folder in (recorded, run):
        assert main(["price", str(folder), "--set", "clock=300MHz", "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out) | {"run": ""})
    assert printed[0] == printed[1]


@pytest.mark.wide
def test_a_thousand_tokens_of_the_papers_model_are_priced_without_a_compiler(recorded, tmp_path):
    """Which alone would take as long as the price."""
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    save_ledger(cut(paper_lm(2), list(np.arange(1000) % 2)), run)
    code = "import sys; from host.cli import main; main(sys.argv[1:]); assert 'numba' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "price", str(run), "--set", "clock=300MHz", "--set", "schedule=pipelined"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.wide
def test_a_thousand_positions_are_priced_together():
    ledger = paper_lm(2)
    price(ledger, load_chip(), load_table())  # what it keeps of the chip is there
    short, long = (cut(ledger, list(np.arange(positions) % 2)) for positions in (2, 1000))
    calls = [count_calls(lambda run=run: price(run, load_chip(), load_table())) for run in (short, long)]
    assert calls[1] < 2 * calls[0]
