"""Import another program's DNN: a float graph ready to be quantised, and where it is quantised already, the integer network."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models import importers
from models.dnn.graph import OperatorGraph
from models.dnn.model import DnnModel
from models.dnn.prepare import prepare
from models.foreign.import_model import importer_of
from models.foreign.request import DnnFindings, ImportRequest
from models.network import ModelError

_ONLY_EVENTS = ("text", "prefix", "segment", "state", "licence")


def import_dnn(path: Path, request: ImportRequest) -> DnnFindings:
    """Read `path` as a DNN; ModelError in one line where that cannot be."""
    request.check()
    name = importer_of(path, request)
    if not importers.makes_dnn(name):
        raise ModelError(f"{path}: is a network of events (importer {name}), no DNN")
    importers.check_options(f"import {path}", name, request.given)
    return cast(DnnFindings, importers.named(name).read(path, request))


def findings_of(
    who: str, graph: OperatorGraph, request: ImportRequest, said: Sequence[tuple[str, str]], origin: Mapping[str, Any]
) -> DnnFindings:
    """Return the DNN of a graph as a file or a module has it; ModelError, beginning with `who`, where it cannot be run."""
    if given := [name for name in _ONLY_EVENTS if getattr(request, name)]:
        raise ModelError(f"{who}: --{given[0]} is for networks of events; a DNN has none")
    try:
        prepared = prepare(graph, shapes_of(request))
        network, notes = None, list(prepared.notes)
        if prepared.grids:
            from models.quantise.dnn import quantise_dnn
            from models.quantise.dnn_lower import DnnSettings

            try:
                network, _ = quantise_dnn(prepared, None, DnnSettings(rounding="even"))
                notes.append("sums are rounded as ONNX rounds, ties to even; `quantise --round` has others")
            except ModelError as error:
                notes.append(f"not all of it is quantised: {error}")
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from None
    kinds = Counter(one.kind for one in prepared.graph.operators)
    weights = sum(array.size for array in prepared.graph.weights())
    inputs = ", ".join(f"{one.name} {' x '.join(map(str, one.shape))} {one.dtype}" for one in prepared.graph.inputs)
    description = [
        *said,
        ("inputs", inputs),
        ("outputs", ", ".join(f"{name} {' x '.join(map(str, prepared.shapes[name]))}" for name in prepared.graph.outputs)),
        ("operators", f"{len(graph.operators)} in the file, {len(prepared.graph.operators)} here: "
         + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())),
        ("weights", f"{weights:,}"),
        ("numbers", "int8, the file's own" if network is not None else "float32; `quantise` makes them int8"),
    ]  # fmt: skip
    model = DnnModel(prepared=prepared, network=network, provenance={**origin, "notes": notes})
    return DnnFindings(model, tuple(description), tuple(notes))


def origin_of(path: Path) -> dict[str, Any]:
    """Return where a model comes from, as its provenance says it."""
    with path.open("rb") as file:
        return {"imported_from": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def shapes_of(request: ImportRequest) -> dict[str, tuple[int, ...]]:
    """Return the shapes of `--shape`, by input, "" where none is named; ModelError for what is no shape."""
    given = request.options.get("shape") or []
    shapes: dict[str, tuple[int, ...]] = {}
    for text in [given] if isinstance(given, str | tuple) else given:
        if isinstance(text, tuple):  # in Python, a shape as it is
            shapes[""] = tuple(int(length) for length in text)
            continue
        name, _, lengths = str(text).rpartition("=")
        try:
            shapes[name] = tuple(int(length) for length in lengths.split(","))
        except ValueError:
            raise ModelError(
                f"--shape {str(text)[:60]!r}: needs lengths with commas between, as in 1,3,32,32, or NAME=1,3,32,32"
            ) from None
    return shapes
