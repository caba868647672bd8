"""The trainer's command line, from a folder of text to a checkpoint on the emulated chip."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")
pytest.importorskip("tqdm", reason="the trainer's extra is not installed")
pytest.importorskip("matplotlib", reason="the trainer's extra is not installed")

from host.cli import main as launch  # noqa: E402 - needs torch
from host.run_folder import read_report  # noqa: E402
from models.checkpoint import load  # noqa: E402
from models.text.ngrams import KneserNey  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.common.log_plot import plot, read_log  # noqa: E402
from models.training.language.settings import AUTHORS, LanguageSettings  # noqa: E402
from tests.tools.command_lines import Done, run_command  # noqa: E402

pytestmark = [pytest.mark.wide, pytest.mark.timeout(120)]
TINY = ("--embedding", 16, "--hidden", "24,24", "--epochs", 2, "--batch", 4)


@pytest.fixture
def train(capfd, monkeypatch, tmp_path):
    """Return a function that runs `python -m models.training` in an empty folder, within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    threads = torch.get_num_threads()

    def go(*arguments: object) -> Done:
        return run_command(main, arguments, capfd.readouterr)

    yield go
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def wiki(tmp_path_factory):
    """A folder in WikiText's layout: headings, blank lines, `<unk>`, words of the valid and test splits only."""
    folder = tmp_path_factory.mktemp("wiki")
    rng = np.random.default_rng(3)
    for split, lines in (("train", 40), ("valid", 9), ("test", 9)):
        text = [" ", f" = {split} = ", " "]
        for _ in range(lines):
            start = rng.integers(0, 20)
            words = ["<unk>" if rng.random() < 0.05 else f"W{(start + n) % 20}" for n in range(rng.integers(10, 25))]
            text.append(f" {' '.join(words)} . ")
            if rng.random() < 0.3:
                text.append(" ")
        (folder / f"wiki.{split}.tokens").write_text("\n".join(text) + "\n")
    return folder


def words_of(folder: Path, split: str) -> list[str]:
    """As egru.md says the authors read a file: what white space separates, `<eos>` behind every line, blank ones too."""
    lines = (folder / f"wiki.{split}.tokens").read_text().split("\n")[:-1]
    return [word for line in lines for word in (*line.split(), "<eos>")]


# ---- WikiText


@pytest.mark.slow
def test_a_wikitext_folder_is_trained_on_as_the_authors_do_and_runs_on_the_chip(train, wiki, tmp_path, capfd):
    done = train("lm", "--data", wiki, "--out", "run", *TINY, "--prune-every", 1)
    assert done.returncode == 0, done.stderr
    assert "checkpoint   run/model.safetensors" in done.stdout

    # The recipe: egru.md section 5, in the authors' numbers.
    used = json.loads((tmp_path / "run" / "settings.json").read_text())
    recipe = {
        "lr": 1e-3, "beta1": 0.0, "weight_decay": 0.12, "clip": 0.1, "length": 70, "vary_length": True, "state": "zeroed",
        "warm_up": 0.0, "cosine_from": 0.5, "drop_input": 0.7, "drop_word": 0.1, "drop_between": 0.25, "drop_output": 0.5,
        "drop_connect": 0.7, "mask_over": "batch", "dampening": 3.6, "support": 3.6, "threshold_mean": 0.01, "threshold_lr": 0.0,
        "zoneout": 0.0, "init": "xavier", "activity_weight": 0.0, "precision": "float32",
    }  # fmt: skip
    assert {name: used[name] for name in recipe} == recipe
    assert {used["data"], used["epochs"], used["batch"]} == {str(wiki), 2, 4}
    assert (AUTHORS["epochs"], AUTHORS["batch"]) == (800, 128)

    # The text: every word of all three splits, in order of appearance; the splits' numbers travel with the checkpoint.
    model = load(tmp_path / "run" / "model.safetensors")
    splits = {split: words_of(wiki, split) for split in ("train", "valid", "test")}
    assert model.vocabulary == tuple(dict.fromkeys(word for words in splits.values() for word in words))
    for split in ("valid", "test"):
        assert [model.vocabulary[number] for number in model.tokens[split]] == splits[split]
    assert (model.state, model.segment, model.reset_every) == ("zeroed", 70, 70)
    assert [layer.units for layer in model.network.populations] == [16, 24, 24, 16]
    assert model.text_licence.startswith("CC BY-SA")
    assert model.provenance["settings"]["weight_decay"] == 0.12
    assert model.provenance["text"] == f"wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens in {wiki.name}"
    for layer in model.network.populations[1:]:
        for projection in layer.projections:
            rows, columns = projection.weights.shape
            assert projection.weights.nonzeros == rows * columns - round(0.95 * rows * columns)

    # The figures: the emulated chip gets the trainer's own, in both modes, on both splits.
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    for split in ("valid", "test"):
        for state in ("zeroed", "carried"):
            out = f"{split}-{state}"
            flags = ("--split", split, "--state", state, "--tokens", len(splits[split]) - 1, "--transport", "mem", "--pes", 3)
            code = launch(["lm", "--checkpoint", "run/model.safetensors", "--out", out, *map(str, flags)])
            assert code == 0, capfd.readouterr().err
            found = read_report(tmp_path / out)["result"]["perplexity"]
            assert f"{found:.4g}" == f"{figures[f'{split}_{state}']['perplexity']:.4g}"
    capfd.readouterr()
    assert train("conform", "run/model.safetensors").returncode == 0


