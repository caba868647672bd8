"""`launch.py info`: what a file holds and needs, told in tables that a narrow terminal shows whole."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.cli import main
from host.mapping.placement import place
from models.checkpoint import DecoderProjection, load, save
from models.network import Network, Projection, SparseRows
from models.seeded import seeded_egru, seeded_embedding, seeded_gesture
from models.text.vocabulary import Vocabulary
from noc.chip import load_chip
from pe.sram import footprint

pytestmark = pytest.mark.timeout(60)
LAYERS = (24, 24, 20)


@pytest.fixture(scope="module")
def tiny(folder):
    return load(folder / "tiny.safetensors")


@pytest.fixture
def info(capfd, monkeypatch, tmp_path, tiny):
    """Return a function that saves the tiny model with changes and returns what `info` prints of it."""

    def show(*arguments, columns=80, **changes):
        monkeypatch.setenv("COLUMNS", str(columns))
        path = tmp_path / "model.safetensors"
        save(path, replace(tiny, **changes))
        assert main(["info", str(path), *arguments]) == 0
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return show


def section(text, title):
    """The rows of the table under the title that begins so, cut at white space; the heads first."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(title))
    rows = []
    for line in lines[first + 1 :]:
        if not line.startswith("  "):
            break
        rows.append(line.split())
    return rows


