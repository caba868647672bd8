"""Pruning by vectors, products over what is left of them, training on a quantised network's numbers, and a trained beginning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from models.checkpoint import save  # noqa: E402 - needs torch
from models.network import ModelError  # noqa: E402
from models.quantise.egru import dequantise_egru, layer_scale, quantise_egru  # noqa: E402
from models.quantise.grids import Grid  # noqa: E402
from models.quantise.weights import quantise_rows  # noqa: E402
from models.text.ngrams import KneserNey  # noqa: E402
from models.training.common.coarse_numbers import EventGrid, rounded_rows  # noqa: E402
from models.training.common.egru_layer import Egru  # noqa: E402
from models.training.common.pruning import Pruner  # noqa: E402
from models.training.common.vector_layout import VectorLayout, row_groups  # noqa: E402
from models.training.language.evaluate import score  # noqa: E402
from models.training.language.export import model_of  # noqa: E402
from models.training.language.settings import LanguageSettings  # noqa: E402
from models.training.language.trainer import LanguageTrainer  # noqa: E402
from models.training.language.widen import sources_of  # noqa: E402
from tests.training.test_training import LEARNING, SMALL, WORDS, text_of, trained  # noqa: E402

pytestmark = pytest.mark.wide


def test_a_group_holds_all_gates_of_neighbouring_units():
    groups = row_groups(3 * 20, 3, 16)
    assert groups.shape == (4, 16)
    assert groups[0, :6].tolist() == [0, 20, 40, 1, 21, 41]
    sixteen_units = groups[:3].flatten()
    assert sorted((sixteen_units % 20).unique().tolist()) == list(range(16))
    assert (groups[3] == 60).sum() == 4, "60 rows fill three groups and twelve of the fourth's"


def masked(rows: int, inputs: int, kept: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (rows, inputs) of vectors, `kept` of each group, and its mask."""
    torch.manual_seed(seed)
    matrix = torch.nn.Parameter(torch.randn(rows, inputs))
    pruner = Pruner({"m": matrix}, height=16)
    pruner.prune(1 - kept / inputs)
    return matrix.detach(), pruner.masks["m"]


@pytest.mark.parametrize(("rows", "inputs", "kept", "samples"), [(96, 40, 3, 5), (60, 20, 1, 1), (135, 33, 7, 300)])
def test_products_over_vectors_are_those_of_the_whole_matrix(rows, inputs, kept, samples):
    matrix, mask = masked(rows, inputs, kept)
    layout, x, d = VectorLayout(mask, row_groups(rows, 3, 16)), torch.randn(inputs, samples), torch.randn(rows, samples)
    values = layout.values(matrix)
    assert layout.kept == kept
    assert torch.equal(layout.spread(values), matrix)
    torch.testing.assert_close(layout.times(values, x), matrix @ x)
    torch.testing.assert_close(layout.back(values, d), matrix.t() @ d)
    torch.testing.assert_close(layout.spread(layout.outer(d, x)), (d @ x.t()) * mask, rtol=1e-4, atol=1e-4)


def test_vectors_go_whole_the_smallest_first_and_never_come_back():
    torch.manual_seed(1)
    matrix = torch.nn.Parameter(torch.randn(60, 40))
    groups, pruner = row_groups(60, 3, 16), Pruner({"m": matrix}, height=16)
    norms = torch.nn.functional.pad(matrix.detach() ** 2, (0, 0, 0, 1))[groups].sum(1)
    before = torch.ones(4, 40, dtype=torch.bool)
    for share in (0.3, 0.61, 0.95):
        pruner.prune(share)
        by_group = torch.nn.functional.pad(pruner.masks["m"], (0, 0, 0, 1))[groups]
        real = groups < 60
        kept = by_group[:, 0]
        assert all(torch.equal(by_group[g, row], kept[g]) for g in range(4) for row in range(16) if real[g, row])
        assert (kept.sum(1) == 40 - np.ceil(share * 40)).all(), "every group keeps as many inputs"
        assert not (kept & ~before).any()
        smallest = [norms[g][kept[g]].min() > norms[g][before[g] & ~kept[g]].max() for g in range(4)]
        assert all(smallest)
        assert pruner.reached(share)
        before = kept
    assert float((matrix.detach() == 0).float().mean()) == pytest.approx(0.95)


