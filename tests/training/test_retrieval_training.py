"""The trainer of S-LISTA: its snapshots, its gradient, and a folder that it goes on from; and the shipped models."""

from __future__ import annotations

import json

import numpy as np
import pytest

from host.workloads.site import shipped_path
from models.network import ModelError
from models.retrieval.file import load_unrolled
from models.retrieval.grid import Grid
from models.retrieval.scores import nmse_db
from models.retrieval.snapshots import APART, make_snapshots

torch = pytest.importorskip("torch")

from models.training.__main__ import main  # noqa: E402 - needs torch
from models.training.retrieval.activations import ComplexSoftThreshold, Shrink  # noqa: E402
from models.training.retrieval.batches import draw_batch  # noqa: E402
from models.training.retrieval.network import SLista  # noqa: E402

pytestmark = pytest.mark.wide


@pytest.mark.parametrize("grid", [Grid((8,), (16,)), Grid((4, 4), (8, 8)), Grid((3, 3, 3), (5, 5, 5))])
def test_an_update_s_snapshots_are_of_the_kind_of_those_that_are_made_one_by_one(grid):
    batch = draw_batch(grid, 40, np.random.default_rng(1), targets=3, snr_db=(90.0, 100.0))
    for filtered, truth in zip(batch.filtered, batch.truth, strict=True):
        cells = np.argwhere(truth)
        assert 1 <= len(cells) <= 3
        apart = np.abs(cells[:, None] - cells[None])
        nearest = np.minimum(apart, np.array(grid.cells) - apart).max(axis=2) + APART * np.eye(len(cells))
        assert nearest.min() >= APART
        spectrum = np.fft.fftn(truth) * np.fft.fftn(grid.gram())  # without noise, z = B x
        assert filtered == pytest.approx(np.fft.ifftn(spectrum), abs=1e-3)
    assert {len(np.argwhere(truth)) for truth in batch.truth} == {1, 2, 3}


def test_the_noise_of_an_update_s_snapshots_is_of_their_snr():
    grid = Grid((32,), (64,))
    batch = draw_batch(grid, 400, np.random.default_rng(2), targets=1, snr_db=(10.0, 10.0))
    alone = np.fft.ifft(np.fft.fft(batch.truth) * np.fft.fft(grid.gram()))
    power = np.mean(np.abs(batch.filtered - alone) ** 2, axis=1) / np.sum(np.abs(batch.truth) ** 2, axis=1)
    assert np.mean(power) == pytest.approx(0.1 / 32, rel=0.1)
    with pytest.raises(ModelError, match="targets: 9 of them"):
        draw_batch(Grid((2,), (4,)), 4, np.random.default_rng(1), targets=9, snr_db=(5.0, 9.0))


def test_the_soft_threshold_s_derivative_is_that_of_differences():
    z = torch.randn(3, 2, 4, dtype=torch.complex128)
    theta = torch.rand(2, 1, dtype=torch.float64)
    inputs = (z.requires_grad_(), theta.requires_grad_())
    assert torch.autograd.gradcheck(Shrink.apply, inputs)
    assert torch.allclose(ComplexSoftThreshold(0.5)(torch.tensor([0.3 + 0.4j, 3 + 4j, 0j])), torch.tensor([0j, 2.7 + 3.6j, 0j]))


def test_an_untrained_network_is_so_many_steps_of_ista():
    grid = Grid((8,), (16,))
    made = make_snapshots(grid, 4, targets=2, snr_db=20.0, seed=1)
    z = grid.matched_filter(made.received)
    outputs = SLista(grid, 3, grid.step, 0.1)(torch.from_numpy(z))
    for steps, x in enumerate(outputs, start=1):
        assert x.detach().numpy() == pytest.approx(grid.solve(z, steps, 0.1), abs=1e-6)


@pytest.fixture
def small(monkeypatch):
    """Few snapshots to validate and to tune ISTA with."""
    from models.training.retrieval import export, trainer

    monkeypatch.setattr(trainer, "_VALIDATED", 20)
    monkeypatch.setattr(export, "_WEIGHTS", (0.05,))
    monkeypatch.setattr(export, "_TUNED", 5)


def trained(out, *flags):
    common = ["--dims", "1", "--layers", "2", "--batch", "8", "--updates", "6", "--seeds", "2", "--out", str(out)]
    return main(["retrieval", *common, *flags])


@pytest.mark.usefixtures("small")
def test_a_training_that_is_stopped_goes_on_to_the_same_end(tmp_path, monkeypatch, capsys):
    from models.training.retrieval import trainer

    assert trained(tmp_path / "whole") == 0
    learn, done = trainer.Training._learn, []

    def stopped(self, update):
        done.append(update)
        if len(done) == 9:
            raise KeyboardInterrupt
        return learn(self, update)

    monkeypatch.setattr(trainer.Training, "_learn", stopped)
    assert trained(tmp_path / "parts") != 0
    monkeypatch.setattr(trainer.Training, "_learn", learn)
    assert trained(tmp_path / "parts") == 0
    whole, parts = (load_unrolled(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert np.array_equal(whole.kernels, parts.kernels)
    assert whole.record == parts.record
    assert [one["seed"] for one in whole.record["seeds"]] == [1, 2]
    for name in ("whole", "parts"):
        rows = (tmp_path / name / "seed-2" / "log.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["iteration", *map(str, range(1, 7))]
    capsys.readouterr()
    assert trained(tmp_path / "whole", "--lr", "0.1") == 2
    assert "holds a training of other settings" in capsys.readouterr().err
    assert json.loads((tmp_path / "whole" / "settings.json").read_text())["lr"] == 0.004


@pytest.mark.parametrize(("flags", "line"), [
    (("--layers", "33"), "--layers 33: needs at most 32"), (("--lr", "0"), "--lr 0.0: needs a number above 0"),
    (("--dims", "4"), "--dims 4: needs 1, 2 or 3"), (("--targets", "0"), "--targets 0: needs at least 1"),
])  # fmt: skip
def test_settings_that_cannot_be_get_a_line(flags, line, tmp_path, capsys):
    assert trained(tmp_path, *flags) == 2
    assert line in capsys.readouterr().err


# -- what is shipped


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_shipped_model_is_better_than_200_steps_of_ista_and_loses_little_as_few_spikes(dims):
    model = load_unrolled(shipped_path("retrieval") / f"{dims}d.safetensors")
    assert len(model.record["seeds"]) >= 3
    made = make_snapshots(model.grid, 150, targets=4, snr_db=15.0, seed=1_000)
    filtered = model.grid.matched_filter(made.received)
    cnn, part = nmse_db(model.values(filtered)[-1], made.truth), slice(40)
    ista = nmse_db(model.grid.solve(filtered[part], 200, model.record["ista_weight"]), made.truth[part])
    assert nmse_db(model.values(filtered[part])[-1], made.truth[part]) <= ista - 1
    floats, steps = model.quantised_values(filtered, 8)[-1], model.steps(filtered, 8)[-1]
    assert nmse_db(floats, made.truth) <= cnn + 0.2
    assert nmse_db(model.of_steps(steps, model.layers - 1, 8), made.truth) <= cnn + 0.5
