"""Import another program's checkpoint as a `Model`, with a record of what it held and what was done.

It knows which importer a state_dict belongs to, and what all of them share: text, segment, state, provenance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model
from models.importers import evnn, gru
from models.importers.request import Findings, ImportRequest
from models.importers.state_dict import StateDict, listed, opened_state
from models.network import ModelError
from models.text.corpus import SPLITS, wikitext
from models.text.vocabulary import Vocabulary


def import_model(path: Path, request: ImportRequest) -> Findings:
    """Read `path` as whatever it is; ModelError (or TextError, for the text) in one line where that cannot be."""
    request.check()
    with opened_state(path) as state:
        scope = _scope(state, request.prefix)
        findings: Findings = _importer(scope)(path, scope, request)
        left = state.left()
        notes = [*findings.notes, *state.log.lines()]
    if left:
        notes.append(f"{len(left)} keys left out: {listed(left)}")
    model = _with_text(findings.model, request, notes)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    provenance = {"imported_from": path.name, "sha256": sha256, **findings.provenance, "notes": notes}
    if request.text:
        provenance["text"] = request.text.name
    model = replace(model, provenance=provenance, text_licence=request.licence)
    return replace(findings, model=model, description=(*findings.description, *_described(model)), notes=tuple(notes))


def _scope(state: StateDict, prefix: str) -> StateDict:
    """Return the part under `prefix`, as the file or a plain module has its keys, without what wrappers add to keys."""
    head = f"{prefix.rstrip('.')}."
    if not prefix or any(key.startswith(head) for key in state.tensors):
        return (state.under(prefix) if prefix else state).without_wrappers()
    return state.without_wrappers().under(prefix)


def _importer(state: StateDict) -> Any:
    """Return the importer whose keys are there; ModelError, naming what else it is, where there is none."""
    if evnn.heads(state):
        return evnn.read
    for key in state.tensors:
        in_file = state.in_file.get(state.prefix + key, state.prefix + key)
        if evnn.is_baseline(in_file):
            raise ModelError(f"{state.who}: {in_file!a}: an LSTM or GRU baseline of EvNN, which has no events; needs an EGRU")
    if gru.stems(state):
        return gru.read
    have = f"{f'under {state.prefix!a}' if state.prefix else 'in it'}; has {listed(state.tensors)}"
    if any("parametrizations." in key or key.endswith(("weight_g", "weight_v")) for key in state.tensors):
        have += "; weights are parametrized: torch.nn.utils.parametrize.remove_parametrizations(MODULE, NAME) before saving helps"
    raise ModelError(f"{state.who}: no EGRU layer (key recurrent_kernel) or GRU (weight_hh_l0) {have}")


def _with_text(model: Model, request: ImportRequest, notes: list[str]) -> Model:
    """Return the model with the words of --text and with its valid and test splits as word numbers."""
    if model.embedding is None:
        if request.text or request.licence:
            raise ModelError("--text and --licence: a bare stack of layers has no words")
        return model
    if request.text is None:
        if request.licence:
            raise ModelError("--licence: names the licence of --text, which is missing")
        notes.append("no --text: which word has which number is unknown, so the model takes and gives word numbers alone")
        return model
    corpus = wikitext(request.text)
    vocabulary = Vocabulary.in_order_of_appearance(corpus.train, corpus.valid, corpus.test)
    if len(vocabulary) != len(model.embedding):
        empty = [split for split in SPLITS if not getattr(corpus, split)]
        why = f"; without {', '.join(empty)}" if empty else ""
        raise ModelError(f"--text {request.text}: has {len(vocabulary)} words{why}, the embedding needs {len(model.embedding)}")
    texts = {"valid": corpus.valid, "test": corpus.test}
    tokens = {split: vocabulary.encode(words)[0].astype(np.uint32) for split, words in texts.items() if words}
    return replace(model, vocabulary=vocabulary.words, tokens=tokens)


def _described(model: Model) -> list[tuple[str, str]]:
    layers = [model.network.populations[number] for number in model.network.layers]
    places = sum(row.weights.shape[0] * row.weights.shape[1] for layer in layers for row in layer.projections)
    lines = [
        ("layers", " -> ".join(str(population.units) for population in model.network.populations)),
        ("weights", f"{model.network.nonzeros:,} of {places:,} ({1 - model.network.nonzeros / places:.1%} absent)"),
    ]
    if model.embedding is not None:
        lines.append(("embedding", f"{model.embedding.shape[0]:,} words of {model.embedding.shape[1]}, tied decoder with bias"))
        lines.append(("vocabulary", f"{len(model.vocabulary):,} words" if model.vocabulary else "none"))
        lines += [(f"{split} text", f"{len(ids):,} words") for split, ids in model.tokens.items()]
    if model.projection is not None:
        out, into = model.projection.weight.shape
        lines.append(("projection", f"{into} -> {out}, {model.projection.activation}"))
    zoneouts: Mapping[float, None] = dict.fromkeys(layer.params.get("zoneout", 0.0) for layer in layers)
    lines.append(("zoneout", ", ".join(f"{zoneout:g}" for zoneout in zoneouts)))
    every = f"every {model.segment} positions" if model.state == "zeroed" else "over all positions"
    lines.append(("cell state", f"{model.state} {every}; outputs carried"))
    return lines
