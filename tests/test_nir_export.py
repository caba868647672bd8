"""A network goes back to NIR: read again it has the same bits, and the `nir` package reads it too."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.checkpoint import Model
from models.convolution import Convolution
from models.exporters import nir as exporter
from models.foreign.nir_file import read_file
from models.heads.affine import Affine
from models.network import ModelError, Network, SparseRows
from tests.tools.nir_files import chain, conv2d, graph, imported, lif, linear, neuron_if, port, stepped
from tests.tools.nir_goldens import FOLDER
from tests.tools.tiny import tiny_network

pytest.importorskip("h5py")
NAMES = sorted(path.stem for path in FOLDER.glob("*.nir"))


def again(network, path):
    """Write a network, and read it back."""
    path.unlink(missing_ok=True)
    notes = []
    exporter.write(path, Model(network), notes)
    return imported(path), notes


def facts(network):
    """Return everything that decides what a network computes, by the order of its populations."""
    rows = []
    for p in network.populations:
        vectors = {name: vector.tobytes() for name, vector in p.vectors.items()}
        heard = [
            (q.source, q.delay, weights.shape, weights.columns.tobytes(), weights.extents.tobytes(), weights.values.tobytes())
            for q in p.projections
            for weights in (q.weights.to_rows(),)
        ]
        rows.append((p.name, p.units, p.kernel, p.payload, p.dense, dict(p.params), vectors, heard))
    return rows, network.outputs


@pytest.mark.few(2)
@pytest.mark.parametrize("name", NAMES)
def test_every_golden_network_comes_back_to_the_bit(name, tmp_path):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        choices, x = json.loads(str(arrays["choices"])), arrays["x"]
    first = imported(FOLDER / f"{name}.nir", **choices)
    second, notes = again(first.network, tmp_path / "x.nir")
    assert facts(second.network) == facts(first.network)
    assert second.reading.lines[0] == ("read as", "gennaker: it says so: a file that Gennaker wrote")
    assert "noted in its metadata" in notes[-1]
    ours, theirs = stepped(second, x[:10]), stepped(first, x[:10])
    assert all(np.array_equal(a, b) for a, b in zip(ours.values(), theirs.values(), strict=True))


def test_a_kernel_stays_a_kernel(tmp_path):
    first = imported(FOLDER / "snntorch_conv.nir")
    second, _ = again(first.network, tmp_path / "x.nir")
    for a, b in zip(first.network.populations, second.network.populations, strict=True):
        for p, q in zip(a.projections, b.projections, strict=True):
            if isinstance(p.weights, Convolution):
                assert isinstance(q.weights, Convolution)
                assert q.weights.places == p.weights.places
    assert sorted(node.kind for node in read_file(tmp_path / "x.nir").graph.nodes.values()) == [
        "Conv2d", "Conv2d", "Flatten", "Input", "LIF", "LIF", "LIF", "Linear", "Output", "SumPool2d", "SumPool2d"
    ]  # fmt: skip


@pytest.mark.few(2)
@pytest.mark.parametrize("name", NAMES)
def test_the_nir_package_reads_what_we_write(name, tmp_path):
    nir = pytest.importorskip("nir")
    with np.load(FOLDER / f"{name}.npz") as arrays:
        choices = json.loads(str(arrays["choices"]))
    again(imported(FOLDER / f"{name}.nir", **choices).network, tmp_path / "x.nir")
    grouped = name == "sinabs_iaf"  # nir 1.0.8 leaves the groups out where it checks channels
    of = nir.read(tmp_path / "x.nir", type_check=not grouped)
    assert {"Input", "Output"} <= {type(node).__name__ for node in of.nodes.values()}
    assert of.metadata["gennaker.dt"] == 1e-4


@pytest.mark.wide
def test_delays_loops_and_several_outputs_come_back(tmp_path):
    rng = np.random.default_rng(4)
    nodes = {
        "in": port("Input", 4), "fc": linear(rng.normal(size=(5, 4)), rng.normal(size=5)), "a": lif(5), "b": lif(5, beta=0.8),
        "ab": linear(rng.normal(size=(5, 5))), "ba": linear(rng.normal(size=(5, 5)), rng.normal(size=5)),
        "d": {"type": "Delay", "delay": np.array([0, 1, 2, 2, 3]) * 1e-4}, "w": linear(rng.normal(size=(3, 5))),
        "n": lif(3, beta=0.9), "y": port("Output", 5), "z": port("Output", 3), "v": linear(rng.normal(size=(2, 5)), [1, 2]),
        "out": port("Output", 2),
    }  # fmt: skip
    edges = [("in", "fc"), ("fc", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("b", "y"), ("b", "d"), ("d", "w"),
             ("w", "n"), ("n", "z"), ("a", "v"), ("v", "out")]  # fmt: skip
    first = imported(tmp_path / "a.nir", graph(nodes, edges))
    second, _ = again(first.network, tmp_path / "b.nir")
    assert facts(second.network) == facts(first.network)
    kinds = [node.kind for node in read_file(tmp_path / "b.nir").graph.nodes.values()]
    assert kinds.count("Delay") == 3  # the loop's late edge is not written, a reader finds it
    chosen = imported(tmp_path / "a.nir", graph(nodes, [*edges, ("fc", "b")]), delays=("a>b=1",))
    second, _ = again(chosen.network, tmp_path / "b.nir")
    assert facts(second.network) == facts(chosen.network)


def test_an_int8_network_is_written_with_its_whole_weights(tmp_path):
    first = imported(
        tmp_path / "a.nir", chain(("in", port("Input", 4)), ("n", neuron_if(4)), ("out", port("Output", 4))), exporter="norse"
    )
    source, n = first.network.populations
    rows = SparseRows.from_dense(np.arange(-8, 8, dtype=np.int8).reshape(4, 4))
    n = replace(
        n, projections=(replace(n.projections[0], weights=rows),), vectors={**n.vectors, "threshold": np.full(4, 5, np.float32)}
    )
    second, _ = again(Network((replace(source, payload="spike"), n)), tmp_path / "b.nir")
    back = second.network.populations[1]
    assert np.array_equal(back.projections[0].weights.to_dense(), rows.to_dense())
    assert back.vectors["threshold"].tolist() == [5] * 4


def test_what_nir_has_no_place_for_is_refused(tmp_path):
    path = tmp_path / "x.nir"
    with pytest.raises(ModelError, match=r"egru1: NIR has no primitive for neuron model 'egru'"):
        exporter.write(path, Model(tiny_network()), [])
    network = imported(FOLDER / "snntorch_conv.nir").network
    head = Affine(weight=np.ones((2, 5), np.float32), bias=np.zeros(2, np.float32), activation="linear")
    with pytest.raises(ModelError, match="has parts around its network"):
        exporter.write(path, Model(network, head=(head,)), [])
    last = network.populations[-1]
    mixed = Network((*network.populations[:-1], replace(last, params={**last.params, "fire_at_threshold": 1.0})))
    with pytest.raises(ModelError, match=r"fire of 1 is gt, of \S+ ge; a NIR file is read by one for all"):
        exporter.write(path, Model(mixed), [])
    assert not path.exists()


def test_a_bias_within_channels_and_uneven_padding(tmp_path):
    node = conv2d(np.ones((2, 1, 2, 2)), padding="same", bias=np.array([1.0, -1.0]))
    root = chain(("in", port("Input", 1, 4, 4)), ("c", node), ("n", lif((2, 4, 4))), ("out", port("Output", 2, 4, 4)))
    first = imported(tmp_path / "a.nir", root)
    second, _ = again(first.network, tmp_path / "b.nir")
    assert facts(second.network) == facts(first.network)
    n = first.network.populations[1]
    uneven = replace(n, vectors={**n.vectors, "bias": np.arange(32, dtype=np.float32)})
    with pytest.raises(ModelError, match="n: has a bias that differs within a channel"):
        exporter.write(tmp_path / "c.nir", Model(Network((first.network.populations[0], uneven))), [])
