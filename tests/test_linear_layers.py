"""Linear layers around a recurrent stack become part of the imported model, as torch computes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_importers import INPUTS, Files, gru_outputs, gru_tensors, here, layer_tensors

from host.cli import main
from models.checkpoint import load
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.heads.affine import answer_of, front_of

RNG = np.random.default_rng


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def linear(stem, out, into, seed=0, bias=True):
    rng = RNG((seed, out, into))
    dot = f"{stem}." if stem else ""
    entries = {f"{dot}weight": rng.normal(size=(out, into)).astype(np.float32)}
    return entries | ({f"{dot}bias": rng.normal(size=out).astype(np.float32)} if bias else {})


def sizes(layers):
    return [(layer.inputs, layer.outputs) for layer in layers]


def answers(model, xs):
    """What the imported model says to features `xs`, front end, network, twins and head."""
    return answer_of(model, here(model, front_of(model, xs)))


def through(entries, stem, xs, activation=lambda x: x):
    return activation(xs @ entries[f"{stem}.weight"].T.astype(float) + entries.get(f"{stem}.bias", 0))


def agree_with_gru(got, entries, front, prefix, head):
    xs = INPUTS[:, :3]
    want = through(entries, head, gru_outputs(entries, through(entries, front, xs), prefix))
    np.testing.assert_allclose(answers(got.model, xs), want, atol=3e-5)


@pytest.mark.parametrize(
    ("front", "stack", "head"),
    [
        ("encoder", "gru.", "head"),
        ("encoder", "gru.", "fc"),
        ("model.fc1", "model.rnn.", "model.fc2"),
        ("0", "1.", "2"),
        ("net.0", "net.1.", "net.3"),
        ("net.lin_in", "net.gru.", "net.lin_out"),
        ("embed", "", "decoder.linear"),
    ],
)
def test_a_front_end_and_a_head_by_any_usual_name(files, front, stack, head):
    entries = linear(front, 6, 3) | gru_tensors(RNG(6), (6, 7, 5), stack) | linear(head, 2, 5)
    got = files.write(entries).read()
    assert (sizes(got.model.front), sizes(got.model.head), got.model.twins) == ([(3, 6)], [(5, 2)], True)
    agree_with_gru(got, entries, front, stack, head)
    assert not any("left out" in note for note in got.notes)
    for flag, name in (("--front-activation", front), ("--head-activation", head)):
        assert any(name in note and "activations are in no state_dict" in note and flag in note for note in got.notes)
    assert got.model.provenance["linear_layers"] == {"front": [f"{front}: linear"], "head": [f"{head}: linear"]}


@pytest.mark.parametrize(("front", "head"), [("encoder", "head"), ("a_in", "fc"), ("net.0", "net.2"), ("fc_in", "zz")])
def test_names_tell_the_sides_where_the_order_of_keys_does_not(tmp_path, front, head):
    """A file of safetensors sorts its keys; and both layers would fit on either side."""
    entries = linear(head, 6, 6, seed=1) | gru_tensors(RNG(6), (6, 6), "net.1.") | linear(front, 6, 6)
    path = tmp_path / "m.safetensors"
    save_file(entries, path)
    model = import_model(path, ImportRequest()).model
    assert model.front[0].weight.tobytes() == entries[f"{front}.weight"].tobytes()
    assert model.head[0].weight.tobytes() == entries[f"{head}.weight"].tobytes()


def test_the_order_of_keys_tells_the_sides_where_names_do_not(files):
    one, two = linear("lin_a", 6, 6), linear("lin_b", 6, 6, seed=1)
    for first, last in ((one, two), (two, one)):
        model = files.write(first | gru_tensors(RNG(6), (6, 6), "rnn.") | last).read().model
        assert model.front[0].weight.tobytes() == next(iter(first.values())).tobytes()
        assert model.head[0].weight.tobytes() == next(iter(last.values())).tobytes()


def test_several_layers_on_a_side_and_their_activations(files):
    entries = linear("front.0", 4, 3) | linear("front.2", 6, 4) | gru_tensors(RNG(6), (6, 5), "gru.") | linear("head.0", 7, 5)
    entries |= linear("head.2", 2, 7, bias=False)
    files.write(entries)
    got = files.read(front_activation="relu,tanh", head_activation="sigmoid,linear")
    assert (sizes(got.model.front), sizes(got.model.head)) == ([(3, 4), (4, 6)], [(5, 7), (7, 2)])
    xs = INPUTS[:, :3]
    heard = through(entries, "front.2", through(entries, "front.0", xs, lambda x: np.maximum(x, 0)), np.tanh)
    hidden = through(entries, "head.0", gru_outputs(entries, heard, "gru."), lambda x: 1 / (1 + np.exp(-x)))
    np.testing.assert_allclose(answers(got.model, xs), through(entries, "head.2", hidden), atol=3e-5)
    assert not any("guess" in note for note in got.notes)
    assert files.read(front_activation=("relu", "tanh")).model.front[1].activation == "tanh"  # from Python


def test_an_egru_with_layers_around_computes_what_it_did(files):
    tensors, layer = layer_tensors(RNG(3), 6, 5)
    entries = linear("egru.0", 6, 3) | {f"egru.1.{name}": t for name, t in tensors.items()} | linear("head", 2, 5)
    got = files.write(entries).read(front_activation="relu")
    from test_importers import evnn_layer

    xs = INPUTS[:, :3]
    want = through(entries, "head", evnn_layer(layer, through(entries, "egru.0", xs, lambda x: np.maximum(x, 0))))
    np.testing.assert_allclose(answers(got.model, xs), want, atol=3e-5)
    assert not got.model.twins


def test_a_bare_gru_answers_with_its_hidden_state(files):
    entries = gru_tensors(RNG(6), (6, 7, 5))
    got = files.write(entries).read()
    np.testing.assert_allclose(answers(got.model, INPUTS), gru_outputs(entries, INPUTS), atol=1e-5)


@pytest.mark.parametrize("names", [("rnns.0.", "rnns.1.", "rnns.2."), ("gru1.", "gru2.", "gru3."), ("net.2.", "net.3.", "net.4.")])
def test_grus_one_behind_the_other_are_one_stack(files, names):
    stacks = [
        gru_tensors(RNG(n), widths, name) for n, (name, widths) in enumerate(zip(names, ((6, 7), (7, 4, 4), (4, 5)), strict=True))
    ]
    before = "net.0" if names[0] == "net.2." else "encoder"
    entries = linear(before, 6, 3) | stacks[2] | stacks[0] | stacks[1] | linear("head", 2, 5)
    got = files.write(entries).read()
    xs = want = INPUTS[:, :3]
    want = through(entries, before, want)
    for name, tensors in zip(names, stacks, strict=True):
        want = gru_outputs(tensors, want, name)
    np.testing.assert_allclose(answers(got.model, xs), through(entries, "head", want), atol=5e-5)
    assert [p.units for p in got.model.network.populations] == [6, 14, 8, 8, 10]


def test_grus_that_are_not_one_stack_are_refused(files):
    one, other = gru_tensors(RNG(1), (6, 7), "gru1."), gru_tensors(RNG(2), (6, 7), "gru2.")
    files.write(one | other).refused("gru2: has 6 inputs, the GRU before it 7 units")
    files.write(one | gru_tensors(RNG(2), (7, 7), "gru3.")).refused("has GRUs in 2 places (gru1, gru3); choose one with --prefix")
    files.write(one | gru_tensors(RNG(2), (7, 7), "rnn2.")).refused("has GRUs in 2 places (gru1, rnn2); choose one with --prefix")


def test_a_linear_layer_between_two_of_a_stack_is_not_taken(files):
    entries = gru_tensors(RNG(1), (6, 6), "net.0.") | linear("net.1", 6, 6) | gru_tensors(RNG(2), (6, 6), "net.2.")
    files.write(entries).refused("has GRUs in 2 places (net.0, net.2); choose one with --prefix")


def test_info_says_what_lies_around(files, tmp_path, capsys):
    files.write(linear("encoder", 6, 3) | gru_tensors(RNG(6), (6, 5), "gru.") | linear("head", 2, 5))
    out = str(tmp_path / "m.safetensors")
    assert main(["import", str(files.checkpoint), out, "--front-activation", "relu"]) == 0
    capsys.readouterr()
    assert main(["info", out]) == 0
    printed = capsys.readouterr().out
    assert "front end    on the host: 3 > 6 relu" in printed
    assert "head         on the host: twins subtracted, 5 > 2" in printed
    assert "decoder" not in printed


def test_layers_that_make_no_one_chain_are_left_out_with_a_note(files):
    """An actor and a critic hear the same; which of them is meant is the user's to say."""
    entries = gru_tensors(RNG(6), (3, 5), "gru.") | linear("actor", 2, 5) | linear("critic", 1, 5)
    got = files.write(entries).read()
    assert (got.model.front, got.model.head) == ((), ())
    assert any(n.startswith("linear layers left out (actor 5 > 2, critic 5 > 1): they make no one chain") for n in got.notes)
    got = files.read(head="actor", front="none")
    assert sizes(got.model.head) == [(5, 2)]
    assert "2 keys left out: critic.weight, critic.bias" in got.notes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"head": "actr"}, "--head 'actr': no linear layer of that key; has actor, critic"),
        ({"head": "actor,critic"}, "layer 2 of the head hears 5 numbers, the one before it makes 2"),
        ({"front": "actor", "head": "none"}, "the front end makes 2 numbers, the network's input needs 3"),
        ({"head": "actor", "front": "none", "head_activation": "gelu"}, "--head-activation 'gelu': needs linear or relu or tanh"),
        ({"head": "actor", "front": "none", "head_activation": "relu,relu"}, "for each layer; the head has 1 (actor)"),
        ({"front_activation": "relu"}, "the front has no layers"),
        ({"head": 5}, "--head 5: needs words with commas between them"),
    ],
)
def test_options_that_do_not_fit_are_refused(files, options, words):
    files.write(gru_tensors(RNG(6), (3, 5), "gru.") | linear("actor", 2, 5) | linear("critic", 1, 5)).refused(words, **options)


