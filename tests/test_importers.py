"""A checkpoint of EvNN's, or a torch.nn.GRU, computes here what it computes there, and its import says what was done to it.

What it computes there is stated below in plain float64 numpy, from the equations of the authors' code, in their own
row-vector convention; it shares nothing with the code under test.
"""

from __future__ import annotations

import json
import os
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from host.cli import main
from models.checkpoint import load
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.network import ModelError
from models.reference import Reference
from models.text.tokeniser import TextError
from tests.tools.command_lines import without_compiling
from tests.tools.grids import some
from tests.tools.torch_bytes import bfloat16, torch_file

# ---- what the authors' code computes


def logistic(x):
    return 1 / (1 + np.exp(-x))


def evnn_layer(p, xs, zoneout=0.0):
    """All outputs y of an EGRU layer; `p` has EvNN's tensors by name, thresholds as they act."""
    w, u, bw, bu = (p[name].astype(float) for name in ("kernel", "recurrent_kernel", "bias", "recurrent_bias"))
    hidden = len(u)
    c, y, out = np.zeros(hidden), np.zeros(hidden), []
    for x in xs:
        wx, rh = x @ w + bw, y @ u + bu
        (wz, wr, wg), (rz, rr, rg) = np.split(wx, 3), np.split(rh, 3)
        z, r = logistic(wz + rz), logistic(wr + rr)
        candidate = z * c + (1 - z) * np.tanh(wg + r * rg)
        p_ = zoneout * c + (1 - zoneout) * candidate
        fires = p_ - p["threshold"] > 0
        y = np.where(fires, p_, 0)
        c = np.where(fires, p_ - p["threshold"], p_)
        out.append(y)
    return np.array(out)


def here(model, xs):
    """All outputs of an imported network's last layer."""
    reference = Reference(model.network)
    return np.array([reference.step({0: x.astype(np.float32)})[model.network.output][0] for x in xs])


def layer_tensors(rng, inputs, units, version="0.2.0", scale=1.0):
    """A layer's entries as EvNN writes them, in its order; and its thresholds as they act."""

    def drawn(*shape):
        return rng.normal(scale=scale, size=shape).astype(np.float32)

    entries = {
        "_max_norm": np.float32([-1]),
        "kernel": drawn(inputs, 3 * units),
        "recurrent_kernel": drawn(units, 3 * units),
        "bias": drawn(3 * units),
        "recurrent_bias": drawn(3 * units),
        "dampening_factor": np.float32([0.7]),
        "pseudo_derivative_support": np.float32([1.0]),
    }
    if version == "0.2.0":
        entries["thr"] = rng.uniform(-0.02, 0.4, units).astype(np.float32)
        threshold = np.clip(entries["thr"], 0, 1)
    else:
        entries["thr_reparam"] = rng.normal(-1.5, 1, units).astype(np.float32)
        threshold = logistic(entries["thr_reparam"].astype(float))
    return entries, {**entries, "threshold": threshold}


def stack(rng, widths, version="0.2.0", prefix="rnns", **options):
    """The entries of a stack of layers under their keys, and the layers as `evnn_layer` takes them."""
    entries, layers = {}, []
    for number, (inputs, units) in enumerate(pairwise(widths)):
        mine, layer = layer_tensors(rng, inputs, units, version, **options)
        entries |= {f"{prefix}.{number}.{name}": tensor for name, tensor in mine.items()}
        layers.append(layer)
    return entries, layers


WORDS = ("the", "ship", "<unk>", ",", "sails", "<eos>", "wind", "naïve", "sea")
TEXT = {"train": "the ship <unk> , sails\n\n the wind \n", "valid": "naïve wind\n", "test": " the sea \n ship\n"}


def language_model(rng=None, version="0.2.0", widths=(6, 9, 9, 6), projection=False):
    """The state_dict of EvNN's LanguageModel, in its order, and its layers."""
    rng = rng or np.random.default_rng(1)
    embedding = rng.normal(size=(len(WORDS), widths[0])).astype(np.float32)
    entries = {"embeddings.weight": embedding}
    if projection:
        entries["decoder.projection.weight"] = rng.normal(size=(widths[0], widths[-1])).astype(np.float32)
        entries["decoder.projection.bias"] = rng.normal(size=widths[0]).astype(np.float32)
    entries["decoder.decoder.weight"] = embedding
    entries["decoder.decoder.bias"] = rng.normal(size=len(WORDS)).astype(np.float32)
    layers, acting = stack(rng, widths, version)
    return entries | layers, acting


