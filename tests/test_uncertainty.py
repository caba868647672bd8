"""What is uncertain of a price: bands whose value lies inside or that say why not, tornado and sensitivity."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pytest

from host.cli import main
from host.cost import twins
from host.cost.cost_table import CHIP_NUMBERS, apply_settings, load_table
from host.cost.price import price
from host.cost.sensitivity import sensitivities
from host.cost.terms import facts_of
from host.cost.tornado import MEASURES, tornado
from host.cost.uncertain import uncertain, with_value
from host.show.quantities import format_constant
from host.show.uncertainty import format_change, format_tornado, sensitivity_rows, sentences_on_ends
from noc.chip import load_chip
from tests.tools.ledgers import paper_lm

CHIP = load_chip()


@pytest.fixture(scope="module")
def ledger():
    return paper_lm()


def everything(clock="spinnaker2"):
    """Return all that is uncertain, in use or not."""
    table, chip = load_table(), load_chip(clock)
    conditions = {when for one in table.constants.values() for when in one.used_when}
    return uncertain(table, chip, conditions | {when for whens in CHIP_NUMBERS.values() for when in whens})


def test_a_value_lies_inside_its_band_or_says_why_not():
    found = everything()
    assert {"branch_refill_cycles", "chip.dram_sustained_bytes_per_s", "chip.dma_setup_cycles", "lif_spike_cycles"} <= {
        one.name for one in found
    }
    for one in found:
        assert one.low <= one.value <= one.high, one.name
        assert one.words, f"{one.name}: has a band and says in no words what it is"
        assert one.inside != bool(one.at_end), f"{one.name}: needs `at_end` where it lies on an end, and only there"


def test_what_is_priced_with_no_source_has_a_band():
    """Of DRAM, DMA and spikes: what no source gives is never a bare number."""
    table = load_table()
    bare = {name for name, one in table.constants.items() if one.assumed and one.low == one.high}
    assert bare == {"powered_pes"}  # 152: what the published power states were measured with
    assert {name for name in CHIP_NUMBERS if CHIP.facts[name].low is None} == {"sram_wait_states"}  # CoreMark leaves room for none


@pytest.mark.wide_but("pipelined-300MHz")
@pytest.mark.parametrize("clock", ["150MHz", "300MHz"])
@pytest.mark.parametrize("schedule", ["sequential", "pipelined"])
def test_predictions_lie_inside_their_bands(ledger, clock, schedule):
    table, preset, _ = apply_settings(load_table(used=ledger.twins), [f"clock={clock}", f"schedule={schedule}"])
    priced = price(ledger, load_chip(preset), table)
    for value, (low, high) in (
        (priced.time_s, priced.time_band_s), (priced.power_w, priced.power_band_w), (priced.energy_j, priced.energy_band_j),
    ):  # fmt: skip
        assert low < value < high


def test_a_bar_is_the_price_with_one_constant_changed(ledger):
    table = load_table(used=ledger.twins)
    bars = {bar.constant.name: bar for bar in tornado(ledger, CHIP, table)}
    refill = bars["branch_refill_cycles"]
    slow, _, _ = apply_settings(table, ["branch_refill_cycles=2"])
    assert refill.at_high.time_s == price(ledger, CHIP, slow).time_s
    assert refill.at_low == refill.recorded  # 1 is its low end
    dram = bars["chip.dram_sustained_bytes_per_s"]
    assert dram.at_low.time_s > dram.recorded.time_s > dram.at_high.time_s  # a rate
    priced = price(ledger, CHIP, table)
    for measure in MEASURES:
        low, high = getattr(priced, f"{measure[:-2]}_band_{measure[-1]}")
        assert all(low <= getattr(end, measure) <= high for bar in bars.values() for end in (bar.at_low, bar.at_high))


def test_bars_are_of_what_the_run_uses_the_widest_first(ledger):
    table = load_table()  # with what other runs use
    bars = tornado(ledger, CHIP, table)
    names = {bar.constant.name for bar in bars}
    assert "waiting_power_share" in names
    assert not {name for name in names if name.startswith(("int8", "trace", "link", "lif", "conv", "packet", "exp_unit"))}
    swings = [max(bar.swing(measure) for measure in MEASURES) for bar in bars]
    assert all(wide >= narrow > 0 for wide, narrow in pairwise(swings))


def test_what_moves_nothing_is_in_no_bar(ledger):
    table = load_table()
    middle, bars = price(ledger, CHIP, table), {bar.constant.name for bar in tornado(ledger, CHIP, table)}
    others = [one for one in uncertain(table, CHIP, facts_of(ledger, linked=False)) if one.name not in bars]
    assert others
    for one in others[:3]:
        chip, moved = with_value(table, CHIP, one.name, one.high)
        assert price(ledger, chip, moved).energy_j == middle.energy_j, one.name


def test_reasons_are_given_for_values_on_an_end():
    told = sentences_on_ends(everything())
    assert any(line.startswith("branch_refill_cycles 1 (1 to 2) cycle, at its low end: ") for line in told)
    assert all(len(line.split(": ")) == 2 and line.split(": ")[1] for line in told)


def test_what_a_user_sets_has_no_band(ledger):
    table, _, _ = apply_settings(load_table(used=ledger.twins), ["branch_refill_cycles=1"])
    chip = load_chip(numbers={"dma_setup_cycles": 20})
    names = {bar.constant.name for bar in tornado(ledger, chip, table)}
    assert not names & {"branch_refill_cycles", "chip.dma_setup_cycles"}


def test_twins_bring_bands_of_their_own():
    names = {one.name for one in everything()}
    brought = {name for name, (_, entry) in twins.constants().items() if entry.get("low", entry["value"]) < entry["value"]}
    assert brought
    assert brought <= names


def test_text_says_how_far_each_constant_moves_a_run(ledger):
    lines = format_tornado(tornado(ledger, CHIP, load_table(used=ledger.twins)))
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["constant", "time,", "%", "power,", "%", "energy,", "%"]
    text = "\n".join(lines)
    assert "what the DRAM of a chip sustains" in text
    assert format_tornado([]) == ["nothing: no constant that this run uses has a band"]
    assert format_change((0.0, 0.0)) == "."
    assert format_change((0.03, -0.02)) == "-2.0/+3.0"


def test_a_sensitivity_table_has_a_constant_once_and_a_column_a_run(ledger):
    bars = tornado(ledger, CHIP, load_table(used=ledger.twins))
    rows = sensitivities({"one": bars, "other": bars[1:]})
    assert [row.constant.name for row in rows] == [bar.constant.name for bar in bars]
    cells = sensitivity_rows(rows, ["one", "other"], "energy_j")
    first = next(row for row in cells if row[0] == bars[0].constant.name)
    assert first[-1] == "."
    assert first[-2] == format_change(bars[0].changes("energy_j"))


@pytest.fixture(scope="module")
def recorded(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["lm", "--checkpoint", str(folder / "tiny.safetensors"), "--text", str(folder / "text.txt"), "--tokens", "6"]
    assert main([*arguments, "--pes", "3", "--transport", "mem", "--no-monitor", "--no-pictures", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_the_tornado_as_a_user_meets_it(recorded, tmp_path, capsys):
    capsys.readouterr()
    assert main(["price", str(recorded), "--tornado", "--draw", str(tmp_path / "tornado")]) == 0
    text = capsys.readouterr().out
    assert "waiting_power_share" in text
    assert "on an end of their band:" in text
    assert (tmp_path / "tornado.svg").read_text().count("<svg") == 1
    assert main(["price", str(recorded), "--tornado", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["constants"]
    assert main(["price", str(recorded), "--tornado", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["constant"] for row in rows] == [row["constant"] for row in told]
    np.testing.assert_allclose([float(row["time_s_at_high"]) for row in rows], [row["time_s_at_high"] for row in told])
    for flags, line in ((["--csv"], "--csv: needs --tornado"), (["--tornado", "--csv", "--json"], "choose one")):
        assert main(["price", str(recorded), *flags]) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("constant", "text"),
    [
        ((16, (8, 1e6), "flit"), "16 (8 to 1,000,000) flit"),
        ((5.95e9, (2.4e9, 6.4e9), "byte/s"), "5.95 (2.4 to 6.4) Gbyte/s"),
        ((5e-8, (7.5e-9, 2e-7), "s"), "50 (7.5 to 200) ns"),
        ((0.01, (0, 1), "share"), "0.01 (0 to 1) share"),
        ((25, None, "cycle"), "25 cycle"),
    ],
)
def test_a_constant_is_shown_without_powers_of_ten(constant, text):
    assert format_constant(*constant) == text
