"""`launch.py fit`: what fits in words, every format and mapping in one table, what they are expected to cost, and which to take."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from host import errors
from host.cli import main
from host.commands._fit_choices import Choice, expected_cost, fastest, format_choices, smallest
from host.cost.price import price_at
from host.errors import Exit, complain
from host.mapping import strategies
from host.run.expected_run import expected_run
from models import formats
from models.checkpoint import Model, load, save
from models.seeded import seeded_egru
from tests.tools.ledgers import invented, placed

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def fit(capsys, tmp_path):
    """Return a function that fits a small network and returns what is printed."""
    path = tmp_path / "net.safetensors"
    save(path, Model(seeded_egru(32, (48, 32, 16), 0.5)))

    def go(*arguments):
        assert main(["fit", str(path), *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return go


@pytest.mark.wide
def test_it_says_that_it_fits_and_what_a_position_is_expected_to_take(fit):
    text = fit("--pes", 12)
    told = json.loads(fit("--pes", 12, "--json"))
    assert told["fits"]
    assert f"fits: the fullest PE has {told['fullest_pe_bytes']['free']:,} B of its data banks free" in text
    assert f"expected: {1e6 * told['time_s']:.0f} µs and " in text
    assert "at an activity of egru1 20 %, egru2 20 %, egru3 20 % (assumed)" in " ".join(text.split())
    head = next(line for line in text.splitlines() if line.startswith("PE  "))
    assert "weights, B" in head
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_every_format_and_mapping_stands_in_one_table_and_one_of_them_is_taken(fit):
    told = json.loads(fit("--pes", 12, "--json"))
    rows = list(csv.DictReader(io.StringIO(fit("--pes", 12, "--csv"))))
    pairs = {(row["format"], row["mapping"]) for row in rows}
    assert pairs == {
        (form, mapping) for form in formats.names() if form not in ("conv", "array", "vectors") for mapping in strategies.names()
    }
    assert [float(row["time_s"]) for row in rows] == [choice["time_s"] for choice in told["choices"]]
    products = {f"--format {c['format']} --mapping {c['mapping']}": c["time_s"] * c["energy_j"] for c in told["choices"]}
    assert products[told["take"]] <= 1.02 * min(products.values())
    assert f"take {told['take']}: the least time x energy" in " ".join(fit("--pes", 12).split())


def test_what_is_expected_is_what_a_run_of_that_activity_takes():
    """Random events at the rates; the busiest PE of a run has some more by chance."""
    placement = placed(seeded_egru(64, (96, 64, 48), 0.5), 12)
    rates = {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.2}
    time_s, energy_j = expected_cost(placement, rates)
    run = price_at(invented(placement, 40, activity=0.2))
    assert 0.9 < time_s / (run.time_s / 40) < 1.05
    assert 0.9 < energy_j / (run.energy_j / 40) < 1.05


def test_expected_counts_are_those_of_the_rates():
    placement = placed(seeded_egru(64, (96, 64, 48), 0.5), 12)
    ledger = expected_run(placement, {0: 1.0, 1: 0.25, 2: 0.5, 3: 0.0}, positions=2)
    assert ledger.sent.tolist() == 2 * [[64, 24, 32, 0]]
    shares = zip((1, 0.25, 0.25, 0.5, 0.5, 0), _projections(placement), strict=True)
    macs = sum(rate * projection.weights.nonzeros for rate, projection in shares)
    assert ledger.port_counts[:, :, 0].sum(axis=1).tolist() == pytest.approx(2 * [macs], abs=3)  # rounded once a projection


def _projections(placement):
    return [p for n in placement.network.layers for p in placement.network.populations[n].projections]


def test_what_does_not_fit_says_why_once_and_is_never_taken():
    one = Choice(
        format="csr", mapping="uniform", fits=True, pes=4, weights_bytes=10, free_bytes=5, fill=0.5, time_s=2e-3, energy_j=1e-3
    )
    two = replace(one, mapping="balanced", pes=2, time_s=3e-3)
    none = [Choice(format="dense", mapping=mapping, fits=False, why="needs 9 B") for mapping in ("uniform", "balanced")]
    choices = [one, two, *none]
    assert (fastest(choices), smallest(choices)) == (one, two)
    assert fastest(none) is None
    lines = format_choices(choices)
    assert next(line.split()[2:] for line in lines if line.startswith("dense ")) == ["does", "not", "fit"]
    assert "dense uniform, dense balanced: needs 9 B" in lines
    assert lines[-1] == "fewest PEs: --format csr --mapping balanced, 2"


def test_a_long_refusal_is_one_line_in_a_file_and_short_lines_on_a_terminal(capsys, monkeypatch):
    text = "PE(1,1,0)@0: needs 55464 B, 31660 B free; use --pes 39 or more; what fits: --mapping uniform --format csr (150 PEs)"
    assert complain(text, Exit.DOES_NOT_FIT) == 3
    assert capsys.readouterr().err == f"gennaker: {text}\n"
    monkeypatch.setattr(errors.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    complain(text, Exit.DOES_NOT_FIT)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["gennaker", "  use --pes 39 or more;", "  what fits"]
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()) == f"gennaker: {text}"


@pytest.mark.wide
def test_the_shipped_model_is_told_at_its_measured_activity(capsys, folder):
    assert main(["fit", str(folder / "tiny.safetensors"), "--pes", "6"]) == 0
    assert "expected at an activity of" in capsys.readouterr().out
    assert load(folder / "tiny.safetensors").network.layers == (1, 2, 3)
