"""ONNX files are read as onnx reads them, without it; whatever else a file holds, it is refused in one line that names the node."""

import struct
from pathlib import Path

import numpy as np
import pytest

from models.dnn.evaluate import run_graph
from models.foreign.import_dnn import import_dnn
from models.foreign.onnx_file import read_onnx
from models.foreign.request import ImportRequest
from models.network import ModelError
from tests.tools.onnx_bytes import field, model, node

GOLDEN = Path(__file__).with_name("golden_dnn")
RNG = np.random.default_rng(4)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def small(nodes=None, **changes):
    """The bytes of Conv and Relu over an image."""
    nodes = nodes or [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), node("Relu", ["y"], ["z"])]
    about = {"inputs": [("x", (1, 1, 4, 4))], "outputs": ["z"], "constants": {"w": floats(2, 1, 3, 3)}}
    return model(nodes, **(about | changes))


def refused(path, raw, *words, **options):
    path.write_bytes(raw)
    with pytest.raises(ModelError) as caught:
        import_dnn(path, ImportRequest(options=options))
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith(f"import {path}: ")
    for word in words:
        assert word in line, line


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def test_a_file_holds_what_was_written(path):
    kernel = floats(2, 1, 3, 3)
    path.write_bytes(small(constants={"w": kernel}))
    graph = read_onnx(path).graph
    assert [(one.kind, one.inputs, one.outputs) for one in graph.operators] == [
        ("Conv", ("x", "w"), ("y",)), ("Relu", ("y",), ("z",)),
    ]  # fmt: skip
    assert graph.operators[0].attributes == {"pads": [1, 1, 1, 1]}
    assert np.array_equal(graph.constants["w"], kernel)
    assert graph.inputs[0].shape == (1, 1, 4, 4)
    assert graph.outputs == ("z",)


def test_files_are_read_as_onnx_reads_them():
    onnx = pytest.importorskip("onnx")
    for path in sorted(GOLDEN.glob("*.onnx")):
        theirs, ours = onnx.load(path), read_onnx(path).graph
        assert [(one.op_type, tuple(one.input), tuple(one.output)) for one in theirs.graph.node] == [
            (one.kind, one.inputs, one.outputs) for one in ours.operators
        ]
        for at, one in enumerate(theirs.graph.node):
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in one.attribute}
            assert dict(ours.operators[at].attributes) == {
                name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()
            }
        for one in theirs.graph.initializer:
            array = onnx.numpy_helper.to_array(one)
            assert array.dtype == ours.constants[one.name].dtype
            assert np.array_equal(array, ours.constants[one.name])


def test_bytes_by_hand_are_a_file_to_onnx():
    onnx = pytest.importorskip("onnx")
    theirs = onnx.load_from_string(small())
    onnx.checker.check_model(theirs)
    assert [one.op_type for one in theirs.graph.node] == ["Conv", "Relu"]


def test_numbers_may_stand_in_the_fields_for_them(path):
    """As older programs write them: floats, whole numbers and halves outside of raw_data."""
    listed = {
        "w": field(1, 2) + field(2, 1) + field(8, "w") + field(4, struct.pack("<2f", 0.5, -2)),
        "h": field(1, 1) + field(2, 10) + field(8, "h") + field(5, 0x3C00),
        "s": field(1, 2) + field(2, 7) + field(8, "s") + field(7, b"\x01" + b"\xff" * 9 + b"\x01"),
    }
    graph = field(1, node("Relu", ["x"], ["z"])) + b"".join(field(5, one) for one in listed.values()) + field(2, "g")
    graph += field(11, field(1, "x")) + field(12, field(1, "z"))
    path.write_bytes(field(1, 8) + field(2, "p") + field(7, graph) + field(8, field(2, 17)))
    constants = read_onnx(path).graph.constants
    assert constants["w"].tolist() == [0.5, -2]
    assert constants["h"].dtype == np.float16
    assert constants["h"].tolist() == [1]
    assert constants["s"].tolist() == [1, -1]


