"""Checkpoints: a network with its embedding, decoder and vocabulary in one safetensors file, weights stored sparse.

Tensors, for layer l from 1: `layer{l}.{input,recurrent}.{extents,columns,values}` (rows of gates z, r, g times units;
int64, uint32, float32), `layer{l}.{threshold,bias,recurrent_bias}` float32; and `embedding` (words, units) float32 or
float16, `decoder_bias` (words,) float32, `vocabulary` uint8: the words in UTF-8, one a line. The metadata block is one
JSON text under the key `gennaker`.

Loading checks everything that a run relies on and says in one line what is wrong. The decoder is tied to the embedding;
a projection between the two is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from models.kernels.egru import DEFAULTS, GATES, INPUT, RECURRENT, VECTORS
from models.network import F32, U32, Array, ModelError, Network, Population, Projection, SparseRows, check_finite

FORMAT_VERSION = 1
_TYPES = ("F32", "F16", "I64", "U32", "U8")  # safetensors' names of what a tensor may be
_KEY = "gennaker"


@dataclass(frozen=True)
class DecoderProjection:
    """What lies between the last layer and the tied decoder: h = weight y + bias, then the activation.

    `weight` (embedding units, last layer's units) and `bias` (embedding units,) are float32; `activation` is "linear"
    (EvNN 0.2.0) or "relu" (EvNN 0.1.0: its files look the same).
    """

    weight: F32
    bias: F32
    activation: str


@dataclass(frozen=True)
class Model:
    """A network with what turns it into a language model, as far as that is at hand.

    `embedding` (words, input units) and `decoder_bias` (words,) are float32; without them it is a bare stack of layers.
    The decoder is the embedding again, behind `projection` if there is one. `vocabulary` may be empty although there is
    an embedding: imported weights whose text is not at hand. `tokens` holds the word numbers of "valid" and "test", so
    that a perplexity can be reproduced anywhere; `text_licence` is the licence of the text they come from.

    `state` says what becomes of the cell states where a segment of `segment` positions begins: "zeroed" or "carried".
    Outputs y are carried in either case.
    """

    network: Network
    embedding: F32 | None = None
    decoder_bias: F32 | None = None
    vocabulary: tuple[str, ...] = ()
    segment: int = 70
    state: str = "zeroed"
    projection: DecoderProjection | None = None
    tokens: Mapping[str, U32] = field(default_factory=dict)
    text_licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reset_every(self) -> int:
        """Positions after which cell states are zeroed; 0: never."""
        return self.segment if self.state == "zeroed" else 0


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`; OSError where that cannot be written."""
    assert model.embedding is not None
    assert model.decoder_bias is not None
    tensors: dict[str, Array] = {
        "embedding": model.embedding,
        "decoder_bias": model.decoder_bias,
        "vocabulary": np.frombuffer("\n".join(model.vocabulary).encode(), np.uint8),
    }
    layers = []
    for number in model.network.layers:
        layer = model.network.populations[number]
        layers.append({"units": layer.units, "params": {**DEFAULTS, **layer.params}})
        tensors |= {f"layer{number}.{name}": np.asarray(vector, np.float32) for name, vector in layer.vectors.items()}
        for projection in layer.projections:
            head, rows = f"layer{number}.{projection.port}", projection.weights
            tensors |= {f"{head}.extents": rows.extents, f"{head}.columns": rows.columns, f"{head}.values": rows.values}
    about = {
        "version": FORMAT_VERSION,
        "kernel": "egru",
        "gates": "z r g",
        "reset_gate": "after the recurrent product",
        "input_units": model.network.populations[0].units,
        "layers": layers,
        "segment": model.segment,
        "provenance": dict(model.provenance),
    }
    raw = save_tensors({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {_KEY: json.dumps(about)})
    path.write_bytes(raw)


def load(path: Path) -> Model:
    """Read a checkpoint; ModelError, in one line, for a missing, damaged or inconsistent file."""
    try:
        if not path.is_file():
            raise ModelError(f"checkpoint {path}: {'is no file' if path.exists() else 'no such file'}")
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
            names = set(file.keys())

            def read(name: str) -> Array:
                if name not in names:
                    raise ModelError(f"checkpoint {path}: has no tensor {name!r}")
                dtype = file.get_slice(name).get_dtype()
                if dtype not in _TYPES:
                    raise ModelError(f"checkpoint {path}: {name} is of type {dtype}; needs one of {', '.join(_TYPES)}")
                tensor: Array = file.get_tensor(name)
                return tensor

            return _model(str(path), about, read)
    except ModelError:
        raise
    except Exception as error:
        # A hostile file reaches deep into two libraries, which answer with exceptions of a dozen kinds.
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise ModelError(f"checkpoint {path}: damaged or no safetensors file ({why})") from error


def _model(who: str, about: Any, read: Callable[[str], Array]) -> Model:
    who = f"checkpoint {who}"
    if not isinstance(about, dict) or about.get("version") != FORMAT_VERSION:
        have = about.get("version") if isinstance(about, dict) else "no metadata"
        raise ModelError(f"{who}: needs Gennaker format version {FORMAT_VERSION}, has {have!r}")
    widths: list[Any] = [about.get("input_units")]
    layers: Any = about.get("layers")
    segment = about.get("segment")
    try:
        widths += [layer["units"] for layer in layers]
        params = [{key: float(layer["params"].get(key, default)) for key, default in DEFAULTS.items()} for layer in layers]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{who}: metadata lists no layers with units and params ({error!r})") from error
    if len(widths) < 2 or any(type(n) is not int or not 0 < n < 1 << 24 for n in widths) or type(segment) is not int or segment < 0:
        raise ModelError(f"{who}: sizes {widths} and segment {segment!r} in the metadata cannot be")
    if any(not 0 <= p["zoneout"] <= 1 for p in params):
        raise ModelError(f"{who}: zoneout must lie in [0, 1]")
    populations = [Population("input", widths[0])]
    for number, units in enumerate(widths[1:], start=1):
        head = f"layer{number}"
        projections = tuple(
            Projection(source, port, _rows(who, f"{head}.{port}", read, (GATES * units, widths[source])))
            for port, source in ((INPUT, number - 1), (RECURRENT, number))
        )
        vectors = {name: _vector(who, f"{head}.{name}", read, (n * units,)) for name, n in VECTORS.items()}
        # The authors' code clamps thresholds to [0, 1] at every forward pass, and files hold slightly negative ones.
        vectors["threshold"] = np.clip(vectors["threshold"], np.float32(0), np.float32(1))
        populations.append(Population(f"egru{number}", units, "egru", projections, vectors, params[number - 1]))
    try:
        words = tuple(bytes(read("vocabulary").astype(np.uint8)).decode().split("\n"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{who}: the vocabulary is not UTF-8") from error
    if widths[-1] != widths[0]:
        raise ModelError(f"{who}: the tied decoder needs a last layer of {widths[0]} units, has {widths[-1]}")
    embedding = _vector(who, "embedding", read, (len(words), widths[0]))
    bias = _vector(who, "decoder_bias", read, (len(words),))
    return Model(Network(tuple(populations)), embedding, bias, words, segment, provenance=about.get("provenance") or {})


def _vector(who: str, name: str, read: Callable[[str], Array], shape: tuple[int, ...]) -> F32:
    tensor = read(name)
    if tensor.shape != shape or tensor.dtype not in (np.float32, np.float16):
        raise ModelError(f"{who}: {name} needs shape {shape} of float32, has {tensor.shape} of {tensor.dtype}")
    check_finite(f"{who}: {name}", tensor)
    return np.ascontiguousarray(tensor, np.float32)


def _rows(who: str, name: str, read: Callable[[str], Array], shape: tuple[int, int]) -> SparseRows:
    extents, columns, values = read(f"{name}.extents"), read(f"{name}.columns"), read(f"{name}.values")
    if extents.shape != (shape[0] + 1,) or extents.dtype != np.int64:
        raise ModelError(f"{who}: {name}.extents needs shape ({shape[0] + 1},) of int64, has {extents.shape} of {extents.dtype}")
    if columns.dtype != np.uint32 or columns.ndim != 1 or values.dtype != np.float32 or values.ndim != 1:
        have = f"{columns.dtype}{list(columns.shape)} and {values.dtype}{list(values.shape)}"
        raise ModelError(f"{who}: {name} needs one-dimensional uint32 columns and float32 values, has {have}")
    rows = SparseRows(shape, extents, columns, values)
    rows.check(f"{who}: {name}")
    return rows
