"""What is exported is what torch loads, and importing it again gives the model in every bit."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_importers import INPUTS, WORDS, Files, gru_outputs, gru_tensors, here, language_model, stack

from host.cli import main
from models import exporters, shipped
from models.checkpoint import Model, load, save, tasks
from models.checkpoint.graph import tensors_of
from models.exporters import exporter_for
from models.exporters import torch as torch_exporter
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.heads.affine import ACTIVATIONS, Affine, answer_of
from models.network import ModelError
from models.seeded import seeded_egru
from tests.tools.torch_bytes import torch_file

RNG = np.random.default_rng


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def affine(out, into, activation, seed=0):
    rng = RNG((seed, out, into))
    return Affine(rng.normal(size=(out, into)).astype(np.float32), rng.normal(size=out).astype(np.float32), activation)


def again(tmp_path, model):
    """The model after a way through a file of torch's, and the notes of the export."""
    path, notes = tmp_path / "out.pth", []
    torch_exporter.write(path, model, notes)
    return import_model(path, ImportRequest()).model, notes


def parts(model):
    """All that a checkpoint keeps of a model but words and where it is from, as bytes by name."""
    model = replace(model, vocabulary=(), tokens={}, text_licence="", provenance={})
    facts = {name: tasks.named(name).facts_of("test", model) for name in tasks.names()}
    arrays = tensors_of("test", model.network)
    for name, said in facts.items():
        if said is not None:
            arrays |= tasks.named(name).tensors_of("test", model)
    params = [dict(population.params) for population in model.network.populations]
    return {name: (a.shape, a.dtype, a.tobytes()) for name, a in arrays.items()}, facts, params, model.segment, model.state


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_mirrored_gru_is_one_again_in_every_bit(tmp_path_factory, data):
    width, seed = st.integers(1, 9), data.draw(st.integers(0, 2**32 - 1))
    inputs, widths = data.draw(width), data.draw(st.lists(width, min_size=1, max_size=4))
    runs = [len(list(run)) for _, run in groupby(widths)]
    ends = [inputs, *widths]
    entries, first = {}, 0
    for place, count in enumerate(runs):
        entries |= gru_tensors(RNG((seed, place)), ends[first : first + count + 1], f"rnn{place}.")
        first += count
    units = widths[-1]
    for key in entries:  # zeros of both signs are no weights, and biases that are zero stay so
        entries[key][RNG(seed).random(entries[key].shape) < 0.2] = data.draw(st.sampled_from([0.0, -0.0]))
    folder = tmp_path_factory.mktemp("gru")
    (folder / "in.pth").write_bytes(torch_file(entries))
    model = import_model(folder / "in.pth", ImportRequest()).model
    names = st.sampled_from(ACTIVATIONS)
    front = (affine(inputs, 3, data.draw(names)),) if data.draw(st.booleans()) else ()
    head = (affine(4, units, data.draw(names)), affine(2, 4, data.draw(names))) if data.draw(st.booleans()) else ()
    model = replace(
        model,
        front=front,
        head=head,
        segment=data.draw(st.integers(1, 99)),
        state=data.draw(st.sampled_from(["carried", "zeroed"])),
    )
    back, notes = again(folder, model)
    assert parts(back) == parts(model)
    assert f"GRU({inputs}, {widths[0]}" in notes[0]
    assert ("ModuleList" in notes[0]) == (len(runs) > 1)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("projection", [False, True])
def test_a_language_model_comes_back_in_every_bit(files, tmp_path, version, projection):
    entries, _ = language_model(version=version, widths=(6, 9, 9) if projection else (6, 9, 9, 6), projection=projection)
    model = files.write(entries).read(text=files.text, zoneout=0.25, segment=35).model
    back, notes = again(tmp_path, model)
    assert parts(back) == parts(model)
    assert any("words and texts stay behind" in note for note in notes)
    worded = import_model(tmp_path / "out.pth", ImportRequest(text=files.text)).model
    assert worded.vocabulary == WORDS


def test_a_stack_pruned_with_layers_around_comes_back_in_every_bit(files, tmp_path):
    entries, _ = stack(RNG(2), (6, 8, 5), prefix="layers")
    for key in ("layers.0.kernel", "layers.1.recurrent_kernel"):
        entries[key][RNG(3).random(entries[key].shape) < 0.7] = 0
    model = files.write(entries).read(zoneout=0.5).model
    model = replace(model, front=(affine(6, 3, "relu"),), head=(affine(2, 5, "linear"),))
    back, _ = again(tmp_path, model)
    assert parts(back) == parts(model)
    assert back.network.nonzeros == model.network.nonzeros


def test_what_training_alone_uses_comes_back_from_the_record(files, tmp_path):
    entries, _ = stack(RNG(2), (6, 8, 5))
    model = files.write(entries).read().model
    _, notes = again(tmp_path, model)
    assert import_model(tmp_path / "out.pth", ImportRequest()).model.provenance["training"] == model.provenance["training"]
    assert not any("only training" in note for note in notes)
    _, notes = again(tmp_path, replace(model, provenance={}))
    assert "what only training uses is EvNN's default: _max_norm -1, dampening_factor 0.7, pseudo_derivative_support 1" in notes


