"""The emulator's kernels and the torch layer on the same checkpoint: states, events, perplexity."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from models import formats  # noqa: E402
from models.checkpoint import DecoderProjection, Model, load, save  # noqa: E402
from models.network import ModelError, Network  # noqa: E402
from models.reference import Reference  # noqa: E402
from models.seeded import seeded_egru, seeded_embedding  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.common.egru_layer import Egru, LayerState  # noqa: E402
from models.training.language import conformance  # noqa: E402
from models.training.language.conformance import TOLERANCE, Kernels, compare, layers_of, teacher_forced  # noqa: E402
from tests.tools.tiny import UNITS, WORDS, tiny_network  # noqa: E402 - needs torch

pytestmark = [pytest.mark.wide, pytest.mark.timeout(60)]


def model_of(network=None, **about):
    """A tiny language model with 230 words of text: more than three segments."""
    words = ("<unk>", "<eos>", *(f"w{n}" for n in range(WORDS - 2)))
    text = np.random.default_rng(4).integers(0, WORDS, 230).astype(np.uint32)
    network = network or tiny_network()
    embedding, bias = seeded_embedding(WORDS, network.populations[0].units, seed=3), np.linspace(-1, 1, WORDS, dtype=np.float32)
    return replace(Model(network, embedding, bias, words, tokens={"valid": text[::-1].copy(), "test": text}), **about)


def test_the_kernels_here_are_those_that_verify_holds_a_run_against():
    """In every weight format, over a segment's boundary, bit for bit."""
    network = tiny_network(zoneout=0.25)
    inputs = seeded_embedding(12, UNITS, seed=8)
    for name in formats.names():
        emulated, reference = Kernels(network, name), Reference(network)
        for position, x in enumerate(inputs):
            if position == 7:
                emulated.reset()
            steps = emulated.step(x)
            for step, (y,) in zip(steps, reference.step({0: x}, reset=position == 7).values(), strict=True):
                assert step.y.tobytes() == y.tobytes()
        assert any(step.y.any() for step in steps)


@pytest.mark.slow_but("usual-0.2319-carried", "all-0.0-zeroed")
@pytest.mark.parametrize("state", ["carried", "zeroed"])
@pytest.mark.parametrize("zoneout", [0.0, 0.2319])
@pytest.mark.parametrize("activity", ["usual", "all", "none"])
def test_kernels_and_torch_agree(state, zoneout, activity):
    network = tiny_network(activity)
    network = with_layers(network, lambda layer: replace(layer, params={"zoneout": zoneout}))
    found = compare(model_of(network, state=state), model_of().tokens["test"])
    assert found.holds
    assert f"{found.perplexity:.4g}" == f"{found.torch_perplexity:.4g}"
    for layer, agreement in zip(network.populations[1:], found.layers, strict=True):
        assert agreement.updates == 229 * layer.units
        assert max(agreement.p, agreement.y, agreement.c, agreement.distance) < TOLERANCE
        share = agreement.events / agreement.updates
        assert {"usual": 0.02 < share < 0.9, "all": share > 0.99, "none": share < 0.01}[activity] or zoneout
    assert len(found.drift.events) == len(found.drift.cell) == 229


def with_layers(network, change):
    return Network((network.populations[0], *(change(layer) for layer in network.populations[1:])))


def test_both_state_modes_are_told_apart():
    ids = model_of().tokens["test"]
    carried, zeroed = (compare(model_of(state=state), ids) for state in ("carried", "zeroed"))
    assert carried.perplexity != pytest.approx(zeroed.perplexity, rel=1e-6)
    assert carried.torch_perplexity != pytest.approx(zeroed.torch_perplexity, rel=1e-6)
    short = [compare(model_of(state=state), ids[:70]).perplexity for state in ("carried", "zeroed")]
    assert short[0] == short[1]  # one segment


class Sigmoid(Egru):
    """EvNN 0.1.0: the threshold is the sigmoid of a parameter."""

    def forward(self, x, state, dropconnect=0.0, low=False):
        with torch.no_grad():
            self.threshold.copy_(torch.sigmoid(self.thr_reparam))
        return super().forward(x, state, dropconnect, low)


