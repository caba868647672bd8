"""The read-out: logits in the order of a plain loop, likelihoods, and a draw that picks a word."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from host.workloads.lm.decoder import Decoder
from models.checkpoint import DecoderProjection
from models.heads.language import BLOCK, log_likelihood, logits_of, project, sample
from noc.packet import VALID, Section

JUST_BELOW_ONE = float(np.nextafter(1.0, 0.0))
draws = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, JUST_BELOW_ONE])
temperatures = st.floats(0.01, 100)


@st.composite
def logits(draw, least=1):
    """(words,) float32, often with equals and with words far below the rest."""
    some = st.sampled_from([0.0, 1.0, -1.0, 3.5, -200.0, 50.0]) | st.floats(-20, 20, width=32)
    return np.array(draw(st.lists(some, min_size=least, max_size=30)), np.float32)


# ---- logits


@pytest.mark.parametrize("words", [1, 7, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
@pytest.mark.parametrize("first_key", [0, 750])
def test_logits_are_summed_in_ascending_unit_with_one_accumulator(words, first_key):
    """Bit for bit a plain loop over events, then the bias; silent units cost nothing and change nothing."""
    rng = np.random.default_rng(words)
    units = 9
    columns = (rng.normal(0, 1, (units, words)) * 10.0 ** rng.integers(-6, 6, (units, words))).astype(np.float32)
    bias = rng.normal(0, 1, words).astype(np.float32)
    y = np.array([0, 0.3, 0, -1e4, 0.7, 0, 0, 1e-3, 2.5], np.float32)
    keys = np.flatnonzero(y).astype(np.uint32)
    out = np.full(words, np.nan, np.float32)
    logits_of(keys + np.uint32(first_key), y[keys], first_key, columns, bias, out)
    sparse, dense = np.zeros(words, np.float32), np.zeros(words, np.float32)
    for unit in range(units):
        dense = dense + columns[unit] * y[unit]
        if y[unit]:
            sparse = sparse + columns[unit] * y[unit]
    assert out.tobytes() == (sparse + bias).tobytes() == (dense + bias).tobytes()


def test_without_events_the_logits_are_the_bias():
    bias, out = np.array([1.5, -2.0], np.float32), np.full(2, 9, np.float32)
    logits_of(np.zeros(0, np.uint32), np.zeros(0, np.float32), 0, np.ones((3, 2), np.float32), bias, out)
    assert out.tolist() == bias.tolist()


# ---- likelihood


@given(logits())
@settings(deadline=None)
def test_log_likelihood_is_that_of_a_float64_softmax(scores):
    wide = scores.astype(np.float64)
    exact = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    got = [log_likelihood(scores, word) for word in range(len(scores))]
    assert got == pytest.approx(exact.tolist(), abs=2e-5)
    assert max(got) <= 0


def test_log_likelihood_bears_any_size_of_logit():
    assert log_likelihood(np.array([3e38, -3e38], np.float32), 0) == 0.0
    assert log_likelihood(np.full(4, 1e30, np.float32), 2) == pytest.approx(-np.log(4))


# ---- sampling


@given(logits(), draws)
@settings(deadline=None)
def test_temperature_zero_takes_the_likeliest_word_the_first_of_equals(scores, draw):
    assert sample(scores, 0.0, 0, draw) == scores.tolist().index(max(scores))


@given(logits(), temperatures, st.integers(0, 40), draws)
@settings(deadline=None)
def test_only_the_k_likeliest_words_and_their_equals_are_candidates(scores, temperature, k, draw):
    kth = sorted(scores.tolist(), reverse=True)[min(k or len(scores), len(scores)) - 1]
    assert scores[sample(scores, temperature, k, draw)] >= kth


@given(logits(), temperatures, st.integers(0, 5), draws, draws)
@settings(deadline=None)
def test_a_larger_draw_never_picks_an_earlier_word(scores, temperature, k, a, b):
    """A draw is a place in the candidates' running sum: no randomness of its own."""
    low, high = sorted((a, b))
    assert sample(scores, temperature, k, low) <= sample(scores, temperature, k, high)
    assert sample(scores, temperature, k, low) == sample(scores.copy(), temperature, k, low)


@given(logits(least=2), st.just(0.0) | temperatures, st.integers(0, 40), draws, st.data())
@settings(deadline=None)
def test_a_forbidden_word_is_never_chosen(scores, temperature, k, draw, data):
    forbidden = data.draw(st.integers(0, len(scores) - 1))
    before = scores.tobytes()
    assert sample(scores, temperature, k, draw, forbidden) != forbidden
    assert scores.tobytes() == before


