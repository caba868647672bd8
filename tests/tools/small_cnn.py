"""A small CNN in int8 and its samples, as files: convolutions, one of them depthwise, a pool, an addition, a mean and a matrix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.dnn.file import save_dnn
from models.foreign.import_dnn import import_dnn
from models.foreign.request import ImportRequest
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_lower import DnnSettings

GOLDEN = Path(__file__).parents[1] / "golden_dnn"


def save_small_cnn(folder: Path, samples: int) -> Path:
    """Write `cnn.safetensors` and `samples.npy` into a folder, and return that."""
    model = import_dnn(GOLDEN / "cnn-float.onnx", ImportRequest(importer="onnx", options={})).model
    with np.load(GOLDEN / "cnn-float.npz") as stored:
        inputs = stored["x"]
    settings = DnnSettings(scales="pow2", rounding="half-up", overflow="saturate", per_channel=False, equalise=True)
    network, _ = quantise_dnn(model.prepared, {model.prepared.graph.inputs[0].name: inputs}, settings)
    save_dnn(folder / "cnn.safetensors", replace(model, network=network))
    np.save(folder / "samples.npy", inputs[:samples])
    return folder
