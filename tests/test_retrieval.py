"""Harmonic retrieval: the problem against its own matrix, files, one answer for any way to run, and what a user gets wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from host.workloads.registry import prepare
from host.workloads.retrieval import panel
from host.workloads.retrieval.example import smallest
from host.workloads.retrieval.options import Options
from models.network import ModelError
from models.reference import Reference
from models.retrieval.file import load_unrolled, save_unrolled
from models.retrieval.grid import Grid, shrink
from models.retrieval.network import Unrolled, alphas_for, from_units, to_units
from models.retrieval.scores import detected, nmse_db
from models.retrieval.snapshots import make_snapshots
from noc.packet import Section
from tests.tools.examples import launch

pytestmark = pytest.mark.timeout(120)  # the first run on a machine compiles the kernels
LINE = Grid((8,), (16,))


def steering(grid):
    """The matrix (samples, cells) of a grid of one dimension."""
    return np.exp(2j * np.pi * np.outer(np.arange(grid.samples[0]), np.arange(grid.cells[0]) / grid.cells[0]))


def test_matched_filter_kernel_and_ista_are_those_of_the_matrix():
    a, made = steering(LINE), make_snapshots(LINE, 3, targets=2, snr_db=20.0, seed=1)
    z = LINE.matched_filter(made.received)
    assert z == pytest.approx(made.received @ a.conj() / 8, abs=1e-6)
    b = a.conj().T @ a / 8
    apart = (np.arange(16)[:, None] - np.arange(16)) % 16
    assert LINE.gram()[apart] == pytest.approx(b, abs=1e-12)
    x = np.zeros((3, 16), np.complex128)
    for _ in range(5):
        x = shrink(x + LINE.step * (z - x @ b.T), LINE.step * 0.1)
    assert LINE.solve(z, 5, 0.1) == pytest.approx(x, abs=1e-5)


def test_a_seed_makes_the_same_snapshots_however_many_are_made():
    grid = Grid((4, 4), (8, 8))
    five, two = (make_snapshots(grid, n, targets=3, snr_db=10.0, seed=7, first=5 - n) for n in (5, 2))
    assert np.array_equal(five.received[3:], two.received)
    assert not np.array_equal(make_snapshots(grid, 2, targets=3, snr_db=10.0, seed=8, first=3).received, two.received)
    assert (np.count_nonzero(five.truth, axis=(1, 2)) <= 3).all()
    with pytest.raises(ModelError, match=r"targets: \d+ of them, 2 cells apart, do not fit on 4 cells"):
        make_snapshots(Grid((2,), (4,)), 40, targets=16, snr_db=10.0, seed=1)


def test_scores():
    truth = np.zeros((1, 8), np.complex64)
    truth[0, [1, 5]] = 1, 1j
    assert nmse_db(truth * 0.9, truth) == pytest.approx(-20, abs=1e-4)
    near = np.roll(truth, 1, axis=1) * 0.5
    assert detected(near[0], truth[0]) == (2, 2)  # a cell beside it, with half of its amplitude
    assert detected(near[0] * 0.7, truth[0]) == (0, 2)


def test_a_file_holds_what_was_trained(tmp_path):
    model = load_unrolled(smallest(tmp_path)["checkpoint"] and tmp_path / "retrieval.safetensors")
    save_unrolled(tmp_path / "again.safetensors", model)
    again = load_unrolled(tmp_path / "again.safetensors")
    assert again.grid == model.grid
    assert all(np.array_equal(getattr(again, n), getattr(model, n)) for n in ("kernels", "gains", "thresholds", "alphas"))
    z = make_snapshots(model.grid, 2, targets=1, snr_db=9.0, seed=1).truth
    assert np.array_equal(from_units(to_units(z), model.grid), z)
    assert alphas_for([np.array([0.3 + 1j], np.complex64)]).tolist() == [2.0]
    with pytest.raises(ModelError, match="--layers 3: the model has 2; use 1 to 2"):
        model.first(3)
    (tmp_path / "other.safetensors").write_bytes(b"x")
    for name, line in (("other", "damaged or no trained S-LISTA"), ("none", "no such file")):
        with pytest.raises(ModelError, match=line):
            load_unrolled(tmp_path / f"{name}.safetensors")


def played(folder, name, *flags):
    """A run's events and result."""
    done = launch("retrieval", "retrieval.safetensors", "--transport", "mem", "--out", name, "--no-pictures", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / name / "report.json").read_text())
    return report["events"]["sha256"], report["result"], done.stdout


@pytest.mark.wide
def test_one_answer_for_any_way_to_run_and_it_is_the_integer_cnns(tmp_path):
    smallest(tmp_path)
    common = ("--samples", 3, "--targets", 1, "--k", 5)
    first = played(tmp_path, "a", *common, "--pes", 2, "--verify")
    other = played(tmp_path, "b", *common, "--pes", 7, "--batch", 2, "--chips", 2, "--format", "csr", "--mapping", "balanced")
    assert first[0] == other[0]
    for _, result, out in (first, other):
        assert (result["differing"], result["values"]) == (0, 3 * 16)
        assert result["latency_ticks"] == 2 * 5 + 1
        assert "Jetson Xavier" in out
    assert played(tmp_path, "c", *common, "--round", "floor", "--pes", 2)[0] != first[0]
    floats = played(tmp_path, "d", *common, "--weights", "float32", "--pes", 3, "--verify")[1]
    assert floats["differing"] is None


