"""A CNN of torch as Few-Spikes neurons: near its values, nearer with more bits; and what cannot be converted."""

from __future__ import annotations

import numpy as np
import pytest

from host.mapping.placement import place
from models.network import ModelError
from models.reference import Reference
from noc.chip import load_chip
from tests.tools.graph_runs import RandomInput, run_graph

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.wide


def cnn():
    torch.manual_seed(1)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)
    )  # fmt: skip


@pytest.mark.parametrize("int8", [True, False])
def test_a_converted_cnn_says_nearly_what_torch_says(int8):
    from models.training.retrieval.convert import to_few_spikes

    module, samples = cnn(), np.random.default_rng(1).normal(0, 1, (6, 1, 5, 5)).astype(np.float32)
    want = module(torch.from_numpy(samples)).detach().numpy()
    errors = []
    for bits in (3, 6, 12):
        network = to_few_spikes(module, samples, bits, int8=int8)
        reference = Reference(network)
        have = np.array([reference.step({0: x.ravel()})[network.output][0] for x in samples])
        errors.append(np.abs(have - want).max() / np.abs(want).max())
    assert errors[0] > errors[2]
    assert errors[2] < (0.03 if int8 else 1e-3)


def shrinking(complex_numbers):
    """A CNN with soft thresholds, round a line: complex, or real behind a complex-free convolution of two dimensions."""
    from models.training.retrieval.activations import ComplexSoftThreshold

    torch.manual_seed(2)
    nn = torch.nn
    if complex_numbers:
        each = torch.rand(3, 1) / 4
        kinds = {"padding": 1, "padding_mode": "circular", "dtype": torch.complex64}
        return nn.Sequential(
            nn.Conv1d(1, 3, 3, **kinds), ComplexSoftThreshold(each), nn.Conv1d(3, 2, 3, **kinds), ComplexSoftThreshold(0.1),
            nn.Flatten(), nn.Linear(12, 4, dtype=torch.complex64),
        )  # fmt: skip
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softshrink(0.2), nn.Conv2d(2, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3))


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("complex_numbers", [True, False])
def test_soft_thresholds_real_and_complex(complex_numbers, int8):
    from models.training.retrieval.convert import to_few_spikes

    random = np.random.default_rng(1)
    module, shape = shrinking(complex_numbers), (6, 1, 6) if complex_numbers else (6, 1, 3, 3)
    samples = random.normal(0, 1, (2, *shape)).astype(np.float32)
    samples = (samples[0] + 1j * samples[1]).astype(np.complex64) if complex_numbers else samples[0]
    want = module(torch.from_numpy(samples)).detach().numpy()
    network = to_few_spikes(module, samples, 12, int8=int8)
    assert [network.populations[n].kernel for n in network.layers[:1]] == ["fs_complex"]
    reference = Reference(network)
    have = np.array([reference.step({0: x.ravel().view(np.float32)})[network.output][0] for x in samples])
    have = have.view(np.complex64) if complex_numbers else have
    assert np.abs(have - want).max() / np.abs(want).max() < (0.03 if int8 else 1e-3)


def test_a_complex_cnn_has_one_answer_on_any_pes():
    from models.training.retrieval.convert import to_few_spikes

    samples = np.random.default_rng(3).normal(0, 1, (3, 1, 12)).astype(np.float32).view(np.complex64)
    network = to_few_spikes(shrinking(True), samples, 6)
    said = []
    for pes in (3, 7):
        placement = place(network, load_chip(), mapping="balanced", form="csr", pes=pes, lanes=2)
        said.append(run_graph(placement, RandomInput(network, 2, 3))[1].answers)  # compared with the reference, too
    assert said[0] == said[1]


def test_what_cannot_be_converted_is_named():
    from models.training.retrieval.activations import ComplexSoftThreshold
    from models.training.retrieval.convert import to_few_spikes

    nn, samples = torch.nn, np.zeros((1, 4), np.float32)
    for module, line in (
        (nn.Sequential(nn.Linear(4, 2), nn.Tanh()), "layer 0: Linear without an activation"),
        (nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Tanh()), "layer 2: Tanh; needs Linear, Conv1d"),
        (nn.Sequential(nn.Linear(3, 2)), r"layer 0: does not take \(4,\)"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), "layer 0: a ReLU without"),
        (nn.Sequential(nn.Linear(4, 2, dtype=torch.complex64), nn.ReLU()), "layer 0: a ReLU of complex numbers; needs a Complex"),
        (
            nn.Sequential(nn.Linear(4, 2), ComplexSoftThreshold(torch.ones(3))),
            r"layer 0: thresholds of \(3,\) for numbers of \(2,\)",
        ),
        (nn.Sequential(nn.Linear(4, 4200), nn.ReLU(), nn.Linear(4200, 4200), nn.Softshrink()), "a matrix of 4,200 x 4,200 is too"),
        (nn.Linear(4, 2), "needs a torch.nn.Sequential"),
    ):
        with pytest.raises(ModelError, match=line):
            to_few_spikes(module, samples.astype(np.complex64) if "complex" in line else samples, 8)