@pytest.mark.slow
def test_the_printed_equation_4_is_trained_and_runs_on_the_chip(train, wiki, tmp_path, capfd):
    """With the reset gate inside the product: the emulated chip gets the trainer's own perplexity, verified."""
    done = train("lm", "--data", wiki, "--out", "run", *TINY, "--gate", "inside", "--zoneout", 0.1, "--prune-every", 1)
    assert done.returncode == 0, done.stderr
    model = load(tmp_path / "run" / "model.safetensors")
    kernels = [one.kernel for one in model.network.populations]
    assert kernels == ["", *["egru_gate", "egru_cell"] * 3]
    assert model.provenance["settings"]["gate"] == "inside"
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    tokens = len(words_of(wiki, "test")) - 1
    flags = ("--gate", "inside", "--tokens", tokens, "--transport", "mem", "--pes", 3, "--verify", "--out", "out")
    assert launch(["lm", "--checkpoint", "run/model.safetensors", *map(str, flags)]) == 0, capfd.readouterr().err
    report = read_report(tmp_path / "out")
    assert f"{report['result']['perplexity']:.4g}" == f"{figures['test_zeroed']['perplexity']:.4g}"
    capfd.readouterr()
    assert train("conform", "run/model.safetensors").returncode == 0


@pytest.mark.slow
def test_a_flag_goes_before_the_recipe_and_the_demo_recipe_can_be_asked_for(train, wiki, tmp_path):
    train("lm", "--data", wiki, "--out", "one", *TINY, "--lr", 0.01, "--no-vary-length", "--state", "carried")
    used = json.loads((tmp_path / "one" / "settings.json").read_text())
    assert (used["lr"], used["vary_length"], used["state"], used["weight_decay"]) == (0.01, False, "carried", 0.12)
    assert load(tmp_path / "one" / "model.safetensors").state == "carried"
    train("lm", "--data", wiki, "--out", "two", *TINY, "--recipe", "demo", "--licence", "mine")
    used = json.loads((tmp_path / "two" / "settings.json").read_text())
    assert used["weight_decay"] == LanguageSettings().weight_decay
    assert load(tmp_path / "two" / "model.safetensors").text_licence == "mine"


def test_the_floors_are_printed(train, wiki):
    done = train("floors", "--data", wiki)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    vocabulary = list(dict.fromkeys(word for split in ("train", "valid", "test") for word in words_of(wiki, split)))
    ids = {split: np.array([vocabulary.index(w) for w in words_of(wiki, split)], np.uint32) for split in ("train", "test")}
    assert rows[1][2] == f"{KneserNey(ids['train'], len(vocabulary), 2).perplexity(ids['test']):.1f}"
    assert float(rows[0][2]) > float(rows[1][2])


# ---- other texts and models


