"""Keys as wrappers, pruning and averaging leave them are read as those of the plain module; what differs for a reason is noted."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_importers import Files, agree, gru_outputs, gru_tensors, here, language_model

from host.cli import main
from models.checkpoint import load
from models.foreign.state_dict import ADDED
from models.network import ModelError
from tests.tools.torch_bytes import torch_file


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def inserted(entries, part, before):
    """The entries with `part` put into each key before the place where `before` ends in it; or at its front."""
    return {f"{part}.{key}" if not before else key.replace(before, f"{before}{part}.", 1): v for key, v in entries.items()}


# ---- wrappers


@pytest.mark.few(4)
@pytest.mark.parametrize("part", ADDED)
@pytest.mark.parametrize("before", ["", "rnns.", "rnns.0.", "rnns.2."])
def test_what_a_wrapper_adds_to_keys_is_dropped_wherever_it_stands(files, part, before):
    entries, layers = language_model()
    got = files.write(inserted(entries, part, before)).read()
    agree(got.model, layers)
    assert got.model.embedding is not None
    count = sum(key.startswith(before) for key in entries)
    assert f"{count} keys read without {part} ({ADDED[part]})" in got.notes
    assert not any("left out" in note for note in got.notes)


def test_each_layer_compiled_within_a_parallel_and_compiled_whole(files):
    entries, layers = language_model()
    keys = {f"_orig_mod.module.{key.replace('rnns.1.', 'rnns._orig_mod.1._orig_mod.')}": v for key, v in entries.items()}
    got = files.write(keys).read()
    agree(got.model, layers)
    assert got.model.embedding is not None


def test_a_prefix_is_that_of_the_file_or_of_the_plain_module(files):
    entries, layers = language_model()
    files.write({f"module.net.{key}": tensor for key, tensor in entries.items()})
    for prefix in ("module.net", "net", "module", ""):
        agree(files.read(prefix=prefix).model, layers)
    files.refused("no key begins with 'nets.'", prefix="nets")
    assert files.read(prefix="net.rnns").model.embedding is None


def test_averaged_weights_beside_the_others_are_chosen_by_prefix(files):
    """As Lightning leaves them where a copy of the model is averaged: both under one state_dict."""
    entries, layers = language_model()
    averaged, others = language_model(np.random.default_rng(7))
    both = {f"model.{k}": v for k, v in entries.items()} | {f"model_ema.module.{k}": v for k, v in averaged.items()}
    files.write({**both, "model_ema.n_averaged": np.int64(3) * np.ones(1, np.int64)}, wrapper="state_dict")
    files.refused("has EGRU layers in 2 places (model, model_ema); choose one with --prefix")
    agree(files.read(prefix="model").model, layers)
    got = files.read(prefix="model_ema")
    agree(got.model, others)
    assert got.model.embedding is not None
    assert any(f"{len(entries) + 1} keys left out: model.embeddings.weight" in note for note in got.notes)


def test_two_keys_that_differ_by_a_wrapper_alone_are_refused(files):
    entries, layers = language_model()
    files.write(entries | {f"_orig_mod.{key}": tensor for key, tensor in entries.items()})
    files.refused("two keys differ by a wrapper alone (embeddings.weight, _orig_mod.embeddings.weight)", "--prefix")
    agree(files.read(prefix="_orig_mod").model, layers)


def test_evnns_baselines_are_refused_whatever_is_wrapped_around_them(files):
    entries = {f"rnns.{n}.module.{key}": v for n in range(2) for key, v in gru_tensors(np.random.default_rng(1), (6, 6)).items()}
    for wrapped in (entries, inserted(entries, "module", ""), inserted(entries, "_orig_mod", "rnns.0.")):
        files.write(wrapped).refused("module.weight", "an LSTM or GRU baseline of EvNN")


@pytest.mark.parametrize("prefix", ["module.rnn.", "module.", "_orig_mod.rnn.", "encoder.module.", "rnn._orig_mod."])
def test_a_gru_of_torchs_in_wrappers(files, prefix):
    entries = gru_tensors(np.random.default_rng(3), (6, 7, 5))
    got = files.write({f"{prefix}{key}": tensor for key, tensor in entries.items()}).read()
    xs = np.random.default_rng(4).normal(size=(20, 6))
    want = gru_outputs(entries, xs)
    have = here(got.model, xs)
    np.testing.assert_allclose(have[:, :5] - have[:, 5:], want, atol=2e-5)


# ---- pruning


def test_pruned_tensors_of_a_gru_are_the_product_of_weights_and_mask(files):
    entries = gru_tensors(np.random.default_rng(3), (6, 7))
    pruned, rng, total, kept = {}, np.random.default_rng(5), 0, 0
    for key, tensor in list(entries.items()):
        mask = (rng.random(tensor.shape) < 0.5).astype(np.float32)
        pruned |= {f"rnn.module.{key}_orig": tensor, f"rnn.module.{key}_mask": mask}
        entries[key] = tensor * mask
        total, kept = total + mask.size, kept + np.count_nonzero(entries[key])
    got = files.write(pruned).read()
    xs = np.random.default_rng(4).normal(size=(20, 6))
    have = here(got.model, xs)
    np.testing.assert_allclose(have[:, :7] - have[:, 7:], gru_outputs(entries, xs), atol=2e-5)
    assert f"4 pruned tensors stored as weights and mask: {kept:,} of {total:,} weights kept" in got.notes
    assert not any("left out" in note for note in got.notes)
    del pruned["rnn.module.weight_hh_l0_mask"]
    files.write(pruned).refused("has no tensor 'rnn.weight_hh_l0_mask'")


@pytest.mark.wide
def test_torchs_own_pruned_gru(files):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune

    torch.manual_seed(1)
    module = torch.nn.GRU(6, 7)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prune.l1_unstructured(module, name, 0.5)
    torch.save(module.state_dict(), files.checkpoint)
    xs = np.random.default_rng(4).normal(size=(20, 6))
    have = here(files.read().model, xs)
    want = module(torch.from_numpy(xs.astype(np.float32)))[0].detach().numpy()
    np.testing.assert_allclose(have[:, :7] - have[:, 7:], want, atol=2e-5)


def test_weights_parametrized_in_an_unknown_way_are_told_how_to_become_plain(files):
    entries = gru_tensors(np.random.default_rng(3), (6, 7))
    entries = {f"rnn.parametrizations.{key}.original0": tensor for key, tensor in entries.items()}
    files.write(entries).refused("rnn.parametrizations.weight_ih_l0.original0: ", "parametrized", "remove_parametrizations")


CONFIG = "rnn_type: egru\nlayers: 3\nemb_dim: {}\nhidden_dim: {}\nprojection: false\n{}"


@pytest.mark.parametrize("setting", ["prune: 0.3", "unit_pruning: 0.3", "prune: true"])
def test_sizes_before_units_were_pruned_are_noted(files, setting):
    entries, layers = language_model()
    got = files.write(entries, CONFIG.format(10, 16, setting)).read()
    agree(got.model, layers)
    name, _, value = setting.partition(": ")
    for line in ("emb_dim 10, the tensors 6", "hidden_dim 16, the tensors 9"):
        assert (
            f"config.yaml says {line}: units were pruned, by its {name} {value.capitalize() if value == 'true' else value}"
            in got.notes
        )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (CONFIG.format(10, 9, "prune: 0"), "says emb_dim 10, the tensors 6"),
        (CONFIG.format(10, 9, ""), "says emb_dim 10, the tensors 6"),
        (CONFIG.format(6, 8, "prune: 0.3"), "says hidden_dim 8, the tensors 9"),  # nothing grows by pruning
        (CONFIG.format(6, 9, "prune: 0.3").replace("layers: 3", "layers: 4"), "says layers 4, the tensors 3"),
    ],
)
def test_sizes_that_pruning_does_not_explain_are_refused(files, config, words):
    files.write(language_model()[0], config).refused(words)


# ---- a foreign file in the place of a checkpoint


@pytest.mark.parametrize("kind", ["torch", "safetensors", "old torch"])
def test_commands_that_need_a_checkpoint_point_to_import(files, kind, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries, path = language_model()[0], tmp_path / "foreign.safetensors"
    if kind == "safetensors":
        save_file({key: array.copy() for key, array in entries.items()}, path)
    else:
        path.write_bytes(torch_file(entries) if kind == "torch" else b"\x80\x02}q\x00.")
    with pytest.raises(ModelError, match=r"`launch\.py import FILE NEW` reads"):
        load(path)
    for arguments in (
        ["info", path],
        ["fit", "--checkpoint", path],
        ["lm", "--checkpoint", path, "--transport", "mem", "--out", "out"],
    ):
        assert main([str(argument) for argument in arguments]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "`launch.py import FILE NEW` reads" in line
