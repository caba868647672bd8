"""A model as a state_dict of torch's: the keys of torch.nn.GRU or of EvNN, of the linear layers around, and what they do not say.

What `launch.py import` makes of it is the model again, in every bit (`tests/test_export.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.checkpoint.graph import graph_of
from models.foreign.gru_layers import GruLayer, layer_in, swapped
from models.heads.affine import Affine
from models.network import F32, ModelError, Population

_TRAINING_ONLY = {"_max_norm": -1.0, "dampening_factor": 0.7, "pseudo_derivative_support": 1.0}  # EvNN's own defaults
_MODULES = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


@dataclass
class ModelState:
    """Tensors by key, what they do not say, JSON-able, and notes for the user, a line each."""

    tensors: dict[str, F32] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def state_of_model(model: Model) -> ModelState:
    """Return a model's state_dict; ModelError for what neither torch.nn.GRU nor EvNN computes."""
    layers = _layers(model)
    state = ModelState(facts={"segment": model.segment, "state": model.state})
    modules = []
    for side in ("front", "head"):  # keys come in the order of the modules
        if side == "head":
            modules.append(_add_stack(state, model, layers))
        if getattr(model, side):
            modules.append(_add_linear(state, side, getattr(model, side)))
    if model.embedding is not None:
        _add_language(state, model)
    state.notes.insert(0, f"modules: {', '.join(modules)}")
    return state


def _layers(model: Model) -> list[Population]:
    """Return the layers; ModelError unless they are a line of EGRUs as EvNN computes them."""
    network, graph = model.network, graph_of(model.network)
    layers = [network.populations[number] for number in network.layers]
    if model.gesture is not None:
        raise ModelError("a gesture classifier has convolutions and a read-out that no state_dict of torch's own has")
    if not graph.is_chain:
        kernels = ", ".join(dict.fromkeys(layer.kernel for layer in layers))
        raise ModelError(f"needs a line of EGRU layers in float32, has a graph of {kernels}")
    for layer in layers:
        if any(projection.trace for projection in layer.projections):
            raise ModelError(f"{layer.name} hears a low-pass trace, which torch's layers and EvNN's do not")
        if layer.params.get("fire_at_threshold"):
            raise ModelError(f"{layer.name} fires at its threshold, where EvNN's layers fire above it")
    return layers


def _add_stack(state: ModelState, model: Model, layers: Sequence[Population]) -> str:
    """Add the recurrent layers; return the module that they are of."""
    halves = _without_twins(layers) if model.twins else None
    if halves is None:
        return _add_egru(state, model, layers)
    runs = [list(run) for _, run in groupby(halves, key=lambda half: half.units)]  # a torch.nn.GRU has layers of one width
    bare = len(runs) == 1 and not model.front and not model.head
    modules = []
    for place, run in enumerate(runs):
        stem = "" if bare else "gru." if len(runs) == 1 else f"gru.{place}."
        for number, half in enumerate(run):
            for name, rows in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), half.arrays, strict=True):
                state.tensors[f"{stem}{name}_l{number}"] = swapped(rows)
        sizes = f"{run[0].kernel.shape[1]}, {run[0].units}" + (f", {len(run)}" if len(run) > 1 else "")
        modules.append(f"GRU({sizes})")
    if bare:
        return modules[0]
    return f"gru = {modules[0]}" if len(runs) == 1 else f"gru = ModuleList([{', '.join(modules)}])"


def _without_twins(layers: Sequence[Population]) -> list[GruLayer] | None:
    """Return the GRU's layers; None where the layers are no mirrored GRU, or no longer."""
    halves = [layer_in(layer).without_twins(number > 0) for number, layer in enumerate(layers)]
    plain = all(not layer.params.get("zoneout") and not np.any(layer.vectors["threshold"]) for layer in layers)
    whole = [half for half in halves if half is not None]
    return whole if plain and len(whole) == len(layers) else None


def _add_egru(state: ModelState, model: Model, layers: Sequence[Population]) -> str:
    trained = model.provenance.get("training")
    known = isinstance(trained, list) and len(trained) == len(layers) and all(isinstance(one, dict) for one in trained)
    for number, layer in enumerate(layers):
        rows = layer_in(layer)
        scalars = {**_TRAINING_ONLY, **(trained[number] if known and isinstance(trained, list) else {})}
        tensors: dict[str, F32] = {
            "_max_norm": np.array([scalars["_max_norm"]], np.float32),
            "kernel": np.ascontiguousarray(rows.kernel.T), "recurrent_kernel": np.ascontiguousarray(rows.recurrent.T),
            "bias": rows.bias, "recurrent_bias": rows.recurrent_bias,
            "dampening_factor": np.array([scalars["dampening_factor"]], np.float32),
            "pseudo_derivative_support": np.array([scalars["pseudo_derivative_support"]], np.float32),
            "thr": layer.vectors["threshold"],
        }  # fmt: skip
        state.tensors |= {f"rnns.{number}.{name}": tensor for name, tensor in tensors.items()}
    state.facts["zoneout"] = [float(layer.params.get("zoneout", 0)) for layer in layers]
    if model.twins:
        state.facts["twins"] = True
        state.notes.append("twins are no mirrored GRU any more: layers of both, of which the second half is to be subtracted")
    if not known:
        settings = ", ".join(f"{name} {value:g}" for name, value in _TRAINING_ONLY.items())
        state.notes.append(f"what only training uses is EvNN's default: {settings}")
    return f"rnns = EvNN's EGRU x {len(layers)}, keys of 0.2.0"


def _add_linear(state: ModelState, side: str, layers: Sequence[Affine]) -> str:
    """Add linear layers under the numbers that they have in an nn.Sequential with their activations; return it in words.

    One without an activation needs no Sequential: it has the side's own name.
    """
    alone = len(layers) == 1 and layers[0].activation not in _MODULES
    parts: list[str] = []
    for layer in layers:
        stem = side if alone else f"{side}.{len(parts)}"
        state.tensors |= {f"{stem}.weight": layer.weight, f"{stem}.bias": layer.bias}
        state.facts.setdefault("activations", {})[stem] = layer.activation
        parts.append(f"Linear({layer.inputs}, {layer.outputs})")
        if layer.activation in _MODULES:
            parts.append(f"{_MODULES[layer.activation]}()")
    return f"{side} = {parts[0]}" if alone else f"{side} = Sequential({', '.join(parts)})"


def _add_language(state: ModelState, model: Model) -> None:
    """Add the embedding, which is the decoder too, and what lies before the decoder."""
    assert model.embedding is not None
    assert model.decoder_bias is not None
    tensors = {"embeddings.weight": model.embedding, "decoder.decoder.weight": model.embedding}
    tensors["decoder.decoder.bias"] = model.decoder_bias
    if model.projection is not None:
        tensors |= {"decoder.projection.weight": model.projection.weight, "decoder.projection.bias": model.projection.bias}
        state.facts["projection"] = model.projection.activation
    state.tensors = tensors | state.tensors
    if model.vocabulary:
        state.notes.append(
            "words and texts stay behind: a state_dict has word numbers alone; `import --text DIR` takes them in again"
        )