@pytest.fixture
def prose(tmp_path):
    """A text file of 1,500 words."""
    path = tmp_path / "prose.txt"
    rng = np.random.default_rng(2)
    path.write_text("\n\n".join(" ".join(f"w{n % 9}" for n in range(k, k + 30)) for k in rng.integers(0, 9, 50)))
    return path


@pytest.mark.slow_but("egru")
@pytest.mark.parametrize("model", ["egru", "lstm", "gru"])
def test_every_model_trains_on_a_text_file(train, prose, tmp_path, model):
    done = train("lm", "--data", prose, "--out", "run", *TINY, "--model", model, "--threads", 1, "--hidden", "")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    figures = json.loads((folder / "figures.json").read_text())
    splits = [
        f"{split}_{mode}" for split in ("valid", "test") for mode in (("carried", "zeroed") if model == "egru" else ("carried",))
    ]
    assert [name for name in figures if name.startswith(("valid_", "test_"))] == splits
    assert [one["tokens"] for one in figures.get("first_tokens", [])] == ([70, 70] if model == "egru" else [])
    assert all(1 < figures[name]["perplexity"] < 1e3 for name in splits)
    assert (folder / "model.safetensors").exists() == (model == "egru")
    assert done.stdout.count("activity") == (4 if model == "egru" else 0)
    assert {"settings.json", "log.csv", "log.png", "best.safetensors", "state.safetensors"} <= {p.name for p in folder.iterdir()}
    assert not (folder / "state.unfinished").exists()


def test_the_same_command_goes_on_and_another_does_not(train, prose, tmp_path, monkeypatch):
    from models.training.language.trainer import LanguageTrainer

    real = LanguageTrainer._store

    def store(self):
        real(self)
        if self.progress.epoch == 1:
            raise KeyboardInterrupt

    command = ("lm", "--data", prose, "--out", "run", *TINY)
    monkeypatch.setattr(LanguageTrainer, "_store", store)
    done = train(*command)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "training: interrupted; the same command goes on")
    monkeypatch.setattr(LanguageTrainer, "_store", real)
    before = (tmp_path / "run" / "settings.json").read_text()
    done = train(*command, "--lr", 0.1)
    assert done.returncode == 2
    assert "belongs to a run with another lr; use another --out" in done.stderr
    assert (tmp_path / "run" / "settings.json").read_text() == before
    done = train(*command)
    assert done.returncode == 0
    assert "50%" in done.stderr  # the bar goes on from where the run does
    assert [row["epoch"] for row in read_log(tmp_path / "run" / "log.csv") if row["valid_perplexity"] is not None] == [1, 2]
    train("lm", "--data", prose, "--out", "whole", *TINY)
    for name in ("model.safetensors", "best.safetensors", "figures.json"):
        cut, whole = ((tmp_path / folder / name).read_bytes() for folder in ("run", "whole"))
        if name == "figures.json":
            cut, whole = ({**json.loads(text), "seconds": 0} for text in (cut, whole))
        if name != "model.safetensors":  # whose provenance holds seconds
            assert cut == whole


class Killed(BaseException):
    """A death that no handler sees: nothing is stored on the way out."""


@pytest.mark.slow
def test_a_killed_run_goes_on_from_within_its_epoch(train, prose, tmp_path, monkeypatch):
    from models.training.common import loop
    from models.training.language.trainer import LanguageTrainer

    after_step = LanguageTrainer.after_step

    def die_in_the_middle(self):
        after_step(self)
        if self.progress.iteration == 3:
            raise Killed

    command = ("lm", "--data", prose, "--out", "run", *TINY)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "STORE_EVERY_S", 0.0)
        patch.setattr(LanguageTrainer, "after_step", die_in_the_middle)
        with pytest.raises(Killed):
            train(*command)
    assert train(*command).returncode == 0
    assert train("lm", "--data", prose, "--out", "whole", *TINY).returncode == 0
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == (tmp_path / "whole" / "best.safetensors").read_bytes()


# ---- plots


