"""The EGRU layer in torch: its equations and its hand-written gradient, against both written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from models.training.common import egru_layer as egru  # noqa: E402
from models.training.common import products  # noqa: E402
from models.training.common.egru_layer import Egru, LayerState  # noqa: E402
from tests.tools.egru_plainly import plainly  # noqa: E402 - needs torch

pytestmark = [pytest.mark.wide, pytest.mark.timeout(60)]


def layer_of(inputs, units, seed, dtype=torch.float64, **about):
    """A layer whose units fire at about half of the steps."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    layer = Egru(inputs, units, **about)
    with torch.no_grad():
        layer.to(torch.float64)
        layer.kernel.copy_(normal(3 * units, inputs) / inputs**0.5)
        layer.recurrent.copy_(normal(3 * units, units) / units**0.5)
        layer.bias.copy_(0.3 * normal(3 * units))
        layer.recurrent_bias.copy_(0.3 * normal(3 * units))
        layer.threshold.copy_(0.3 * torch.rand(units, generator=generator, dtype=torch.float64))
    return layer.to(dtype), lambda *shape: normal(*shape).to(dtype)


def leaves(layer, x, state):
    return [x, layer.kernel, layer.recurrent, layer.bias, layer.recurrent_bias, layer.threshold, state.y, state.c]


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
    weights = normal(steps, batch, units), normal(steps, batch, units), normal(batch, units), normal(batch, units)

    def loss(ys, fired, c):
        return (weights[0] * ys).sum() + (weights[1] * fired).sum() + (weights[2] * c).sum() + (weights[3] * ys[-1]).sum()

    torch.manual_seed(seed)
    ys, fired, last = layer(x, state)
    assert torch.equal(last.y, ys[-1])
    have = torch.autograd.grad(loss(ys, fired, last.c), leaves(layer, x, state))
    torch.manual_seed(seed)
    keep = (torch.rand(steps, batch, units, dtype=torch.float64) >= zoneout).double() if zoneout else None
    parts = (layer.kernel.t(), layer.recurrent.t(), layer.bias, layer.recurrent_bias, layer.threshold, *state)
    plain_ys, plain_fired, plain_c = plainly(x, *parts, keep, constants)
    want = torch.autograd.grad(loss(plain_ys, plain_fired, plain_c), leaves(layer, x, state))
    torch.testing.assert_close((ys, fired, last.c), (plain_ys, plain_fired, plain_c), rtol=1e-12, atol=1e-13)
    for mine, autograds in zip(have, want, strict=True):
        scale = float(autograds.abs().max()) + 1.0
        torch.testing.assert_close(mine, autograds, rtol=0, atol=1e-12 * scale)


def test_the_gradient_test_sees_events_and_surrogates():
    """The layers that it draws fire at some steps and not at others, some within reach of the surrogate."""
    layer, normal = layer_of(5, 7, 1)
    _, fired, _ = layer(normal(20, 3, 5), layer.begin(3))
    assert 0.2 < fired.detach().mean().item() < 0.8


def test_frozen_thresholds_get_no_gradient_and_change_none():
    layer, normal = layer_of(4, 5, 3)
    x = normal(6, 2, 4)

    def gradient():
        ys, _, _ = layer(x, layer.begin(2))
        return torch.autograd.grad((ys**2).sum(), [layer.kernel, layer.recurrent])

    learning = gradient()
    layer.threshold.requires_grad_(False)
    for mine, other in zip(gradient(), learning, strict=True):
        assert torch.equal(mine, other)


def test_a_unit_by_hand():
    """z = 1/2, r = 1/2, g = tanh(0.4 + 0.5 (0.2 y + 0.3)); threshold 0.3: fires at the second and third step."""
    layer = Egru(1, 1).double()
    with torch.no_grad():
        for parameter, values in (
            (layer.kernel, [[0.0], [0.0], [1.0]]), (layer.recurrent, [[0.0], [0.0], [0.2]]),
            (layer.recurrent_bias, [0.0, 0.0, 0.3]), (layer.threshold, [0.3]),
        ):  # fmt: skip
            parameter.copy_(torch.tensor(values, dtype=torch.float64))
    ys, fired, last = layer(torch.full((3, 1, 1), 0.4, dtype=torch.float64), layer.begin(1))
    p1 = 0.5 * np.tanh(0.55)  # silent: 0.25
    p2 = 0.5 * p1 + 0.5 * np.tanh(0.55)  # fires: 0.375
    c2 = p2 - 0.3
    p3 = 0.5 * c2 + 0.5 * np.tanh(0.4 + 0.5 * (0.2 * p2 + 0.3))
    assert fired[:, 0, 0].tolist() == [0.0, 1.0, 1.0]
    np.testing.assert_allclose(ys[:, 0, 0].detach(), [0, p2, p3], rtol=1e-12)
    np.testing.assert_allclose(last.c.item(), p3 - 0.3, rtol=1e-12)


