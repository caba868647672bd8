"""`python -m bench.onnx_files`: what ONNX files of others become here, and how far from onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def save_float_cnn(path: Path) -> None:
    """Save a small float32 network as an ONNX file: a convolution, a ReLU, and a dense layer."""
    onnx = pytest.importorskip("onnx")
    helper, rng = onnx.helper, np.random.default_rng(3)
    shapes = {"kernel": (4, 2, 3, 3), "shift": (4,), "rows": (5, 4 * 7 * 7), "bias": (5,)}
    weights = [onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "shift"], ["features"]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("Gemm", ["flat", "rows", "bias"], ["class"], transB=1),
    ]
    number = onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, number, shape) for name, shape in (("image", (1, 2, 9, 9)), ("class", (1, 5)))]
    graph = helper.make_graph(nodes, "cnn", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.slow
def test_a_row_says_operators_weights_and_how_far_the_float_graph_is_from_onnxruntime(tmp_path):
    pytest.importorskip("onnxruntime")
    save_float_cnn(tmp_path / "cnn.onnx")
    from bench.onnx_files import row_of

    shape, operators, kinds, weights, far = row_of(tmp_path / "cnn.onnx", "")
    assert (shape, operators) == ("1 x 2 x 9 x 9", "4")
    assert 4 >= int(kinds.partition(":")[0]) > 0
    assert int(weights.replace(",", "")) == 4 * 2 * 9 + 4 + 5 * 196 + 5
    assert float(far) < 1e-5
