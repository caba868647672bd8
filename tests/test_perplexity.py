"""A perplexity or a score that no number holds is said in words wherever it would stand, and left out nowhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fastjsonschema
import numpy as np
import pytest

from host.cli import main
from host.experiments.columns import columns_of, format_cell
from host.run_folder import read_report
from host.show.status import format_metric
from host.workloads.dvs.results import Answer, Setting, compose_result
from host.workloads.dvs.summary import summary_lines as gesture_lines
from host.workloads.lm.example import smallest
from host.workloads.lm.generation import Choice, Generation
from host.workloads.lm.paper import Perplexity, table_2
from host.workloads.lm.scoring import TextScore
from host.workloads.lm.summary import summary_lines as text_lines
from host.workloads.registry import workloads
from models.checkpoint import load, save
from models.text.perplexity import overflow_in_words, perplexity_of
from noc.packet import VALID, Section

pytestmark = pytest.mark.timeout(60)
VALIDATE = fastjsonschema.compile(json.loads((Path(__file__).resolve().parents[1] / "docs" / "report.schema.json").read_text()))


def test_a_perplexity_is_a_number_as_long_as_a_double_holds_it():
    assert perplexity_of(4.4 * 70, 70) == pytest.approx(math.exp(4.4))
    assert perplexity_of(709.7 * 10, 10) == pytest.approx(math.exp(709.7))
    assert overflow_in_words(709.7 * 10, 10) == ""


@pytest.mark.parametrize(
    ("nats", "words"),
    [
        (709.8 * 10, "more than 1.8e+308 (7.1e+02 nats a token)"),
        (1e5 * 10, "more than 1.8e+308 (1.0e+05 nats a token)"),
        (math.inf, "more than 1.8e+308 (inf nats a token)"),
        (math.nan, "no number (logits beyond float32)"),
    ],
)
def test_beyond_it_is_said_in_words(nats, words):
    assert not math.isfinite(perplexity_of(nats, 10))
    assert overflow_in_words(nats, 10) == words


@pytest.fixture
def exploded(tmp_path, monkeypatch, capfd):
    """Return a function that runs `lm` on a model whose decoder has a bias that exploded, and returns output and report."""
    monkeypatch.chdir(tmp_path)
    options = smallest(tmp_path)

    def go(bias, *arguments, text=True):
        model = load(Path(options["checkpoint"]))
        biases = np.zeros(len(model.embedding), np.float32)
        biases[: len(bias)] = bias
        save(tmp_path / "exploded.safetensors", replace(model, decoder_bias=biases))
        words = ("--text", options["text"], "--tokens", "12") if text else ()
        chosen = ("--checkpoint", "exploded.safetensors", "--pes", "3", "--transport", "mem", "--no-pictures", "--no-monitor")
        assert main(["lm", *chosen, *words, *arguments, "--out", "out"]) == 0
        report = read_report(tmp_path / "out")
        VALIDATE(report)
        return capfd.readouterr().out, report

    return go


@pytest.mark.wide
def test_a_run_says_it_in_summary_note_metric_and_table(exploded):
    out, report = exploded([1e5])
    assert "perplexity   more than 1.8e+308 (9.2e+04 nats a token) over 12 tokens of text.txt\n" in out
    assert report["result"]["perplexity"] is None
    assert report["result"]["note"] == "perplexity more than 1.8e+308 (9.2e+04 nats a token)"
    (metric,) = report["metrics"]
    assert metric["note"] == "more than 1.8e+308 (9.2e+04 nats a token) over 12 tokens"
    column = columns_of(workloads()["lm"])["perplexity"]
    assert format_cell(column.value(SimpleNamespace(report=report))) == metric["note"]


def test_while_a_run_goes_on_it_shows_as_an_overflow():
    decoder = SimpleNamespace(logits_of=lambda *_: np.float32([1e5, 0, 0]))
    scoring = TextScore(decoder, np.uint32([[1, 2, 1]]))
    section = Section(position=0, flags=VALID, population=1, keys=b"", values=b"", ledger=b"")
    assert format_metric(scoring.progress().metrics[0]._asdict()) == "?"
    scoring.answer(0, {1: (section,)})
    assert format_metric(scoring.progress().metrics[0]._asdict()) == "overflow"
    assert scoring.metrics(None)[0].value is None


@pytest.mark.wide
def test_a_perplexity_with_hundreds_of_digits_is_shortened(exploded):
    out, report = exploded([700.0])
    assert report["result"]["perplexity"] > 1e200
    assert f"perplexity   {report['result']['perplexity']:.4g} over 12 tokens" in out


@pytest.mark.parametrize("logits", [[np.inf, 0, 0], [np.nan, 0, 0], [-np.inf, np.inf, 3]])
def test_generated_words_that_overflowed_scores_chose_are_counted(logits):
    scores = iter([np.float32([0, 1, 2]), np.float32(logits), np.float32([2, 1, 0])])
    decoder = SimpleNamespace(logits_of=lambda *_: next(scores))
    choice = Choice(temperature=1.0, top_k=0, seed=1, forbidden=0)
    settings = {"prompt": np.uint32([1]), "words": 3, "choice": choice, "segment": 0, "into": 0, "detokenise": str}
    generation = Generation(None, decoder, **settings)
    for position in range(3):
        section = Section(position=position, flags=VALID, population=1, keys=b"", values=b"", ledger=b"")
        generation.answer(position, {1: (section,)})
    result = generation.result()
    assert (len(result["generated"]), result["not_finite"]) == (3, 1)
    assert result["note"] == "scores of 1 words are no finite numbers: the text means nothing"
    lines = text_lines({"result": {**result, "unknown_words": 0, "source": "prompt"}}, {})
    assert "overflow     scores of 1 of 3 words are no finite numbers: the text means nothing" in lines
    other = Generation(None, decoder, **settings)
    other.restore(generation.snapshot())
    assert other.result() == result


@pytest.mark.wide
def test_a_model_whose_scores_are_numbers_says_nothing_of_it(exploded):
    out, report = exploded([0.5], "--prompt", "word1 word2", "--generate", "5", text=False)
    assert (report["result"]["not_finite"], report["result"]["note"]) == (0, "")
    assert "overflow" not in out


def test_the_papers_table_says_it():
    watts, joules, seconds = {"power_w": 1.0, "power_band_w": (1, 1)}, {"energy_j": 1.0, "energy_band_j": (1, 1)}, {"time_s": 1.0}
    priced = SimpleNamespace(**watts, **joules, **seconds, time_band_s=(1, 1))
    assert "more than 1.8e+308" in table_2(Perplexity(None, None, "perplexity more than 1.8e+308 (9.2e+04 nats a token)"), priced)


def test_gestures_whose_scores_are_no_numbers_are_counted():
    setting = Setting(
        classes=("a", "b"), source="set", terms="set", split="test", asked=None, frames=1, bin_us=1, slice_us=1, record={}
    )
    scores = ([0.5, math.nan], [math.inf, 1.0], [0.5, 0.25])
    answers = [Answer(f"s{n}", "user", 0, 0, pair) for n, pair in enumerate(scores)]
    result = compose_result(setting, answers, [], frames=3, host_s=0.0)
    assert result["note"] == "2 of 3 samples have scores that are no finite numbers"
    lines = gesture_lines({"result": result, "mapping": {"lanes": 1}}, {})
    assert "overflow     2 of 3 samples have scores that are no finite numbers" in lines
