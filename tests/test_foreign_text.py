"""Texts that are not a model's own: words that it lacks are counted beside the perplexity, warned of, refused; word numbers."""

from __future__ import annotations

import numpy as np
import pytest

from host.cli import main
from host.errors import HostError
from host.workloads.lm.options import Options
from host.workloads.lm.prepare import MOST_UNKNOWN, WARNED_SHARE
from host.workloads.lm.summary import summary_lines
from host.workloads.lm.word_numbers import read_word_numbers
from host.workloads.registry import prepare, workloads
from models.checkpoint import Model, save
from models.seeded import seeded_egru, seeded_embedding
from models.text.tokeniser import EOS, UNK
from tests.tools.examples import Example

pytestmark = pytest.mark.timeout(60)
WORDS = tuple(f"word{number}" for number in range(8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model of eight words, and the same without its words."""
    folder = tmp_path_factory.mktemp("foreign")
    vocabulary = (UNK, EOS, *WORDS)
    embedding, bias = seeded_embedding(len(vocabulary), 12), np.zeros(len(vocabulary), np.float32)
    network = seeded_egru(12, (16, 12), density=0.5, seed=1, threshold=0.3)
    save(folder / "words.safetensors", Model(network, embedding, bias, vocabulary))
    save(folder / "numbers.safetensors", Model(network, embedding, bias))
    return folder


def job_of(folder, text, **options):
    path = folder / "text.txt"
    path.write_text(text)
    return prepare(Options(checkpoint=str(folder / "words.safetensors"), text=str(path), pes=2, transport="mem", **options))


def text_of(known, unknown):
    """A text of one paragraph, whose end is a word that the model knows."""
    return " ".join([*WORDS[:known], *(f"strange{number}" for number in range(unknown))])


def test_a_text_in_other_words_is_refused_with_its_share(folder):
    with pytest.raises(HostError) as caught:
        job_of(folder, text_of(3, 6))
    line = str(caught.value)
    assert "text 'text.txt': 6 of 10 words (60 %) are not the model's and became <unk>" in line
    assert "at most 50 % may be; take a text in its words, or --force" in line
    assert (caught.value.code, "\n" in line) == (2, False)
    assert MOST_UNKNOWN == 0.5


def test_it_runs_where_that_is_forced_and_says_so_first(folder):
    job = job_of(folder, text_of(3, 6), force=True)
    assert job.note == "6 of 10 words (60 %) are not the model's and became <unk>: what comes of it says little of the model"


@pytest.mark.parametrize(("known", "unknown", "warned"), [(7, 0, False), (8, 1, False), (7, 1, True), (4, 5, True)])
def test_some_strange_words_are_warned_of(folder, known, unknown, warned):
    job = job_of(folder, text_of(known, unknown))
    assert bool(job.note) is warned is (unknown / (known + unknown + 1) > WARNED_SHARE)
    assert job.facts["unknown_words"] == unknown


def test_only_what_is_run_counts(folder):
    """The strange words come behind the tokens that are asked for."""
    assert job_of(folder, text_of(3, 6), tokens=2).note == ""


def test_a_prompt_in_other_words_is_warned_of(folder):
    job = prepare(Options(checkpoint=str(folder / "words.safetensors"), prompt="strange word1", pes=2, transport="mem"))
    assert job.note.startswith("1 of 2 words (50 %) are not the model's")


def test_the_share_stands_beside_the_perplexity(folder):
    job = job_of(folder, text_of(8, 1))
    (metric,) = job.readout.metrics(None)
    assert metric.note == "over 0 tokens, 10 % of the words <unk>"
    result = {"perplexity": 3.0, "tokens": 9, "source": "text.txt", "unknown_words": 1, "words_run": 10, "note": ""}
    assert summary_lines({"result": result}, {})[0] == "perplexity   3.00 over 9 tokens, 10 % of the words <unk>, of text.txt"


def test_the_model_s_own_text_is_no_stranger(folder):
    """WikiText has <unk> in it, which is a word as any other."""
    path = folder / "unk.txt"
    path.write_text("<unk> <unk> <unk> word1 word2")
    job = prepare(Options(checkpoint=str(folder / "words.safetensors"), text=str(path), pes=2, transport="mem"))
    assert (job.note, job.facts["unknown_words"]) == ("", 0)


# -- word numbers


@pytest.mark.slow
def test_a_model_without_its_words_takes_their_numbers(folder, tmp_path):
    """The same numbers give the same events and perplexity as the words."""
    numbers = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 1]
    (tmp_path / "ids.txt").write_text(" ".join(map(str, numbers)))
    np.save(tmp_path / "ids.npy", np.array(numbers))
    (tmp_path / "words.txt").write_text("word0 word1 word2 word3 word4 word5 word6 word7 word0 word1")
    example = Example(workloads()["lm"], tmp_path)
    results = []
    for checkpoint, source in (
        ("words", {"text": "words.txt"}), ("words", {"ids": "ids.txt"}), ("numbers", {"ids": "ids.txt"}),
        ("numbers", {"ids": "ids.npy"}),
    ):  # fmt: skip
        files = {name: str(tmp_path / file) for name, file in source.items()}
        options = {"text": None, "checkpoint": str(folder / f"{checkpoint}.safetensors"), "tokens": 10, "transport": "mem"} | files
        ran = example.run(**options)
        assert ran.outcome.problem is None
        results.append((ran.report["events"]["sha256"], ran.report["result"]["perplexity"], ran.report["result"]["vocabulary"]))
    assert len(set(results)) == 1
    assert ran.report["result"]["vocabulary_sha256"] is None


def test_without_numbers_it_says_what_it_takes(folder):
    for options in ({}, {"prompt": "word1"}):
        with pytest.raises(HostError, match=r"has no vocabulary; .*, or take word numbers: --ids FILE"):
            prepare(Options(checkpoint=str(folder / "numbers.safetensors"), **options))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("x.txt", "1 2 three", "has 'three', which is no word number"),
        ("x.txt", "1 2.5", "has '2.5', which is no word number"),
        ("x.txt", "1 10 2", "needs word numbers below 10, has 10 at 1"),
        ("x.txt", "1 -1", "needs word numbers below 10, has -1 at 1"),
        ("x.txt", " \n", "has no word numbers"),
        ("x.npy", np.ones((2, 2), int), "needs word numbers (tokens,) of whole numbers, has (2, 2) of int64"),
        ("x.npy", np.ones(2), "needs word numbers (tokens,) of whole numbers, has (2,) of float64"),
        ("x.npy", "no array", "cannot be read (ValueError"),
        ("x.txt", np.ones(2, int), "is no text in UTF-8; a file of numpy ends in .npy"),
        ("x.txt", None, "cannot be read (no such file)"),
    ],
)
def test_what_are_no_word_numbers_gets_one_line(tmp_path, name, content, line):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(tmp_path / "a.npy", content)
        (tmp_path / "a.npy").rename(path)
    with pytest.raises(HostError) as caught:
        read_word_numbers(path, f"--ids {name}", 10)
    assert line in str(caught.value)
    assert str(caught.value).startswith(f"--ids {name}: ")
    assert "\n" not in str(caught.value)


def test_numbers_go_with_one_text_alone(capsys):
    assert main(["lm", "--ids", "x.txt", "--text", "y.txt"]) == 2
    assert "--text and --ids: choose one" in capsys.readouterr().err
    assert main(["lm", "seeded", "--ids", __file__]) == 2
    assert "needs a language model, whose words they are the numbers of" in capsys.readouterr().err