class Files:
    """A run of EvNN's on disk: run/config.yaml, run/checkpoints/EGRU_best_model.cpt, text/."""

    def __init__(self, folder):
        self.run = folder / "run"
        self.checkpoint = self.run / "checkpoints" / "EGRU_best_model.cpt"
        self.text = folder / "text"
        self.checkpoint.parent.mkdir(parents=True)
        self.text.mkdir()
        for split, text in TEXT.items():
            (self.text / f"wiki.{split}.tokens").write_text(text, encoding="utf-8")

    def write(self, entries, config=None, **layout):
        self.checkpoint.write_bytes(torch_file(entries, **{"root": "EGRU_best_model", "location": "cuda:0"} | layout))
        if config is not None:
            (self.run / "config.yaml").write_text(config)
        return self

    def read(self, **wishes):
        options = {name: wishes.pop(name) for name in list(wishes) if name not in ImportRequest.__dataclass_fields__}
        return import_model(self.checkpoint, ImportRequest(**wishes, options=options))

    def refused(self, *words, kind=ModelError, **wishes):
        with pytest.raises(kind) as caught:
            self.read(**wishes)
        line = str(caught.value)
        assert len(line.splitlines()) == 1
        for word in words:
            assert word in line, line


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


INPUTS = np.random.default_rng(9).normal(size=(40, 6))


def agree(model, layers, zoneout=0.0, xs=INPUTS):
    want = xs
    for layer in layers:
        want = evnn_layer(layer, want, zoneout)
    have = here(model, xs)
    assert 0.02 < np.mean(want > 0) < 0.98  # both silent and active units
    assert np.array_equal(have > 0, want > 0)
    np.testing.assert_allclose(have, want, atol=2e-5)


# ---- language models


@pytest.mark.parametrize("zoneout", [0.0, 0.2319])
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_language_model_computes_what_it_did(files, version, zoneout):
    entries, layers = language_model(version=version)
    got = files.write(entries).read(zoneout=zoneout or None)
    agree(got.model, layers, zoneout)
    assert got.model.embedding.tobytes() == entries["embeddings.weight"].tobytes()
    assert got.model.decoder_bias.tobytes() == entries["decoder.decoder.bias"].tobytes()
    assert (got.model.segment, got.model.state, got.model.projection, got.model.vocabulary) == (70, "zeroed", None, ())
    assert got.model.provenance["importer"] == f"EvNN {version}"
    training = {"_max_norm": -1.0, "dampening_factor": pytest.approx(0.7), "pseudo_derivative_support": 1.0}
    assert got.model.provenance["training"] == [training] * 3
    assert not any("left out" in note for note in got.notes)


def test_thresholds_are_clamped_and_counted(files):
    entries, _ = language_model()
    entries["rnns.0.thr"] = np.float32([-0.0003, -0.0002, 0, 0.5, 1, 1.25, 0.1, 0.2, 0.3])
    entries["rnns.1.thr"] = np.full(9, 0.25, np.float32)
    entries["rnns.2.thr"] = np.full(6, -1, np.float32)
    got = files.write(entries).read()
    first = got.model.network.populations[1].vectors["threshold"]
    assert first.tolist() == np.float32([0, 0, 0, 0.5, 1, 1, 0.1, 0.2, 0.3]).tolist()
    assert got.model.provenance["thresholds_clamped"] == [3, 0, 6]
    assert any(note.startswith("9 thresholds outside [0, 1] clamped") for note in got.notes)


@pytest.mark.parametrize(("version", "default"), [("0.1.0", "relu"), ("0.2.0", "linear")])
@pytest.mark.parametrize("asked", [None, "relu", "linear"])
def test_a_decoder_projection(files, version, default, asked):
    entries, layers = language_model(version=version, widths=(6, 9, 9), projection=True)
    got = files.write(entries).read(projection=asked)
    agree(got.model, layers)
    assert got.model.projection.activation == (asked or default)
    assert got.model.projection.weight.tobytes() == entries["decoder.projection.weight"].tobytes()
    assert got.model.projection.bias.tobytes() == entries["decoder.projection.bias"].tobytes()
    (note,) = (note for note in got.notes if "projection" in note)
    assert (asked or default) in note
    assert ("as you say" in note) == (asked is not None)


def test_pruned_weights_are_the_product_of_weights_and_mask(files):
    """torch.prune's keys; the masks as torch has them (floats) or as somebody saves them (bool)."""
    entries, layers = language_model()
    rng = np.random.default_rng(4)
    kept = total = 0
    for number, layer in enumerate(layers):
        for name in ("kernel", "recurrent_kernel"):
            weights = entries.pop(f"rnns.{number}.{name}")
            mask = rng.random(weights.shape) < 0.5
            layer[name] = weights * mask
            entries[f"rnns.{number}.{name}_orig"] = weights
            entries[f"rnns.{number}.{name}_mask"] = mask if number else mask.astype(np.float32)
            kept, total = kept + mask.sum(), total + mask.size
    got = files.write(entries).read()
    agree(got.model, layers)
    assert got.model.network.nonzeros == kept
    assert f"6 pruned tensors stored as weights and mask: {kept} of {total:,} weights kept" in got.notes
    assert not any("left out" in note for note in got.notes)
    bad = {**entries, "rnns.0.kernel_mask": entries["rnns.0.kernel_mask"][:, :-1]}
    files.write(bad).refused("rnns.0.kernel_mask needs shape (6, 27), has (6, 26)")
    del bad["rnns.0.kernel_mask"]
    files.write(bad).refused("has no tensor 'rnns.0.kernel_mask'")


