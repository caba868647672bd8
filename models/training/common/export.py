"""Trained layers as populations of a checkpoint's network."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.kernels import egru, egru_cell
from models.network import F32, Population, SparseRows
from models.training.common.egru_inside import EgruInside
from models.training.common.egru_layer import Egru
from models.training.common.settings import TrainingSettings

_PATHS = {"begin_with", "start"}  # settings that say where a run begins; where that lay on this machine says nothing elsewhere


def provenance_of(source: Mapping[str, str], settings: TrainingSettings) -> dict[str, Any]:
    """Return what a checkpoint says of where it comes from: `source` of its data, day, torch's release and settings. Of a path
    among these only the last name is kept.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    values = asdict(settings)  # type: ignore[call-overload]  # a dataclass
    values |= {name: Path(values[name]).name for name in _PATHS & values.keys()}
    return {**source, "trained": today, "torch": str(torch.__version__), "settings": values}


def array(tensor: torch.Tensor) -> F32:
    """Return a tensor as a float32 array of its own."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)


def layer_of(number: int, layer: Egru, trace: float = 0.0) -> Population:
    """Return a trained layer as population `number`, which hears the one before it; `trace` is the decay of what it hears (0:
    events).
    """
    assert layer.recurrent_bias is not None, "the form of the authors' code"
    kernel, recurrent = SparseRows.from_dense(array(layer.kernel)), SparseRows.from_dense(array(layer.recurrent))
    vectors = {"threshold": _threshold(layer), "bias": array(layer.bias), "recurrent_bias": array(layer.recurrent_bias)}
    return egru.layer_of(number, kernel, recurrent, vectors, {"zoneout": layer.zoneout}, trace)


def populations_of(layers: Iterable[Egru], input_units: int) -> list[Population]:
    """Return an input and a line of trained layers: a population each, or two where the reset gate is inside the product."""
    populations = [Population("input", input_units)]
    for number, layer in enumerate(layers, start=1):
        if not isinstance(layer, EgruInside):
            populations.append(layer_of(len(populations), layer))
            continue
        populations += egru_cell.layer_of(
            len(populations), len(populations) - 1, kernel=SparseRows.from_dense(array(layer.kernel)),
            recurrent=SparseRows.from_dense(array(layer.recurrent)), bias=array(layer.bias), threshold=_threshold(layer),
            params={"zoneout": layer.zoneout}, name=str(number),
        )  # fmt: skip
    return populations


def _threshold(layer: Egru) -> F32:
    """Return a layer's thresholds as every forward pass clamps them."""
    return np.clip(array(layer.threshold), np.float32(0), np.float32(1))
