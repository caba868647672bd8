"""The metadata block of a checkpoint: one JSON text that says what the tensors are and where they come from.

What this version of the emulator can run is stated in the file (`FACTS`), and a file that states anything else is refused
by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any, NoReturn

from models import kernels
from models.checkpoint import compressed as compressed_tensors
from models.checkpoint import tasks
from models.checkpoint.graph import MAX_UNITS, Graph, chain, facts_of, params_of
from models.checkpoint.graph import parse as parse_graph
from models.checkpoint.tasks import language
from models.kernels import egru
from models.network import SEGMENT_STATES, ModelError, check_trace

LZMA_VERSION = 7  # the same, compressed by LZMA
DEFLATED_VERSION = 6  # any graph and task, tensors among which some are deflated; read alone
TASK_VERSION = 5  # any graph, kernels among its weights, and a task that is named, or none
GRAPH_VERSION = 4  # any graph: a language model, a gesture classifier, or neither; still written where that is all
CHAIN_VERSION = 3  # a line of EGRU layers, else the same; still written where that is all
OLDEST_VERSION = 2  # without `gesture` and without traces
VERSIONS = (OLDEST_VERSION, CHAIN_VERSION, GRAPH_VERSION, TASK_VERSION, DEFLATED_VERSION, LZMA_VERSION)
FACTS = {"kernel": "egru", **egru.CONVENTIONS}
MAX_BYTES = 1 << 20  # of the JSON text; a provenance is for reading
_OLD_TASKS = ("language", "gesture")  # what keys of their own said up to version 4
_REST = (
    *("segment", "state", "words", "vocabulary_sha256"),
    *("decoder", "projection", "gesture", "text_licence", "provenance"),
)
_GRAPH = ("version", "conventions", "populations", "inputs", "outputs")
_TASK = ("segment", "state", "task", "text_licence", "provenance")
_KEYS = {
    **dict.fromkeys((OLDEST_VERSION, CHAIN_VERSION), ("version", *FACTS, "input_units", "layers", *_REST)),
    GRAPH_VERSION: (*_GRAPH, *_REST),
    TASK_VERSION: (*_GRAPH, *_TASK),
    DEFLATED_VERSION: (*_GRAPH, *_TASK, "deflated"),
    LZMA_VERSION: (*_GRAPH, *_TASK, "lzma"),
}
_METHODS = {DEFLATED_VERSION: "deflated", LZMA_VERSION: "lzma"}  # of compressing, by version


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself; `tasks` has what each task's facts are, by its name: none, or one. Tensors in `compressed`
    are so by a `method` of `compressed.METHODS`.
    """

    graph: Graph
    segment: int
    state: str
    tasks: Mapping[str, tasks.Facts]
    text_licence: str
    provenance: Mapping[str, Any]
    compressed: compressed_tensors.Facts = field(default_factory=dict)
    method: str = compressed_tensors.WRITTEN

    @property
    def version(self) -> int:
        """The oldest format version that can say it."""
        if self.compressed:
            return next(version for version, method in _METHODS.items() if method == self.method)
        if self.tasks.keys() - set(_OLD_TASKS) or self.graph.has_kernels:
            return TASK_VERSION
        return CHAIN_VERSION if self.graph.is_chain else GRAPH_VERSION

    def to_text(self, who: str) -> str:
        """Return the JSON text; ModelError for a provenance that is no JSON or too long."""
        about = vars(self) | {"version": self.version, self.method: self.compressed}
        if self.version == CHAIN_VERSION:
            first, *layers = self.graph.nodes
            listed = [{"units": n.units, "params": dict(n.params or {}), "trace": n.projections[0].trace} for n in layers]
            about |= FACTS | {"input_units": first.units, "layers": listed}
        else:
            about |= facts_of(self.graph) | {"conventions": _conventions(self.graph)}
        if self.version >= TASK_VERSION:
            named = [{"name": name, "facts": facts} for name, facts in self.tasks.items()]
            about |= {"task": named[0] if named else None}
        else:
            about |= {**self.tasks.get("language", language.ABSENT), "gesture": self.tasks.get("gesture")}
        try:
            return json.dumps({key: about[key] for key in _KEYS[self.version]}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"{who}: metadata cannot be written as JSON ({error})") from error


