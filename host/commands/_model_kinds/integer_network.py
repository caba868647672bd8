"""A quantised DNN in a file: a checkpoint of ours, or a file of int8 operators that an importer reads as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from host.errors import HostError
from host.mapping.tiling import LayerWork, network_works
from host.workloads.dnn_files import holds_dnn, load_dnn_model
from models import shipped


def takes(model: str) -> bool:
    """Tell whether the file holds a DNN."""
    return holds_dnn(_path(model))


def works(model: str) -> tuple[str, Sequence[LayerWork]]:
    """Return the file's name, and what its operations ask of PEs; HostError where it is not quantised."""
    path = _path(model)
    network = load_dnn_model(path).network
    if network is None:
        raise HostError(f"{path}: its numbers are float32, the array's are int8; `launch.py quantise {path} NEW` makes them so")
    return path.name, network_works(network)


def _path(model: str) -> Path:
    return shipped.path_of(model) or Path(model)
