"""Trained layers as populations of a checkpoint's network."""

from __future__ import annotations

import numpy as np
import torch

from models.network import F32, Population, Projection, SparseRows
from models.training.common.egru_layer import Egru


def array(tensor: torch.Tensor) -> F32:
    """Return a tensor as a float32 array of its own."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)


def layer_of(number: int, layer: Egru, trace: float = 0.0) -> Population:
    """Return a trained layer as population `number`, which hears the one before it, its events or (decay above 0) their trace."""
    projections = (
        Projection(number - 1, "input", SparseRows.from_dense(array(layer.kernel)), trace),
        Projection(number, "recurrent", SparseRows.from_dense(array(layer.recurrent))),
    )
    vectors = {
        "threshold": np.clip(array(layer.threshold), np.float32(0), np.float32(1)),
        "bias": array(layer.bias),
        "recurrent_bias": array(layer.recurrent_bias),
    }
    return Population(f"egru{number}", layer.units, "egru", projections, vectors, {"zoneout": layer.zoneout})
