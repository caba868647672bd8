"""Linear layers around a network in a checkpoint: arrays of numbers in, arrays of numbers out.

- `front{n}.weight` (out, in), `front{n}.bias` (out,), for layer n of the front end, from 1
- `head{n}.weight` (out, in), `head{n}.bias` (out,), for layer n of the head

each float16 or float32.
"""

from __future__ import annotations

from reprlib import repr as short
from typing import Any

from models.checkpoint.graph import MAX_UNITS, Graph, ends_of
from models.checkpoint.model import Model
from models.checkpoint.tasks import Facts
from models.checkpoint.tensorfile import Tensors, narrowed
from models.heads.affine import ACTIVATIONS, Affine, check_fit
from models.network import Array, ModelError

WORD = "linear layers around the network"
SIDES = ("front", "head")
_KEYS = {*SIDES, "twins"}
_LAYER = {"in", "out", "activation"}
_MOST = 64  # layers of a side


def facts_of(who: str, model: Model) -> dict[str, Any] | None:
    """Return the sizes and activations of the layers around the network; None where there are none and no twins."""
    del who
    if not (model.front or model.head or model.twins):
        return None
    return {"twins": model.twins} | {
        side: [{"in": a.inputs, "out": a.outputs, "activation": a.activation} for a in getattr(model, side)] for side in SIDES
    }


def tensors_of(who: str, model: Model) -> dict[str, Array]:
    """Return the tensors of the layers, float16 where that loses nothing."""
    del who
    return {
        f"{side}{number}.{name}": narrowed(getattr(affine, name))
        for side in SIDES
        for number, affine in enumerate(getattr(model, side), start=1)
        for name in ("weight", "bias")
    }


def parse(who: str, facts: Any) -> Facts:
    """Check the types of what the metadata say."""
    if not isinstance(facts, dict) or facts.keys() != _KEYS or type(facts["twins"]) is not bool:
        raise ModelError(f"{who}: arrays needs the keys {', '.join(sorted(_KEYS))}, twins true or false; has {short(facts)}")
    for side in SIDES:
        layers = facts[side]
        if not isinstance(layers, list) or len(layers) > _MOST or not all(_is_layer(layer) for layer in layers):
            need = f"up to {_MOST} layers of in, out and activation ({' or '.join(ACTIVATIONS)})"
            raise ModelError(f"{who}: {side} needs {need}, has {short(layers)}")
    return facts


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and layer.keys() == _LAYER
        and all(type(layer[name]) is int and 1 <= layer[name] < MAX_UNITS for name in ("in", "out"))
        and type(layer["activation"]) is str
        and layer["activation"] in ACTIVATIONS
    )


def need(tensors: Tensors, facts: Facts, graph: Graph) -> None:
    """Raise ModelError unless the tensors are those that `facts` name, and the layers fit each other and the network."""
    sizes = {side: [(layer["in"], layer["out"]) for layer in facts[side]] for side in SIDES}
    check_fit(tensors.who, sizes["front"], sizes["head"], facts["twins"], ends_of(tensors.who, graph, WORD))
    for side in SIDES:
        for number, (into, out) in enumerate(sizes[side], start=1):
            tensors.need(f"{side}{number}.weight", (out, into), "float16", "float32")
            tensors.need(f"{side}{number}.bias", (out,), "float16", "float32")


def fields_of(tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """Return the fields of `Model` that the layers fill."""
    return {"twins": facts["twins"]} | {
        side: tuple(
            Affine(tensors.finite(f"{side}{n}.weight"), tensors.finite(f"{side}{n}.bias"), layer["activation"])
            for n, layer in enumerate(facts[side], start=1)
        )
        for side in SIDES
    }