def value(text, label):
    """What stands behind a label, joined over its lines."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"{label} "):
            told = [line[13:]]
            for more in lines:
                if not more.startswith(" " * 13):
                    break
                told.append(more.strip())
            return " ".join(told)
    raise AssertionError(f"no {label} in {text}")


def number(text):
    return int(text.replace(",", ""))


def test_what_the_file_says(info, tiny):
    words = len(tiny.vocabulary)
    text = info(
        state="carried",
        tokens={"valid": np.zeros(1234, np.uint32), "test": np.zeros(5, np.uint32)},
        text_licence="CC0-1.0",
        provenance={
            "trained": "2026-11-21",
            "settings": {
                "epochs": 30,
                "rate": 0.00123456,
                "layers": [24, 24, 20],
                "pruned": True,
                "plan": None,
                "deep": {"a": 1},
            },
            "perplexity": {"valid": 112.34567, "test": 109.8},
            "losses": [0.5] * 100,
        },
    )
    assert value(text, "units") == "20 > 24 > 24 > 20, the first of them the input"
    possible = sum(3 * n * (m + n) for m, n in zip((20, *LAYERS), LAYERS, strict=False))
    nonzeros = tiny.network.nonzeros
    assert value(text, "weights") == f"{nonzeros:,} of {possible:,} ({100 * nonzeros / possible:.1f} %)"
    kernel = "egru, gates z r g; reset gate after the recurrent product; an event subtracts the threshold"
    assert value(text, "kernel") == kernel
    assert value(text, "segment") == "7 positions; where one begins, c is carried and y carried"
    assert value(text, "decoder") == f"tied to the embedding, {words} words x 20"
    assert value(text, "vocabulary") == f"{words} words"
    assert value(text, "sha256") == Vocabulary(tiny.vocabulary).sha256
    assert value(text, "text") == "valid 1,234 words, test 5 words"
    assert value(text, "text licence") == "CC0-1.0"
    told = value(text, "provenance")
    assert "trained: 2026-11-21" in told
    assert "settings: epochs 30, rate 0.0012346, layers 24 / 24 / 20, pruned yes, plan none, deep (1 entries)" in told
    assert "perplexity: valid 112.35, test 109.8" in told
    assert "losses: (100 values)" in told


def test_what_is_missing_is_said(info, tiny):
    text = info(embedding=None, decoder_bias=None, vocabulary=())
    said = [value(text, label) for label in ("decoder", "vocabulary", "text", "text licence", "provenance")]
    assert said == ["none: a bare stack of layers", "none", "none stored", "not stated", "not stated"]
    assert value(info(vocabulary=()), "vocabulary") == "none: runs on word numbers (`lm --ids FILE`) until imported with its text"


def test_a_projection_is_told(info, tiny):
    projection = DecoderProjection(seeded_embedding(20, 9), np.zeros(20, np.float32), "relu")
    text = info(network=seeded_egru(20, (24, 9), 0.3), projection=projection)
    assert value(text, "decoder").endswith("; behind a projection 9 > 20, relu")


def test_a_gesture_classifier_is_told(capfd, monkeypatch, tmp_path):
    """Frames, head, read-out, classes and record in place of a decoder and words; then what it needs, as of any network."""
    monkeypatch.setenv("COLUMNS", "100")
    model = seeded_gesture()
    record = {"accuracy": 0.91, "torch_predictions": [1] * 40, "subjects": "24 to 29\x1b[2J"}
    gesture = replace(model.gesture, record=record, classes=("wave", *"bcd", "e\u00e9"), feature_relu=True)
    path = tmp_path / "gesture.safetensors"
    save(path, replace(model, gesture=gesture))
    assert main(["info", str(path), "--batch", "6"]) == 0
    text = capfd.readouterr().out
    assert value(text, "units") == "24 > 16 > 16, the first of them the input"
    assert value(text, "hears") == "events / trace 0.9"
    assert value(text, "frames") == "8 of 25 ms (slices of 0.2 s), polarity mean, divided by 2"
    assert value(text, "head") == (
        "8 x 8 > conv 3 x 3, stride 2, padding 1, pool: 4 of 1 x 1 > conv 3 x 3, stride 1, padding 1: 6 of 1 x 1 > "
        "linear, ReLU: 24 features"
    )
    assert value(text, "read-out") == "5 classes of 16 units; mean over time of the last layer's trace 0.9 of its events"
    assert value(text, "classes") == "wave, b, c, d, e\u00e9"
    told = value(text, "record")
    assert "accuracy: 0.91" in told
    assert "torch_predictions: (40 values)" in told
    assert "24 to 29\\x1b[2J" in told
    assert not any(line.startswith(("decoder", "vocabulary", "text")) for line in text.splitlines())
    rows = [row for row in section(text, "expected SRAM of the fullest PE in bytes") if "dense" in row]
    used = [
        footprint(pe.regions, placed.request.size)
        for placed in [place(model.network, load_chip(), "uniform", "dense", 32, 6)]
        for pe in (placed.pes[0], placed.pes[16])
    ]
    assert [number(row[row.index("dense") + 2]) for row in rows] == [one["variables"] for one in used]
    assert used[1]["variables"] - used[0]["variables"] == 6 * 4 * 16  # the trace


def test_parameters_of_the_layers_are_told(info, tiny):
    layers = [
        replace(p, params={"zoneout": 0.25, "fire_at_threshold": float(n == 2)}) for n, p in enumerate(tiny.network.populations)
    ]
    text = info(network=Network((tiny.network.populations[0], *layers[1:])))
    assert value(text, "zoneout") == "0.25 / 0.25 / 0.25"
    assert value(text, "at threshold") == "silent / fires / silent"
    assert "at threshold" not in info()


def test_nonzeros_of_matrices_and_blocks(info, tiny):
    """Twenty PEs a layer: as many as the smallest layer has units, and so one or two units each."""
    rows = section(info(), "nonzeros of each matrix, and of the block of it that a PE gets (20 PEs a layer)")[1:]
    placement = place(tiny.network, load_chip(), "uniform", "csr", None)
    for layer in tiny.network.layers:
        population = tiny.network.populations[layer]
        for which, projection in enumerate(population.projections):
            row = rows[2 * (layer - 1) + which]
            have = row[row.index(projection.port) + 1 :]
            dense = projection.weights.to_dense()
            per_unit = np.count_nonzero(dense.reshape(3, population.units, -1), axis=(0, 2))
            blocks = [int(per_unit[p.units].sum()) for placed in placement.pes for p in placed.share if p.population == layer]
            nonzeros = np.count_nonzero(dense)
            rows_columns = [f"{dense.shape[0]}", "x", f"{dense.shape[1]}"]
            assert have[:5] == [*rows_columns, f"{nonzeros:,}", f"{100 * nonzeros / dense.size:.1f}"]
            assert have[5] == "%"
            assert [number(n) for n in have[6:]] == [min(blocks), round(np.median(blocks)), max(blocks)]
            assert sum(blocks) == projection.weights.nonzeros


def test_thresholds(info, tiny):
    populations = list(tiny.network.populations)
    thresholds = np.array([0, 0, 0, 0.25, 0.5] + [0.125] * 19, np.float32)
    populations[1] = replace(populations[1], vectors={**populations[1].vectors, "threshold": thresholds})
    rows = section(info(network=Network(tuple(populations))), "units of each layer, and their event thresholds")
    assert rows[0] == ["layer", "units", "min", "median", "max", "zero"]
    assert rows[1] == ["egru1", "24", "0", "0.125", "0.5", "12.5", "%"]
    assert len(rows) == 4


@pytest.mark.few(1)
@pytest.mark.parametrize("batch", [1, 3])
def test_memory_is_what_the_mapping_would_use(info, tiny, batch):
    rows = section(info("--batch", str(batch)), f"expected SRAM of the fullest PE in bytes (20 PEs a layer; batch {batch})")[1:]
    for row, form in enumerate(("csr", "dense", "packed")):
        placement = place(tiny.network, load_chip(), "uniform", form, None, batch)
        for layer in tiny.network.layers:
            used = [footprint(p.regions, placement.request.size) for p in placement.pes if p.share[0].population == layer]
            fullest = min(used, key=lambda u: u["free"])
            have = rows[3 * (layer - 1) + row]
            have = have[have.index(form) + 1 :]
            need = 98_304 - fullest["free"]
            assert [number(n) for n in have[:4]] == [fullest["weights"], fullest["variables"], fullest["spill"], need]
            assert have[4:] == [f"{100 * need / 98_304:.1f}", "%"]


@pytest.mark.slow
def test_the_papers_network_and_what_does_not_fit(info):
    """Fifty PEs a layer; figures as in Table I, and dense weights that fit nowhere."""
    text = info(network=seeded_egru(), embedding=None, decoder_bias=None, vocabulary=())
    rows = section(text, "expected SRAM of the fullest PE in bytes (50 PEs a layer; batch 1)")
    assert rows[4] == ["egru2", "50", "csr", "88,104", "14,728", "12,848", "95,104", "96.7", "%"]
    assert rows[5] == ["dense", "874,800", "3,928", "2,048", "881,800", "does", "not", "fit"]
    assert section(text, "fewest PEs (mapping 'balanced')") == [
        ["format", "PEs"],
        ["csr", "110"],
        ["dense", "1,375", "does", "not", "fit:", "one", "chip", "has", "152"],
        ["packed", "73"],
    ]
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_a_unit_too_large_for_any_pe(info):
    """Forty thousand columns a row; the file may say so with a few weights."""
    matrix = np.zeros((3, 40_000), np.float32)
    matrix[:, 7] = 1
    network = seeded_egru(40_000, (1,), 0.0001)
    first = network.populations[1]
    ports = (Projection(0, "input", SparseRows.from_dense(matrix)), first.projections[1])
    network = Network((network.populations[0], replace(first, projections=ports)))
    text = info(network=network, embedding=None, decoder_bias=None, vocabulary=())
    row = " ".join(section(text, "fewest PEs")[2])
    assert row == "dense none does not fit: a single unit is too large for a PE"


@pytest.mark.few(2)
@pytest.mark.parametrize("columns", [20, 80, 120, 300])
def test_it_is_narrow(info, columns):
    """No line beyond the terminal, from 80 columns on; a long provenance is wrapped behind its label."""
    settings = {f"setting_{n}": n for n in range(40)}
    text = info(columns=columns, provenance={"settings": settings}, text_licence="word " * 60)
    assert 70 < max(map(len, text.splitlines())) <= min(max(columns, 80), 120)
    assert "setting_39 39" in value(text, "provenance")
    assert "\x1b" not in text


def test_what_a_hostile_file_says_is_shown_and_not_obeyed(info):
    evil = "\x1b[2J\x07 one\ntwo \u202e \ud7ff\x9b"
    text = info(
        text_licence=evil, provenance={evil: {evil: evil}, "long": "x" * 10_000, "deep": {str(n): n for n in range(10_000)}}
    )
    assert set(text) - {"\n"} == {c for c in text if c.isprintable()}
    assert value(text, "text licence").startswith("\\x1b[2J\\x07 one two \\u202e")
    assert "x" * 400 + "..." in value(text, "provenance").replace(" ", "")
    assert "and 9,940 more" in value(text, "provenance")
    assert len(text.splitlines()) < 80
    text = info(provenance={str(n): n for n in range(1000)})
    assert "59: 59 and 940 more" in text


def test_a_terminal_that_knows_only_ascii(info, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    info(text_licence="naïve")
    screen.flush()
    assert b"na\\xefve" in screen.buffer.getvalue()


@given(st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_shown_or_gets_one_line(tmp_path, folder, data):
    raw = bytearray((folder / "tiny.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 3000) | st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "damaged.safetensors").write_bytes(raw)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["info", str(tmp_path / "damaged.safetensors")])
    if code:
        assert (code, out.getvalue(), err.getvalue().count("\n")) == (2, "", 1)
    else:
        assert "fewest PEs" in out.getvalue()


@pytest.mark.parametrize(
    "arguments", [["missing.safetensors"], ["."], ["seeded"], ["FILE", "--batch", "0"], ["FILE", "--format", "csr"]]
)
def test_what_cannot_be_shown_gets_one_line(capfd, folder, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    try:
        code = main(["info", *(argument.replace("FILE", "tiny.safetensors") for argument in arguments)])
    except SystemExit as end:
        code = end.code
    assert code == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_it_starts_nothing_and_leaves_nothing(info, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    info()
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