def test_twins_that_are_no_mirrored_gru_any_more_stay_twins(files, tmp_path):
    """One weight of one twin was pruned: no GRU computes that, but the answer is the same."""
    model = files.write(gru_tensors(RNG(6), (6, 5))).read().model
    layer = model.network.populations[1]
    rows = layer.projections[0].weights.to_dense()
    rows[0, 0] = 0
    one = replace(layer.projections[0], weights=type(layer.projections[0].weights).from_dense(rows))
    network = replace(
        model.network, populations=(model.network.populations[0], replace(layer, projections=(one, layer.projections[1])))
    )
    model = replace(model, network=network, head=(affine(2, 5, "tanh"),))
    back, notes = again(tmp_path, model)
    assert parts(back) == parts(model)
    assert back.twins
    assert any("no mirrored GRU any more" in note for note in notes)


def test_a_gru_unit_for_unit_comes_back_too(files, tmp_path):
    model = files.write(gru_tensors(RNG(6), (6, 7, 5))).read(gru="plain").model
    assert parts(again(tmp_path, model)[0]) == parts(model)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: shipped_model("gesture-plain"), "a gesture classifier"),
        (lambda: with_layer(params={"fire_at_threshold": 1.0}), "egru1 fires at its threshold, where EvNN's layers fire above it"),
        (lambda: with_layer(trace=0.5), "egru1 hears a low-pass trace"),
    ],
)
def test_what_torchs_layers_do_not_compute_is_refused(tmp_path, model, words):
    with pytest.raises(ModelError, match=words):
        torch_exporter.write(tmp_path / "out.pth", model(), [])
    assert not (tmp_path / "out.pth").exists()


def shipped_model(name):
    return load(shipped.path_of(name))


def with_layer(params=None, trace=0.0):
    network = seeded_egru(4, [4], 0.5)
    layer = network.populations[1]
    heard = replace(layer.projections[0], trace=trace)
    layer = replace(layer, params={**layer.params, **(params or {})}, projections=(heard, *layer.projections[1:]))
    return Model(replace(network, populations=(network.populations[0], layer)))


# ---- torch


@pytest.mark.wide
def test_torch_loads_it_as_weights_alone_and_its_gru_computes_the_same(files, tmp_path):
    torch = pytest.importorskip("torch")
    entries = gru_tensors(RNG(6), (6, 7, 7))
    model = files.write(entries).read().model
    again(tmp_path, model)
    for mapped in (False, True):
        loaded = torch.load(tmp_path / "out.pth", weights_only=True, mmap=mapped)
        assert {key: tensor.numpy().tobytes() for key, tensor in loaded.items()} == {k: t.tobytes() for k, t in entries.items()}
    gru = torch.nn.GRU(6, 7, 2)
    gru.load_state_dict(loaded)
    with torch.no_grad():
        want = gru(torch.from_numpy(INPUTS.astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(answer_of(model, here(model, INPUTS)), want, atol=1e-6)
    np.testing.assert_allclose(want, gru_outputs(entries, INPUTS), atol=1e-5)


@pytest.mark.wide
def test_the_modules_that_the_notes_name_load_it(files, tmp_path):
    torch = pytest.importorskip("torch")
    from torch.nn import GRU, Linear, ReLU, Sequential, Tanh

    model = files.write(gru_tensors(RNG(6), (6, 5))).read().model
    model = replace(model, front=(affine(4, 3, "relu"), affine(6, 4, "linear")), head=(affine(2, 5, "tanh"),))
    _, notes = again(tmp_path, model)
    front, head = "Sequential(Linear(3, 4), ReLU(), Linear(4, 6))", "Sequential(Linear(5, 2), Tanh())"
    assert notes[0] == f"modules: front = {front}, gru = GRU(6, 5), head = {head}"
    net = torch.nn.Module()
    net.front, net.gru, net.head = Sequential(Linear(3, 4), ReLU(), Linear(4, 6)), GRU(6, 5), Sequential(Linear(5, 2), Tanh())
    net.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True))


@pytest.mark.wide
def test_tied_weights_are_stored_once(files, tmp_path):
    torch = pytest.importorskip("torch")
    again(tmp_path, files.write(language_model()[0]).read().model)
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert loaded["embeddings.weight"].data_ptr() == loaded["decoder.decoder.weight"].data_ptr()


def test_the_same_model_gives_the_same_bytes(files, tmp_path):
    model = files.write(language_model()[0]).read().model
    for name in ("a.pth", "b.pth"):
        torch_exporter.write(tmp_path / name, model, [])
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


# ---- what a file says beside its tensors