def test_a_forbidden_word_is_never_chosen_at_any_finite_temperature():
    assert 0 not in {sample(np.array([1, 2, 3], np.float32), 1e38, 0, draw, 0) for draw in (0.0, 0.1, 0.5)}


@given(logits(), temperatures, st.integers(0, 5))
@example(np.array([1.0, 2.0, -200.0], np.float32), 0.5, 0)  # the last word has no weight at all
@example(np.full(30, 0.1, np.float32), 0.7, 0)
@settings(deadline=None)
def test_a_draw_just_below_one_picks_the_last_word_with_any_weight(scores, temperature, k):
    """Never a word past the end, nor one whose probability is zero."""
    kth = sorted(scores.tolist(), reverse=True)[min(k or len(scores), len(scores)) - 1]
    wide = scores.astype(np.float64)
    likely = np.flatnonzero((scores >= kth) & ((wide - wide.max()) / temperature > -30))
    pick = sample(scores, temperature, k, JUST_BELOW_ONE)
    assert likely[-1] <= pick < len(scores)
    assert (wide[pick] - wide.max()) / temperature > -88


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_words_are_picked_as_often_as_they_are_likely(temperature):
    scores = np.array([0.0, 1.0, -1.0, 2.0, 0.5], np.float32)
    count = 5000
    picks = [sample(scores, temperature, 0, (n + 0.5) / count) for n in range(count)]
    weights = np.exp(scores.astype(np.float64) / temperature)
    assert np.bincount(picks, minlength=5) / count == pytest.approx(weights / weights.sum(), abs=1.5 / count)


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 1e-46])  # the last one is zero as a float32
def test_a_tiny_temperature_is_like_zero(temperature):
    assert {sample(np.array([1, 3, 2], np.float32), temperature, 0, draw) for draw in (0.0, 0.5, JUST_BELOW_ONE)} == {1}


# ---- projection


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("first_key", [0, 9])
def test_a_projection_is_summed_like_the_logits_bit_for_bit(activation, first_key):
    """A plain loop in float32: one accumulator a row, units ascending, bias last, then the activation."""
    rng = np.random.default_rng(4)
    weight = (rng.normal(0, 1, (6, 9)) * 10.0 ** rng.integers(-6, 6, (6, 9))).astype(np.float32)
    bias = rng.normal(0, 1, 6).astype(np.float32)
    y = np.array([0, 0.3, 0, -1e4, 0.7, 0, 0, 1e-3, 2.5], np.float32)
    want = []
    for row in range(6):
        total = np.float32(0)
        for unit in range(9):
            total = total + weight[row, unit] * y[unit]
        total = total + bias[row]
        want.append(total if activation == "linear" or total > 0 else np.float32(0))
    keys = np.flatnonzero(y).astype(np.uint32)
    hidden = np.full(6, np.nan, np.float32)
    project(keys + np.uint32(first_key), y[keys], first_key, np.ascontiguousarray(weight.T), bias, activation, hidden)
    assert hidden.tobytes() == np.array(want, np.float32).tobytes()
    assert (hidden == 0).any() == (activation == "relu")
    assert (hidden < 0).any() == (activation == "linear")


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("lane", [0, 1])
def test_logits_behind_a_projection_are_those_of_its_output(activation, lane):
    """Through `Decoder`, for either sequence of a batch, against plain loops."""
    rng = np.random.default_rng(5)
    units, width, words = 7, 4, 11
    weight, embedding = rng.normal(0, 1, (width, units)).astype(np.float32), rng.normal(0, 1, (words, width)).astype(np.float32)
    offset, bias = rng.normal(0, 1, width).astype(np.float32), rng.normal(0, 1, words).astype(np.float32)
    y = np.where(rng.random((2, units)) < 0.5, rng.normal(0, 1, (2, units)), 0).astype(np.float32)
    keys = np.flatnonzero(y).astype("<u4")
    section = Section(1, VALID, 0, keys.tobytes(), y.reshape(-1)[keys].tobytes(), b"")
    decoder = Decoder(np.ascontiguousarray(embedding.T), bias, DecoderProjection(weight, offset, activation))
    decoder.logits_of(section, 1 - lane)  # leaves nothing behind
    logits = decoder.logits_of(section, lane)

    def affine(matrix, x, b):
        total = np.zeros(len(matrix), np.float32)
        for unit in range(len(x)):
            total = total + matrix[:, unit] * x[unit]
        return total + b

    hidden = affine(weight, y[lane], offset)
    hidden = hidden if activation == "linear" else np.where(hidden > 0, hidden, np.float32(0))
    assert logits.tobytes() == affine(embedding, hidden, bias).tobytes()
