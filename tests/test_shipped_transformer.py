"""The shipped transformer is what docs/dnn.md says: on the words of the shipped EGRU, in int8, and as good as its record."""

import numpy as np
import pytest

from host.launch.launcher import Launcher
from host.workloads.dnn.options import Options
from models import shipped
from models.checkpoint import load
from models.dnn.compute import compute_network
from models.dnn.file import load_dnn
from models.dnn.integer import ACCUMULATOR_BITS
from models.dnn.reference import dequantised

NAMES = ("lm-transformer", "lm-transformer-decode")
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def models():
    return {name: load_dnn(shipped.path_of(name)) for name in NAMES}


@pytest.fixture(scope="module")
def egru():
    return load(shipped.path_of("lm"))


def logits_of(model, sample):
    network = model.network
    tensors = compute_network(network, {name: model.test_set.inputs[name][sample][None] for name in network.inputs}).tensors
    return dequantised(network, network.outputs[0], tensors[network.outputs[0]])[0].astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_small_in_int8_and_on_the_words_of_the_egru(models, egru, name):
    model = models[name]
    assert shipped.path_of(name).stat().st_size < 8_000_000
    assert model.prepared is None
    assert model.test_set.classes == tuple(model.provenance["words"]) == egru.vocabulary
    limit = 1 << (ACCUMULATOR_BITS - 1)
    assert all(-limit <= one.sum_low <= one.sum_high < limit for one in model.network.operations)
    assert "PSF-2.0" in model.test_set.about


def test_its_test_set_is_the_beginning_of_the_egrus_test_text(models, egru):
    test_set, words = models["lm-transformer"].test_set, models["lm-transformer"].provenance["record"]["test"]["words"]
    (inputs,), context = test_set.inputs.values(), 128
    text = egru.tokens["test"][:words].astype(int)
    assert inputs[0].tolist() == text[:context].tolist()
    predicted = [label for row in test_set.labels for label in row if label >= 0]
    assert predicted == text[1:].tolist()  # each word but the first, once, in order


@pytest.mark.wide
def test_a_word_by_what_earlier_ones_left_is_as_by_the_whole_context(models):
    """Two integer networks with scales of their own: nearly the same logits, and mostly the same word."""
    prefill, decode = (models[name] for name in NAMES)
    same = 0
    for sample in range(len(decode.test_set)):
        whole, step = logits_of(prefill, sample)[-1], logits_of(decode, sample)[0]
        assert np.corrcoef(whole, step)[0, 1] > 0.98
        same += int(whole.argmax() == step.argmax())
        assert decode.test_set.labels[sample, 0] == prefill.test_set.labels[sample, -1]
    assert same >= len(decode.test_set) - 1


@pytest.mark.wide
@pytest.mark.parametrize(("name", "samples"), [("lm-transformer", 1), pytest.param("lm-transformer", None, marks=pytest.mark.slow)])
def test_a_run_has_the_perplexity_of_its_record(models, name, samples):
    made = Options(checkpoint=name, samples=samples, batch=min(16, samples or 16), pes=17, transport="mem", tiles="fastest")
    made.check()
    outcome = Launcher(made, lambda _: None, lambda _: None).run()
    assert (outcome.code, outcome.problem) == (0, None)
    metrics = {one["name"]: one["value"] for one in outcome.report["metrics"]}
    record = models[name].provenance["record"]["test"]
    if samples is None:  # the record's is over all words, of which nothing predicts the first
        words = record["words"]
        assert np.log(metrics["perplexity"]) * (words - 1) == pytest.approx(np.log(record["int8, of these"]) * words, rel=1e-6)
    else:
        logits, labels = logits_of(models[name], 0), models[name].test_set.labels[0]
        nats = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
        lacking = (nats - logits[np.arange(len(labels)), labels]).mean()
        assert metrics["perplexity"] == pytest.approx(np.exp(lacking), rel=1e-6)
        assert metrics["accuracy"] == pytest.approx(100 * (logits.argmax(axis=1) == labels).mean())
