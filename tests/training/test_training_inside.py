"""The EGRU layer with its reset gate inside the product, in torch: its gradient against autograd's of the equation written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from models.training.common.egru_inside import EgruInside  # noqa: E402
from models.training.common.egru_layer import Egru, LayerState  # noqa: E402
from tests.tools.egru_plainly import inside_plainly  # noqa: E402 - needs torch

pytestmark = [pytest.mark.wide, pytest.mark.timeout(60)]


def layer_of(inputs, units, seed, dtype=torch.float64, **about):
    """A layer whose units fire at about half of the steps."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    layer = EgruInside(inputs, units, **about).double()
    with torch.no_grad():
        layer.kernel.copy_(normal(3 * units, inputs) / inputs**0.5)
        layer.recurrent.copy_(normal(3 * units, units) / units**0.5)
        layer.bias.copy_(0.3 * normal(3 * units))
        layer.threshold.copy_(0.3 * torch.rand(units, generator=generator, dtype=torch.float64))
    return layer.to(dtype), lambda *shape: normal(*shape).to(dtype)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 4),
    inputs=st.integers(1, 6),
    units=st.integers(1, 7),
    seed=st.integers(0, 1 << 30),
    zoneout=st.sampled_from([0.0, 0.3]),
    constants=st.sampled_from([(3.6, 3.6), (0.7, 1.0), (1.3, 0.4)]),
)
def test_the_gradient_is_autograds(steps, batch, inputs, units, seed, zoneout, constants):
    """In float64, of everything that learns and of the state at the beginning; y, o and the last c are all used."""
    layer, normal = layer_of(inputs, units, seed, dampening=constants[0], support=constants[1], zoneout=zoneout)
    x = normal(steps, batch, inputs).requires_grad_()
    state = LayerState(normal(batch, units).clamp(min=0).requires_grad_(), (0.5 * normal(batch, units)).requires_grad_())
    leaves = [x, layer.kernel, layer.recurrent, layer.bias, layer.threshold, state.y, state.c]
    weights = normal(steps, batch, units), normal(steps, batch, units), normal(batch, units), normal(batch, units)

    def loss(ys, fired, c):
        return (weights[0] * ys).sum() + (weights[1] * fired).sum() + (weights[2] * c).sum() + (weights[3] * ys[-1]).sum()

    torch.manual_seed(seed)
    ys, fired, last = layer(x, state)
    assert torch.equal(last.y, ys[-1])
    by_hand = torch.autograd.grad(loss(ys, fired, last.c), leaves)
    torch.manual_seed(seed)
    keep = (torch.rand(steps, batch, units, dtype=torch.float64) >= zoneout).double() if zoneout else None
    parts = (layer.kernel.t(), layer.recurrent.t(), layer.bias, layer.threshold, *state)
    plain_ys, plain_fired, plain_c = inside_plainly(x, *parts, keep, constants)
    by_autograd = torch.autograd.grad(loss(plain_ys, plain_fired, plain_c), leaves)
    torch.testing.assert_close((ys, fired, last.c), (plain_ys, plain_fired, plain_c), rtol=1e-12, atol=1e-13)
    for ours, autograds in zip(by_hand, by_autograd, strict=True):
        scale = float(autograds.abs().max()) + 1.0
        torch.testing.assert_close(ours, autograds, rtol=0, atol=1e-12 * scale)


def test_a_unit_by_hand():
    """z = 1/2, r = sigmoid(1), g = tanh(0.4 + 0.2 r y + 0.3); threshold 0.2: r and y are multiplied before the product."""
    layer = EgruInside(1, 1).double()
    with torch.no_grad():
        for parameter, values in (
            (layer.kernel, [[0.0], [0.0], [1.0]]), (layer.recurrent, [[0.0], [0.0], [0.2]]),
            (layer.bias, [0.0, 1.0, 0.3]), (layer.threshold, [0.2]),
        ):  # fmt: skip
            parameter.copy_(torch.tensor(values, dtype=torch.float64))
    ys, fired, last = layer(torch.full((2, 1, 1), 0.4, dtype=torch.float64), layer.begin(1))
    r = 1 / (1 + np.exp(-1))
    p1 = 0.5 * np.tanh(0.7)
    p2 = 0.5 * (p1 - 0.2) + 0.5 * np.tanh(0.7 + 0.2 * r * p1)
    assert fired.flatten().tolist() == [1.0, 1.0]
    np.testing.assert_allclose(ys.detach().flatten(), [p1, p2], rtol=1e-12)
    np.testing.assert_allclose(last.c.item(), p2 - 0.2, rtol=1e-12)


def test_it_is_another_model_than_the_authors():
    """With the same numbers and no recurrent bias, the two forms part as soon as something was heard."""
    inside, normal = layer_of(4, 6, 3)
    after = Egru(4, 6).double()
    after.load_state_dict(inside.state_dict(), strict=False)
    x = normal(3, 1, 4)
    (ys, _, _), (others, _, _) = inside(x, inside.begin(1)), after(x, after.begin(1))
    assert torch.equal(ys[0], others[0])
    assert not torch.allclose(ys[2], others[2], atol=1e-3)


def test_it_has_one_bias():
    names = dict(EgruInside(2, 3).named_parameters())
    assert sorted(names) == ["bias", "kernel", "recurrent", "threshold"]


def test_a_sequence_may_be_cut_anywhere():
    layer, normal = layer_of(4, 6, 9)
    x = normal(11, 2, 4)
    whole, _, last = layer(x, layer.begin(2))
    first, _, between = layer(x[:4], layer.begin(2))
    second, _, end = layer(x[4:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(end, last, rtol=1e-12, atol=1e-13)


def test_pruned_rows_and_bfloat16_factors_change_nothing_but_rounding():
    layer, normal = layer_of(40, 60, 5, torch.float32)
    layer.eval()
    x = normal(9, 2, 40)
    with torch.no_grad():
        layer.recurrent[torch.rand_like(layer.recurrent) < 0.8] = 0
        whole, _, _ = layer(x, layer.begin(2))
        with layer.pruned_rows():
            rows, _, _ = layer(x, layer.begin(2))
    torch.testing.assert_close(rows, whole, rtol=0, atol=1e-4)
    exact, _, _ = layer(x[:1], layer.begin(2))
    low, _, _ = layer(x[:1], layer.begin(2), low=True)
    low.sum().backward()
    assert 0 < (low - exact).abs().max() < 0.05
    assert all(parameter.grad is not None for parameter in layer.parameters())
