r"""torch.nn.GRU as a network of EGRU layers: exactly, with two units for each of its own; or unit for unit, which is not exact.

torch.nn.GRU, rows in the order r, z, n:

    h' = (1 - z) n + z h,    n = tanh(W_n x + b_in + r (W_hn h + b_hn)),    z, r from x and h

An EGRU at threshold 0 steps its cell state by the same equation (its gate order is z, r, g), but what it feeds back and
hands on is y = max(h, 0): a negative state is silent. So unit for unit (`plain`) the two agree exactly where no state of
any layer is ever negative, and part with the first that is.

`mirrored` gives every unit a twin whose candidate has the other sign: z and r are the same, g' = -g, and so its state is
-h. Together they say h = max(h, 0) - max(-h, 0), and every matrix W that hears h becomes (W, -W). This holds for any
input and any weights, up to the float32 rounding of the sums; it takes twice the units and up to four times the weights.

It knows keys and what to say; signs are `models/foreign/gru_layers.py`'s, files and number formats the rest of `models/foreign`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.foreign import linear_layers
from models.foreign.request import SEGMENT, Findings, ImportRequest
from models.foreign.state_dict import StateDict, listed, read_state
from models.importers import Flags, Head
from models.network import ModelError

if TYPE_CHECKING:
    from models.foreign.gru_layers import GruLayer

KNOWN_BY = "GRU (weight_hh_l0)"
GRUS = ("mirrored", "plain")
_CERTAINTY = 80
_KEY = re.compile(r"(?:(?P<stem>.+)\.)?weight_hh(?P<tail>(?:_l\d+)?)(?:_orig)?")
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]{1,4})")
_REFUSED = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse|_raw)(_orig|_mask)?")


def add_flags(parser: Flags) -> None:
    """Add the importer's options."""
    parser.add_argument("--gru", metavar="NAME", help=f"torch.nn.GRU {' (exact, default) or '.join(GRUS)} (half the units)")
    linear_layers.add_flags(parser)


def probe(head: Head) -> int:
    """Return how certain it is that the tensors are a GRU's."""
    return _CERTAINTY if _stems(head.keys) else 0


def read(path: Path, request: ImportRequest) -> Findings:
    """Return a stack of EGRU layers that computes what the GRU does, with the linear layers around; ModelError for no GRU."""
    return read_state(path, request, lambda _, state, request: read_tensors(state, request))


def read_tensors(state: StateDict, request: ImportRequest) -> Findings:
    """Return what `read` does, of a state_dict at hand."""
    from models.checkpoint import Model
    from models.foreign.gru_layers import network_of, never_negative

    mirrored = request.choice("gru", GRUS) != "plain"
    places = _stems(state.tensors)
    if not places:
        raise ModelError(f"{state.who}: no {KNOWN_BY} in it; has {listed(state.tensors)}")
    places = _in_line(state.who, places)
    parts = [_layers(state.under(place) if place else state) for place in places]
    layers = [layer for part in parts for layer in part]
    for place, before, part in zip(places[1:], parts, parts[1:], strict=False):
        hears, makes = part[0].kernel.shape[1], before[-1].units
        if hears != makes:
            raise ModelError(f"{state.who}: {state.prefix}{place}: has {hears} inputs, the GRU before it {makes} units")
    ends = layers[0].kernel.shape[1], layers[-1].units
    outside = linear_layers.find_linear_layers(state, places, ends, request)
    how, exact = request.state or state.facts.get("state", "carried"), mirrored
    if mirrored:
        n = layers[-1].units
        twins = f"h = y[0:{n}] - y[{n}:{2 * n}] of the last layer, which is what the head hears, or the answer"
        notes = [f"exact for any input, up to rounding: each unit has a twin of the other sign; {twins}"]
    elif never_negative(layers):
        exact, notes = True, ["exact, up to rounding, for inputs from -1 to 1: by its weights no state is ever negative"]
    else:
        part_at = "the two part where a state is negative (--gru mirrored is exact)"
        notes = [f"not exact: an EGRU hands on y = max(h, 0), a GRU h; {part_at}"]
    if how == "zeroed":
        exact = False
        notes.append("not exact from the second segment on: cell states are zeroed there, and a GRU's are not")
    kind = "torch.nn.GRU, " + ("mirrored" if mirrored else "unit for unit")
    description = ("kind", f"{kind}, keys {listed([state.prefix + place for place in places]) if places[0] else 'bare'}")
    provenance: dict[str, Any] = {"importer": "torch.nn.GRU", "mapping": "mirrored" if mirrored else "plain", "exact": exact}
    if outside.record:
        provenance["linear_layers"] = dict(outside.record)
    segment = request.segment or state.facts.get("segment", SEGMENT)
    model = Model(network_of(layers, mirrored), segment=segment, state=how, twins=mirrored)
    model = replace(model, front=outside.front, head=outside.head)
    return Findings(model, (description,), (*notes, *outside.notes), provenance)


