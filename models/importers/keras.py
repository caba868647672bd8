"""Keras' GRU with `reset_after=False` as a network of EGRUs whose reset gates are inside the recurrent product.

    h' = z h + (1 - z) tanh(W x + U (r h) + b),     z, r from x and h, one bias each

An `egru_gate` and `egru_cell` at threshold 0 step by the same equation and hand on y = max(h, 0), so mirrored they are exact, as
`models/importers/gru.py` says of torch's: every unit has a twin of the other sign, whose reset gate is the same. The gates of
Keras' columns are in our order, z, r, h.

With `reset_after=True` the reset gate is after the product, with a second bias: the other form, which is torch.nn.GRU's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.foreign.keras_file import KerasLayer, is_keras, read_layers
from models.foreign.request import SEGMENT, Findings, ImportRequest
from models.importers import Head
from models.network import F32, ModelError, check_finite

if TYPE_CHECKING:  # what compiles code is loaded when a file is read
    from models.foreign.gru_layers import GruLayer
    from models.heads.affine import Affine

KNOWN_BY = "Keras GRU (.keras or .h5)"
DIRECT = (".keras",)
_CERTAINTY = 85
_NEEDED = {"activation": "tanh", "recurrent_activation": "sigmoid", "go_backwards": False}
_OTHER_FORM = (
    "its reset gate is after the recurrent product (reset_after=True), as torch.nn.GRU has it; no command reads that from Keras: "
    "copy its weights into a torch.nn.GRU and import its state_dict"
)


def probe(head: Head) -> int:
    """Return how certain it is that the file is one of Keras."""
    return _CERTAINTY if is_keras(head.path, head.start) else 0


def read(path: Path, request: ImportRequest) -> Findings:
    """Return a stack that computes what the GRUs do, with the dense layers around them; ModelError, one line, for anything else."""
    from models.checkpoint import Model
    from models.foreign.gru_layers import network_of

    who, layers = f"import {path}", read_layers(path)
    if request.prefix:
        raise ModelError(f"--prefix {request.prefix}: a file of Keras is imported whole")
    places = [at for at, layer in enumerate(layers) if layer.of_class == "GRU"]
    if not places or places != list(range(places[0], places[-1] + 1)):
        have = ", ".join(layer.of_class for layer in layers) or "none"
        raise ModelError(f"{who}: needs GRU layers, one behind the other; has layers {have[:160]}")
    first, behind = places[0], places[-1] + 1
    grus = [_gru(who, layer, last=at == behind - 1) for at, layer in enumerate(layers[first:behind], start=first)]
    for before, layer, gru in zip(grus, layers[first + 1 : behind], grus[1:], strict=False):
        if gru.kernel.shape[1] != before.units:
            raise ModelError(f"{who}: {layer.name}: has {gru.kernel.shape[1]} inputs, the layer before it {before.units} units")
    notes = [
        f"exact for any input, up to rounding: each unit has a twin of the other sign; h = y[0:{grus[-1].units}] less the rest"
    ]
    how = request.state or "carried"
    if how == "zeroed":
        notes.append("not exact from the second segment on: cell states are zeroed there, and a GRU's are not")
    if not layers[behind - 1].config.get("return_sequences"):
        notes.append("answers at every position; Keras, with return_sequences=False, at the last alone")
    model = Model(
        network_of(grus, mirrored=True, inside=True), segment=request.segment or SEGMENT, state=how, twins=True,
        front=tuple(_dense(who, layer) for layer in layers[:first]), head=tuple(_dense(who, layer) for layer in layers[behind:]),
    )  # fmt: skip
    names = ", ".join(layer.name for layer in layers[first:behind])
    provenance: dict[str, Any] = {"importer": "Keras GRU", "mapping": "mirrored", "exact": how == "carried"}
    return Findings(model, (("kind", f"Keras GRU, reset gate inside the product, layers {names[:160]}"),), tuple(notes), provenance)


def _gru(who: str, layer: KerasLayer, *, last: bool) -> GruLayer:
    from models.foreign.gru_layers import GruLayer

    who, config = f"{who}: {layer.name}", layer.config
    if config.get("reset_after", False):  # Keras 1 had no other form, and so no word for this one
        raise ModelError(f"{who}: {_OTHER_FORM}")
    for key, need in _NEEDED.items():
        if config.get(key, need) != need:
            raise ModelError(f"{who}: {key}={config[key]!r}; needs {need!r}")
    if not last and not config.get("return_sequences"):
        raise ModelError(f"{who}: return_sequences=False before another GRU; needs True")
    kernel, recurrent, *rest = _matrices(who, layer, 2)
    units = recurrent.shape[0]
    if recurrent.shape != (units, 3 * units) or kernel.ndim != 2 or kernel.shape[1] != 3 * units:
        have = f"{kernel.shape} and {recurrent.shape}"
        raise ModelError(f"{who}: needs a kernel (inputs, 3 units) and a recurrent kernel (units, 3 units), has {have}")
    bias = rest[0] if rest else np.zeros(3 * units, np.float32)
    if bias.shape != (3 * units,):
        raise ModelError(f"{who}: needs one bias of {3 * units}, has {bias.shape}: {_OTHER_FORM}")
    rows, recurrent_rows = (np.ascontiguousarray(matrix.T) for matrix in (kernel, recurrent))
    return GruLayer(kernel=rows, recurrent=recurrent_rows, bias=bias, recurrent_bias=np.zeros_like(bias))


def _dense(who: str, layer: KerasLayer) -> Affine:
    from models.heads.affine import ACTIVATIONS, Affine

    who = f"{who}: {layer.name}"
    if layer.of_class != "Dense":
        raise ModelError(f"{who}: a layer of class {layer.of_class}; needs GRU layers with Dense ones before and behind")
    kernel, *rest = _matrices(who, layer, 1)
    activation = layer.config.get("activation") or "linear"
    if activation not in ACTIVATIONS:
        raise ModelError(f"{who}: activation {str(activation)[:60]!r}; needs {' or '.join(ACTIVATIONS)}")
    bias = rest[0] if rest else np.zeros(kernel.shape[-1], np.float32)
    return Affine(np.ascontiguousarray(kernel.T), bias, activation)


def _matrices(who: str, layer: KerasLayer, least: int) -> list[F32]:
    """Return a layer's arrays as float32; ModelError for fewer than `least`, or more than one more, or what is no number."""
    if not least <= len(layer.arrays) <= least + 1:
        raise ModelError(f"{who}: has {len(layer.arrays)} arrays; needs {least}, and a bias")
    arrays = []
    for array in layer.arrays:
        if array.dtype.kind != "f" or not array.size:
            raise ModelError(f"{who}: has an array {array.shape} of {array.dtype}; needs floats")
        arrays.append(np.asarray(array, np.float32))
        check_finite(who, arrays[-1])
    return arrays
