"""NIR files as exporters of all ages write them are read; what is none, or malformed, is refused in a line that names the node."""

from __future__ import annotations

import builtins
import re
from itertools import pairwise

import h5py
import numpy as np
import pytest

from models.foreign import hdf5
from models.foreign.import_model import import_model
from models.foreign.nir_file import KINDS, read_file
from models.foreign.request import ImportRequest
from models.network import ModelError
from tests.tools.nir_files import chain, conv2d, graph, imported, lif, linear, neuron_if, port, stepped, write

RNG = np.random.default_rng(3)
W = RNG.normal(size=(5, 4)).astype(np.float32)
X = (RNG.random((20, 4)) < 0.6).astype(np.float32) * 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.nir"


def dense(neuron, *, weight=W, shape=(4,), out=(5,)):
    """Return a graph of one dense layer."""
    return chain(("in", port("Input", *shape)), ("fc", linear(weight)), ("n", neuron), ("out", port("Output", *out)))


def refused(path, root, message, **choices):
    if root is not None:
        write(path, root)
    with pytest.raises(ModelError) as error:
        imported(path, **choices)
    line = str(error.value)
    assert re.search(message, line), line
    assert "\n" not in line
    assert str(path) in line


# What older and other exporters leave out, or write in another way.


@pytest.mark.few(2)
@pytest.mark.parametrize("version", ["0.1.1", "0.2.0", "1.0.1", "1.0.8", None])
def test_every_version_is_read_and_a_missing_v_reset_is_zero(path, version):
    whole = stepped(imported(path, dense(lif(5))), X)["n"]
    write(path, dense(lif(5, v_reset=None)), version)
    assert np.array_equal(stepped(imported(path), X)["n"], whole)
    assert np.any(whole)
    assert read_file(path).version == (version or "unknown")


@pytest.mark.parametrize("units", [(), (1,), (1, 1)])
def test_scalars_and_single_numbers_stand_for_every_unit(path, units):
    whole = stepped(imported(path, dense(lif(5))), X)["n"]
    assert np.array_equal(stepped(imported(path, dense(lif(units))), X)["n"], whole)


def test_float32_and_float64_may_be_mixed(path):
    neuron = lif(5)
    mixed = {key: value if isinstance(value, str) else np.asarray(value, np.float64) for key, value in neuron.items()}
    a, b = (stepped(imported(path, dense(one)), X)["n"] for one in (neuron, mixed))
    assert np.array_equal(a, b)


@pytest.mark.few(3)
@pytest.mark.parametrize("shape", [(1, 4), (1, 1, 4)])
@pytest.mark.parametrize("out", [(5,), (1, 5), (1, 1, 5), ()])
def test_a_batch_of_one_is_let_pass(path, shape, out):
    whole = stepped(imported(path, dense(lif(5))), X)["n"]
    assert np.array_equal(stepped(imported(path, dense(lif(5), shape=shape, out=out)), X)["n"], whole)


def test_a_batch_of_one_before_a_convolution(path):
    weight = RNG.normal(size=(2, 1, 3, 3)).astype(np.float32)
    flat = {"type": "Flatten", "input_type": np.array([1, 2, 4, 4]), "start_dim": 1, "end_dim": -1}
    ends = ("fl", flat), ("fc", linear(RNG.normal(size=(3, 32)))), ("n", lif(3)), ("out", port("Output", 1, 3))
    sent = []
    for shape in ((1, 1, 6, 6), (1, 6, 6), (6, 6)):
        of = imported(path, chain(("in", port("Input", *shape)), ("c", conv2d(weight)), ("m", lif((2, 4, 4))), *ends))
        sent.append(stepped(of, np.arange(36 * 9).reshape(9, 36) % 5 == 0)["n"])
    assert np.array_equal(sent[0], sent[1])
    assert np.array_equal(sent[0], sent[2])


def test_an_input_shape_with_channels_and_batch(path):
    weight = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)
    for shape in ((5, 6), (3, 5, 6), (1, 3, 5, 6)):
        node = conv2d(weight, input_shape=np.array(shape))
        imported(path, chain(("in", port("Input", 1, 3, 5, 6)), ("c", node), ("n", lif()), ("out", port("Output", 2, 3, 4))))


