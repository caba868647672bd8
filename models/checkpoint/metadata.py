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
from models.kernels.egru import DEFAULTS
from models.network import SEGMENT_STATES, ModelError, check_trace

FORMAT_VERSION = 3
OLDER_VERSIONS = (2,)  # without `gesture` and without traces
FACTS = {
    "kernel": "egru", "gates": "z r g", "reset_gate": "after the recurrent product", "event_reset": "subtracts the threshold",
}  # fmt: skip
ACTIVATIONS = ("linear", "relu")
MAX_BYTES = 1 << 20  # of the JSON text; a provenance is for reading
_MAX_UNITS = 1 << 24
_KEYS = (
    *("version", *FACTS, "input_units", "layers", "segment", "state", "words", "vocabulary_sha256"),
    *("decoder", "projection", "gesture", "text_licence", "provenance"),
)


@dataclass(frozen=True)
class LayerFacts:
    """Units and parameters of a layer; every parameter of the kernel is there. `trace`: of its input projection."""

    units: int
    params: Mapping[str, float]
    trace: float = 0.0


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself; `words` is 0, and others None, where there is none."""

    input_units: int
    layers: tuple[LayerFacts, ...]
    segment: int
    state: str
    words: int
    vocabulary_sha256: str | None
    projection: str | None  # its activation
    gesture: gesture_parts.Facts | None
    text_licence: str
    provenance: Mapping[str, Any]

    @property
    def widths(self) -> list[int]:
        """Units of the input and of each layer."""
        return [self.input_units, *(layer.units for layer in self.layers)]

    def to_text(self, who: str) -> str:
        """Return the JSON text; ModelError for a provenance that is no JSON or too long."""
        about = vars(self) | FACTS | {"version": FORMAT_VERSION, "decoder": "tied" if self.words else None}
        about["layers"] = [{**vars(layer), "params": dict(layer.params)} for layer in self.layers]
        try:
            return json.dumps({key: about[key] for key in _KEYS}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"{who}: metadata cannot be written as JSON ({error})") from error


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
    older = version in OLDER_VERSIONS
    if older:
        about.setdefault("gesture", None)
        if about["gesture"] is not None:
            raise ModelError(f"{who}: metadata hold 'gesture', which format version {version} does not have")
    for kind, keys in (("lack", set(_KEYS) - about.keys()), ("hold, unknown here,", about.keys() - set(_KEYS))):
        if keys:
            raise ModelError(f"{who}: metadata {kind} {short(min(keys))}")
    try:
        json.dumps(about, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # could be neither printed nor written to a report
        raise ModelError(f"{who}: metadata hold half a surrogate pair") from error
    words = about["words"]
    known = {**{key: (value,) for key, value in FACTS.items()}, "state": SEGMENT_STATES, "projection": (None, *ACTIVATIONS)}
    for key, choice in {**known, "decoder": ("tied" if words else None,)}.items():
        if about[key] not in choice:
            need = " or ".join(map(repr, choice))
            raise ModelError(f"{who}: {key} {short(about[key])} is not known here, needs {need}")
    layers = _layers(who, about["layers"], older)
    widths = [about["input_units"], *(layer.units for layer in layers)]
    if len(widths) < 2 or not all(_is_count(n, 1) for n in widths):
        raise ModelError(f"{who}: sizes {short(widths)} in the metadata cannot be")
    for key, least in (("segment", 1), ("words", 0)):
        if not _is_count(about[key], least):
            raise ModelError(f"{who}: {key} {short(about[key])} cannot be, needs a number from {least} to {_MAX_UNITS - 1}")
    for key, kinds in (("vocabulary_sha256", (str, type(None))), ("text_licence", (str,)), ("provenance", (dict,))):
        if not isinstance(about[key], kinds):
            raise ModelError(f"{who}: {key} needs {kinds[0].__name__}, has {short(about[key])}")
    about = about | {"layers": layers, "gesture": gesture_parts.parse(who, about["gesture"])}
    return Metadata(**{key: about[key] for key in Metadata.__dataclass_fields__})


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < _MAX_UNITS


def _layers(who: str, layers: Any, older: bool) -> tuple[LayerFacts, ...]:
    keys = {"units", "params"} if older else {"units", "params", "trace"}
    if not isinstance(layers, list) or not all(isinstance(n, dict) and n.keys() == keys for n in layers):
        raise ModelError(f"{who}: metadata list no layers with {', '.join(sorted(keys))}: {short(layers)}")
    facts = []
    for number, layer in enumerate(layers, start=1):
        given = layer["params"]
        if not isinstance(given, dict) or given.keys() - DEFAULTS.keys():
            raise ModelError(f"{who}: layer {number}: params {short(given)}, known are {', '.join(DEFAULTS)}")
        params = DEFAULTS | given
        if any(type(n) not in (int, float) or not 0 <= n <= 1 for n in params.values()):
            raise ModelError(f"{who}: layer {number}: params {short(params)}: zoneout and fire_at_threshold must lie in [0, 1]")
        trace = layer.get("trace", 0.0)
        if type(trace) not in (int, float):
            raise ModelError(f"{who}: layer {number}: trace needs a number, has {short(trace)}")
        check_trace(f"{who}: layer {number}", trace)
        facts.append(LayerFacts(layer["units"], {key: float(value) for key, value in params.items()}, float(trace)))
    return tuple(facts)
