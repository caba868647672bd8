"""Import another program's checkpoint as a `Model`, with a record of what it held and what was done.

It asks the importers whose the file is, and knows what all of them share: text, segment, state, provenance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models import importers
from models.checkpoint import Model
from models.families import member_names, require_member
from models.foreign.request import Findings, ImportRequest
from models.foreign.state_dict import listed, opened_state
from models.heads.affine import describe_chain
from models.importers import HEAD_BYTES, WORD, Head
from models.network import ModelError
from models.text.corpus import SPLITS, wikitext
from models.text.vocabulary import Vocabulary


def import_model(path: Path, request: ImportRequest) -> Findings:
    """Read `path` as whatever it is; ModelError (or TextError, for the text) in one line where that cannot be."""
    request.check()
    name = importer_of(path, request)
    if importers.makes_dnn(name):
        raise ModelError(f"{path}: is a DNN, and this runs networks of events; `launch.py info` shows it, `quantise` makes it int8")
    importers.check_options(f"import {path}", name, request.given)
    findings = importers.named(name).read(path, request)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return with_record(findings, request, {"imported_from": path.name, "sha256": sha256})


def with_record(findings: Findings, request: ImportRequest, origin: Mapping[str, Any]) -> Findings:
    """Return the findings with the words of --text, and with what was done in the model's provenance."""
    notes = list(findings.notes)
    model = _with_text(findings.model, request, notes)
    provenance = {**origin, **findings.provenance, "notes": notes}
    if request.text:
        provenance["text"] = request.text.name
    model = replace(model, provenance=provenance, text_licence=request.licence)
    said = findings.description
    description = (*said, *_described(model, {title for title, _ in said}))
    return replace(findings, model=model, description=description, notes=tuple(notes))


def importer_of(path: Path, request: ImportRequest) -> str:
    """Return the name of the importer that was asked for, or of the most certain one; ModelError where none is, or two are."""
    if request.importer is not None:
        require_member(importers, request.importer, WORD)
        return request.importer
    head, unreadable = _head_of(path, request)
    return choose_importer(f"import {path}", head, request.prefix, unreadable)


def choose_importer(who: str, head: Head, prefix: str, unreadable: ModelError | None = None) -> str:
    """Return the name of the importer that is most certain of a file or a state_dict.

    ModelError, beginning with `who`, where two are as certain, or none is: `unreadable`, where that says why.
    """
    all_of_them = {name: importers.named(name) for name in member_names(importers)}
    certainties = {name: one.probe(head) for name, one in all_of_them.items()}
    best = [name for name, certainty in certainties.items() if certainty and certainty == max(certainties.values())]
    if len(best) > 1:
        raise ModelError(f"{who}: may be one for {' or '.join(best)}; choose with --importer")
    if best:
        return best[0]
    if unreadable is not None:
        raise unreadable
    need = " or ".join(one.KNOWN_BY for one in all_of_them.values())
    where = f"under {prefix.rstrip('.') + '.'!a}" if prefix else "in it"
    raise ModelError(f"{who}: no {need} {where}; has {listed(head.keys)}")


def _head_of(path: Path, request: ImportRequest) -> tuple[Head, ModelError | None]:
    """Return what can be known of a file at a glance, and what is wrong with it as a state_dict."""
    start = b""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(HEAD_BYTES)
    try:
        with opened_state(path) as state:
            part = state.plain_part(request.prefix)
            keys = tuple(part.tensors)
            return Head(path, start, keys, keys_in_file=tuple(map(part.key_in_file, keys))), None
    except ModelError as error:
        return Head(path, start), error


def _with_text(model: Model, request: ImportRequest, notes: list[str]) -> Model:
    """Return the model with the words of --text and with its valid and test splits as word numbers."""
    if model.embedding is None:
        if request.text or request.licence:
            raise ModelError("--text and --licence: a bare stack of layers has no words")
        return model
    if request.text is None:
        if request.licence:
            raise ModelError("--licence: names the licence of --text, which is missing")
        notes.append("no --text: which word has which number is unknown, so the model takes word numbers (`lm MODEL --ids FILE`)")
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


def _described(model: Model, titles: set[str]) -> list[tuple[str, str]]:
    """Return what a model is; parameters of those neuron models alone that the importer has no line for (`titles`)."""
    layers = [model.network.populations[number] for number in model.network.layers]
    places = sum(row.weights.places for layer in layers for row in layer.projections)
    lines = [
        ("layers", " -> ".join(str(population.units) for population in model.network.populations)),
        ("weights", f"{model.network.nonzeros:,} of {places:,} ({100 * (1 - model.network.nonzeros / places):.1f} % absent)"),
    ]
    if model.embedding is not None:
        lines.append(("embedding", f"{model.embedding.shape[0]:,} words of {model.embedding.shape[1]}, tied decoder with bias"))
        lines.append(("vocabulary", f"{len(model.vocabulary):,} words" if model.vocabulary else "none"))
        lines += [(f"{split} text", f"{len(ids):,} words") for split, ids in model.tokens.items()]
    if model.projection is not None:
        out, into = model.projection.weight.shape
        lines.append(("projection", f"{into} -> {out}, {model.projection.activation}"))
    if model.front:
        lines.append(("front end", describe_chain(model.front)))
    if model.head or model.twins:
        lines.append(("head", ", ".join(filter(None, ["twins subtracted" * model.twins, describe_chain(model.head)]))))
    params: dict[str, Mapping[str, None]] = {}
    for layer in layers:
        for name, value in layer.params.items() if layer.kernel not in titles else ():
            params.setdefault(name, {})
            params[name] = {**params[name], f"{value:g}": None}
    lines += [(name, ", ".join(values)) for name, values in params.items()]
    every = f"every {model.segment} positions" if model.state == "zeroed" else "over all positions"
    lines.append(("cell state", f"{model.state} {every}; outputs carried"))
    return lines
