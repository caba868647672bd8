"""Linear layers around a network: one accumulator in ascending column, bits that no library decides, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoint import Model, load, save
from models.heads.affine import ACTIVATIONS, Affine, answer_of, front_of
from models.network import ModelError
from models.seeded import seeded_egru

IN, UNITS, OUT = 3, 4, 2


def affine(out, into, activation="linear", seed=0):
    rng = np.random.default_rng(seed)
    return Affine(rng.normal(size=(out, into)).astype(np.float32), rng.normal(size=out).astype(np.float32), activation)


def plainly(layer, row):
    """Return the layer's answer to one row by the stated order, number by number."""
    answers = []
    for weights, bias in zip(layer.weight, layer.bias, strict=True):
        total = np.float32(0)
        for weight, value in zip(weights, np.asarray(row, np.float32), strict=True):
            total = np.float32(total + np.float32(weight * value))
        total = np.float32(total + bias)
        answers.append(max(total, np.float32(0)) if layer.activation == "relu" else total)
    return np.array(answers, np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 40), st.sampled_from(["linear", "relu"]), st.integers(0, 2**32 - 1), st.floats(0, 1),
)  # fmt: skip
def test_a_sum_is_one_accumulator_in_ascending_column(out, into, activation, seed, silent):
    rng = np.random.default_rng(seed)
    layer = affine(out, into, activation, seed)
    rows = (rng.normal(size=(3, into)) * 10.0 ** rng.integers(-6, 6, into)).astype(np.float32)
    rows[rng.random(rows.shape) < silent] = 0
    answers = layer.apply(rows)
    assert answers.dtype == np.float32
    for row, answer in zip(rows, answers, strict=True):
        assert answer.tobytes() == plainly(layer, row).tobytes()


@pytest.mark.parametrize(("activation", "function"), [("tanh", math.tanh), ("sigmoid", lambda x: 1 / (1 + math.exp(-x)))])
def test_an_activation_comes_after_the_bias(activation, function):
    layer, rows = affine(5, 7, activation), np.random.default_rng(1).normal(size=(11, 7)).astype(np.float32)
    sums = Affine(layer.weight, layer.bias).apply(rows)
    np.testing.assert_allclose(layer.apply(rows), np.vectorize(function)(sums.astype(np.float64)), rtol=3e-7)


def test_rows_may_have_any_shape_and_are_left_as_they_are():
    layer, rows = affine(OUT, IN), np.random.default_rng(2).normal(size=(2, 5, IN)).astype(np.float32)
    before = rows.copy()
    rows.setflags(write=False)
    answers = layer.apply(rows)
    assert answers.shape == (2, 5, OUT)
    assert answers[1, 3].tobytes() == layer.apply(rows[1, 3]).tobytes()
    assert layer.apply(rows[:0]).shape == (0, 5, OUT)
    np.testing.assert_array_equal(rows, before)
    assert layer.apply(rows[:, ::2].transpose(1, 0, 2)).shape == (3, 2, OUT)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ModelError, match=r"needs rows of 3 numbers, has an array of shape \(2, 4\)"):
        affine(OUT, IN).apply(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize(
    ("weight", "bias", "activation", "words"),
    [
        (np.zeros((2, 3), np.float32), np.zeros(3, np.float32), "linear", r"needs weights \(out, in\) and a bias \(out,\)"),
        (np.zeros(3, np.float32), np.zeros(3, np.float32), "linear", r"needs weights \(out, in\)"),
        (np.zeros((2, 0), np.float32), np.zeros(2, np.float32), "linear", r"needs weights \(out, in\)"),
        (np.zeros((2, 3)), np.zeros(2, np.float32), "linear", "of float32"),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.float32), "gelu", "linear or relu or tanh or sigmoid"),
        (np.full((2, 3), np.nan, np.float32), np.zeros(2, np.float32), "linear", "6 of 6 values are not finite"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(weight, bias, activation, words):
    with pytest.raises(ModelError, match=words):
        Affine(weight, bias, activation)


def around(**fields):
    return Model(seeded_egru(UNITS, [UNITS, 6], 0.5), **fields)


def test_front_end_twins_and_head_in_their_order():
    model = around(front=(affine(5, IN, "relu"), affine(UNITS, 5, seed=1)), head=(affine(OUT, 3, seed=2),), twins=True)
    rows = np.random.default_rng(3).normal(size=(7, IN)).astype(np.float32)
    assert front_of(model, rows).tobytes() == model.front[1].apply(model.front[0].apply(rows)).tobytes()
    y = np.random.default_rng(4).normal(size=(7, 6)).astype(np.float32)
    assert answer_of(model, y).tobytes() == model.head[0].apply(y[:, :3] - y[:, 3:]).tobytes()


def test_a_bare_network_hands_rows_through():
    rows = np.ones((2, UNITS), np.float32)
    assert front_of(around(), rows).tobytes() == answer_of(around(), rows).tobytes() == rows.tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_checkpoint_keeps_what_lies_around_the_network(tmp_path, activation):
    model = around(front=(affine(UNITS, IN, activation),), head=(affine(OUT, 3, seed=5), affine(1, OUT, activation)), twins=True)
    save(tmp_path / "model.safetensors", model)
    loaded = load(tmp_path / "model.safetensors")
    assert loaded.twins
    for before, after in zip((*model.front, *model.head), (*loaded.front, *loaded.head), strict=True):
        assert (after.weight.tobytes(), after.bias.tobytes()) == (before.weight.tobytes(), before.bias.tobytes())
        assert after.activation == before.activation


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"front": (affine(UNITS + 1, IN),)}, "the front end makes 5 numbers, the network's input needs 4"),
        ({"head": (affine(OUT, 5),)}, "the head hears 5 numbers, the network's output makes 6"),
        ({"head": (affine(OUT, 6),), "twins": True}, "the head hears 6 numbers, the network's output makes 3"),
        ({"head": (affine(OUT, 6), affine(1, 3))}, "layer 2 of the head hears 3 numbers, the one before it makes 2"),
        (
            {"embedding": np.ones((3, 4), np.float32), "decoder_bias": np.ones(3, np.float32), "front": (affine(UNITS, IN),)},
            "has an embedding and linear layers around the network; needs one of them",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused_when_they_are_saved(tmp_path, fields, words):
    with pytest.raises(ModelError, match=words):
        save(tmp_path / "model.safetensors", around(**fields))