def test_names_with_dots_and_slashes_and_numbers_in_any_order(path):
    names = [str(number) for number in range(12)]
    nodes = {"in put": port("Input", 5)}
    for at, name in enumerate(names):
        nodes[name] = linear(np.eye(5)) if at % 2 == 0 else neuron_if(5)
    nodes |= {"a/b.c": linear(np.eye(5)), "é.lif": neuron_if(5), "out": port("Output", 5)}
    line = ["in put", *names, "a/b.c", "é.lif", "out"]
    edges = list(pairwise(line))
    of = imported(path, graph(nodes, edges[::-1]), exporter="norse")
    assert of.nodes == ("in put", "1", "3", "5", "7", "9", "11", "é.lif")
    assert of.network.populations[-1].name == r"\xe9.lif"


def test_edges_of_fixed_length_texts_and_numbers_packed_with_gzip(path):
    write(path, dense(lif(5)))
    with h5py.File(path, "a") as file:
        edges = np.array([[a.decode(), b.decode()] for a, b in file["node/edges"][()]], "S8")
        del file["node/edges"], file["node/nodes/fc/weight"]
        file["node"].create_dataset("edges", data=edges, chunks=True, compression="gzip")
        file["node/nodes/fc"].create_dataset("weight", data=W, compression="gzip", shuffle=True)
    assert np.any(stepped(imported(path), X)["n"])


def test_metadata_and_what_is_not_known_are_passed_over(path):
    root = dense(lif(5) | {"metadata": {"note": "ours"}, "more": np.zeros(3)})
    assert np.any(stepped(imported(path, root | {"metadata": {"author": "somebody"}}), X)["n"])


def test_an_input_without_a_shape_has_that_of_what_it_feeds(path):
    whole = stepped(imported(path, dense(lif(5))), X)["n"]
    root = dense(lif(5))
    for given in ({"type": "Input"}, {"type": "Input", "shape": np.int64(4)}):
        root["nodes"]["in"] = given
        assert np.array_equal(stepped(imported(path, root), X)["n"], whole)


# Subgraphs.


def recurrent(kind="flat"):
    """Return a recurrent layer: a flat cycle, or a subgraph whose edges name it or its ports."""
    rng = np.random.default_rng(9)
    w, back = rng.normal(size=(5, 4)), rng.normal(size=(5, 5))
    inner = {"lif": lif(5), "w_rec": linear(back, rng.normal(size=5) / 9)}
    if kind == "flat":
        nodes = {"in": port("Input", 4), "fc": linear(w), "out": port("Output", 5)} | {f"r.{n}": v for n, v in inner.items()}
        return graph(nodes, [("in", "fc"), ("fc", "r.lif"), ("r.lif", "r.w_rec"), ("r.w_rec", "r.lif"), ("r.lif", "out")])
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    sub = graph({"input": port("Input", 5), "output": port("Output", 5), **inner}, edges)
    nodes = {"in": port("Input", 4), "fc": linear(w), "r": sub, "out": port("Output", 5)}
    into, out_of = {"named": ("r", "r"), "ports": ("r.input", "r.output")}[kind]
    return graph(nodes, [("in", "fc"), ("fc", into), (out_of, "out")])


@pytest.mark.parametrize("kind", ["named", "ports"])
def test_a_subgraph_is_the_flat_cycle(path, kind):
    flat, nested = (stepped(imported(path, recurrent(one)), X)["r.lif"] for one in ("flat", kind))
    assert np.array_equal(flat, nested)
    assert 0 < flat.mean() < 1


def test_subgraphs_in_subgraphs(path):
    inner = graph({"i": port("Input", 5), "n": lif(5), "o": port("Output", 5)}, [("i", "n"), ("n", "o")])
    outer = graph({"input": port("Input", 4), "fc": linear(W), "g": inner, "output": port("Output", 5)},
                  [("input", "fc"), ("fc", "g"), ("g", "output")])  # fmt: skip
    of = imported(path, graph({"in": port("Input", 4), "net": outer, "out": port("Output", 5)}, [("in", "net"), ("net", "out")]))
    assert of.nodes == ("in", "net.g.n")


def test_a_dangling_edge_that_means_a_node_of_a_subgraph_is_refused_with_what_there_is(path):
    root = recurrent("named")
    root["edges"][1] = ("fc", "lif")
    refused(path, root, r"edge fc to lif: no node lif; there is r\.lif within a subgraph")
    root["edges"][1] = ("fc", "r.no")
    refused(path, root, r"edge fc to r\.no: subgraph r has no Input no; has input")