@pytest.mark.parametrize("bits", [0, 8])
def test_a_layer_over_its_vectors_computes_and_learns_as_over_its_whole_matrices(bits):
    torch.manual_seed(5)
    layer = Egru(40, 20)
    layer.bits = bits
    matrices = {"kernel": layer.kernel, "recurrent": layer.recurrent}
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    pruner = Pruner(matrices, height=16)
    pruner.prune(0.9)
    x, state = torch.randn(6, 3, 40, requires_grad=True), layer.begin(3)
    gradients, answers = [], []
    for layouts in ({}, pruner.layouts()):
        layer.vectors = layouts
        layer.zero_grad()
        x.grad = None
        y, fired, after = layer(x, state)
        (y.square().sum() + fired.mean() + after.c.sum()).backward()
        answers.append(y.detach())
        assert 0 < float(fired.detach().mean()) < 1
        gradients.append({name: p.grad * pruner.masks[name] for name, p in matrices.items()} | {"x": x.grad.clone()})
    assert set(layer.vectors) == set(matrices)
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-5, atol=1e-6)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_are_trained_on_the_numbers_that_quantise_gives_them(bits):
    matrix, _ = masked(60, 40, 4)
    matrix[7] = 0
    from models.network import SparseRows

    grid = Grid(bits=bits, powers_of_two=True, per_row=True, keep=False)
    done = quantise_rows("m", SparseRows.from_dense(matrix.numpy()), grid)
    assert np.array_equal(rounded_rows(matrix, bits).numpy(), done.to_float32().to_dense())


def test_an_event_is_a_multiple_of_its_scale_and_none_where_its_number_is_zero():
    grid = EventGrid.of(8)
    assert (grid.scale, grid.most) == (2**-7, 127)
    p = torch.tensor([0.9999, 0.5, 0.003, -0.3])
    assert grid.numbers(p).tolist() == [127 / 128, 0.5, 0.0, -38 / 128]
    layer = Egru(4, 4)
    layer.bits = 8
    with torch.no_grad():
        for matrix in (layer.kernel, layer.recurrent):
            matrix.normal_(0, 0.05)
    y, fired, _ = layer(torch.randn(30, 2, 4), layer.begin(2))
    assert torch.equal(y * 128, (y * 128).round())
    assert torch.equal(fired > 0, y != 0)
    assert 0 < float(fired.detach().mean()) < 1


@pytest.mark.slow
def test_a_model_pruned_by_vectors_learns_has_their_form_and_its_int8_form_says_the_same(tmp_path):
    """The phrases of `test_training` in 10 epochs: 87 % of vectors go, and what is exported and quantised is what was trained."""
    about = dataclasses.replace(LEARNING, vectors="16x1", bits=8, sparsity=0.8, prune_until=0.4, embedding=32)
    text = text_of()
    floor = KneserNey(text.splits["train"], WORDS, 1).perplexity(text.splits["valid"])
    trainer = trained(tmp_path / "run", about, text)
    assert score(trainer.model, text.splits["valid"], 1).perplexity < floor / 3
    first = trainer.model.layers[0]
    assert set(first.vectors) == {"kernel", "recurrent"}, "80 % is below what is laid out"
    for matrix, layout in ((first.kernel, first.vectors["kernel"]), (first.recurrent, first.vectors["recurrent"])):
        assert torch.equal(layout.spread(layout.values(matrix.detach())), matrix.detach())
        assert layout.kept * layout.groups <= (1 - 0.8) * matrix.shape[1] * layout.groups
    model = model_of(trainer.model, text, "none", {})
    n = model.network
    scales = {layer: layer_scale(8, powers_of_two=True) for layer in n.layers}
    whole, _ = quantise_egru(n, input_scales={n.inputs[0]: 2**-7}, event_scales=scales)
    for number, layer in zip(n.layers, trainer.model.layers, strict=True):
        quantised = whole.populations[number]
        of_input = 2**-7
        numbers = quantised.projections[0].weights.to_dense() * (quantised.vectors["input_scale"] / of_input)[:, None]
        assert np.array_equal(numbers, rounded_rows(layer.kernel.detach(), 8).numpy())


def test_a_run_begins_with_a_checkpoint_of_the_same_words_and_sizes(tmp_path):
    text = text_of()
    first = trained(tmp_path / "first", text=text)
    save(tmp_path / "m.safetensors", model_of(first.model, text, "none", {}))
    about = dataclasses.replace(SMALL, start=str(tmp_path / "m.safetensors"), seed=2)
    begun = LanguageTrainer(text, about, tmp_path / "second")
    assert torch.equal(begun.model.layers[0].recurrent, first.model.layers[0].recurrent)
    assert torch.equal(begun.model.decoder_bias, first.model.decoder_bias)
    for other, sizes in (
        ({"hidden": "20"}, "16, 20, 16"),
        ({"hidden": "24,24"}, "16, 24, 24, 16"),
        ({"embedding": 20}, "20, 24, 20"),
    ):
        with pytest.raises(ModelError, match=rf"has sizes \[16, 24, 16\], the run \[{sizes}\]; needs --embedding .* none narrower"):
            LanguageTrainer(text, dataclasses.replace(about, **other), tmp_path / "other")
    words = dataclasses.replace(text, vocabulary=type(text.vocabulary)((*text.vocabulary.words[:-1], "another")))
    with pytest.raises(ModelError, match="knows 12 words, the text has 12 that are not the same"):
        LanguageTrainer(words, about, tmp_path / "other")


