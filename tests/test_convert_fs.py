"""A CNN of torch as Few-Spikes neurons: near its values, nearer with more bits; and what cannot be converted."""

from __future__ import annotations

import numpy as np
import pytest

from models.network import ModelError
from models.reference import Reference

torch = pytest.importorskip("torch")


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


def test_what_cannot_be_converted_is_named():
    from models.training.retrieval.convert import to_few_spikes

    nn, samples = torch.nn, np.zeros((1, 4), np.float32)
    for module, line in (
        (nn.Sequential(nn.Linear(4, 2), nn.Tanh()), "layer 0: Linear without a ReLU"),
        (nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Tanh()), "layer 2: Tanh; needs Linear"),
        (nn.Sequential(nn.Linear(3, 2)), r"layer 0: does not take \(4,\)"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 2)), "layer 0: a ReLU without"),
        (nn.Linear(4, 2), "needs a torch.nn.Sequential"),
    ):
        with pytest.raises(ModelError, match=line):
            to_few_spikes(module, samples, 8)