def test_a_unit_at_its_threshold_does_not_fire():
    layer = Egru(1, 1)
    torch.nn.init.zeros_(layer.kernel)
    torch.nn.init.zeros_(layer.recurrent)
    ys, fired, _ = layer(torch.ones(1, 1, 1), layer.begin(1))  # p = 0 = threshold
    assert ys.sum() == fired.sum() == 0


def test_thresholds_are_clamped_at_every_pass():
    layer, normal = layer_of(2, 3, 1)
    with torch.no_grad():
        layer.threshold.copy_(torch.tensor([-0.1, 0.5, 1.5]))
    layer(normal(1, 1, 2), layer.begin(1))
    assert layer.threshold.tolist() == [0, 0.5, 1]


def test_a_sequence_may_be_cut_anywhere():
    """Two calls with the state carried give what one call gives."""
    layer, normal = layer_of(4, 6, 9)
    x = normal(11, 2, 4)
    whole, _, last = layer(x, layer.begin(2))
    first, _, between = layer(x[:4], layer.begin(2))
    second, _, end = layer(x[4:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(end, last, rtol=1e-12, atol=1e-13)


def test_zoneout_mixes_at_inference_and_keeps_whole_units_in_training():
    layer, normal = layer_of(3, 200, 4, zoneout=0.25)
    x, state = normal(1, 1, 3), LayerState(torch.zeros(1, 200).double(), normal(1, 200).tanh())
    plain = Egru(3, 200).double()
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.threshold.fill_(1.0)  # nothing fires: c is p
        layer.threshold.fill_(1.0)
    _, _, (_, p) = plain.eval()(x, state)
    _, _, (_, mixed) = layer.eval()(x, state)
    torch.testing.assert_close(mixed, 0.25 * state.c + 0.75 * p)
    torch.manual_seed(0)
    _, _, (_, masked) = layer.train()(x, state)
    kept = masked == state.c
    torch.testing.assert_close(masked[~kept], p[~kept])
    assert 0.15 < float(kept.double().mean()) < 0.35


def test_the_bfloat16_path_is_close_to_the_float32_path():
    """Eight bits of mantissa: outputs and gradients within some percent, in the same dtype as before."""
    layer, normal = layer_of(64, 96, 5, torch.float32)
    x = normal(12, 4, 64).requires_grad_()
    weights = normal(12, 4, 96)
    results = []
    for low in (False, True):
        ys, _, last = layer(x, layer.begin(4), 0.0, low)
        leaves = [x, layer.kernel, layer.recurrent, layer.bias, layer.recurrent_bias]
        results.append([ys, last.c, *torch.autograd.grad((weights * ys).sum(), leaves)])
    for exact, rounded in zip(*results, strict=True):
        assert rounded.dtype == torch.float32
        error = ((exact - rounded).norm() / exact.norm()).item()
        assert 0 < error < 0.15


def test_low_products_are_bfloat16s():
    x = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    low = products.linear(x, weight, True)
    torch.testing.assert_close(low, (x.bfloat16().float() @ weight.bfloat16().float().t()), rtol=1e-2, atol=1e-2)
    assert not torch.equal(low, products.linear(x, weight, False))
    torch.testing.assert_close(products.linear(x, weight, False), x @ weight.t())


@pytest.fixture
def recurrents(monkeypatch):
    """The recurrent weights that each call of a layer used."""
    seen = []
    real = egru._Steps.apply

    class Seen:
        @staticmethod
        def apply(wx, recurrent, *rest):
            seen.append(recurrent.detach().clone())
            return real(wx, recurrent, *rest)

    monkeypatch.setattr(egru, "_Steps", Seen)
    return seen


def test_drop_connect_is_one_scaled_mask_a_call(recurrents):
    layer, normal = layer_of(3, 40, 6)
    for _ in range(2):
        layer(normal(5, 1, 3), layer.begin(1), 0.7)
    first, second = recurrents  # one matrix for all five steps of a call
    for used in (first, second):
        kept = used != 0
        torch.testing.assert_close(used[kept], layer.recurrent.detach()[kept] / 0.3)
        assert 0.25 < float(kept.double().mean()) < 0.35
    assert not torch.equal(first, second)
    layer.eval()(normal(5, 1, 3), layer.begin(1), 0.7)
    assert torch.equal(recurrents[-1], layer.recurrent.detach())


@pytest.mark.parametrize("state", ["carried", "zeroed"])
def test_a_pruned_layer_infers_from_its_rows_as_from_the_whole_matrix(state):
    torch.manual_seed(3)
    layer = Egru(6, 9).eval()
    with torch.no_grad():
        for matrix in (layer.kernel, layer.recurrent):
            matrix.normal_()
            matrix[torch.rand_like(matrix) < 0.8] = 0
        layer.bias.normal_()
    x = torch.randn(5, 4, 6)
    begun = LayerState(torch.rand(4, 9), torch.zeros(4, 9) if state == "zeroed" else torch.rand(4, 9))
    with torch.no_grad():
        want = layer(x, begun)
        with layer.pruned_rows():
            have = layer(x, begun)
        again = layer(x, begun)
    for a, b in zip((want[0], *want[2]), (have[0], *have[2]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.equal(want[0], again[0])
