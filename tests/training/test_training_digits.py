"""The trainer of digits: the images of its test are in no other split, and a run goes on to the same end."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
if not importlib.util.find_spec("sklearn"):  # to load it takes seconds, which workers that run other files would spend, too
    pytest.skip("the trainer's extra is not installed", allow_module_level=True)

from models.dnn.evaluate import run_graph  # noqa: E402 - behind the skip
from models.dnn.file import load_dnn  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.quantise.dnn_calibration import sample_feeds  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.digits.images import Digits, read_digits, varied  # noqa: E402
from models.training.digits.settings import DigitsSettings  # noqa: E402
from models.training.digits.trainer import DigitsTrainer  # noqa: E402

pytestmark = pytest.mark.wide

SMALL = DigitsSettings(channels="3,4,4", hidden=8, epochs=2, batch=16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return read_digits()


def part(digits, count):
    return Digits(digits.images[:count], digits.labels[:count])


def trainer(folder, digits, **changes):
    return DigitsTrainer(part(digits["train"], 40), part(digits["valid"], 20), SMALL, folder, **changes)


def test_no_image_is_in_two_splits(digits):
    assert [len(digits[name]) for name in ("train", "valid", "test")] == [1257, 180, 360]
    every = [image.tobytes() for name in digits for image in digits[name].images]
    assert len(set(every)) == len(every) == 1797


def test_images_are_varied_within_bounds(digits):
    images = torch.from_numpy(digits["train"].images[:50]).float()
    still = DigitsSettings(shift=0.0, zoom=0.0, turn=0.0)
    assert torch.allclose(varied(images, still, np.random.default_rng(1)), images, atol=1e-4)
    moved = varied(images, DigitsSettings(), np.random.default_rng(1))
    assert not torch.allclose(moved, images, atol=1)
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 16


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, digits):
    whole = trainer(tmp_path / "whole", digits)
    whole.begin({})
    whole.run()

    def stop(done, *_):
        if done == 4:
            raise KeyboardInterrupt

    first = trainer(tmp_path / "part", digits, on_progress=stop)
    first.begin({})
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = trainer(tmp_path / "part", digits)
    again.begin({})
    assert again.progress.iteration == 4
    again.run()
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_the_command_writes_a_checkpoint_with_what_it_is_scored_on(tmp_path, digits, monkeypatch, capsys):
    small = {"train": part(digits["train"], 60), "valid": part(digits["valid"], 12), "test": part(digits["test"], 12)}
    monkeypatch.setattr("models.training.digits.images.read_digits", lambda: small)
    command = ["digits", "--out", str(tmp_path), "--channels", "3,4,4", "--hidden", "8", "--epochs", "1", "--threads", "1"]
    assert main(command) == 0
    model = load_dnn(tmp_path / "model.safetensors")
    assert np.array_equal(model.test_set.inputs["image"], small["test"].images)
    assert np.array_equal(model.test_set.labels, small["test"].labels)
    record = json.loads((tmp_path / "figures.json").read_text())
    assert model.provenance["record"] == record
    assert record["test"]["torch"] == pytest.approx(record["test"]["float"], abs=1 / 12)
    assert "float32" in capsys.readouterr().out
    again = DigitsTrainer(small["train"], small["valid"], DigitsSettings(), tmp_path / "other").model.eval()
    assert again(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    graph = model.prepared.graph
    (scores,) = run_graph(graph, sample_feeds(graph, model.test_set.inputs, 0)).values()
    assert scores.shape == (1, 10)


@pytest.mark.parametrize(
    ("flags", "words"),
    [({"channels": "3,4"}, "--channels"), ({"channels": "a"}, "--hidden"), ({"epochs": 0}, "--epochs"), ({"zoom": 1.0}, "--zoom")],
)
def test_what_cannot_be_trained_is_one_line(flags, words):
    with pytest.raises(ModelError, match=words):
        DigitsSettings(**flags).check()