def _conventions(graph: Graph) -> dict[str, Any]:
    """Return what the numbers of the neuron models that are used mean, where they say so."""
    used = sorted({node.kernel for node in graph.nodes} - {""})
    said: dict[str, Mapping[str, str]] = {name: getattr(kernels.named(name), "CONVENTIONS", {}) for name in used}
    return {name: dict(facts) for name, facts in said.items() if facts}


def parse(who: str, text: str) -> Metadata:
    """Read the JSON text; ModelError, beginning with `who`, for what cannot be or is not known here."""
    if len(text) > MAX_BYTES:
        raise ModelError(f"{who}: metadata of {len(text):,} B, needs at most {MAX_BYTES:,}; shorten the provenance")

    def no_number(name: str) -> NoReturn:
        raise ModelError(f"{who}: metadata hold {name}, which is no JSON")

    about = json.loads(text, parse_constant=no_number)
    version = about.get("version") if isinstance(about, dict) else "no metadata"
    if type(version) is not int or version not in VERSIONS:
        raise ModelError(f"{who}: needs Gennaker format version {' or '.join(map(str, VERSIONS))}, has {short(version)}")
    is_graph = version >= GRAPH_VERSION
    keys_needed = _KEYS[version]
    if version == OLDEST_VERSION:
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
    facts = {} if is_graph else {key: (value,) for key, value in FACTS.items()}
    for key, choice in {**facts, "state": SEGMENT_STATES}.items():
        if about[key] not in choice:
            raise ModelError(f"{who}: {key} {short(about[key])} is not known here, needs {' or '.join(map(repr, choice))}")
    tasks_in = _tasks(who, about)
    graph = parse_graph(who, about) if is_graph else _chain(who, about["input_units"], about["layers"], version == OLDEST_VERSION)
    if is_graph and about["conventions"] != _conventions(graph):
        need = json.dumps(_conventions(graph))
        raise ModelError(f"{who}: conventions {short(about['conventions'])} are not known here, needs {need}")
    if not _is_count(about["segment"], 1):
        raise ModelError(f"{who}: segment {short(about['segment'])} cannot be, needs a number from 1 to {MAX_UNITS - 1}")
    for key, of_type in (("text_licence", str), ("provenance", dict)):
        if not isinstance(about[key], of_type):
            raise ModelError(f"{who}: {key} needs {of_type.__name__}, has {short(about[key])}")
    method = _METHODS.get(version, compressed_tensors.WRITTEN)
    compressed = compressed_tensors.parse(who, method, about.get(method, {}))
    about = about | {"graph": graph, "tasks": tasks_in, "compressed": compressed, "method": method}
    return Metadata(**{key: about[key] for key in Metadata.__dataclass_fields__})


def _tasks(who: str, about: Mapping[str, Any]) -> dict[str, tasks.Facts]:
    """Return what the metadata say of each task, checked by it."""
    if about["version"] < TASK_VERSION:
        words = {key: about[key] for key in language.ABSENT}
        of_language = {} if words == language.ABSENT and type(words["words"]) is int else {"language": words}
        facts = of_language | ({} if about["gesture"] is None else {"gesture": about["gesture"]})
    else:
        task = about["task"]
        if task is None:
            return {}
        if not isinstance(task, dict) or task.keys() != {"name", "facts"} or type(task["name"]) is not str:
            raise ModelError(f"{who}: task needs a name and facts, has {short(task)}")
        if task["name"] not in tasks.names():
            have = ", ".join(tasks.names())
            raise ModelError(f"{who}: task {short(task['name'])} is not known here, needs one of {have}")
        facts = {task["name"]: task["facts"]}
    parsed = {name: tasks.named(name).parse(who, entry) for name, entry in facts.items()}
    tasks.need_one(who, parsed)
    return parsed


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
