"""The n-gram floors: probabilities that are some, by hand and as a property, and the perplexity made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text.ngrams import DISCOUNT, KneserNey
from models.text.tokeniser import TextError


def ids(*numbers):
    return np.array(numbers, np.uint32)


def chances(model, context, words):
    """P(word | context) for every word, from the perplexity of the text context + word."""

    def nats(*text):
        return math.log(model.perplexity(ids(*text))) * len(text)

    before = nats(*context) if len(context) > 1 else 0.0
    return np.array([math.exp(before - nats(*context, word)) for word in range(words)])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), words=st.integers(2, 6), order=st.integers(1, 4))
def test_probabilities_sum_to_one_after_any_context(data, words, order):
    word = st.integers(0, words - 1)
    text = data.draw(st.lists(word, min_size=order, max_size=40))
    context = data.draw(st.lists(word, min_size=1, max_size=5))
    found = chances(KneserNey(ids(*text), words, order), context, words)
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-9)


def test_a_bigram_model_by_hand():
    """Text 0 1 0 2 0 1 of 3 words. Bigrams 01 (twice), 10, 02, 20; continuations: 0 after {1, 2}, 1 after {0}, 2 after {0}."""
    model, d = KneserNey(ids(0, 1, 0, 2, 0, 1), 3, 2), DISCOUNT
    assert d == 0.75
    # Lowest level: 4 kinds of bigrams, 3 words seen in them, over the uniform third.
    low = np.array([(2 - d) / 4, (1 - d) / 4, (1 - d) / 4]) + d * 3 / 4 / 3
    # After 0: three bigrams of two kinds.
    np.testing.assert_allclose(chances(model, [0], 3), np.array([0, 2 - d, 1 - d]) / 3 + d * 2 / 3 * low, rtol=1e-12)
    # After 1: one bigram, of one kind.
    np.testing.assert_allclose(chances(model, [1], 3), np.array([1 - d, 0, 0]) + d * low, rtol=1e-12)


def test_a_context_never_seen_is_left_to_the_shorter_one():
    text = ids(0, 1, 2, 0, 1, 2, 3)
    three, two = KneserNey(text, 5, 3), KneserNey(text, 5, 2)
    np.testing.assert_allclose(chances(three, [2, 4], 5), chances(two, [4], 5), rtol=1e-12)  # 4 was never seen
    np.testing.assert_allclose(chances(three, [3, 1], 5), chances(three, [4, 1], 5), rtol=1e-12)  # nor 3 1 nor 4 1
    assert not np.allclose(chances(three, [0, 1], 5), chances(three, [3, 1], 5))  # but 0 1


def test_a_unigram_model_and_the_perplexity_of_a_text():
    """exp(summed cross entropy / tokens), the first token counted although nothing predicts it."""
    text = ids(0, 0, 0, 1)
    model, d = KneserNey(text, 2, 1), DISCOUNT
    p0, p1 = (3 - d) / 4 + d / 4, (1 - d) / 4 + d / 4
    assert model.perplexity(ids(1, 0, 1)) == pytest.approx((p0 * p1) ** (-1 / 3))
    assert model.perplexity(ids(1, 0)) == pytest.approx(p0 ** (-1 / 2))


def test_longer_context_helps_where_the_text_repeats():
    text = np.tile(ids(0, 1, 2, 0, 2, 1), 50)
    one, two, three = (KneserNey(text, 3, order).perplexity(text) for order in (1, 2, 3))
    assert three < two < one
    assert three == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("text", "words", "order"), [((0, 1), 2, 3), ((0, 1), 2, 0), ((0,) * 9, 70000, 4)])
def test_what_cannot_be_counted_is_refused_in_one_line(text, words, order):
    with pytest.raises(TextError, match=f"order {order} of {words} words"):
        KneserNey(ids(*text), words, order)