def image_of(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000


@pytest.mark.slow
def test_logs_are_drawn_side_by_side(train, prose, tmp_path):
    for model in ("egru", "lstm"):
        train("lm", "--data", prose, "--out", model, *TINY, "--model", model, "--sparsity", 0.5 if model == "egru" else 0)
        assert image_of(tmp_path / model / "log.png")
    assert train("plot", "EGRU=egru", "lstm", "--out", "both.png") == Done(0, "", "")
    assert image_of(tmp_path / "both.png")
    assert train("plot", "lstm", "--out", "lstm.svg").returncode == 0  # dense: nothing in the lower half
    assert "<svg" in (tmp_path / "lstm.svg").read_text()
    plot({"cut short": tmp_path / "egru" / "log.csv"}, tmp_path / "again.png")


# ---- what users do wrong: (arguments, a part of the one line)

WRONG = [
    (("--data", "missing.txt"), "missing.txt"),
    (("--data", "."), "wikitext: '.': need one or more of wiki.train.tokens"),
    (("--data", "short.txt"), "needs at least 2 words"),
    (("--batch", "100000"), "are too few for 100000 sequences"),
    (("--model", "rnn"), "--model 'rnn': needs one of egru, lstm, gru"),
    (("--lr", "nan"), "--lr nan: needs a number above 0"),
    (("--lr", "fast"), "argument --lr: invalid float value: 'fast'"),
    (("--epochs", "0"), "--epochs 0: needs at least 1"),
    (("--sparsity", "1"), "--sparsity 1.0: needs a share from 0 to below 1"),
    (("--seed", "-3"), "--seed -3: needs a number from 0"),
    (("--hidden", "1,b"), "--hidden '1,b': needs sizes"),
    (("--device", "cuda:99"), "--device cuda:99: torch "),
    (("--device", "tpu"), "sees no such device; use --device cpu"),
    (("--threads", "-1"), "--threads -1: needs 0"),
    (("--recipe", "theirs"), "argument --recipe: invalid choice: 'theirs'"),
    (("--sparsty", "0.5"), "unrecognized arguments: --sparsty 0.5"),
    (("--out", "prose.txt"), "File exists: 'prose.txt'"),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_wrong_flag_gets_one_line(train, prose, tmp_path, arguments, line):
    (tmp_path / "short.txt").write_text("only a few words")
    chosen = {"--data": prose, "--out": "out", **dict(zip(TINY[::2], TINY[1::2], strict=True)), **dict([arguments])}
    done = train("lm", *(part for pair in chosen.items() for part in pair))
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "log.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("lm",), "the following arguments are required: --out"),
        (("plot", "nowhere", "--out", "x.png"), "nowhere/log.csv"),
        (("plot", "empty", "--out", "x.jpeg"), "--out x.jpeg: needs a name that ends in .png or .svg"),
        (("plot", "other", "--out", "x.png"), "log other/log.csv: not a training log"),
        (("floors", "--data", "missing.txt"), "missing.txt"),
        (("conform", "missing.safetensors"), "checkpoint missing.safetensors: cannot be read (no such file)"),
        (("conform", "x", "--state", "lost"), "argument --state: invalid choice: 'lost'"),
    ],
)
def test_wrong_commands_get_one_line(train, tmp_path, arguments, line):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.csv").write_text("a,b\n1,2\n")
    done = train(*arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_diverges_says_so(train, prose):
    done = train("lm", "--data", prose, "--out", "out", *TINY, "--lr", "1e30", "--clip", "1e30", "--sparsity", 0)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == ("training: out: training diverged, no epoch had a finite perplexity; use a lower --lr")


def test_without_the_extra_one_line_says_what_to_install(train, monkeypatch, prose):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "models.training.language.text_streams")
    done = train("lm", "--data", prose, "--out", "out")
    assert done.returncode == 2
    assert done.stderr == "training: this Python lacks torch; install the extra: pip install '.[train]'\n"


def test_help_reads_well(train):
    for command in ((), ("lm",), ("floors",), ("plot",), ("conform",)):
        done = train(*command, "--help")
        assert done.returncode == 0
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
    printed = train("lm", "--help").stdout
    for entry in fields(LanguageSettings):
        assert f"--{entry.name.replace('_', '-')} " in printed or f"--{entry.name.replace('_', '-')}," in printed
        assert entry.metadata["help"]