@pytest.mark.slow
def test_snapshots_of_your_own(tmp_path):
    smallest(tmp_path)
    made = make_snapshots(Grid((4,), (8,)), 3, targets=1, snr_db=40.0, seed=4)
    np.save(tmp_path / "x.npy", made.received)
    _, result, _ = played(tmp_path, "own", "--inputs", "x.npy", "--pes", 2)
    assert result["snapshots"] == 3
    assert result["by_snr"] == []
    cells = [np.argmax(np.abs(truth)) / 8 for truth in made.truth]
    assert [peaks[0]["frequency"][0] for peaks in result["frequencies"]] == cells


@pytest.mark.few(3)
@pytest.mark.parametrize(("flags", "line"), [
    (("--k", "17"), "--k"), (("--round", "up"), "--round"), (("--layers", "3"), "--layers 3: the model has 2"),
    (("--inputs", "none.npy"), "--inputs none.npy"),
    (("--inputs", "real.npy"), "needs complex snapshots (many, 4), has float64 (2, 4)"),
    (("--inputs", "nan.npy"), "1 numbers are not finite"), (("--samples", "1", "--batch", "2"), "--batch 2: there are 1 snapshots"),
    (("--targets", "9"), "targets:"),
])  # fmt: skip
def test_what_a_user_gets_wrong_gets_one_line(flags, line, tmp_path):
    smallest(tmp_path)
    np.save(tmp_path / "real.npy", np.zeros((2, 4)))
    np.save(tmp_path / "nan.npy", np.full((1, 4), [1, 1, np.nan, 1], np.complex64))
    done = launch("retrieval", "retrieval.safetensors", "--transport", "mem", "--seed", 3, "--samples", 40, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unrolled_model_must_fit_its_grid():
    with pytest.raises(ModelError, match="S-LISTA: kernels of"):
        Unrolled(LINE, np.zeros((2, 8), np.complex64), *[np.ones(2, np.float32)] * 3)


# -- the live view


def text_of(lines):
    return "\n".join("".join(span.text for span in line) for line in lines)


def test_the_panel_shows_the_grid_as_it_sharpens(tmp_path):
    job = prepare(Options(**smallest(tmp_path)))
    network, readout = job.placement.network, job.readout
    for position, z in enumerate(to_units(readout._compared.filtered)):
        sections = []
        for said in Reference(network).step({0: z})[network.output]:  # a row a tick
            keys = np.flatnonzero(said)
            sections.append(Section(network.output, 0, position, keys.astype("<u4").tobytes(), said[keys].tobytes(), b"", b""))
        readout.answer(position, {network.output: sections})
    shown = readout.progress().shown
    names = ["matched filter", "after 1 bit", "after 2 bits", "after 4 bits", "truth"]
    assert list(shown["grids"]) == names
    assert shown["grids"]["after 4 bits"] == np.abs(readout.answers[-1]).tolist()
    lines = panel.lines({}, shown, 60, 10)
    assert [line[0].text.strip() for line in lines] == ["snapshot 12 of 12", *names]
    assert panel.lines({}, shown, 60, 5) == panel.lines({}, shown, 20, 10) == panel.lines({}, {}, 60, 10) == []
    assert panel.lines({}, {"grids": {"x": [[1, "a"]], "y": 3}}, 60, 10) == []


def test_a_line_of_cells_shows_them_all_in_little_room():
    """Where cells share a character the largest of them is seen, wherever it lies."""
    for cell in (0, 40, 63):
        for columns in (30, 41, 80):
            shown = {"number": 3, "of": 9, "grids": {"truth": [float(n == cell) for n in range(64)]}}
            head, row = panel.lines({}, shown, columns, 9)
            text = "".join(span.text for span in row)
            assert head[0].text == "snapshot 3 of 9"
            assert text.count("█") == 1
            assert len(text) <= columns


def test_planes_stand_side_by_side_as_many_as_fit():
    plane = np.zeros((16, 16))
    plane[3, 5] = 1
    grids = dict.fromkeys(("matched filter", "after 2 bits", "after 8 bits", "truth"), plane.tolist())
    wide, narrow = (text_of(panel.lines({}, {"number": 1, "of": 2, "grids": grids}, columns, 12)) for columns in (80, 40))
    assert [text.splitlines()[1].split() for text in (wide, narrow)] == [
        ["matched", "filter", "after", "2", "bits", "after", "8", "bits", "truth"], ["matched", "filter", "truth"],
    ]  # fmt: skip
    assert wide.splitlines()[3].count("█") == 4
    assert panel.lines({}, {"grids": grids}, 20, 12) == panel.lines({}, {"grids": grids}, 80, 9) == []
