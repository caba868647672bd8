"""The shipped networks of digits are what docs/dnn.md says: small, in int8, and answer their test images as when they were made."""

from dataclasses import replace

import numpy as np
import pytest

from models import shipped
from models.dnn.compute import compute_network
from models.dnn.evaluate import run_graph
from models.dnn.file import load_dnn, save_dnn
from models.dnn.integer import ACCUMULATOR_BITS
from models.dnn.reference import quantised_inputs, run_network
from models.network import ModelError
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_calibration import sample_feeds
from models.quantise.dnn_lower import DnnSettings

NAMES = ("digits-cnn", "digits-vit")
LEAST = {"digits-cnn": 0.99, "digits-vit": 0.97}


@pytest.fixture(scope="module")
def models():
    return {name: load_dnn(shipped.path_of(name)) for name in NAMES}


@pytest.fixture
def digits(models):
    return models["digits-cnn"]


def feeds(digits, at):
    return sample_feeds(digits.prepared.graph, digits.test_set.inputs, at)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_small_and_says_whose_images_it_has(models, name):
    digits = models[name]
    assert shipped.path_of(name).stat().st_size < 500_000
    assert len(digits.test_set) == 360
    assert digits.test_set.inputs["image"].max() == 16
    assert "CC BY 4.0" in digits.test_set.about
    assert "BSD-3-Clause" in digits.test_set.about


@pytest.mark.parametrize("name", ["digits-cnn", pytest.param("digits-vit", marks=pytest.mark.slow)])
def test_int8_is_right_as_often_as_the_record_says(models, name):
    digits = models[name]
    (output,) = digits.network.outputs
    answers = [
        compute_network(digits.network, quantised_inputs(digits.network, feeds(digits, at))).tensors[output]
        for at in range(len(digits.test_set))
    ]
    right = np.array([answer.argmax() for answer in answers]) == digits.test_set.labels
    assert right.mean() == digits.provenance["record"]["test"]["int8"] >= LEAST[name]


@pytest.mark.parametrize("name", NAMES)
def test_float_graph_and_plain_reference_agree_with_it(models, name):
    digits, other = models[name], 0
    network, graph = digits.network, digits.prepared.graph
    for at in range(0, 360, 24):
        inputs = quantised_inputs(network, feeds(digits, at))
        plain, computed = run_network(network, inputs).tensors, compute_network(network, inputs).tensors
        assert all(np.array_equal(plain[name], computed[name]) for name in network.tensors)
        exact = run_graph(graph, feeds(digits, at))[graph.outputs[0]]
        other += int(exact.argmax() != plain[network.outputs[0]].argmax())
    assert other <= {"digits-cnn": 0, "digits-vit": 1}[name]


@pytest.mark.parametrize("name", NAMES)
def test_no_sum_leaves_24_bits_and_every_scale_is_a_power_of_two(models, name):
    digits = models[name]
    limit = 1 << (ACCUMULATOR_BITS - 1)
    assert all(-limit <= one.sum_low <= one.sum_high < limit for one in digits.network.operations)
    assert all(one.exponent is not None for one in digits.network.tensors.values())


def test_its_float_graph_can_be_quantised_again(digits):
    network, losses = quantise_dnn(digits.prepared, digits.test_set.inputs, DnnSettings(rounding="floor"), most=8)
    assert network.rounding == "floor"
    assert min(one.signal_db for one in losses if one.signal_db is not None) > 20


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels": np.full(360, 10)}, "labels beyond its 10 classes"), ({"labels": np.arange(9)}, "needs (9, 1, 8, 8)"),
        ({"inputs": {"other": np.zeros((360, 1, 8, 8), np.uint8)}}, "its samples are of other"),
    ],
)  # fmt: skip
def test_a_test_set_that_does_not_fit_its_network_is_refused(digits, tmp_path, change, why):
    path = tmp_path / "odd.safetensors"
    save_dnn(path, replace(digits, test_set=replace(digits.test_set, **change)))
    with pytest.raises(ModelError) as caught:
        load_dnn(path)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
