"""The gesture classifier in a checkpoint: what the metadata say of it, and its tensors.

- `head{n}.weight` (out, in, k, k) and `head{n}.bias` (out,), for convolution n from 1
- `features.weight` (input units, flat), `features.bias` (input units,)
- `readout.weight` (classes, last layer's units), `readout.bias` (classes,)

each float16 or float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from reprlib import repr as short
from typing import Any

import numpy as np

from models.checkpoint.graph import Graph, ends_of
from models.checkpoint.model import Model
from models.checkpoint.tasks import Facts
from models.checkpoint.tensorfile import Tensors, narrowed
from models.heads.gesture import ConvLayer, Gesture
from models.network import F32, Array, ModelError

WORD = "a gesture head"
_NUMBERS = ("bin_us", "slice_us", "size")
_KEYS = {"head", "feature_relu", "classes", *_NUMBERS, "polarity", "scale", "trace", "record"}
_LAYER = {"out": 1, "kernel": 1, "stride": 1, "padding": 0}  # least values
_LARGEST = 1 << 24
_MOST = 64  # convolutions, whose widths are worked out before a tensor is looked at


def facts_of(who: str, model: Model) -> dict[str, Any] | None:
    """Return what the metadata say of a gesture classifier; None where the model is none."""
    del who
    gesture = model.gesture
    if gesture is None:
        return None
    head = [{"out": len(layer.weight), "kernel": layer.weight.shape[2], **_how(vars(layer))} for layer in gesture.head]
    facts = {"head": head, "classes": list(gesture.classes), "record": dict(gesture.record)}
    return facts | {name: getattr(gesture, name) for name in sorted(_KEYS - facts.keys())}


def tensors_of(who: str, model: Model) -> dict[str, Array]:
    """Return the tensors of a gesture classifier, float16 where that loses nothing."""
    del who
    gesture = model.gesture
    assert gesture is not None
    tensors: dict[str, F32] = {}
    for number, layer in enumerate(gesture.head, start=1):
        tensors |= {f"head{number}.weight": layer.weight, f"head{number}.bias": layer.bias}
    tensors |= {"features.weight": gesture.linear_weight, "features.bias": gesture.linear_bias}
    tensors |= {"readout.weight": gesture.readout_weight, "readout.bias": gesture.readout_bias}
    return {name: narrowed(tensor) for name, tensor in tensors.items()}


def parse(who: str, about: Any) -> Facts:
    """Check the types of what the metadata say; ModelError, beginning with `who`, for what cannot be."""
    if not isinstance(about, dict) or about.keys() != _KEYS:
        raise ModelError(f"{who}: gesture needs the keys {', '.join(sorted(_KEYS))}, has {short(about)}")
    head = about["head"]
    if not isinstance(head, list) or len(head) > _MOST or not all(_is_layer(layer) for layer in head):
        raise ModelError(f"{who}: gesture head needs up to {_MOST} layers of {', '.join(_LAYER)} and pool, has {short(head)}")
    classes = about["classes"]
    if not isinstance(classes, list) or not classes or not all(type(name) is str for name in classes):
        raise ModelError(f"{who}: gesture classes need names, have {short(classes)}")
    for name in _NUMBERS:
        if type(about[name]) is not int or not 1 <= about[name] < 1 << 40:
            raise ModelError(f"{who}: gesture {name} {short(about[name])} cannot be, needs a number from 1")
    for name, kinds in (("scale", (int, float)), ("trace", (int, float)), ("polarity", (str,)), ("record", (dict,))):
        if type(about[name]) not in kinds:
            raise ModelError(f"{who}: gesture {name} needs {kinds[-1].__name__}, has {short(about[name])}")
    if type(about["feature_relu"]) is not bool:
        raise ModelError(f"{who}: gesture feature_relu needs true or false, has {short(about['feature_relu'])}")
    return about


def _is_layer(layer: Any) -> bool:
    return (
        isinstance(layer, dict)
        and layer.keys() == {*_LAYER, "pool"}
        and all(type(layer[name]) is int and least <= layer[name] < _LARGEST for name, least in _LAYER.items())
        and type(layer["pool"]) is bool
    )


def need(tensors: Tensors, facts: Facts, graph: Graph) -> None:
    """Raise ModelError unless the tensors are those that `facts` name, for the features and the last layer of the network."""
    input_units, units = ends_of(tensors.who, graph, WORD)
    channels, width = 1, facts["size"]
    for number, layer in enumerate(facts["head"], start=1):
        out, kernel = layer["out"], layer["kernel"]
        tensors.need(f"head{number}.weight", (out, channels, kernel, kernel), "float16", "float32")
        tensors.need(f"head{number}.bias", (out,), "float16", "float32")
        with _by(tensors.who):  # of the right shape, and nothing in it
            empty = ConvLayer(np.broadcast_to(np.float32(0), (1, 1, kernel, kernel)), np.zeros(1, np.float32), **_how(layer))
        channels, width = out, empty.width(width)
        if width < 1:
            raise ModelError(f"{tensors.who}: gesture head: nothing is left of a frame behind convolution {number}")
    for name, shape in (("features", (input_units, channels * width**2)), ("readout", (len(facts["classes"]), units))):
        tensors.need(f"{name}.weight", shape, "float16", "float32")
        tensors.need(f"{name}.bias", shape[:1], "float16", "float32")


def fields_of(tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """Return the field of `Model` that a gesture classifier fills; ModelError for values that cannot be."""
    with _by(tensors.who):
        head = tuple(
            ConvLayer(tensors.finite(f"head{n}.weight"), tensors.finite(f"head{n}.bias"), **_how(layer))
            for n, layer in enumerate(facts["head"], start=1)
        )
        linear = tensors.finite("features.weight"), tensors.finite("features.bias")
        readout = tensors.finite("readout.weight"), tensors.finite("readout.bias")
        others = {name: facts[name] for name in _KEYS - {"head", "classes", "scale", "trace"}}
        scale, trace = float(facts["scale"]), float(facts["trace"])
        gesture = Gesture(head, *linear, *readout, tuple(facts["classes"]), scale=scale, trace=trace, **others)
    return {"gesture": gesture}


@contextmanager
def _by(who: str) -> Iterator[None]:
    """Begin the line of a ModelError with `who`, whose file it is about."""
    try:
        yield
    except ModelError as error:
        text = str(error)
        raise ModelError(text if text.startswith(who) else f"{who}: {text}") from error


def _how(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: layer[name] for name in ("stride", "padding", "pool")}