def test_zeros_in_dense_tensors_are_absent(files):
    entries, layers = language_model()
    for number, layer in enumerate(layers):
        for name in ("kernel", "recurrent_kernel"):
            layer[name][::2, 1::3] = 0
            layer[name][1, 0] = -0.0
            entries[f"rnns.{number}.{name}"] = layer[name]
    got = files.write(entries).read()
    agree(got.model, layers)
    assert got.model.network.nonzeros == sum(np.count_nonzero(p[name]) for p in layers for name in ("kernel", "recurrent_kernel"))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_other_number_formats(files, dtype, order):
    entries, _ = language_model()
    exact = {key: (tensor.view(np.uint32) & 0xFFFF0000).view(np.float32) for key, tensor in entries.items()}
    if dtype == "float16":
        exact = {key: tensor.astype(np.float16).astype(np.float32) for key, tensor in entries.items()}
    stored = {key: bfloat16(t) if dtype == "bfloat16" else t.astype(dtype) for key, t in exact.items()}
    got = files.write(stored, byteorder=order).read()
    assert got.model.embedding.tobytes() == exact["embeddings.weight"].tobytes()
    assert any(f"27 {dtype} tensors converted to float32" in note for note in got.notes)
    if dtype == "float64":
        assert any("0 values rounded" in note for note in got.notes)
        stored["decoder.decoder.bias"] += 1e-12
        assert any(f"{len(WORDS)} values rounded" in note for note in files.write(stored).read().notes)
        stored["decoder.decoder.bias"][2] = 1e300
        files.write(stored).refused("decoder.decoder.bias", "not finite", "at 2")


def test_the_words_come_from_the_text(files):
    got = files.write(language_model()[0]).read(text=files.text, licence="CC BY-SA 4.0")
    assert got.model.vocabulary == WORDS
    assert {split: [WORDS[n] for n in ids] for split, ids in got.model.tokens.items()} == {
        "valid": ["naïve", "wind", "<eos>"],
        "test": ["the", "sea", "<eos>", "ship", "<eos>"],
    }
    assert all(ids.dtype == np.uint32 for ids in got.model.tokens.values())
    assert got.model.text_licence == "CC BY-SA 4.0"
    assert got.model.provenance["text"] == "text"


def test_a_text_that_does_not_fit(files):
    files.write(language_model()[0])
    assert any("no --text: which word has which number is unknown" in note for note in files.read().notes)
    (files.text / "wiki.valid.tokens").unlink()
    files.refused("has 8 words; without valid, the embedding needs 9", text=files.text)
    files.refused("no such folder", kind=TextError, text=files.text / "none")
    files.refused("--licence", licence="MIT")


CONFIG = (
    "rnn_type: egru\nlayers: 3\nemb_dim: 6\nhidden_dim: 9\nprojection: false\nbptt: 35\ndata: /home/somebody/wikitext\nlr: 0.001\n"
)


def test_config_gives_the_segment_and_is_held_against_the_tensors(files):
    got = files.write(language_model()[0], CONFIG).read()
    assert got.model.segment == 35
    assert ("configuration", str(files.run / "config.yaml")) in got.description
    assert got.model.provenance["config"] == {
        "layers": 3,
        "emb_dim": 6,
        "hidden_dim": 9,
        "projection": False,
        "bptt": 35,
        "lr": 0.001,
    }
    assert files.read(segment=7, state="carried").model.segment == 7
    assert files.read(segment=7, state="carried").model.state == "carried"
    (files.run / "config.yaml").write_text(CONFIG + "dropout_zoneout: 0.25\n")
    assert files.read().model.network.populations[1].params == {"zoneout": 0.25}
    assert files.read(zoneout=0.5).model.network.populations[3].params == {"zoneout": 0.5}
    wrapped = "_wandb: {desc: null}\nbptt: {desc: null, value: 35}\nlayers: {value: 3}\n"
    (files.run / "config.yaml").write_text(wrapped)
    assert files.read().model.segment == 35


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("layers: 2", ["says layers 2, the tensors 3"]),
        ("emb_dim: 7", ["says emb_dim 7, the tensors 6"]),
        ("hidden_dim: 8", ["says hidden_dim 8, the tensors 9"]),
        ("projection: true", ["says projection true, the file has none"]),
        ("rnn_type: lstm", ["rnn_type is 'lstm'; needs an EGRU"]),
        ("bptt: many", ["bptt needs a whole number", "many"]),
        ("bptt: 0", ["bptt needs a whole number"]),
        ("zoneout: 2", ["zoneout", "--zoneout"]),
        ("a_zoneout: 0.1\nb_zoneout: 0.2", ["zoneout", "--zoneout"]),
        ("x: !!python/object/apply:os.system ['touch evil']", ["no YAML of plain values", "python/object/apply:os.system"]),
        ("x: [", ["no YAML of plain values"]),
        ("x: " + "[" * 5000, ["no YAML of plain values"]),
        ("\x01", ["no YAML of plain values"]),
    ],
)
def test_a_config_that_does_not_fit(files, monkeypatch, line, words):
    monkeypatch.chdir(files.run)
    files.write(language_model()[0], f"bptt: 70\n{line}\n" if not line.startswith("bptt") else line).refused("config", *words)
    assert not (files.run / "evil").exists()