@pytest.mark.slow_but("0.2.0")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_thresholds_of_either_version_of_the_authors_library(tmp_path, version):
    """0.2.0: `thr` as it is, clamped to [0, 1] at every pass, slightly negative in real files; 0.1.0: sigmoid(thr_reparam)."""
    rng = np.random.default_rng(6)
    network, own, converted = tiny_network(), [], []
    for layer, torchs in zip(network.populations[1:], layers_of(network), strict=True):
        if version == "0.2.0":
            stored = rng.beta(0.0303, 3, layer.units).astype(np.float32)
            stored[:3] = -0.0003, 1.2, 0.0
            mine = torchs
            with torch.no_grad():
                mine.threshold.copy_(torch.from_numpy(stored))
            threshold = np.clip(stored, np.float32(0), np.float32(1))
        else:
            stored = rng.normal(-2, 2**0.5, layer.units).astype(np.float32)
            mine = Sigmoid(torchs.inputs, torchs.units).eval()
            mine.load_state_dict(torchs.state_dict())
            mine.thr_reparam = torch.from_numpy(stored)
            threshold = (1 / (1 + np.exp(-stored.astype(np.float64)))).astype(np.float32)
        own.append(mine)
        converted.append(replace(layer, vectors={**layer.vectors, "threshold": threshold}))
    save(tmp_path / "converted.safetensors", model_of(Network((network.populations[0], *converted))))
    model = load(tmp_path / "converted.safetensors")
    found = compare(model, model.tokens["test"], own)
    assert found.holds
    assert all(0.01 < layer.events / layer.updates < 0.95 for layer in found.layers)


@pytest.mark.slow_but("relu")
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_projection_before_the_decoder(activation):
    rng = np.random.default_rng(2)
    network = seeded_egru(UNITS, (24, 30), density=0.3, seed=7)
    between = DecoderProjection(
        rng.normal(0, 0.5, (UNITS, 30)).astype(np.float32), rng.normal(0, 0.1, UNITS).astype(np.float32), activation
    )
    found = compare(model_of(network, projection=between), model_of().tokens["test"])
    assert found.holds
    other = compare(model_of(network, projection=replace(between, weight=-between.weight)), model_of().tokens["test"])
    assert other.perplexity != pytest.approx(found.perplexity, rel=1e-3)


# ---- a difference is found


@pytest.mark.slow_but("recurrent")
@pytest.mark.parametrize("name", ["kernel", "recurrent", "bias", "recurrent_bias", "threshold"])
def test_a_difference_in_any_parameter_is_found(name):
    model = model_of()
    layers = layers_of(model.network)
    with torch.no_grad():
        layers[1].get_parameter(name)[layers[1].get_parameter(name) != 0] += 1e-3
    found = compare(model, model.tokens["test"], layers)
    assert not found.holds
    assert [layer.holds for layer in found.layers] == [True, False, True]  # teacher-forced: no other layer hears it


def test_a_difference_in_zoneout_is_found():
    model = model_of(tiny_network(zoneout=0.25))
    layers = layers_of(model.network)
    layers[0].zoneout = 0.3
    assert [layer.holds for layer in compare(model, model.tokens["test"], layers).layers] == [False, True, True]


def test_a_unit_at_its_threshold_is_counted_and_its_distance_taken():
    """Torch gets a threshold that lies 4e-7 beside a unit's p: another event, within the tolerance, and counted."""
    model = model_of()
    emulated = Kernels(model.network)
    steps = [emulated.step(model.embedding[word])[0] for word in model.tokens["test"][:40]]
    unit = int(np.argmax([sum(step.y[n] > 0 for step in steps) for n in range(len(steps[0].y))]))
    thinnest = min((step for step in steps if step.y[unit] > 0), key=lambda step: step.y[unit])
    (layer, *_) = layers_of(model.network)
    vectors = model.network.populations[1].vectors
    for beside, holds in ((4e-7, True), (1e-4, False)):
        with torch.no_grad():
            layer.threshold[unit] = float(thinnest.y[unit]) + beside
        found = teacher_forced(layer, [thinnest])
        assert found.differing == 1
        assert found.holds == holds
        assert found.distance == pytest.approx(beside, rel=0.2)
    assert vectors["threshold"][unit] < thinnest.y[unit]


def test_a_nan_does_not_agree():
    model = model_of()
    layers = layers_of(model.network)
    emulated = Kernels(model.network)
    steps = [emulated.step(model.embedding[3])[0]]
    with torch.no_grad():
        layers[0].bias[0] = float("nan")
    assert not teacher_forced(layers[0], steps).holds