@pytest.mark.parametrize("units", [25, 40, 73])
def test_a_run_that_is_wider_than_its_checkpoint_begins_with_the_same_answers(tmp_path, units):
    """Each unit that is added is a copy, each weight goes to one copy of its input: as many weights a row, the same perplexity."""
    text = text_of()
    about = dataclasses.replace(SMALL, hidden="24", vectors="8x1", sparsity=0.5)
    first = trained(tmp_path / "first", about, text)
    save(tmp_path / "m.safetensors", model_of(first.model, text, "none", {}))
    wider = dataclasses.replace(about, hidden=str(units), start=str(tmp_path / "m.safetensors"), seed=3)
    begun = LanguageTrainer(text, wider, tmp_path / "wider")
    one, two = (score(trainer.model, text.splits["valid"], 1).perplexity for trainer in (first, begun))
    assert two == pytest.approx(one, rel=1e-4)
    narrow, wide = first.model.layers[0], begun.model.layers[0]
    own = sources_of(24, units)
    assert set(own.tolist()) == set(range(24)) and torch.equal(own[:24], torch.arange(24))
    for have, wants in ((wide.kernel, narrow.kernel), (wide.recurrent, narrow.recurrent)):
        before = torch.cat([rows[own] for rows in wants.chunk(3)])
        assert torch.equal((have != 0).sum(1), (before != 0).sum(1))
        torch.testing.assert_close(have.sum(1), before.sum(1))
    assert begun.pruner.inputs_before == {"layers.0.recurrent": 24, "layers.1.kernel": 24}


def test_what_a_wider_run_prunes_is_a_share_of_what_its_rows_heard_before(tmp_path):
    text = text_of()
    about = dataclasses.replace(SMALL, hidden="32", vectors="16x1", sparsity=0.5, prune_from=0.0, prune_until=0.0)
    first = trained(tmp_path / "first", about, text)
    save(tmp_path / "m.safetensors", model_of(first.model, text, "none", {}))
    wider = dataclasses.replace(about, hidden="80", start=str(tmp_path / "m.safetensors"))
    grown = trained(tmp_path / "wider", wider, text)
    kept = {name: int(mask[0].sum()) for name, mask in grown.pruner.masks.items()}
    assert kept == {"layers.0.kernel": 8, "layers.0.recurrent": 16, "layers.1.kernel": 16, "layers.1.recurrent": 8}
    again = LanguageTrainer(text, wider, tmp_path / "wider")
    again.prepare()
    assert again.pruner.inputs_before == grown.pruner.inputs_before and again.pruner.reached(0.5)


def test_a_run_begins_with_what_the_numbers_of_an_int8_checkpoint_stand_for(tmp_path):
    text = text_of()
    first = trained(tmp_path / "first", text=text)
    model = model_of(first.model, text, "none", {})
    n = model.network
    scales = {"input_scales": {0: 2**-7}, "event_scales": dict.fromkeys(n.layers, 2**-7)}
    network, _ = quantise_egru(n, **scales)
    save(tmp_path / "q.safetensors", dataclasses.replace(model, network=network))
    about = dataclasses.replace(SMALL, start=str(tmp_path / "q.safetensors"), seed=2)
    begun = LanguageTrainer(text, about, tmp_path / "second")
    for layer, before in zip(begun.model.layers, first.model.layers, strict=True):
        assert torch.equal(layer.kernel, rounded_rows(before.kernel.detach(), 8))
        assert torch.equal(layer.recurrent, rounded_rows(before.recurrent.detach(), 8))
        assert torch.equal(layer.bias, before.bias)
    again, _ = quantise_egru(dequantise_egru(network), **scales)  # a power of two a row: nothing is lost on the way
    for one, other in zip(again.populations, network.populations, strict=True):
        for there, here in zip(one.projections, other.projections, strict=True):
            assert np.array_equal(there.weights.values, here.weights.values)
    network, _ = quantise_egru(n, **scales, int8_cell=True)
    save(tmp_path / "s.safetensors", dataclasses.replace(model, network=network))
    with pytest.raises(ModelError, match="has neurons of egru_int8_state; needs a language model of egru or egru_int8"):
        LanguageTrainer(text, dataclasses.replace(about, start=str(tmp_path / "s.safetensors")), tmp_path / "other")


@pytest.mark.parametrize(
    ("about", "line"),
    [
        ({"vectors": "4x4"}, "--vectors '4x4': needs one of none, 16x1, 8x1"),
        ({"bits": 6}, "--bits 6: needs one of 0, 8, 4"),
        ({"vectors": "16x1", "model": "lstm"}, "--vectors 16x1: goes with --model egru --gate after, not with lstm"),
        ({"bits": 8, "gate": "inside"}, "--bits 8: goes with --model egru --gate after, not with --gate inside"),
    ],
)
def test_what_cannot_be_pruned_or_quantised_is_refused_in_one_line(about, line):
    with pytest.raises(ModelError, match=line):
        LanguageSettings(**about).check()