@pytest.mark.wide
def test_a_config_of_another_kind(files):
    files.write(language_model()[0])
    for text, words in (
        ("- 1\n", "needs names and values"),
        ("1: 2\n", "needs names and values"),
        ("# " + "x" * (1 << 20), "more than"),
    ):
        (files.run / "config.yaml").write_text(text)
        files.refused("config", words)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (files.run / "config.yaml").write_text(bomb)
    tracemalloc.start()
    files.read()
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


# ---- what a language model must have


def without(*keys):
    return lambda entries: [entries.pop(key) for key in keys]


def renamed(old, new):
    return lambda entries: [entries.update({key.replace(old, new): entries.pop(key)}) for key in list(entries) if old in key]


def changed(key, change):
    def damage(entries):
        entries[key] = change(entries[key].copy())

    return damage


def spoilt(value):
    def change(tensor):
        tensor.reshape(-1)[2] = value
        return tensor

    return change


@pytest.mark.few(8)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (changed("decoder.decoder.weight", lambda t: t + 1), ["a decoder tied to the embedding; 54 of 54"]),
        (changed("decoder.decoder.weight", lambda t: t[:, :-1].copy()), ["decoder.weight needs the shape of embeddings.weight"]),
        (changed("decoder.decoder.bias", lambda t: t[1:].copy()), ["decoder.decoder.bias needs shape (9,)"]),
        (changed("rnns.1.thr", lambda t: t[1:].copy()), ["rnns.1.thr needs shape (9,)"]),
        (changed("rnns.1.bias", lambda t: t.astype(np.int64)), ["rnns.1.bias needs shape (27,) of floats", "int64"]),
        (changed("rnns.1.kernel", lambda t: t[:, 1:].copy()), ["rnns.1: kernel needs shape (inputs, 3 * units), has (9, 26)"]),
        (changed("rnns.1.kernel", lambda t: t[1:].copy()), ["rnns.1: has 8 inputs, the layer before it 9 units"]),
        (changed("rnns.1.recurrent_kernel", lambda t: t.T.copy()), ["rnns.1.recurrent_kernel needs shape (9, 27)"]),
        (changed("rnns.1.kernel", lambda t: t.reshape(-1)), ["rnns.1.kernel needs 2 dimensions, has shape (243,)"]),
        (changed("rnns.0.kernel", lambda t: t[:0].copy()), ["rnns.0: kernel needs shape"]),
        *((changed(f"rnns.2.{name}", spoilt(v)), [f"rnns.2.{name}", "not finite", "at 2"])
          for name in ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "thr") for v in (np.nan, np.inf)),
        (changed("embeddings.weight", spoilt(np.nan)), ["embeddings.weight", "not finite"]),
        (without("rnns.1.kernel"), ["has no tensor 'rnns.1.kernel'"]),
        (without("rnns.1.bias"), ["has no tensor 'rnns.1.bias'"]),
        (without("rnns.1.thr"), ["rnns.1: needs either thr (EvNN 0.2.0) or thr_reparam (0.1.0), has nothing"]),
        (renamed("rnns.1.thr", "rnns.1.thr_reparam"), ["rnns.1: has thr_reparam, the layer before it thr"]),
        (renamed("rnns.1.", "rnns.5."), ["layers of rnns need the numbers 0 to 5, have 0, 2, 5"]),
        (renamed("rnns.0.", "rnns.00."), ["has EGRU layers in 2 places"]),
        (renamed("rnns.2.", "encoder.0."), ["has EGRU layers in 2 places (rnns, encoder); choose one with --prefix"]),
        (renamed("recurrent_kernel", "module.weight_hh_l0"), ["rnns.0.module.weight_hh_l0", "an LSTM or GRU baseline of EvNN"]),
        (renamed("recurrent_kernel", "module.weight_hh_l0_raw"), ["an LSTM or GRU baseline of EvNN"]),
        (renamed("recurrent_kernel", "weights"), ["no EGRU layer", "has embeddings.wei"]),
        (without("rnns.2.recurrent_kernel"), ["the tied decoder needs a last layer of 6 units or a projection, has 9"]),
    ],
)  # fmt: skip
def test_what_makes_no_model_is_refused(files, damage, words):
    entries, _ = language_model()
    damage(entries)
    files.write(entries).refused("EGRU_best_model.cpt", *words)


