"""Files of Keras, read without it: `.keras` (a zip with config and weights), and `.h5` of `save` (Keras 2 and 3).

What a reader gets are the layers of a chain in their order, each with its class, its settings and its arrays. Weights alone
(`save_weights`) do not say what they mean, so they are refused; so is a model that is no chain.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.foreign.hdf5 import MOST_BYTES, SIGNATURE, Group, opened
from models.foreign.state_dict import listed
from models.network import Array, ModelError, in_one_line

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 1 << 24
_CHAINS = ("Sequential", "Functional", "Model")
_NOTHING = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
"""Classes of layers that do nothing where a model is used."""
_DEEPEST = 8  # groups in groups above a layer's arrays


@dataclass(frozen=True)
class KerasLayer:
    """A layer of a chain: its class, name and settings, and its arrays as Keras orders them."""

    of_class: str
    name: str
    config: Mapping[str, Any]
    arrays: tuple[Array, ...]


def is_keras(path: Path, start: bytes) -> bool:
    """Tell whether a file that begins with `start` is one of Keras; False where h5py is missing and that cannot be told."""
    try:
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return {CONFIG, WEIGHTS} <= set(archive.namelist())
        if start.startswith(SIGNATURE):
            with opened("probe", path) as root:
                return root.has("model_weights") or root.attribute("keras_version") is not None or root.has("layers")
    except (ModelError, OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
        pass
    return False


def read_layers(path: Path) -> list[KerasLayer]:
    """Return the layers of a model that is a chain, without those that do nothing; ModelError, in one line, for anything else."""
    who = f"import {path}"
    if zipfile.is_zipfile(path):
        with tempfile.NamedTemporaryFile(suffix=".h5") as weights:
            config = _unpack(who, path, Path(weights.name))
            with opened(who, Path(weights.name)) as root:
                return list(_of_zip(who, _chain(who, config), root))
    with opened(who, path) as root:
        text = root.attribute("model_config")
        if not isinstance(text, str) or not root.has("model_weights"):
            need = "needs the whole model (`model.save`): only that says where its reset gates are"
            raise ModelError(f"{who}: holds weights of Keras without their model; {need}")
        config, of_layers = _parsed(who, text), root.group("model_weights")
        return [_of_h5(who, layer, of_layers) for layer in _chain(who, config) if layer["class_name"] not in _NOTHING]


def _unpack(who: str, path: Path, target: Path) -> Any:
    """Write the weights of a `.keras` to a file, and return the config."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name, most in ((CONFIG, _MOST_CONFIG), (WEIGHTS, MOST_BYTES)):
                if archive.getinfo(name).file_size > most:
                    raise ModelError(f"{who}: {name} is longer than {most:,} bytes")
            with archive.open(WEIGHTS) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)  # zipfile stops at the size that it states
            return _parsed(who, archive.read(CONFIG).decode("utf-8", "replace"))
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise ModelError(f"{who}: damaged file of Keras ({in_one_line(error)})") from error


def _parsed(who: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{who}: its config is no JSON ({in_one_line(error)})") from error


def _chain(who: str, config: Any) -> list[dict[str, Any]]:
    """Return the layers of a config, first to last; ModelError where they are no chain."""
    of_class, inner = _field(config, "class_name"), _field(config, "config")
    layers = _field(inner, "layers")
    whole = isinstance(layers, list) and all(
        isinstance(_field(layer, "class_name"), str) and isinstance(_field(layer, "config"), dict) for layer in layers
    )
    if of_class not in _CHAINS or not whole:
        raise ModelError(f"{who}: a model of class {str(of_class)[:40]!a}; needs a Sequential, or a Functional that is a chain")
    if of_class != "Sequential":
        for before, layer in zip([None, *layers], layers, strict=False):
            heard = set(_sources(layer.get("inbound_nodes", [])))
            if heard != ({_name(before)} if before else set()):
                what = f"layer {_name(layer)!a} hears {listed(sorted(heard)) or 'nothing'}"
                raise ModelError(f"{who}: {what}; needs a chain of layers, each hearing the one before it")
    return list(layers)


def _sources(nodes: Any) -> Iterator[str]:
    """Yield the names of the layers that a node of a Functional model hears, as Keras 2 and 3 write them."""
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        if isinstance(history, list) and history:
            yield str(history[0])
        for value in nodes.values():
            yield from _sources(value)
    elif isinstance(nodes, list):
        if len(nodes) in (3, 4) and isinstance(nodes[0], str) and all(type(n) is int for n in nodes[1:3]):
            yield nodes[0]
            return
        for value in nodes:
            yield from _sources(value)


def _field(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name") or layer.get("name") or "")


def _of_zip(who: str, layers: list[dict[str, Any]], root: Group) -> Iterator[KerasLayer]:
    """Yield the layers of a `.keras`: groups by name, or by class and number as older releases have them."""
    groups, seen = root.group("layers"), dict[str, int]()
    for layer in layers:
        of_class = layer["class_name"]
        usual = _snake(of_class)
        seen[usual] = seen.get(usual, -1) + 1
        if of_class in _NOTHING:
            continue
        numbered = f"{usual}_{seen[usual]}" if seen[usual] else usual
        name = next((name for name in (_name(layer), numbered) if name and groups.has(name)), None)
        if name is None:
            raise ModelError(f"{who}: its weights lack layer {_name(layer)!a}; have {listed(groups.names())}")
        group = groups.group(name)
        for inner in ("cell", "layer"):  # of what wraps a cell
            if group.has(inner) and not group.group("vars").names():
                group = group.group(inner)
        variables = group.group("vars")
        names = sorted(variables.names(), key=lambda number: (len(number), number))
        yield KerasLayer(of_class, _name(layer), layer["config"], tuple(variables.array(number) for number in names))


def _of_h5(who: str, layer: dict[str, Any], groups: Group) -> KerasLayer:
    """Return a layer of an `.h5`: its arrays lie somewhere under its name."""
    name, arrays = _name(layer), dict[str, Array]()
    if not name or not groups.has(name):
        raise ModelError(f"{who}: its weights lack layer {name!a}; have {listed(groups.names())}")
    _collect(groups.group(name), arrays, 0)
    usual = ("kernel", "recurrent_kernel", "bias")
    order = [*(leaf for leaf in usual if leaf in arrays), *(leaf for leaf in arrays if leaf not in usual)]
    return KerasLayer(layer["class_name"], name, layer["config"], tuple(arrays[leaf] for leaf in order))


def _collect(group: Group, arrays: dict[str, Array], depth: int) -> None:
    for name in group.names():
        if group.is_group(name):
            if depth < _DEEPEST:
                _collect(group.group(name), arrays, depth + 1)
        else:
            arrays[name.partition(":")[0]] = group.array(name)


def _snake(name: str) -> str:
    """Return the name that Keras gives a layer of a class: GRU -> gru, TimeDistributed -> time_distributed."""
    parts = [f"_{letter}" if letter.isupper() and at and not name[at - 1].isupper() else letter for at, letter in enumerate(name)]
    return "".join(parts).lower()
