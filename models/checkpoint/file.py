"""Checkpoints: a network with what lies around it on the host, in one safetensors file.

Tensors are those of the network (`graph.py`) and those of the one task that the checkpoint may have (`tasks/`); metadata
(`metadata.py`) say what is there. Loading compares every name, shape and type with them before it reads a tensor, then checks
the contents, and says in one line what is wrong. Saving checks the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from models.checkpoint import graph as graph_parts
from models.checkpoint import tasks
from models.checkpoint.compressed import compress, expanded, is_in_bytes
from models.checkpoint.metadata import Metadata, parse
from models.checkpoint.model import Model
from models.checkpoint.tensorfile import IMPORT_FIRST, Tensors, opened
from models.network import Array, ModelError, in_one_line

_KEY = "gennaker"
_DNN_KEY = "gennaker-dnn"  # of models/dnn/file.py, which knows more of checkpoints than they of it


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`; ModelError for what `load` would refuse, OSError where the file cannot be written."""
    who = f"checkpoint {path}"
    tensors, about = _parts(who, model)
    if is_in_bytes(model.network):
        tensors, compressed = compress(tensors)
        about = replace(about, compressed=compressed)
    text = about.to_text(who)
    _model(parse(who, text), Tensors.of(who, tensors))
    path.write_bytes(save_tensors({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {_KEY: text}))


def load(path: Path) -> Model:
    """Read a checkpoint; ModelError, in one line, for a missing, damaged or inconsistent file."""
    who = f"checkpoint {path}"
    try:
        with opened(who, path) as (metadata, tensors):
            if _DNN_KEY in metadata:
                raise ModelError(f"{who}: is a DNN, and this runs networks of events; `launch.py info` shows it")
            if _KEY not in metadata:
                raise ModelError(f"{who}: is a file of safetensors, but no checkpoint of Gennaker's; {IMPORT_FIRST}")
            return _model(parse(who, metadata[_KEY]), tensors)
    except ModelError:
        raise
    except Exception as error:
        # A hostile file reaches deep into two libraries, which answer with exceptions of a dozen kinds.
        raise ModelError(f"{who}: damaged or no safetensors file ({in_one_line(error)})") from error


def _parts(who: str, model: Model) -> tuple[dict[str, Array], Metadata]:
    """Return the tensors and the metadata of a model."""
    graph_parts.check(who, model.network)
    tensors = graph_parts.tensors_of(who, model.network)
    names = tasks.names()
    if unknown := model.parts.keys() - set(names):
        raise ModelError(f"{who}: no checkpoint task {min(unknown)!r}, of which the model has a part; has {', '.join(names)}")
    every = {name: tasks.named(name).facts_of(who, model) for name in names}
    facts = {name: entry for name, entry in every.items() if entry is not None}
    tasks.need_one(who, facts)
    for name in facts:
        tensors |= tasks.named(name).tensors_of(who, model)
    about = Metadata(
        graph=graph_parts.graph_of(model.network), segment=model.segment, state=model.state, tasks=facts,
        text_licence=model.text_licence, provenance=dict(model.provenance),
    )  # fmt: skip
    return tensors, about


def _model(about: Metadata, tensors: Tensors) -> Model:
    tensors = expanded(tensors, about.method, about.compressed) if about.compressed else tensors
    graph_parts.need(tensors, about.graph)
    for name, facts in about.tasks.items():
        tasks.named(name).need(tensors, facts, about.graph)
    tensors.need_no_more()
    network = graph_parts.network_of(tensors, about.graph)
    fields: dict[str, Any] = {}
    for name, facts in about.tasks.items():
        fields |= tasks.named(name).fields_of(tensors, facts)
    return Model(
        network=network, segment=about.segment, state=about.state, text_licence=about.text_licence, provenance=about.provenance,
        **fields,
    )  # fmt: skip