def test_layers_are_taken_in_numeric_order(files):
    entries, layers = language_model(widths=(6, *(4,) * 11, 6))
    assert len(layers) == 12
    shuffled = dict(sorted(entries.items()))  # rnns.0, rnns.1, rnns.10, rnns.11, rnns.2 ...
    got = files.write(shuffled).read()
    for layer, population in zip(layers, got.model.network.populations[1:], strict=True):
        assert population.vectors["bias"].tobytes() == layer["bias"].tobytes()


def test_one_of_two_tied_tensors_is_enough(files):
    for key in ("embeddings.weight", "decoder.decoder.weight"):
        entries, _ = language_model()
        embedding = entries.pop(key)
        got = files.write(entries).read()
        assert got.model.embedding.tobytes() == embedding.tobytes()
        assert any("alone of the two tied tensors" in note for note in got.notes)


def test_keys_that_nobody_knows_are_listed(files):
    entries, _ = language_model()
    more = {f"other.{n}": np.zeros(2, np.float32) for n in range(12)} | {"evil\n\x1b[31m": np.zeros(1, np.float32)}
    got = files.write({**more, **entries}).read()
    (line,) = (note for note in got.notes if "left out" in note)
    assert line.startswith("13 keys left out: other.0, other.1")
    assert line.endswith("and 5 more")
    got = files.write(entries | {"evil\n\x1b[31m": np.zeros(1, np.float32)}).read()
    assert any(note == "1 keys left out: 'evil\\n\\x1b[31m'" for note in got.notes)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict"])
def test_wrapped_and_inside_another_module(files, wrapper):
    entries, layers = language_model()
    got = files.write({f"module.{key}": tensor for key, tensor in entries.items()}, wrapper=wrapper).read()
    agree(got.model, layers)
    assert got.model.embedding is not None
    assert any(f"under '{wrapper}'" in note for note in got.notes)
    agree(files.read(prefix="module").model, layers)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"projection": "tanh"}, "--projection 'tanh': needs linear or relu"),
        ({"projection": "relu"}, "--projection: the file has no decoder.projection.weight"),
        ({"state": "kept"}, "--state 'kept': needs carried or zeroed"),
        ({"gru": "plain"}, "--gru"),
        ({"gru": "x"}, "--gru 'x': the importer 'evnn', which reads this file, has no such option; has --projection, --zoneout"),
        ({"zoneout": 1.5}, "--zoneout 1.5"),
        ({"zoneout": float("nan")}, "--zoneout nan"),
        ({"segment": 0}, "--segment 0"),
        ({"segment": 1 << 40}, "--segment"),
        ({"prefix": "layers"}, "no key begins with 'layers.'"),
        ({"head": "x"}, "--head: a language model has its embedding and decoder around its layers"),
    ],
)
def test_wishes_that_cannot_be(files, wishes, words):
    files.write(language_model()[0]).refused(words, **wishes)


# ---- layers alone


def test_a_gesture_checkpoint_gives_its_layers(files):
    entries, layers = stack(np.random.default_rng(2), (6, 8, 5), prefix="layers")
    rest = {"conv.0.weight": np.zeros((2, 1, 3, 3), np.float32), "conv.0.bias": np.zeros(2, np.float32)}
    files.write(
        {**rest, **entries, "fc.weight": np.zeros((3, 5), np.float32), "fc.bias": np.zeros(3, np.float32)}, wrapper="state_dict"
    )
    for prefix in ("", "layers"):
        got = files.read(prefix=prefix, zoneout=0.2319)
        agree(got.model, layers, 0.2319)
        assert (got.model.embedding, got.model.state) == (None, "carried")
    got = files.read()
    assert "4 keys left out: conv.0.weight, conv.0.bias, fc.weight, fc.bias" in got.notes
    assert any("low-pass trace" in note for note in got.notes)
    files.refused("--text and --licence: a bare stack", text=files.text)
    files.refused("--projection: a bare stack", projection="relu")


