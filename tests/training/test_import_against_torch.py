"""What is imported computes what torch computes, on random nets: hidden states, events, answers; from a file and from a module."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from test_importers import evnn_layer, here, layer_tensors  # noqa: E402

from models.foreign.import_model import import_model  # noqa: E402
from models.foreign.module import model_of_module  # noqa: E402
from models.foreign.request import ImportRequest  # noqa: E402
from models.heads.affine import answer_of, front_of  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.training.common.egru_layer import Egru  # noqa: E402
from models.training.language.conformance import LARGEST, TOLERANCE, Kernels, teacher_forced  # noqa: E402

pytestmark = pytest.mark.wide

ACTIVATIONS = {"linear": torch.nn.Identity, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}
WITHIN = 1e-6


class Net(torch.nn.Module):
    """Linear layers, a GRU, linear layers, as people write it."""

    def __init__(self, widths, front, head):
        super().__init__()
        before, stack, behind = widths
        self.encoder = self._side(before, front)
        self.rnn = torch.nn.GRU(stack[0], stack[1], len(stack) - 1, batch_first=True)
        self.head = self._side(behind, head)

    @staticmethod
    def _side(widths, activations):
        parts = [
            part
            for (into, out), name in zip(pairwise(widths), activations, strict=True)
            for part in (torch.nn.Linear(into, out), ACTIVATIONS[name]())
        ]
        return torch.nn.Sequential(*parts)

    def forward(self, x):
        return self.head(self.rnn(self.encoder(x))[0])


@st.composite
def nets(draw):
    """A net, and the activations of its two sides."""
    width = st.integers(1, 24)
    units, layers = draw(width), draw(st.integers(1, 2))
    before = [*draw(st.lists(width, min_size=0, max_size=2)), draw(width)]
    behind = [units, *draw(st.lists(width, min_size=0, max_size=2))]
    names = [
        draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=len(w) - 1, max_size=len(w) - 1)) for w in (before, behind)
    ]
    torch.manual_seed(draw(st.integers(0, 1 << 30)))
    return Net((before, [before[-1], *[units] * layers], behind), *names).eval(), names


def answers(model, xs):
    return answer_of(model, here(model, front_of(model, xs)))


@settings(deadline=None, max_examples=40)
@given(nets(), st.integers(0, 2**32 - 1), st.integers(1, 30), st.booleans())
def test_a_mirrored_gru_with_what_is_around_it_is_torchs_within_a_millionth(tmp_path_factory, drawn, seed, steps, from_file):
    net, (front, head) = drawn
    first = next(net.parameters()).shape[1] if len(net.encoder) else net.rnn.input_size
    xs = np.random.default_rng(seed).normal(size=(steps, first)).astype(np.float32)
    with torch.no_grad():
        want = net(torch.from_numpy(xs)[None])[0].numpy()
    options = {"front": "none"} if not front else {"front_activation": ",".join(front)}
    options |= {"head": "none"} if not head else {"head_activation": ",".join(head)}
    if from_file:
        path = tmp_path_factory.getbasetemp() / "net.pth"
        torch.save({"epoch": 3, "model": net.state_dict()}, path)
        model = import_model(path, ImportRequest(options=options)).model
    else:
        model = model_of_module(net, ImportRequest(options={k: v for k, v in options.items() if v == "none"})).model
    assert [layer.activation for layer in model.front] == front
    assert [layer.activation for layer in model.head[:-1]] == head[:-1]
    np.testing.assert_allclose(answers(model, xs), want, rtol=0, atol=WITHIN * max(1, np.abs(want).max()))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.lists(st.integers(1, 20), min_size=1, max_size=2), st.integers(0, 2**32 - 1), st.booleans())
def test_an_egru_has_every_event_of_torchs_own_arithmetic_but_at_its_threshold(tmp_path_factory, features, widths, seed, zoned):
    """Step by step from the same x, y and c; a unit that fires on one side alone lies within a millionth of its threshold."""
    rng, zoneout = np.random.default_rng(seed), 0.2319 if zoned else 0.0
    entries, layers = {}, []
    for number, (inputs, units) in enumerate(pairwise([widths[0], *widths])):
        tensors, _ = layer_tensors(rng, inputs, units, scale=0.5)
        entries |= {f"egru.{number + 1}.{name}": torch.from_numpy(tensor) for name, tensor in tensors.items()}
        layer = Egru(inputs, units, zoneout=zoneout).eval()
        with torch.no_grad():
            layer.kernel.copy_(torch.from_numpy(tensors["kernel"].T))
            layer.recurrent.copy_(torch.from_numpy(tensors["recurrent_kernel"].T))
            for ours, theirs in (("bias", "bias"), ("recurrent_bias", "recurrent_bias"), ("threshold", "thr")):
                layer.get_parameter(ours).copy_(torch.from_numpy(tensors[theirs]))
        layers.append(layer)
    linear = torch.nn.Linear(features, widths[0])
    path = tmp_path_factory.getbasetemp() / "egru.pth"
    torch.save({f"egru.0.{name}": tensor for name, tensor in linear.state_dict().items()} | entries, path)
    model = import_model(path, ImportRequest(options={"zoneout": zoneout, "head": "none"})).model
    xs = rng.normal(size=(25, features)).astype(np.float32)
    heard = front_of(model, xs)
    with torch.no_grad():
        np.testing.assert_allclose(heard, linear(torch.from_numpy(xs)).numpy(), rtol=0, atol=2e-6)
    kernels = Kernels(model.network)
    steps = [kernels.step(x) for x in heard]
    for number, layer in enumerate(layers):
        agreement = teacher_forced(layer, [step[number] for step in steps])
        assert agreement.distance <= TOLERANCE
        assert max(agreement.p, agreement.y, agreement.c) <= LARGEST


# ---- a module at hand


def test_a_module_says_what_follows_its_layers_and_is_left_as_it_is():
    torch.manual_seed(2)
    net = Net(([3, 5, 6], [6, 7], [7, 4, 2]), ("relu", "tanh"), ("sigmoid", "linear")).train()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    got = model_of_module(net)
    assert [layer.activation for layer in (*got.model.front, *got.model.head)] == ["relu", "tanh", "sigmoid", "linear"]
    assert net.training
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())
    assert got.model.provenance["imported_from"] == "torch module Net"
    assert not any("encoder" in note and "guess" in note for note in got.notes)
    assert any("head" in note and "guess" in note for note in got.notes)  # what comes behind the last, forward alone knows


def test_an_activation_that_is_not_computed_here_is_named():
    net = Net(([3, 6], [6, 7], [7, 2]), ("linear",), ("linear",))
    net.encoder = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.GELU())
    with pytest.raises(ModelError, match=r"module Net: behind encoder.0 comes a GELU, which is not computed here; needs linear or"):
        model_of_module(net)
    assert model_of_module(net, ImportRequest(options={"front_activation": "tanh"})).model.front[0].activation == "tanh"


def test_layers_of_other_kinds_are_not_taken_for_linear_ones():
    net = Net(([6], [6, 7], [7, 2]), (), ("linear",))
    net.words = torch.nn.Embedding(9, 6)
    net.norm = torch.nn.LayerNorm(7)
    got = model_of_module(net)
    assert (len(got.model.front), len(got.model.head)) == (0, 1)
    assert any(note.startswith("normalisation left out (norm)") for note in got.notes)


class Wrapped(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.module = net


@pytest.mark.parametrize("change", [torch.nn.Module.double, torch.nn.Module.bfloat16, torch.nn.Module.half, Wrapped])
def test_a_module_of_other_numbers_or_wrapped(change):
    torch.manual_seed(4)
    net = Net(([3, 6], [6, 7], [7, 2]), ("relu",), ("linear",))
    rounded = net.bfloat16().float() if change is torch.nn.Module.bfloat16 else net.half().float()
    xs = np.random.default_rng(5).normal(size=(9, 3)).astype(np.float32)
    with torch.no_grad():
        want = rounded(torch.from_numpy(xs)[None])[0].numpy()
    got = model_of_module(change(net))
    np.testing.assert_allclose(answers(got.model, xs), want, rtol=0, atol=WITHIN)
    assert got.model.front[0].activation == "relu"


class EGRU(torch.nn.Module):
    """The parameters of EvNN's layer, under its name."""

    def __init__(self, inputs, units, zoneout):
        super().__init__()
        self.zoneout = zoneout
        tensors, self.acts = layer_tensors(np.random.default_rng(7), inputs, units)
        for name, tensor in tensors.items():
            self.register_buffer(name, torch.from_numpy(tensor))


