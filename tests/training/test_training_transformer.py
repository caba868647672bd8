"""The trainer of the transformer: it goes on to the same end, learns, and leaves int8 networks that PEs can run."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from host.cli import main as launch  # noqa: E402 - behind the skip
from host.run_folder import read_report  # noqa: E402
from models.dnn.compute import compute_network  # noqa: E402
from models.dnn.file import load_dnn  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.language.text_streams import read_text  # noqa: E402
from models.training.transformer.network import DecodeStep, Transformer, cache_of  # noqa: E402
from models.training.transformer.settings import TransformerSettings  # noqa: E402
from models.training.transformer.trainer import TransformerTrainer, score, windows_of  # noqa: E402

pytestmark = pytest.mark.wide

SMALL = TransformerSettings(width=8, blocks=1, heads=2, context=8, epochs=2, batch=4, min_count=1)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text("the boat sails on the wind . the wind blows over the sea . " * 40, encoding="utf-8")
    return path


def trainer(book, folder, **changes):
    return TransformerTrainer(read_text(str(book), 1), SMALL, folder, **changes)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, book):
    whole = trainer(book, tmp_path / "whole")
    whole.begin({})
    whole.run()

    def stop(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    first = trainer(book, tmp_path / "part", on_progress=stop)
    first.begin({})
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = trainer(book, tmp_path / "part")
    again.begin({})
    assert again.progress.iteration == 3
    again.run()
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    untrained = trainer(book, tmp_path / "other")
    assert score(whole.model, whole.text.splits["valid"]) < score(untrained.model, whole.text.splits["valid"])


def test_every_word_is_predicted_once():
    ids = np.arange(45, dtype=np.uint32)
    inputs, targets = windows_of(ids, 8)
    predicted = targets[targets >= 0].tolist()
    assert sorted(predicted) == list(range(1, 45))
    rows, places = torch.nonzero(targets >= 0, as_tuple=True)
    assert all(int(inputs[row, place]) == int(targets[row, place]) - 1 for row, place in zip(rows, places, strict=True))


def test_a_step_with_what_earlier_words_left_is_the_whole_contexts():
    torch.manual_seed(1)
    model = Transformer(30, SMALL).eval()
    ids = torch.randint(0, 30, (3, SMALL.context))
    for row in ids:
        logits, key, value = DecodeStep(model)(row[None, -1:], *cache_of(model, row[None]))
        assert torch.allclose(logits[0, 0], model(row[None])[0, -1], atol=1e-5)
        assert key.shape == value.shape == (1, 2, 1, 4)


@pytest.mark.slow
def test_the_command_writes_int8_networks_of_a_context_and_of_a_word(tmp_path, book, capsys):
    flags = [f"--{name}={getattr(SMALL, name)}" for name in ("width", "blocks", "heads", "context", "batch")]
    command = ["transformer", "--data", str(book), "--out", str(tmp_path), "--epochs=1", "--min-count=1", "--threads=1", *flags]
    assert main(command) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    assert 1 < record["test"]["int8, of these"] < 2 * record["test"]["float, of these"]
    assert "perplexity" in capsys.readouterr().out
    prefill, decode = (load_dnn(tmp_path / f"{name}.safetensors") for name in ("prefill", "decode"))
    assert prefill.provenance["record"] == record
    words = len(prefill.provenance["words"])
    for model, steps in ((prefill, SMALL.context), (decode, 1)):
        network = model.network
        inputs = {name: np.zeros(network.tensors[name].shape, network.tensors[name].dtype) for name in network.inputs}
        assert compute_network(network, inputs).tensors[network.outputs[0]].shape == (1, steps, words)
        assert model.prepared is None
        judged = model.test_set.labels[model.test_set.labels >= 0]
        assert 0 <= judged.min() <= judged.max() < words == len(model.test_set.classes)
    assert (prefill.test_set.labels >= 0).sum() == record["test"]["words"] - 1
    assert decode.test_set.labels.shape == (4, 1)
    assert len(decode.network.inputs) == 1 + 2 * SMALL.blocks


@pytest.mark.slow
@pytest.mark.parametrize(("words", "decoded"), [(6, 0), (9, 1), (14, 2)])
def test_of_a_short_text_there_are_as_many_samples_as_contexts_are_full(tmp_path, words, decoded):
    """A test text that fills no context, one, or two with a third that is cut off."""
    book = tmp_path / "short"
    book.mkdir()
    for split, count in (("train", 400), ("valid", 60), ("test", words)):
        (book / f"wiki.{split}.tokens").write_text(" ".join(f"w{n % 9}" for n in range(count)), encoding="utf-8")
    flags = [f"--{name}={getattr(SMALL, name)}" for name in ("width", "blocks", "heads", "context", "batch")]
    command = ["transformer", "--data", str(book), "--out", str(tmp_path / "out"), "--epochs=1", "--min-count=1", "--threads=1"]
    assert main([*command, *flags]) == 0
    decode = load_dnn(tmp_path / "out" / "decode.safetensors")
    assert (0 if decode.test_set is None else len(decode.test_set)) == decoded
    assert decode.test_set is None or (decode.test_set.labels >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prefill", "decode"])
def test_a_run_of_what_was_written_is_scored_as_training_scored_it(tmp_path, book, name):
    flags = [f"--{name}={getattr(SMALL, name)}" for name in ("width", "blocks", "heads", "context", "batch")]
    command = ["transformer", "--data", str(book), "--out", str(tmp_path), "--epochs=1", "--min-count=1", "--threads=1", *flags]
    assert main(command) == 0
    ran = ["dnn", str(tmp_path / f"{name}.safetensors"), "--transport", "mem", "--pes", "5", "--no-monitor", "--no-pictures"]
    assert launch([*ran, "--out", str(tmp_path / "run")]) == 0
    metrics = {one["name"]: one["value"] for one in read_report(tmp_path / "run")["metrics"]}
    scored = json.loads((tmp_path / "figures.json").read_text())["test"]
    model = load_dnn(tmp_path / f"{name}.safetensors")
    network, labels = model.network, model.test_set.labels
    outputs = [
        compute_network(network, {key: array[n][None] for key, array in model.test_set.inputs.items()}).tensors[network.outputs[0]]
        for n in range(len(labels))
    ]
    classes = np.stack(outputs)[:, 0].argmax(axis=-1)
    assert metrics["accuracy"] == pytest.approx(100 * (classes == labels)[labels >= 0].mean())
    if name == "prefill":  # a run's perplexity is of the words that are predicted: all but the first
        words = scored["words"]
        assert math.log(metrics["perplexity"]) * (words - 1) == pytest.approx(math.log(scored["int8, of these"]) * words, rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "words"), [({"width": 9}, "--heads"), ({"context": 1}, "--context"), ({"dropout": 1.0}, "--drop")]
)
def test_what_cannot_be_trained_is_one_line(flags, words):
    with pytest.raises(ModelError, match=words):
        TransformerSettings(**flags).check()