def test_one_layer_by_its_prefix_or_bare(files):
    """As in event-based neural decoding: a Linear, an EGRU, a head, which are taken where no prefix says otherwise."""
    entries, layer = layer_tensors(np.random.default_rng(3), 6, 5)
    rest = {
        "egru.0.weight": np.zeros((6, 9), np.float32),
        "egru.0.bias": np.zeros(6, np.float32),
        "head.weight": np.zeros((2, 5), np.float32),
    }
    files.write({**rest, **{f"egru.1.{name}": tensor for name, tensor in entries.items()}}, root="best_egrumodel")
    agree(files.read(prefix="egru.1").model, [layer])
    agree(files.read(prefix="egru.1.").model, [layer])
    whole = files.read().model
    agree(whole, [layer])
    assert [(a.inputs, a.outputs) for a in (*whole.front, *whole.head)] == [(9, 6), (5, 2)]
    files.write({f"egru.1.{name}": tensor for name, tensor in entries.items()})
    files.refused("need the numbers 0 to 1, have 1; a single one: --prefix egru.1")
    files.write(entries)
    agree(files.read(state="zeroed", segment=5).model, [layer])
    assert (files.read(segment=5).model.state, files.read().model.state) == ("zeroed", "carried")
    files.write({f"encoder.rnn.{name}": tensor for name, tensor in entries.items()})
    agree(files.read().model, [layer])
    two, layers = stack(np.random.default_rng(2), (6, 8, 5), prefix="a.b")
    files.write({**two, **{key.replace("a.b", "c"): tensor for key, tensor in two.items()}})
    files.refused("2 places (a.b, c)")
    agree(files.read(prefix="c").model, layers)
    agree(files.read(prefix="a").model, layers)


def test_the_layers_of_a_language_model_alone(files):
    entries, layers = language_model()
    got = files.write(entries).read(prefix="rnns")
    agree(got.model, layers)
    assert got.model.embedding is None


def test_safetensors_with_the_same_keys(files, tmp_path):
    entries, layers = language_model()
    path = tmp_path / "m.safetensors"
    save_file({key: np.array(tensor) for key, tensor in entries.items()}, path)
    agree(import_model(path, ImportRequest()).model, layers)


# ---- torch.nn.GRU


def gru_tensors(rng, widths, prefix="", shift=0.0, negative=1.0):
    """A state_dict of torch.nn.GRU, rows r, z, n."""
    entries = {}
    for number, (inputs, units) in enumerate(pairwise(widths)):
        for name, shape in (
            ("weight_ih", (3 * units, inputs)),
            ("weight_hh", (3 * units, units)),
            ("bias_ih", (3 * units,)),
            ("bias_hh", (3 * units,)),
        ):
            entries[f"{prefix}{name}_l{number}"] = rng.normal(size=shape).astype(np.float32)
        for name in ("weight_ih", "weight_hh"):
            rows = entries[f"{prefix}{name}_l{number}"][2 * units :]
            rows[rows < 0] *= negative
        entries[f"{prefix}bias_ih_l{number}"][2 * units :] += shift
    return entries