def _stems(keys: Iterable[str]) -> list[str]:
    """Return what comes before `.weight_hh_l0` (or `.weight_hh` of a GRUCell) in the keys; "" where they lie bare."""
    matches = (_KEY.fullmatch(key) for key in keys)
    return list(dict.fromkeys(match["stem"] or "" for match in matches if match))


def _in_line(who: str, places: list[str]) -> list[str]:
    """Return several GRUs in the order of the numbers that their keys end with (`rnns.0`, `rnns.1`; `gru1`, `gru2`).

    ModelError where the keys differ in more than such numbers, one after the other.
    """
    if len(places) == 1:
        return places
    matches = [_NUMBERED.fullmatch(place) for place in places]
    numbers = sorted((int(match["number"]), match.string) for match in matches if match)
    stems = {match["stem"] for match in matches if match}
    first = numbers[0][0] if numbers else 0
    if len(stems) != 1 or [number for number, _ in numbers] != list(range(first, first + len(places))):
        raise ModelError(f"{who}: has GRUs in {len(places)} places ({listed(places)}); choose one with --prefix")
    return [place for _, place in numbers]


def _layers(state: StateDict) -> list[GruLayer]:
    from models.foreign.gru_layers import GruLayer, swapped

    for key in state.tensors:
        if _REFUSED.fullmatch(key):
            what = "a bidirectional GRU" if "_reverse" in key else "a GRU with dropped weights"
            raise ModelError(f"{state.who}: {listed([state.prefix + key])}: {what}; needs one direction and plain weights")
    tails = [match["tail"] for match in (_KEY.fullmatch(key) for key in state.tensors) if match and not match["stem"]]
    numbers = sorted(int(tail[2:]) if tail else 0 for tail in tails)
    if numbers != list(range(len(numbers))):
        raise ModelError(f"{state.who}: GRU layers need the numbers 0 to {max(numbers)}, have {', '.join(map(str, numbers[:8]))}")
    layers: list[GruLayer] = []
    for number in numbers:
        tail = f"_l{number}" if f"_l{number}" in tails else ""
        inputs, (rows, units) = state.shape(f"weight_ih{tail}", 2)[1], state.shape(f"weight_hh{tail}", 2)
        where = f"{state.who}: {state.prefix}weight_hh{tail}"
        if not inputs or not units or rows != 3 * units:
            kind = {4 * units: " (an LSTM's?)", units: " (an RNN's?)"}.get(rows, "")
            raise ModelError(f"{where}: needs shape (3 * units, units), has {(rows, units)}{kind}")
        if layers and layers[-1].units != inputs:
            raise ModelError(f"{where}: has {inputs} inputs, the layer before it {layers[-1].units} units")
        ih, hh = state.array(f"weight_ih{tail}", (rows, inputs)), state.array(f"weight_hh{tail}", (rows, units))
        biases = [
            state.array(f"{name}{tail}", (rows,)) if state.has(f"{name}{tail}") else np.zeros(rows, np.float32)
            for name in ("bias_ih", "bias_hh")
        ]
        layers.append(GruLayer(*(swapped(tensor) for tensor in (ih, hh, *biases))))
    return layers