def test_two_nodes_of_one_name_are_refused(path):
    root = recurrent("named")
    root["nodes"]["r.lif"] = lif(5)
    refused(path, root, r"two nodes are called r\.lif, one of them in a subgraph")


# Graphs that are not chains.


def test_a_skip_connection_and_two_edges_into_a_neuron_add_up(path):
    skip = RNG.normal(size=(5, 4)).astype(np.float32)
    nodes = {"in": port("Input", 4), "a": linear(W), "n": lif(5), "b": linear(np.eye(5)), "s": linear(skip), "m": lif(5, beta=0.7),
             "out": port("Output", 5)}  # fmt: skip
    edges = [("in", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("in", "s"), ("s", "m"), ("m", "out")]
    of = imported(path, graph(nodes, edges), exporter="snntorch")
    given = stepped(of, X)
    v, beta, z = np.zeros(5, np.float32), of.network.populations[2].vectors["rate"], np.zeros(5)
    for x, n, m in zip(X, given["n"], given["m"], strict=True):
        v = beta * v + (n + skip @ x) - z
        z = v > 1
        assert np.array_equal(m, z)
    assert np.any(given["m"])


def test_several_inputs_and_outputs(path):
    nodes = {"a": port("Input", 4), "b": port("Input", 3), "v": linear(W), "w": linear(np.ones((5, 3))), "n": lif(5), "m": lif(5),
             "y": port("Output", 5), "z": port("Output", 5)}  # fmt: skip
    edges = [("a", "v"), ("b", "w"), ("v", "n"), ("w", "n"), ("w", "m"), ("n", "y"), ("m", "z")]
    of = imported(path, graph(nodes, edges))
    assert [of.nodes[number] for number in of.network.inputs] == ["a", "b"]
    assert [of.nodes[number] for number in of.network.outputs] == ["n", "m"]


def test_a_readout_sends_values_and_weights_into_an_output_too(path):
    li = {"type": "LI", "tau": np.full(3, 1e-3), "r": np.full(3, 10.0), "v_leak": np.zeros(3)}
    w = RNG.normal(size=(3, 5)).astype(np.float32)
    ends = ("n", lif(5)), ("fc2", linear(w, [1, 2, 3]))
    start = ("in", port("Input", 4)), ("fc", linear(W))
    given = stepped(imported(path, chain(*start, *ends, ("out", port("Output", 3)))), X)
    np.testing.assert_allclose(given["out"], given["n"] @ w.T + [1, 2, 3], rtol=1e-5)
    of = imported(path, chain(*start, *ends, ("li", li), ("out", port("Output", 3))))
    v = np.zeros(3)
    for n, sent in zip(given["n"], stepped(of, X)["li"], strict=True):
        v = 0.9 * v + n @ w.T + [1, 2, 3]
        np.testing.assert_allclose(sent, v, rtol=1e-4)
    assert of.network.populations[of.network.output].payload == "float32"


def test_thresholds_and_integrators(path):
    """I and Threshold have no exporter; they are what NIR's equations say."""
    nodes = (("in", port("Input", 4)), ("fc", linear(W)), ("i", {"type": "I", "r": np.full(5, 2.0)}),
             ("t", {"type": "Threshold", "threshold": np.full(5, 0.25)}), ("out", port("Output", 5)))  # fmt: skip
    refused(path, chain(*nodes), "the length of a step is not in the file; choose with --dt")
    given = stepped(imported(path, chain(*nodes), dt=0.25), X)
    v = np.cumsum(0.5 * X @ W.T, axis=0)
    np.testing.assert_allclose(given["i"], v, rtol=1e-4, atol=1e-4)
    assert np.array_equal(given["t"], given["i"] > 0.25)


def test_a_cuba_li_sends_its_membrane(path):
    li = {"type": "CubaLI", "tau_syn": np.full(5, 2.0), "tau_mem": np.full(5, 4.0), "r": np.full(5, 3.0), "v_leak": np.full(5, 0.5),
          "w_in": np.float64(2.0)}  # fmt: skip
    sent = stepped(imported(path, dense(li), dt=1.0), X)["n"]
    i, v = np.zeros(5), np.zeros(5)
    for x, row in zip(X, sent, strict=True):
        i = i + (2 * (W @ x) - i) / 2
        v = v + (0.5 - v + 3 * i) / 4
        np.testing.assert_allclose(row, v, rtol=1e-4)


def test_what_feeds_nothing_is_left_out_with_a_note(path):
    root = dense(lif(5))
    root["nodes"]["more"] = linear(np.ones((2, 5)))
    root["edges"].append(("n", "more"))
    assert "node more (Linear): feeds nothing; left out" in imported(path, root).notes


# What is refused.


def test_a_file_that_is_no_hdf5(path):
    path.write_text("no network")
    refused(path, None, "is no HDF5 file, as a NIR file is one")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    refused(path, None, "damaged HDF5 file")
    path.write_bytes(b"")
    refused(path, None, "is empty")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(path, None, "is a Git LFS pointer")
    refused(path.with_name("none.nir"), None, "no such file")


def test_a_damaged_file(path):
    write(path, dense(lif(5)))
    whole = path.read_bytes()
    for keep in (len(whole) // 3, len(whole) - 9):
        path.write_bytes(whole[:keep])
        refused(path, None, "damaged HDF5 file")


def test_a_heap_of_texts_that_would_be_read_without_end(path):
    """An object of no size: the library looks at it again and again."""
    write(path, dense(lif(5)))
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(raw)
    refused(path, None, r"damaged HDF5 file \(a heap of texts that does not end\)")


@pytest.mark.wide
def test_bytes_that_are_changed_at_random_end_in_one_line_or_are_read(path):
    rng = np.random.default_rng(7)
    whole = write(path, recurrent("named")).read_bytes()
    for _ in range(60):
        raw = bytearray(whole)
        for at in rng.integers(len(raw), size=rng.integers(1, 20)):
            raw[at] = rng.integers(256)
        path.write_bytes(raw)
        try:
            imported(path, dt=1e-4, exporter="nir")
        except ModelError as error:
            assert "\n" not in str(error)


def test_hdf5_without_a_network(path):
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    refused(path, None, "HDF5, but no NIR file: it has no group 'node'")
    with h5py.File(path, "w") as file:
        file.create_group("nodes")
    refused(path, None, "is NIR data, not a network")
    refused(path, lif(5), "is a single node, LIF; needs a NIRGraph")
    refused(path, {"type": "Thing"}, "its root is a Thing")


def test_without_h5py_the_line_names_the_extra(path, monkeypatch):
    write(path, dense(lif(5)))
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    refused(path, None, r"needs h5py, which is not installed; install it with pip install 'gennaker\[nir\]'")


def test_links_and_data_that_lie_elsewhere_are_not_followed(path, tmp_path):
    write(path, dense(lif(5)))
    write(tmp_path / "other.nir", dense(lif(5)))
    for link in (h5py.ExternalLink(tmp_path / "other.nir", "/node/nodes/fc/weight"), h5py.SoftLink("/node/nodes/n/r")):
        with h5py.File(path, "a") as file:
            del file["node/nodes/fc/weight"]
            file["node/nodes/fc/weight"] = link
        refused(path, None, "/node/nodes/fc/weight is a link to elsewhere")
    (tmp_path / "raw").write_bytes(W.tobytes())
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc/weight"]
        file.create_dataset("node/nodes/fc/weight", (5, 4), "f4", external=[(str(tmp_path / "raw"), 0, W.nbytes)])
    refused(path, None, "/node/nodes/fc/weight lies in another file")
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc/weight"]
        layout = h5py.VirtualLayout((5, 4), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.nir"), "/node/nodes/fc/weight", (5, 4))
        file.create_virtual_dataset("node/nodes/fc/weight", layout)
    refused(path, None, "/node/nodes/fc/weight lies in another file")


def test_what_unpacks_to_more_than_there_is_room_for(path):
    write(path, dense(lif(5)))
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc/weight"]
        file["node/nodes/fc"].create_dataset("weight", (1 << 20, 1 << 20), "f8", chunks=True, compression="gzip")
    assert path.stat().st_size < 1 << 20
    refused(path, None, r"weight of 8,796,093,022,208 bytes: at most 1,073,741,824 bytes of arrays are read")


def test_groups_in_themselves_and_too_many_of_them(path, monkeypatch):
    write(path, dense(lif(5)))
    with h5py.File(path, "a") as file:
        del file["node/nodes/fc"]
        file["node/nodes/fc"] = file["node"]
    refused(path, None, "groups lie more than 16 deep")
    write(path, dense(lif(5)))
    monkeypatch.setattr(hdf5, "MOST_NAMES", 3)
    monkeypatch.setattr(hdf5._Budget, "__init__", lambda self: (setattr(self, "names", 3), setattr(self, "size_bytes", 1 << 20))[0])
    refused(path, None, "has more than 3 groups and datasets")


@pytest.mark.few(9)
@pytest.mark.parametrize("kind", KINDS)
def test_a_node_without_a_parameter_is_named(path, kind):
    if kind in ("Input", "Output", "Flatten"):
        return
    refused(
        path, chain(("in", port("Input", 4)), ("x y", {"type": kind}), ("out", port("Output", 4))), rf"node x y \({kind}\): has no"
    )


MALFORMED = {
    "unknown type": (("fc", {"type": "Conv3d"}), r"node fc: unknown type Conv3d; known are Input, "),
    "no type": (("fc", {"weight": W}), "node fc has no type"),
    "text": (("fc", linear(W) | {"weight": "none"}), r"node fc \(Linear\): weight is a text; needs numbers"),
    "shape": (("fc", linear(np.ones((5, 6)))), r"node in \(Input\) gives \(4,\), node fc \(Linear\) takes \(6,\)"),
    "neuron's shape": (("n", lif(6)), r"node fc \(Linear\) gives \(5,\), node n \(LIF\) takes \(6,\), the shape of its"),
    "output's shape": (("out", port("Output", 7)), r"node n \(LIF\) gives \(5,\), node out \(Output\) takes \(7,\)"),
    "bias": (("fc", linear(W, np.zeros(3))), r"node fc \(Affine\): bias needs 5 numbers, has \(3,\)"),
    "rank": (("fc", linear(np.ones(4))), r"node fc \(Linear\): weight needs shape \(out, in\), has \(4,\)"),
    "weight": (("fc", linear(W * np.inf)), r"node fc \(Linear\): weight is .*(inf|nan) at 0; needs finite numbers"),
    "input": (("in", port("Input", 0)), r"node in \(Input\): shape \[0\] cannot be"),
    "threshold 0": (
        ("n", lif(5, v_threshold=np.array([1, 1, 0, 1, 1.0]))),
        r"node n \(LIF\): v_threshold is 0 at 2; needs a finite",
    ),
    "threshold below 0": (("n", lif(5, v_threshold=-np.ones(5))), r"node n \(LIF\): v_threshold is -1 at 0"),
    "threshold nan": (("n", lif(5, v_threshold=np.full(5, np.nan))), r"node n \(LIF\): v_threshold is nan at 0"),
    "threshold inf": (("n", lif(5, v_threshold=np.full(5, np.inf))), r"node n \(LIF\): v_threshold is inf at 0"),
    "tau 0": (("n", lif(5, tau=np.zeros(5))), r"node n \(LIF\): tau is 0 at 0; needs a finite number above 0"),
    "tau nan": (("n", lif(5, tau=np.full(5, np.nan))), r"node n \(LIF\): tau is nan at 0"),
    "r nan": (("n", lif(5, r=np.full(5, np.nan))), r"node n \(LIF\): r is nan at 0; needs finite numbers"),
    "r inf": (("n", lif(5, r=np.full(5, np.inf))), r"node n \(LIF\): r is infinite where tau is"),
    "v_leak inf": (("n", lif(5, v_leak=np.full(5, np.inf))), r"node n \(LIF\): v_leak is inf at 0"),
    "v_reset nan": (("n", lif(5, v_reset=np.full(5, np.nan))), r"node n \(LIF\): v_reset is nan at 0"),
}


@pytest.mark.few(5)
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_named(path, name):
    (node, value), message = MALFORMED[name]
    root = dense(lif(5))
    root["nodes"][node] = value
    refused(path, root, message)


def test_convolutions_that_do_not_fit(path):
    def of(node, *shape):
        return chain(("in", port("Input", *shape)), ("c", node), ("out", {"type": "Output"}))

    weight = np.ones((4, 2, 3, 3))
    refused(path, of(conv2d(weight), 3, 8, 8), r"node in \(Input\) gives \(3, 8, 8\), node c \(Conv2d\) takes \(2, height, width\)")
    refused(path, of(conv2d(weight), 16), r"gives \(16,\), node c \(Conv2d\) takes \(2, height, width\)")
    refused(path, of(conv2d(weight), 2, 2, 8), r"takes a map that its kernel fits into")
    refused(path, of(conv2d(weight, input_shape=np.array([8, 9])), 2, 9, 8), r"takes \(2, 8, 9\), by its input_shape")
    refused(path, of(conv2d(weight, groups=3), 6, 8, 8), r"node c \(Conv2d\): 3 groups do not divide its 4 output channels")
    refused(path, of(conv2d(weight, stride=0), 2, 8, 8), r"node c \(Conv2d\): stride \[0.0\] cannot be")
    refused(path, of(conv2d(weight, padding="around"), 2, 8, 8), r"padding 'around' is unknown")
    refused(path, of(conv2d(np.ones((4, 2, 3))), 2, 8, 8), r"weight needs shape \(out, in / groups, kernel height, kernel width\)")
    pool = {"type": "SumPool2d", "kernel_size": 3}
    refused(path, of(pool, 2, 2, 2), r"takes channels, height and width that its kernel fits into")
    flat = {"type": "Flatten", "input_type": np.array([2, 5, 5]), "start_dim": 0, "end_dim": -1}
    refused(path, of(flat, 2, 4, 4), r"gives \(2, 4, 4\), node c \(Flatten\) takes \(2, 5, 5\), by its input_type")


def test_two_sources_that_disagree_are_both_named(path):
    nodes = {"in": port("Input", 4), "a": linear(W), "b": linear(np.ones((6, 4))), "n": lif(), "out": port("Output", 5)}
    root = graph(nodes, [("in", "a"), ("in", "b"), ("a", "n"), ("b", "n"), ("n", "out")])
    refused(path, root, r"node (a|b) \(Linear\) gives \(., ?\), node (a|b) \(Linear\) gives \(.,\); node n \(LIF\) hears both")


@pytest.mark.parametrize("delay", [3, ["n>n=1", 2]])
def test_a_delay_that_is_no_text_is_refused(path, delay):
    write(path, dense(lif(5)))
    with pytest.raises(ModelError, match=r"--delay .*: needs texts such as lif2>lif1=1$"):
        import_model(path, ImportRequest(options={"delay": delay}))


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_are_refused_by_node(path):
    refused(path, dense(lif(5, v_threshold=np.full(5, 1e60))), r"node n \(LIF\): threshold of a step is inf at 0 in float32")
    refused(path, dense(lif(5, v_threshold=np.full(5, 1e-60))), r"node n \(LIF\): threshold of a step is 0 at 0 in float32")
    root = chain(("in", port("Input", 4)), ("fc", linear(W, np.full(5, 1e60))), ("n", lif(5)), ("out", port("Output", 5)))
    refused(path, root, r"node n \(LIF\): bias of a step is inf at 0")
    root = chain(("in", port("Input", 4)), ("fc", linear(W, np.full(5, 1e60))), ("out", port("Output", 5)))
    refused(path, root, r"node out \(Output\): bias of a step is inf at 0")


def test_edges_that_cannot_be(path):
    root = dense(lif(5))
    refused(path, {**root, "edges": [*root["edges"], ("fc", "n")]}, "edge fc to n stands 2 times; needs it once")
    refused(path, {**root, "edges": [*root["edges"], ("fc", "x")]}, "edge fc to x: no node x; has fc, in, n, out")
    refused(path, {**root, "edges": root["edges"][1:]}, r"no path from an Input reaches node fc \(Linear\), node n")
    refused(path, {**root, "edges": [*root["edges"], ("n", "in")]}, r"node n \(LIF\) feeds node in \(Input\), which takes nothing")
    refused(path, {"type": "NIRGraph", "nodes": root["nodes"]}, "has no edges: which of its 4 nodes feeds which is not in the file")
    refused(path, {"type": "NIRGraph", "edges": root["edges"]}, "has no nodes")
    refused(path, chain(("fc", linear(W)), ("n", lif(5)), ("out", port("Output", 5))), "has no node of type Input")


def test_the_importer_is_found_by_what_is_in_the_file(tmp_path):
    """Whatever it is called; and a name alone is enough for a line that says what is wrong."""
    write(tmp_path / "network.h5", dense(lif(5)))
    findings = import_model(tmp_path / "network.h5", ImportRequest())
    assert findings.provenance["importer"] == "nir"
    assert ("reset", "subtract-late (as snntorch does, not in the file; other: --reset)") in findings.description
    (tmp_path / "text.nir").write_text("text")
    with pytest.raises(ModelError, match="is no HDF5 file"):
        import_model(tmp_path / "text.nir", ImportRequest())
