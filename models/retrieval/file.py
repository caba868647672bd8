"""A trained S-LISTA as a file: what was trained, not the network that it becomes, which follows from K, rounding and layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from models.checkpoint.tensorfile import opened
from models.network import ModelError, in_one_line
from models.retrieval.grid import Grid
from models.retrieval.network import Unrolled

_KEY = "gennaker-retrieval"
_NAMES = ("kernels", "gains", "thresholds", "alphas")


def save_unrolled(path: Path, model: Unrolled) -> None:
    """Write a model; complex kernels as pairs of float32."""
    tensors = {name: np.ascontiguousarray(getattr(model, name)) for name in _NAMES[1:]}
    tensors["kernels"] = np.ascontiguousarray(model.kernels, np.complex64).view(np.float32).reshape(*model.kernels.shape, 2)
    about = {"samples": model.grid.samples, "cells": model.grid.cells, "record": dict(model.record)}
    path.write_bytes(save(tensors, {_KEY: json.dumps(about)}))


def load_unrolled(path: Path) -> Unrolled:
    """Read a model; ModelError, one line, for a file that is missing, damaged or another."""
    who = f"model {path}"
    try:
        with opened(who, path) as (metadata, tensors):
            about: dict[str, Any] = json.loads(metadata.get(_KEY, "null"))
            if about is None:
                raise ModelError(f"{who}: is no trained S-LISTA; `python -m models.training retrieval` makes one")
            arrays = {name: tensors.read(name).astype(np.float32) for name in _NAMES}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelError(f"{who}: holds numbers that are not finite")
        kernels = np.ascontiguousarray(arrays.pop("kernels")).view(np.complex64)[..., 0]
        grid = Grid(tuple(map(int, about["samples"])), tuple(map(int, about["cells"])))
        return Unrolled(grid, kernels, **arrays, record=about["record"])
    except ModelError:
        raise
    except Exception as error:  # the library's own, and a stranger's bytes: exceptions of several kinds
        raise ModelError(f"{who}: damaged or no trained S-LISTA ({in_one_line(error)})") from error
