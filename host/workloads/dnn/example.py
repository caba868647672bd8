"""The smallest run of a DNN: two seeded layers in int8, four samples, two a pass."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from models.dnn.file import save_dnn
from models.dnn.graph import GraphInput, Operator, OperatorGraph
from models.dnn.model import DnnModel
from models.dnn.prepare import prepare
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_lower import DnnSettings

_WIDTHS, _SAMPLES = (20, 12, 5), 4


def smallest(folder: Path) -> dict[str, Any]:
    """Write a network and samples into `folder`; return the options that run them."""
    rng = np.random.default_rng(23)
    first, second = (rng.normal(size=(out, into)).astype(np.float32) for into, out in pairwise(_WIDTHS))
    operators = (
        Operator("y0", "Gemm", ("x", "w0"), ("y0",), {"transB": 1}), Operator("r0", "Relu", ("y0",), ("r0",), {}),
        Operator("y1", "Gemm", ("r0", "w1"), ("y1",), {"transB": 1}),
    )  # fmt: skip
    graph = OperatorGraph((GraphInput("x", (1, _WIDTHS[0]), "float32"),), ("y1",), operators, {"w0": first, "w1": second})
    samples = rng.normal(size=(8 * _SAMPLES, _WIDTHS[0])).astype(np.float32)
    prepared = prepare(graph, {})
    settings = DnnSettings(scales="pow2", rounding="half-up", overflow="saturate", per_channel=False, equalise=True)
    network, _ = quantise_dnn(prepared, {"x": samples}, settings)
    path, inputs = folder / "dnn.safetensors", folder / "samples.npy"
    save_dnn(path, DnnModel(prepared=prepared, network=network))
    np.save(inputs, samples[:_SAMPLES])
    np.save(folder / "labels.npy", np.arange(_SAMPLES) % _WIDTHS[-1])
    return {"checkpoint": str(path), "inputs": str(inputs), "labels": str(folder / "labels.npy"), "batch": 2, "pes": 3}