def test_weights_may_lie_in_a_file_beside(path):
    kernel = floats(2, 1, 3, 3)
    entry = b"".join(field(13, field(1, k) + field(2, v)) for k, v in (("location", "w.bin"), ("offset", "8"), ("length", "72")))
    beside = b"".join(field(1, n) for n in kernel.shape) + field(2, 1) + field(8, "w") + entry + field(14, 1)
    graph = small(constants={}).replace(field(2, "net"), field(2, "net"))
    whole = node("Conv", ["x", "w"], ["z"], pads=[1, 1, 1, 1])
    inner = (
        field(1, whole)
        + field(5, beside)
        + field(11, graph and field(1, "x") + field(2, shape_of(1, 1, 4, 4)))
        + field(12, field(1, "z"))
    )
    path.write_bytes(field(1, 8) + field(2, "p") + field(7, inner) + field(8, field(2, 17)))
    path.with_name("w.bin").write_bytes(bytes(8) + kernel.tobytes())
    assert np.array_equal(read_onnx(path).graph.constants["w"], kernel)
    path.with_name("w.bin").write_bytes(bytes(8))
    refused(path, path.read_bytes(), "'w'", "bytes 8 to 80 of 'w.bin', which has 8")
    refused(path, path.read_bytes().replace(b"w.bin", b"../bb"), "'../bb'; needs a file in the same folder")


def shape_of(*lengths):
    return field(1, field(1, 1) + field(2, b"".join(field(1, field(1, n)) for n in lengths)))


@pytest.mark.parametrize(
    ("kind", "near"),
    [
        ("LSTM", "unrolled"),
        ("ConvTranspose", "Resize (nearest) and Conv"),
        ("QLinearConv", "QDQ"),
        ("Convv", "Conv"),
        ("If", "the branch"),
    ],
)
def test_an_unknown_operator_is_refused_by_node_with_the_nearest(path, kind, near):
    refused(
        path, small([node(kind, ["x", "w"], ["z"], name="odd one")]), "node 'odd one'", f"operator {kind} is not supported", near
    )


def test_an_operator_s_name_cannot_break_a_line(path):
    refused(path, small([node("Con\x0bv", ["x", "w"], ["z"], name="odd\x85one")]), r"operator Con\x0bv is not supported")


def test_bad_files_are_refused_in_one_line(path, tmp_path):
    refused(path, b"", "is empty")
    refused(path, b"\x08\x08" + bytes(30), "damaged or no ONNX file")
    refused(path, small()[:-30], "damaged or no ONNX file")
    refused(path, b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer")
    refused(path, small(opset=3), "version 3; needs 7 to 30")
    nan = floats(2, 1, 3, 3)
    nan[0, 0, 1, 1] = np.nan
    refused(path, small(constants={"w": nan}), "weights 'w' have 1 NaN of 18")
    refused(path, small(inputs=[("x", (1, 1, "rows", "columns"))]), "dynamic shape, 1 x 1 x ? x ?", "--shape 1,1,N,N")
    refused(path, small(inputs=[("x", (1, 1, "rows", 4))]), "input 'x' has the shape 1 x 1 x ? x 4", shape=["1,1,4,5"])
    refused(path, small(), "no input of that name; has x", shape=["y=1,1,4,4"])
    refused(path, small(), "needs lengths with commas", shape=["a,b"])
    refused(path, small(inputs=[("x", (1, 1, 2**20, 2**20))]), "at most")
    missing = tmp_path / "none.onnx"
    with pytest.raises(ModelError, match="no such file"):
        import_dnn(missing, ImportRequest())


def test_a_shape_may_be_said(path):
    path.write_bytes(small(inputs=[("x", ("batch", 1, "rows", "columns"))]))
    assert import_dnn(path, ImportRequest(options={"shape": ["1,1,6,5"]})).model.prepared.shapes["z"] == (1, 2, 6, 5)
    path.write_bytes(small(inputs=[("x", ("batch", 1, 4, 4))]))
    assert import_dnn(path, ImportRequest()).model.prepared.shapes["z"] == (1, 2, 4, 4)


def test_what_a_file_asks_for_is_bounded_before_it_is_made(path):
    for kind, constants in (
        ("Expand", {"s": np.array([1 << 20, 1 << 20], np.int64)}),
        ("Pad", {"s": np.array([0, 0, 1 << 40, 0, 0, 0, 0, 0], np.int64)}),
        ("Tile", {"s": np.array([1, 1 << 30, 1 << 30, 1], np.int64)}),
    ):
        refused(path, small([node(kind, ["x", "s"], ["z"])], constants=constants), kind)
    refused(path, small([node("ConstantOfShape", ["s"], ["z"])], constants={"s": np.array([1 << 30, 8], np.int64)}), "at most")


def test_onnx_is_an_importer_by_its_name_and_by_its_bytes(tmp_path):
    for name in ("net.onnx", "net.bin"):
        (tmp_path / name).write_bytes(small())
        found = import_dnn(tmp_path / name, ImportRequest())
        assert dict(found.description)["kind"] == "ONNX, operators of version 17, by tests"
        x = floats(1, 1, 4, 4)
        assert np.all(run_graph(found.model.prepared.graph, {"x": x})["z"] >= 0)
