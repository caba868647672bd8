"""`python -m bench.onnx_files`: what ONNX files of others become here, and how far from onnxruntime."""

from __future__ import annotations

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden_dnn"


@pytest.mark.slow
def test_a_row_says_operators_weights_and_how_far_the_float_graph_is_from_onnxruntime():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from bench.onnx_files import row_of

    shape, operators, kinds, weights, far = row_of(GOLDEN / "cnn-float.onnx", "")
    assert " x " in shape
    assert int(operators) >= int(kinds.partition(":")[0]) > 0
    assert int(weights.replace(",", "")) > 0
    assert float(far) < 1e-5