def test_an_egru_module_says_its_zoneout():
    stack = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), EGRU(6, 5, 0.25), torch.nn.Linear(5, 2))
    got = model_of_module(stack)
    xs = np.random.default_rng(5).normal(size=(9, 4)).astype(np.float32)
    with torch.no_grad():
        heard = stack[1](stack[0](torch.from_numpy(xs))).numpy()
        y = evnn_layer(stack[2].acts, heard.astype(float), 0.25)
        want = stack[3](torch.from_numpy(y.astype(np.float32))).numpy()
    np.testing.assert_allclose(answers(got.model, xs), want, atol=3e-5)
    assert not any("guess" in note for note in got.notes)  # a sequence that is the whole says what comes behind its last layer


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (5, "load: needs a file or a torch.nn.Module, has a int"),
        (torch.nn.Linear(3, 2), "module Linear: no EGRU layer .* or GRU .* in it; has weight, bias"),
        (torch.nn.LSTM(3, 2), "module LSTM: weight_hh_l0: needs shape .*an LSTM's"),
        (torch.nn.RNN(3, 2), "module RNN: weight_hh_l0: needs shape .*an RNN's"),
        (torch.nn.GRU(3, 2, bidirectional=True), "a bidirectional GRU"),
        (torch.nn.GRU(3, 2, device="meta"), "weight_ih_l0: cannot be read"),
    ],
)
def test_what_is_no_module_of_ours_is_refused_in_one_line(thing, words):
    with pytest.raises(ModelError, match=words) as caught:
        model_of_module(thing)
    assert len(str(caught.value).splitlines()) == 1


def test_options_of_a_module_are_the_importers():
    net = torch.nn.GRU(3, 4)
    assert model_of_module(net, ImportRequest(options={"gru": "plain"})).model.network.populations[1].units == 4
    with pytest.raises(ModelError, match=r"module GRU: --zoneout '0.5': the importer 'gru', .* has no such option"):
        model_of_module(net, ImportRequest(options={"zoneout": 0.5}))
    assert Path(model_of_module(net).model.provenance["imported_from"]).name == "torch module GRU"