def test_free_runs_that_part_are_seen_to():
    model = model_of()
    layers = layers_of(model.network)
    with torch.no_grad():
        layers[0].bias.add_(0.05)
    found = compare(model, model.tokens["test"][:71], layers)
    assert sum(found.drift.events) > 0
    assert max(found.drift.cell) > 1e-3


# ---- the command


@pytest.fixture
def checkpoint(tmp_path):
    save(tmp_path / "model.safetensors", model_of())
    return tmp_path / "model.safetensors"


@pytest.mark.slow
def test_the_command_prints_both_modes(checkpoint, capsys):
    assert main(["conform", str(checkpoint)]) == 0
    printed = capsys.readouterr().out
    assert "c carried, 210 tokens of the test split" in printed
    assert "c zeroed, 210 tokens of the test split" in printed
    assert printed.count("  agrees: events, perplexity to four digits; 0 of ") == 2
    for part in ("layer 3", "farthest from threshold", "   61 to 70", "perplexity     "):
        assert printed.count(part) == 2
    assert "71 to" not in printed
    assert all(len(line) <= 100 for line in printed.splitlines())


def test_the_command_takes_a_split_a_mode_and_a_length(checkpoint, capsys):
    assert main(["conform", str(checkpoint), "--split", "valid", "--state", "carried", "--tokens", "15"]) == 0
    printed = capsys.readouterr().out
    assert "c carried, 15 tokens of the valid split" in printed
    assert "11 to 15" in printed
    assert "zeroed" not in printed


def test_the_command_says_where_they_do_not_agree(checkpoint, capsys, monkeypatch):
    real = conformance.layers_of

    def spoiled(network):
        layers = real(network)
        torch.nn.init.zeros_(layers[0].bias)
        return layers

    monkeypatch.setattr(conformance, "layers_of", spoiled)
    assert main(["conform", str(checkpoint), "--state", "zeroed"]) == 6
    assert "DOES NOT AGREE" in capsys.readouterr().out


def test_what_cannot_be_compared_gets_one_line(checkpoint, tmp_path, capsys):
    save(tmp_path / "no-text.safetensors", model_of(tokens={}))
    save(tmp_path / "layers.safetensors", Model(tiny_network()))
    at = with_layers(tiny_network(), lambda layer: replace(layer, params={"fire_at_threshold": 1.0}))
    save(tmp_path / "at.safetensors", model_of(at))
    for arguments, line in (
        ((checkpoint, "--tokens", "0"), "--tokens 0: the test split has 230 words; use --tokens 1 to 229"),
        ((checkpoint, "--tokens", "230"), "use --tokens 1 to 229"),
        ((tmp_path / "no-text.safetensors",), "--split test: the checkpoint holds the text of: none"),
        ((tmp_path / "layers.safetensors",), "--split test: the checkpoint holds the text of: none"),
        ((tmp_path / "at.safetensors",), "the torch layer has no fire_at_threshold"),
        ((tmp_path / "missing.safetensors",), "no such file"),
    ):
        assert main(["conform", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("training: ")
        assert line in captured.err
        assert captured.err.count("\n") == 1
    with pytest.raises(ModelError, match="this one holds layers only"):
        compare(Model(tiny_network()), np.zeros(5, np.uint32))


def test_layers_that_were_stepped_alone_or_together_are_the_same():
    """Teacher forcing puts all steps side by side as a batch: the same as one by one."""
    model = model_of()
    emulated = Kernels(model.network)
    steps = [emulated.step(model.embedding[word])[1] for word in model.tokens["test"][:20]]
    layer = layers_of(model.network)[1]
    one_by_one = [teacher_forced(layer, [step]) for step in steps]
    together = teacher_forced(layer, steps)
    assert together.updates == sum(each.updates for each in one_by_one)
    assert together.events == sum(each.events for each in one_by_one)
    assert max(each.p for each in one_by_one) < TOLERANCE > together.p
    with torch.no_grad():
        for step, after in itertools.pairwise(steps):
            ys, _, state = layer(torch.from_numpy(step.x)[None, None], LayerState(*(torch.from_numpy(v)[None] for v in step[1:3])))
            np.testing.assert_allclose(ys[0, 0], after.y_before, atol=1e-6)
            np.testing.assert_allclose(state.c[0], after.c_before, atol=1e-6)