def said(tmp_path, change):
    """An exported file in which that is changed."""
    again(tmp_path, Model(seeded_egru(4, [4], 0.5)))
    with zipfile.ZipFile(tmp_path / "out.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["archive/gennaker.json"] = change(json.loads(members["archive/gennaker.json"]))
    with zipfile.ZipFile(tmp_path / "said.pth", "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return tmp_path / "said.pth"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"{", "is no JSON"),
        (lambda _: b"[" * 100_000, "is no JSON"),
        (lambda _: b"[1]", "needs names and values"),
        (lambda facts: json.dumps(facts | {"segment": 0}).encode(), "says 'segment' 0 beside its tensors"),
        (lambda facts: json.dumps(facts | {"state": []}).encode(), "says 'state'"),
        (lambda facts: json.dumps(facts | {"zoneout": [2]}).encode(), "says 'zoneout'"),
        (lambda facts: json.dumps(facts | {"zoneout": [0.1, 0.1]}).encode(), "says the zoneout of 2 layers, has 1"),
        (lambda facts: json.dumps(facts | {"activations": {"x": "gelu"}}).encode(), "says 'activations'"),
        (lambda facts: json.dumps(facts | {"twins": 1}).encode(), "says 'twins'"),
        (lambda facts: json.dumps(facts | {"more": 1}).encode(), "says 'more'"),
    ],
)
def test_what_no_export_has_written_is_refused_in_one_line(tmp_path, change, words):
    with pytest.raises(ModelError, match=words) as caught:
        import_model(said(tmp_path, change), ImportRequest())
    assert len(str(caught.value).splitlines()) == 1


# ---- the command


def test_the_command_writes_what_torch_reads_and_import_reads_again(files, tmp_path, capsys):
    files.write({f"gru.{key}": tensor for key, tensor in gru_tensors(RNG(6), (6, 5)).items()})
    ours, out, back = tmp_path / "m.safetensors", tmp_path / "out.pth", tmp_path / "back.safetensors"
    assert main(["import", str(files.checkpoint), str(ours)]) == 0
    assert main(["export", str(ours), str(out)]) == 0
    printed = capsys.readouterr().out
    assert "note           modules: GRU(6, 5)" in printed
    assert f"written        {out} (" in printed
    assert main(["import", str(out), str(back)]) == 0
    assert parts(load(back)) == parts(load(ours))
    assert main(["export", "tiny", str(tmp_path / "tiny.pt")]) == 0
    tiny = import_model(tmp_path / "tiny.pt", ImportRequest()).model
    save(tmp_path / "tiny.safetensors", tiny)
    assert (len(tiny.embedding), tiny.vocabulary) == (len(shipped_model("tiny").embedding), ())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m.safetensors", "out.onnx"], "export out.onnx: nothing writes files called so; needs a name that ends with"),
        (["m.safetensors", "m.pth"], "export: m.pth: exists already; nothing is overwritten"),
        (["m.safetensors", "no/out.pth"], "export: no/out.pth: its folder does not exist"),
        (["none.safetensors", "out.pth"], "no such file"),
        (["seeded", "out.pth"], "export seeded: "),
        (["g.safetensors", "out.pth"], "export out.pth: egru1 hears a low-pass trace"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "m.safetensors", with_layer())
    save(tmp_path / "g.safetensors", with_layer(trace=0.5))
    (tmp_path / "m.pth").write_bytes(b"mine")
    before = sorted(tmp_path.iterdir())
    assert main(["export", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(tmp_path.iterdir()) == before


PLAIN = """
SUFFIXES = (".txt",)

def write(path, model, notes):
    path.write_text(str(model.network.nonzeros))
    notes.append("as text")
"""


def test_an_exporter_of_a_users_own_is_found_by_its_suffix(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "exporters"
    folder.mkdir(parents=True)
    (folder / "plain.py").write_text(PLAIN)
    monkeypatch.setenv("GENNAKER_PATH", str(tmp_path))
    monkeypatch.setattr(exporters, "__path__", list(exporters.__path__))
    save(tmp_path / "m.safetensors", with_layer())
    assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "out.txt")]) == 0
    assert (tmp_path / "out.txt").read_text() == str(with_layer().network.nonzeros)
    (folder / "other.py").write_text('SUFFIXES = (".pth",)\n')
    with pytest.raises(ModelError, match=r"exporters other and torch both write \.pth"):
        exporter_for(tmp_path / "x.pth")


@pytest.mark.wide
def test_a_head_of_one_linear_layer_has_the_key_that_programs_give_it(files, tmp_path):
    torch = pytest.importorskip("torch")
    model = replace(files.write(gru_tensors(RNG(6), (6, 5))).read().model, head=(affine(2, 5, "linear"),))
    _, notes = again(tmp_path, model)
    assert notes[0] == "modules: gru = GRU(6, 5), head = Linear(5, 2)"
    assert {"head.weight", "head.bias"} <= torch.load(tmp_path / "out.pth", weights_only=True).keys()
