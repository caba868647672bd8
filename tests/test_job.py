"""What a run is made of: which text in which words, how cell states cross segments, what lies before the decoder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.workloads.lm.options import SPLITS, STATES
from host.workloads.lm.options import Options as LmOptions
from host.workloads.lm.text import PYTHON_LICENCE, read_text
from host.workloads.registry import prepare
from models import checkpoint
from models.checkpoint import DecoderProjection, load, save
from models.checkpoint.tasks import language
from models.network import SEGMENT_STATES
from models.reference import Reference
from models.seeded import seeded_egru, seeded_embedding
from tests.tools.tiny import LAYERS, UNITS, WORDS

pytestmark = pytest.mark.timeout(60)
TOKENS = {split: np.random.default_rng(n).integers(0, WORDS, 90, np.uint32) for n, split in enumerate(SPLITS)}


@pytest.fixture(scope="module")
def tiny(folder):
    return load(folder / "tiny.safetensors")


@pytest.fixture
def options(tiny, tmp_path):
    """Return a function that saves the tiny model with changes and returns options that run it."""

    def make(changes=None, **chosen):
        path = tmp_path / "model.safetensors"
        save(path, replace(tiny, **(changes or {})))
        return LmOptions(**{"checkpoint": str(path), "pes": 3, "transport": "mem", **chosen})

    return make


def refused(call, *words):
    with pytest.raises(HostError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


def test_the_launcher_and_the_models_use_the_same_names():
    assert set(STATES) == set(SEGMENT_STATES)
    assert SPLITS == checkpoint.SPLITS


# ---- what cannot be run on text


@pytest.mark.parametrize("command", ["lm", "verify"])
def test_a_bare_stack_of_layers_is_not_run_on_text(options, command):
    bare = {"embedding": None, "decoder_bias": None, "vocabulary": ()}
    refused(
        lambda: prepare(options(bare, verify=command == "verify")),
        "model.safetensors: has no embedding",
        "is run on arrays, not on text",
    )


def test_words_without_a_vocabulary_are_not_run(options):
    refused(lambda: prepare(options({"vocabulary": (), "tokens": TOKENS})), "has no vocabulary", "imported together with the text")


@pytest.mark.parametrize(("dram_bytes", "line", "code"), [
    (2048, "DRAM: 2048 B; needs more than 2048 B", Exit.USAGE),
    (2112, "DRAM: region 'embedding' needs", Exit.DOES_NOT_FIT),
])  # fmt: skip
def test_an_embedding_that_the_dram_cannot_hold_is_refused(options, tmp_path, dram_bytes, line, code):
    chip_file = tmp_path / "chip.toml"
    chip_file.write_text(f"[facts]\ndram_bytes = {dram_bytes}\n")
    with pytest.raises(HostError, match=line) as caught:
        prepare(options(chip_file=str(chip_file), tokens=5))
    assert caught.value.code is code


# ---- which text


@pytest.mark.parametrize(("split", "used"), [(None, "test"), ("test", "test"), ("valid", "valid")])
def test_a_checkpoint_brings_its_own_text(options, tiny, split, used):
    chosen = options({"tokens": TOKENS, "text_licence": "CC0-1.0"}, split=split)
    source = read_text(chosen, load(tiny_path(chosen)))
    assert source.numbers.tobytes() == TOKENS[used].tobytes()
    assert (source.name, source.licence) == (f"{used} split stored in the checkpoint", "CC0-1.0")
    assert source.unknown.tolist() == (TOKENS[used] == 0).tolist()
    facts = prepare(replace(chosen, tokens=20)).facts
    assert facts["source"] == source.name
    assert facts["text_licence"] == "CC0-1.0"
    assert (facts["words_run"], facts["unknown_words"]) == (21, int((TOKENS[used][:21] == 0).sum()))


def tiny_path(options):
    from pathlib import Path

    return Path(options.checkpoint)


def test_a_split_that_is_not_stored_is_refused_with_those_that_are(options):
    chosen = options({"tokens": {"valid": TOKENS["valid"]}})
    assert prepare(chosen).facts["source"].startswith("valid split")  # the only one there is
    refused(lambda: prepare(replace(chosen, split="test")), "--split test", "model.safetensors holds only valid")


@pytest.mark.parametrize("stored", [{}, TOKENS], ids=["no text stored", "text stored"])
def test_a_text_of_the_users_goes_first_and_through_the_vocabulary(options, folder, stored):
    facts = prepare(options({"tokens": stored}, text=str(folder / "text.txt"), tokens=50)).facts
    assert (facts["source"], facts["text_licence"]) == ("text.txt", None)
    assert facts["unknown_words"] > 0
    facts = prepare(options({"tokens": stored}, prompt="w1 zebra w2", generate=2)).facts
    assert (facts["source"], facts["unknown_words"], facts["words_run"]) == ("prompt", 1, 3)


@pytest.mark.few(1)
@pytest.mark.parametrize("split", SPLITS)
def test_without_a_stored_text_it_is_pythons_documentation(options, split):
    names = [prepare(options(split=chosen, tokens=5)).facts for chosen in (split, None)]
    assert names[0]["source"] == f"standard-library, {split} split"
    assert names[0]["text_licence"] == PYTHON_LICENCE
    assert names[1]["source"] == "standard-library, test split"


def test_a_split_of_wikitext(options, tmp_path):
    (tmp_path / "wiki.valid.tokens").write_text(" w1 w2 w3 \n")
    (tmp_path / "wiki.train.tokens").write_text(" w4 w5 w6 w7 \n")
    assert prepare(options(wikitext=str(tmp_path))).facts["source"] == "wikitext, valid split"
    assert prepare(options(wikitext=str(tmp_path), split="valid")).facts["words_run"] == 4
    refused(lambda: prepare(options(wikitext=str(tmp_path), split="test")), "--split test", "no such split")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"split": "train"}, ["--split 'train': have valid, test"]),
        ({"split": "test", "text": "a"}, ["--split test", "not with --text"]),
        ({"split": "test", "prompt": "a", "generate": 1}, ["--split test", "not with --prompt"]),
        ({"state": "kept"}, ["--state 'kept': have zeroed, carried"]),
    ],
)
def test_names_that_are_none(chosen, words):
    refused(LmOptions(**chosen).check, *words)


# ---- cell states where a segment begins


@pytest.mark.parametrize("stored", STATES)
@pytest.mark.parametrize("asked", [None, *STATES])
def test_the_state_is_as_stored_or_as_asked_for(options, folder, tiny, stored, asked):
    job = prepare(options({"state": stored}, state=asked, text=str(folder / "text.txt"), tokens=20))
    state = asked or stored
    assert job.facts["state"] == state
    assert job.facts["segment"] == (tiny.segment if state == "zeroed" else 0)
    resets = [feed.position for feed in iter(job.source.next, None) if feed.flags & 2]
    assert resets == ([0, 7, 14] if state == "zeroed" else [0])


@pytest.mark.wide
def test_the_state_makes_a_difference_and_both_runs_agree_with_the_reference(run):
    hashes = set()
    for state in STATES:
        outcome = run(transport="mem", state=state, verify=True)
        assert (outcome.code, outcome.mismatch["difference"]) == (0, None)
        assert outcome.report["result"]["state"] == state
        hashes.add(outcome.report["events"]["sha256"])
    assert len(hashes) == 2


@pytest.mark.wide
def test_a_seeded_network_runs_as_the_paper_has_it():
    facts = prepare(LmOptions(checkpoint="seeded", tokens=2)).facts
    assert (facts["segment"], facts["state"], facts["seeded"]) == (70, "zeroed", True)


# ---- a projection before the decoder


@pytest.mark.few(1)
@pytest.mark.parametrize("activation", language.ACTIVATIONS)
def test_a_run_with_a_projection(run, tmp_path, tiny, activation):
    """The last layer is not as wide as the embedding; cross entropy beside a plain computation in float64."""
    width = 13
    network = seeded_egru(UNITS, (*LAYERS[:2], width), 0.3, seed=7)
    weight = 8 * seeded_embedding(UNITS, width)
    projection = DecoderProjection(weight, np.linspace(-1, 1, UNITS, dtype=np.float32), activation)
    path = tmp_path / "wide.safetensors"
    save(path, replace(tiny, network=network, projection=projection, tokens=TOKENS))
    outcome = run(checkpoint=str(path), transport="mem", text=None, tokens=30, verify=True)
    assert (outcome.code, outcome.problem) == (0, None)
    assert outcome.mismatch["difference"] is None
    assert outcome.report["result"]["source"] == "test split stored in the checkpoint"

    reference, total = Reference(network), 0.0
    words = TOKENS["test"]
    for position in range(30):
        (y,) = reference.step({0: tiny.embedding[words[position]]}, reset=position % tiny.segment == 0)[network.output]
        y = y.astype(np.float64)
        hidden = weight.astype(np.float64) @ y + projection.bias
        logits = tiny.embedding.astype(np.float64) @ (np.maximum(hidden, 0) if activation == "relu" else hidden) + tiny.decoder_bias
        total -= logits[words[position + 1]] - np.log(np.exp(logits).sum())
    assert outcome.report["result"]["cross_entropy_nats"] == pytest.approx(total, rel=1e-5)
    assert json.dumps(outcome.report)
