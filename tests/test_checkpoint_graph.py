"""A checkpoint of any graph comes back as it was saved, or is refused in one line; lines of EGRU layers stay what they were."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checkpoint import Parts, loads_or_one_line, refused
from test_graph_runs import of_egru, of_numbers

from models.checkpoint import Model, load, save
from models.network import ModelError, Network
from models.seeded import seeded_egru, seeded_embedding
from tests.tools.graphs import with_members


@pytest.fixture(autouse=True, scope="module")
def _members():
    with with_members():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def files(folder):
    """The bytes of a file of each graph."""
    raw = {}
    for name, graph in (("egru", of_egru), ("numbers", of_numbers)):
        save(folder / f"{name}.safetensors", Model(graph(), provenance={"from": "a test"}))
        raw[name] = (folder / f"{name}.safetensors").read_bytes()
    return raw


def leaves(network: Network):
    """All that a network is."""
    for population in network.populations:
        yield population.name, population.units, population.kernel, dict(population.params), population.payload, population.dense
        for name in sorted(population.vectors):
            yield name, population.vectors[name].dtype.str, population.vectors[name].tobytes()
        for p in population.projections:
            yield p.source, p.port, p.delay, p.trace, p.weights.numeric, p.weights.to_dense().tobytes()
    yield network.outputs


@pytest.mark.parametrize("graph", [of_egru, of_numbers])
def test_a_graph_comes_back_as_it_was_saved(folder, graph):
    from models import kernels
    from models.network import Population

    network = graph()
    save(folder / "again.safetensors", Model(network))
    model = load(folder / "again.safetensors")
    whole = [
        Population(**{**vars(p), "params": {**kernels.named(p.kernel).DEFAULTS, **p.params} if p.kernel else {}})
        for p in network.populations
    ]
    assert list(leaves(model.network)) == list(leaves(Network(tuple(whole), network.outputs)))
    once = (folder / "again.safetensors").read_bytes()
    save(folder / "again.safetensors", model)
    assert (folder / "again.safetensors").read_bytes() == once


def test_the_file_names_populations_projections_inputs_and_outputs(files):
    about = Parts(files["egru"]).about
    assert about["version"] == 4
    assert (about["inputs"], about["outputs"]) == ([0, 1], [3, 4])
    assert [p["name"] for p in about["populations"]] == ["in", "other", "a", "b", "c"]
    assert about["populations"][4]["projections"][1] == {
        "source": 2, "port": "input", "delay": 3, "trace": 0.0, "numeric": "float32"
    }  # fmt: skip
    assert "layer4.input.2@3.extents" in Parts(files["egru"]).tensors or "layer4.input.2@3.dense" in Parts(files["egru"]).tensors
    assert list(about["conventions"]) == ["egru"]
    assert "kernel" not in about


def test_what_is_true_of_egru_is_said_where_it_is_used_alone(folder, files):
    with pytest.raises(KeyError):  # int8 is no type of the plain reader in test_checkpoint: the tensors really are bytes
        Parts(files["numbers"])
    raw = files["numbers"]
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["gennaker"])["conventions"] == {}
    assert {entry["dtype"] for name, entry in header.items() if name.endswith((".values", ".dense"))} >= {"I8"}


def test_a_line_of_egru_layers_is_written_as_before(folder):
    save(folder / "line.safetensors", Model(seeded_egru(6, (9, 6), 0.4, seed=2)))
    about = Parts((folder / "line.safetensors").read_bytes()).about
    assert about["version"] == 3
    assert about["layers"][0]["units"] == 9


def test_a_graph_with_an_embedding_needs_one_input_and_one_output(folder):
    embedding, bias = seeded_embedding(4, 6), np.zeros(4, np.float32)
    with pytest.raises(ModelError, match="has 2 inputs and 2 outputs; an embedding needs one of each"):
        save(folder / "never.safetensors", Model(of_egru(), embedding, bias))


def _population(number, **changes):
    return lambda about: about["populations"][number].update(changes)


def _projection(**changes):
    return lambda about: about["populations"][2]["projections"][0].update(changes)


@pytest.mark.few(12)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about.update(populations=None), ["no populations"]),
        (lambda about: about.update(populations=[]), ["inputs [0, 1]"]),
        (lambda about: about["populations"].pop(), ["outputs [3, 4] of 4 populations"]),
        (lambda about: about.update(inputs=[0]), ["inputs [0]", "populations without a kernel are [0, 1]"]),
        (lambda about: about.update(outputs=[]), ["outputs"]),
        (lambda about: about.update(outputs=[0]), ["output 0 is no layer"]),
        (lambda about: about.update(outputs=[3, 3]), ["each once"]),
        (lambda about: about.update(outputs=[True]), ["each once"]),
        (lambda about: about.update(conventions={}), ["conventions {} are not known here"]),
        (lambda about: about.update(kernel="egru"), ["hold, unknown here, 'kernel'"]),
        (_population(2, name=""), ["name '' needs"]),
        (_population(2, name="two\nlines"), ["printable"]),
        (_population(2, name="in"), ["2 populations are called 'in'"]),
        (_population(2, name="x" * 10**5), ["1 to 80"]),
        (_population(2, units=0), ["a: 0 units"]),
        (_population(2, units=1 << 40), ["units cannot be"]),
        (_population(2, units=8), ["layer2"]),
        (_population(2, kernel="lfi"), ["kernel 'lfi' is not known here"]),
        (_population(2, kernel="x" * 10**5), ["is not known here"]),
        (_population(2, kernel=["egru"]), ["is not known here"]),
        (_population(2, kernel="leaky"), ["a: params"]),
        (_population(2, kernel=""), ["an input has no projections"]),
        (_population(2, payload="float64"), ["payload needs one of"]),
        (_population(2, payload="int8"), ["weights of float32 with events of int8"]),
        (_population(0, payload="int8"), ["weights of float32 with events of int8"]),
        (_population(2, dense=True), ["a: sends dense sections"]),
        (_population(2, dense=1), ["dense true or false"]),
        (_population(2, params={"zoneout": 2}), ["zoneout and fire_at_threshold must lie in [0, 1]"]),
        (_population(2, params={"zoneout": 10**400}), ["need numbers"]),
        (_population(2, projections={}), ["no projections"]),
        (_population(2, projections=[]), ["tensors that it should not have, first 'layer2."]),
        (_projection(source=9), ["source 9 cannot be"]),
        (_projection(source=-1), ["source -1 cannot be"]),
        (_projection(source=True), ["source True"]),
        (_projection(port="threshold"), ["no port 'threshold'"]),
        (_projection(port=[1]), ["no port"]),
        (_projection(delay=-1), ["delay -1"]),
        (_projection(delay=1.0), ["delay 1.0"]),
        (_projection(trace=1.0), ["trace"]),
        (_projection(trace="much"), ["trace needs a number"]),
        (_projection(numeric="int3"), ["weights of 'int3'"]),
        (_projection(numeric="int8"), ["layer2.input.0"]),
        (lambda about: about["populations"][2]["projections"][0].pop("delay"), ["no projections with"]),
    ],
)
def test_a_graph_that_cannot_be_is_refused(folder, files, change, words):
    parts = Parts(files["egru"])
    change(parts.about)
    refused(folder, parts.file(), *words)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 1 << 70), st.floats(), st.text(max_size=3), st.just([]), st.just({}))


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_damage_to_the_graphs_metadata_loads_or_is_refused(folder, files, data):
    """Any value, anywhere among populations and projections, by any other."""
    parts = Parts(files["egru"])
    at = parts.about
    for _ in range(data.draw(st.integers(1, 5))):
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            break
        at = at[key]
    answer = loads_or_one_line(folder, parts.file())
    assert isinstance(answer, str | Model)