def gru_outputs(entries, xs, prefix=""):
    """What torch.nn.GRU computes, by its documentation."""
    number = 0
    while f"{prefix}weight_hh_l{number}" in entries:
        wi, wh, bi, bh = (
            entries[f"{prefix}{name}_l{number}"].astype(float) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, out = np.zeros(wh.shape[1]), []
        for x in xs:
            (ir, iz, in_), (hr, hz, hn) = np.split(wi @ x + bi, 3), np.split(wh @ h + bh, 3)
            r, z = logistic(ir + hr), logistic(iz + hz)
            h = (1 - z) * np.tanh(in_ + r * hn) + z * h
            out.append(h)
        xs, number = np.array(out), number + 1
    return xs


@pytest.mark.wide
def test_our_gru_is_torchs():
    torch = pytest.importorskip("torch")
    entries = gru_tensors(np.random.default_rng(6), (6, 7, 5))
    module = torch.nn.GRU(6, 7)
    module.load_state_dict({key: torch.from_numpy(entries[key]) for key in module.state_dict()})
    with torch.no_grad():
        want = module(torch.from_numpy(INPUTS.astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(gru_outputs({key: entries[key] for key in module.state_dict()}, INPUTS), want, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "encoder.rnn."])
def test_a_gru_with_a_mirrored_twin_for_each_unit_is_exact(files, prefix):
    entries = gru_tensors(np.random.default_rng(6), (6, 7, 5), prefix)
    want = gru_outputs(entries, INPUTS, prefix)
    assert (want < -0.1).any()
    assert (want > 0.1).any()
    got = files.write(entries).read()
    have = here(got.model, INPUTS)
    np.testing.assert_allclose(have[:, :5] - have[:, 5:], want, atol=1e-5)
    assert [p.units for p in got.model.network.populations] == [6, 14, 10]
    assert (got.model.provenance["exact"], got.model.state) == (True, "carried")
    assert any("exact for any input" in note and "h = y[0:5] - y[5:10]" in note for note in got.notes)


def test_a_gru_unit_for_unit_is_exact_where_no_state_is_negative(files):
    entries = gru_tensors(np.random.default_rng(6), (6, 7, 5), shift=3.0, negative=0.05)
    xs = np.abs(INPUTS)
    want = gru_outputs(entries, xs)
    assert want.min() > 0
    got = files.write(entries).read(gru="plain")
    np.testing.assert_allclose(here(got.model, xs), want, atol=1e-5)
    assert [p.units for p in got.model.network.populations] == [6, 7, 5]


def test_a_gru_unit_for_unit_is_not_exact_elsewhere_and_says_so(files):
    entries = gru_tensors(np.random.default_rng(6), (6, 7, 5))
    got = files.write(entries).read(gru="plain")
    assert np.abs(here(got.model, INPUTS) - gru_outputs(entries, INPUTS)).max() > 0.1
    assert got.model.provenance["exact"] is False
    assert any(note.startswith("not exact: ") for note in got.notes)
    assert any(note.startswith("not exact: ") for note in got.model.provenance["notes"])
    files.write(entries).read(state="zeroed")
    assert files.read(state="zeroed").model.provenance["exact"] is False


def test_weights_that_keep_every_state_positive_are_recognised(files):
    """A bound on the candidate's argument; a hair below it, the promise is not made."""
    rng = np.random.default_rng(8)
    entries = gru_tensors(rng, (4, 6, 5))
    for number, units in ((0, 6), (1, 5)):
        ih, hh, bi, bh = (entries[f"{name}_l{number}"][2 * units :] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        low = -np.abs(ih).sum(axis=1) if number == 0 else np.minimum(ih, 0).sum(axis=1)
        bi[:] = -low - np.minimum(0, bh + np.minimum(hh, 0).sum(axis=1)) + 1e-4
    files.write(entries)
    got = files.read(gru="plain")
    assert got.model.provenance["exact"] is True
    assert any("inputs from -1 to 1" in note for note in got.notes)
    xs = np.sign(rng.normal(size=(200, 4)))  # corners, where the bound is tightest
    want = gru_outputs(entries, xs)
    assert want.min() >= 0
    np.testing.assert_allclose(here(got.model, xs), want, atol=1e-5)
    for layer, place in ((0, 15), (1, 12)):
        below = entries[f"bias_ih_l{layer}"].copy()
        below[place] -= 2e-4
        assert files.write({**entries, f"bias_ih_l{layer}": below}).read(gru="plain").model.provenance["exact"] is False


def test_a_gru_cell_and_a_gru_without_bias(files):
    entries = gru_tensors(np.random.default_rng(6), (6, 5))
    cell = {key.removesuffix("_l0"): tensor for key, tensor in entries.items()}
    assert files.write(cell).read().model.network.nonzeros == files.write(entries).read().model.network.nonzeros
    bare = {key: tensor for key, tensor in entries.items() if "bias" not in key}
    have = here(files.write(bare).read().model, INPUTS)
    want = gru_outputs({key: t * ("bias" not in key) for key, t in entries.items()}, INPUTS)
    np.testing.assert_allclose(have[:, :5] - have[:, 5:], want, atol=1e-5)


@pytest.mark.parametrize(
    ("damage", "wishes", "words"),
    [
        (lambda e: e.update(weight_hh_l0_reverse=np.zeros((21, 7), np.float32)), {}, ["weight_hh_l0_reverse: a bidirectional GRU"]),
        (renamed("weight_hh_l0", "weight_hh_l2"), {}, ["GRU layers need the numbers 0 to 2, have 1, 2"]),
        (renamed("_l1", "_l3"), {}, ["GRU layers need the numbers 0 to 3, have 0, 3"]),
        (changed("weight_hh_l0", lambda t: np.concatenate([t, t[:7]])), {}, ["weight_hh_l0: needs shape", "an LSTM's?"]),
        (changed("weight_ih_l1", lambda t: t[:, 1:].copy()), {}, ["has 6 inputs, the layer before it 7 units"]),
        (changed("weight_ih_l1", lambda t: t[1:].copy()), {}, ["weight_ih_l1 needs shape (15, 7)"]),
        (without("weight_ih_l0"), {}, ["has no tensor 'weight_ih_l0'"]),
        (without(), {"zoneout": 0.1}, ["--zoneout '0.1'", "has --gru"]),
        (without(), {"projection": "relu"}, ["--projection"]),
        (renamed("_l1", "_l0_b"), {"prefix": "x"}, ["no key begins with 'x.'"]),
        (lambda e: e.update({f"x.{key}": tensor for key, tensor in e.items()}), {}, ["has GRUs in 2 places"]),
    ],
)
def test_grus_that_cannot_be(files, damage, wishes, words):
    entries = gru_tensors(np.random.default_rng(6), (6, 7, 5))
    damage(entries)
    files.write(entries).refused(*words, **wishes)


# ---- the command


@pytest.fixture
def launch(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        try:
            code = main(["import", *map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return go


def test_the_command_writes_a_checkpoint_and_says_what_it_did(files, launch, tmp_path):
    entries, layers = language_model()
    files.write(entries, CONFIG)
    code, out, err = launch(files.checkpoint, "mine.safetensors", "--text", files.text, "--licence", "CC BY-SA")
    assert (code, err) == (0, "")
    for line in ("EvNN 0.2.0 language model", "6 -> 9 -> 9 -> 6", "9 words", "zeroed every 35 positions", "mine.safetensors ("):
        assert line in out
    model = load(tmp_path / "mine.safetensors")
    agree(model, layers)
    assert (model.vocabulary, model.segment, model.state, model.text_licence) == (WORDS, 35, "zeroed", "CC BY-SA")
    assert [int(n) for n in model.tokens["valid"]] == [7, 6, 5]
    assert json.loads(json.dumps(dict(model.provenance)))["imported_from"] == "EGRU_best_model.cpt"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.safetensors", "run", "text"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("version", some(["0.1.0", "0.2.0"], "0.1.0".__eq__))
def test_an_imported_model_runs_on_the_emulated_chip(files, launch, capfd, version):
    """The text that came with it, on shards, agrees with the reference bit for bit."""
    projected = {"projection": True, "widths": (6, 9, 9)} if version == "0.1.0" else {}
    files.write(language_model(version=version, **projected)[0])
    assert launch(files.checkpoint, "mine.safetensors", "--text", files.text, "--segment", 2)[0] == 0
    model, run_on = ("--checkpoint", "mine.safetensors", "--split", "test", "--tokens", "4"), ("--pes", "5", "--transport", "mem")
    code = main(["verify", *model, *run_on, "--no-monitor", "--no-pictures", "--out", "out"])
    out, err = capfd.readouterr()
    assert (code, without_compiling(err)) == (0, "")
    assert "agree with the reference, bit for bit" in out


def test_a_broken_storage_is_named(files):
    """Its numbers have changed, the zip's checksum has not."""
    files.write(language_model()[0])
    raw = bytearray(files.checkpoint.read_bytes())
    raw[raw.find(np.float32([0.7]).tobytes())] ^= 1
    files.checkpoint.write_bytes(bytes(raw))
    files.refused("rnns.0.dampening_factor: damaged", "CRC")


def test_stacks_and_projections_are_written_too(files, launch, tmp_path):
    entries, layers = language_model(version="0.1.0", widths=(6, 9, 9), projection=True)
    files.write(entries)
    assert launch(files.checkpoint, "p.safetensors")[0] == 0
    assert load(tmp_path / "p.safetensors").projection.activation == "relu"
    assert launch(files.checkpoint, "s.safetensors", "--prefix", "rnns")[0] == 0
    agree(load(tmp_path / "s.safetensors"), layers)
    files.write(gru_tensors(np.random.default_rng(6), (6, 5)))
    code, out, _ = launch(files.checkpoint, "g.safetensors", "--gru", "plain")
    assert code == 0
    assert "not exact: " in out


def test_nothing_is_overwritten_and_nothing_is_left_half_written(files, launch, tmp_path, monkeypatch):
    files.write(language_model()[0])
    before = sorted(tmp_path.iterdir())
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for target, words in (
        ("there", "exists already"),
        ("link", "exists already"),
        ("no/such", "folder does not exist"),
        ("x" * 300, "cannot be"),
    ):
        code, _, err = launch(files.checkpoint, target)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
    assert (tmp_path / "there").read_text() == "mine"
    assert "exists already" in launch("missing.cpt", "there")[2]  # before anything is read
    code, _, err = launch(files.run, "out.safetensors")
    assert (code, err.count("\n")) == (2, 1)
    files.checkpoint.write_bytes(files.checkpoint.read_bytes()[:-200])
    assert launch(files.checkpoint, "out.safetensors")[0] == 2
    files.write(language_model()[0])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    code, _, err = launch(files.checkpoint, "out.safetensors")
    assert (code, err) == (2, "gennaker: import: out.safetensors: cannot be written (No space left on device)\n")
    (tmp_path / "there").unlink()
    (tmp_path / "link").unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_help(launch):
    code, out, _ = launch("--help")
    assert code == 0
    for flag in ("--text", "--prefix", "--projection", "--zoneout", "--segment", "--state", "--licence", "--gru"):
        assert flag in out


# ---- any damage


@pytest.mark.wide
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_damaged_numbers_import_or_are_refused(tmp_path_factory, data):
    """Bytes changed before the zip is made, so that its checksums hold: a usable model or one line, and no more memory."""
    entries, _ = language_model(widths=(6, 3, 6))
    key = data.draw(st.sampled_from(list(entries)))
    tensor = entries[key].copy()
    raw = tensor.view(np.uint8).reshape(-1)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, raw.size - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.cpt"
    path.write_bytes(torch_file({**entries, key: tensor}))
    tracemalloc.start()
    try:
        got = import_model(path, ImportRequest())
        assert np.isfinite(here(got.model, INPUTS[:2])).all()
    except ModelError as error:
        assert len(str(error).splitlines()) == 1
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20
