"""The metadata block of a checkpoint: one JSON text that says what the tensors are and where they come from.

What this version of the emulator can run is stated in the file (`FACTS`), and a file that states anything else is refused
by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, NoReturn

from models.checkpoint import gesture as gesture_parts
from models.checkpoint.graph import MAX_UNITS, Graph, chain, facts_of, params_of
from models.checkpoint.graph import parse as parse_graph
from models.network import SEGMENT_STATES, ModelError, check_trace

FORMAT_VERSION = 4  # any graph
CHAIN_VERSION = 3  # a line of EGRU layers, still written where that is all
OLDER_VERSIONS = (2, CHAIN_VERSION)  # 2: without `gesture` and without traces
FACTS = {
    "kernel": "egru", "gates": "z r g", "reset_gate": "after the recurrent product", "event_reset": "subtracts the threshold",
}  # fmt: skip
ACTIVATIONS = ("linear", "relu")
MAX_BYTES = 1 << 20  # of the JSON text; a provenance is for reading
_REST = (
    *("segment", "state", "words", "vocabulary_sha256"),
    *("decoder", "projection", "gesture", "text_licence", "provenance"),
)
_CHAIN_KEYS = ("version", *FACTS, "input_units", "layers", *_REST)  # up to version 3
_GRAPH_KEYS = ("version", "conventions", "populations", "inputs", "outputs", *_REST)
_CONVENTIONS = {"egru": {key: fact for key, fact in FACTS.items() if key != "kernel"}}  # of neuron models that are used


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself; `words` is 0, and others None, where there is none."""

    graph: Graph
    segment: int
    state: str
    words: int
    vocabulary_sha256: str | None
    projection: str | None  # its activation
    gesture: gesture_parts.Facts | None
    text_licence: str
    provenance: Mapping[str, Any]

    def ends(self, who: str) -> tuple[int, int]:
        """Return the units of the one input and the one output; ModelError where there are more."""
        inputs, outputs = self.graph.inputs, self.graph.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            have = f"{len(inputs)} inputs and {len(outputs)} outputs"
            raise ModelError(f"{who}: has {have}; an embedding or a gesture head needs one of each")
        return self.graph.nodes[inputs[0]].units, self.graph.nodes[outputs[0]].units

    def to_text(self, who: str) -> str:
        """Return the JSON text; ModelError for a provenance that is no JSON or too long."""
        about = vars(self) | {"decoder": "tied" if self.words else None}
        if self.graph.is_chain:
            first, *layers = self.graph.nodes
            listed = [{"units": n.units, "params": dict(n.params or {}), "trace": n.projections[0].trace} for n in layers]
            about |= FACTS | {"version": CHAIN_VERSION, "input_units": first.units, "layers": listed}
            keys = _CHAIN_KEYS
        else:
            about |= facts_of(self.graph) | {"version": FORMAT_VERSION, "conventions": _conventions(self.graph)}
            keys = _GRAPH_KEYS
        try:
            return json.dumps({key: about[key] for key in keys}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"{who}: metadata cannot be written as JSON ({error})") from error


def _conventions(graph: Graph) -> dict[str, Any]:
    used = {node.kernel for node in graph.nodes}
    return {kernel: facts for kernel, facts in _CONVENTIONS.items() if kernel in used}


def parse(who: str, text: str) -> Metadata:
    """Read the JSON text; ModelError, beginning with `who`, for what cannot be or is not known here."""
    if len(text) > MAX_BYTES:
        raise ModelError(f"{who}: metadata of {len(text):,} B, needs at most {MAX_BYTES:,}; shorten the provenance")

    def no_number(name: str) -> NoReturn:
        raise ModelError(f"{who}: metadata hold {name}, which is no JSON")

    about = json.loads(text, parse_constant=no_number)
    version = about.get("version") if isinstance(about, dict) else "no metadata"
    if type(version) is not int or version not in (*OLDER_VERSIONS, FORMAT_VERSION):
        versions = " or ".join(map(str, (*OLDER_VERSIONS, FORMAT_VERSION)))
        raise ModelError(f"{who}: needs Gennaker format version {versions}, has {short(version)}")
    oldest, is_graph = version == OLDER_VERSIONS[0], version == FORMAT_VERSION
    keys_needed = _GRAPH_KEYS if is_graph else _CHAIN_KEYS
    if oldest:
        about.setdefault("gesture", None)
        if about["gesture"] is not None:
            raise ModelError(f"{who}: metadata hold 'gesture', which format version {version} does not have")
    for kind, keys in (("lack", set(keys_needed) - about.keys()), ("hold, unknown here,", about.keys() - set(keys_needed))):
        if keys:
            raise ModelError(f"{who}: metadata {kind} {short(min(keys))}")
    try:
        json.dumps(about, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # could be neither printed nor written to a report
        raise ModelError(f"{who}: metadata hold half a surrogate pair") from error
    words = about["words"]
    facts = {} if is_graph else {key: (value,) for key, value in FACTS.items()}
    known = {**facts, "state": SEGMENT_STATES, "projection": (None, *ACTIVATIONS)}
    for key, choice in {**known, "decoder": ("tied" if words else None,)}.items():
        if about[key] not in choice:
            need = " or ".join(map(repr, choice))
            raise ModelError(f"{who}: {key} {short(about[key])} is not known here, needs {need}")
    graph = parse_graph(who, about) if is_graph else _chain(who, about["input_units"], about["layers"], oldest)
    if is_graph and about["conventions"] != _conventions(graph):
        need = json.dumps(_conventions(graph))
        raise ModelError(f"{who}: conventions {short(about['conventions'])} are not known here, needs {need}")
    for key, least in (("segment", 1), ("words", 0)):
        if not _is_count(about[key], least):
            raise ModelError(f"{who}: {key} {short(about[key])} cannot be, needs a number from {least} to {MAX_UNITS - 1}")
    for key, kinds in (("vocabulary_sha256", (str, type(None))), ("text_licence", (str,)), ("provenance", (dict,))):
        if not isinstance(about[key], kinds):
            raise ModelError(f"{who}: {key} needs {kinds[0].__name__}, has {short(about[key])}")
    about = about | {"graph": graph, "gesture": gesture_parts.parse(who, about["gesture"])}
    return Metadata(**{key: about[key] for key in Metadata.__dataclass_fields__})


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < MAX_UNITS


def _chain(who: str, input_units: Any, layers: Any, oldest: bool) -> Graph:
    keys = {"units", "params"} if oldest else {"units", "params", "trace"}
    if not isinstance(layers, list) or not all(isinstance(n, dict) and n.keys() == keys for n in layers):
        raise ModelError(f"{who}: metadata list no layers with {', '.join(sorted(keys))}: {short(layers)}")
    facts = []
    for number, layer in enumerate(layers, start=1):
        params, trace = params_of(f"{who}: layer {number}", "egru", layer["params"]), layer.get("trace", 0.0)
        if type(trace) not in (int, float):
            raise ModelError(f"{who}: layer {number}: trace needs a number, has {short(trace)}")
        check_trace(f"{who}: layer {number}", trace)
        facts.append((params, float(trace)))
    units = [input_units, *(layer["units"] for layer in layers)]
    if len(units) < 2 or not all(_is_count(n, 1) for n in units):
        raise ModelError(f"{who}: sizes {short(units)} in the metadata cannot be")
    return chain(units, facts)