def test_words_and_norms_are_no_linear_layers(files):
    entries = {"embedding.weight": np.ones((9, 3), np.float32)} | gru_tensors(RNG(6), (3, 5), "gru.") | linear("head", 2, 5)
    entries |= {"norm.weight": np.ones(5, np.float32), "norm.bias": np.ones(5, np.float32)}
    got = files.write(entries).read()
    assert (got.model.front, sizes(got.model.head)) == ((), [(5, 2)])
    assert any(note.startswith("normalisation left out (norm)") for note in got.notes)


def test_pruned_layers_around_and_wrapped_keys(files):
    entries = linear("module.encoder", 6, 3) | gru_tensors(RNG(6), (6, 5), "module.gru.") | linear("module.head", 2, 5)
    plain = {key.removeprefix("module."): tensor for key, tensor in entries.items()}
    mask = (RNG(1).random((2, 5)) < 0.5).astype(np.float32)
    weight = entries.pop("module.head.weight")
    entries |= {"module.head.weight_orig": weight, "module.head.weight_mask": mask}
    plain["head.weight"] = weight * mask
    agree_with_gru(files.write(entries).read(), plain, "encoder", "gru.", "head")


@pytest.mark.parametrize("wrapper", ["model", "net", "model_state", "weights", "network", "model_weights"])
def test_a_state_dict_under_any_usual_name(files, wrapper):
    entries = linear("encoder", 6, 3) | gru_tensors(RNG(6), (6, 5), "gru.") | linear("head", 2, 5)
    got = files.write(entries, wrapper=wrapper).read()
    agree_with_gru(got, entries, "encoder", "gru.", "head")
    assert any(f"under '{wrapper}'" in note for note in got.notes)


def test_the_command_writes_the_layers_around_and_says_what_it_took(files, tmp_path, capsys):
    files.write(linear("encoder", 6, 3) | gru_tensors(RNG(6), (6, 5), "gru.") | linear("head", 2, 5))
    out = tmp_path / "m.safetensors"
    assert main(["import", str(files.checkpoint), str(out), "--front-activation", "relu"]) == 0
    printed = capsys.readouterr().out
    assert "front end      3 > 6 relu" in printed
    assert "head           twins subtracted, 5 > 2" in printed
    model = load(out)
    assert (sizes(model.front), sizes(model.head), model.front[0].activation, model.twins) == ([(3, 6)], [(5, 2)], "relu", True)
    assert json.loads(json.dumps(dict(model.provenance)))["linear_layers"]["front"] == ["encoder: relu"]
