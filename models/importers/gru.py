r"""torch.nn.GRU as a network of EGRU layers: exactly, with two units for each of its own; or unit for unit, which is not exact.

torch.nn.GRU, rows in the order r, z, n:

    h' = (1 - z) n + z h,    n = tanh(W_n x + b_in + r (W_hn h + b_hn)),    z, r from x and h

An EGRU at threshold 0 steps its cell state by the same equation (its gate order is z, r, g), but what it feeds back and
hands on is y = max(h, 0): a negative state is silent. So unit for unit (`plain`) the two agree exactly where no state of
any layer is ever negative, and part with the first that is.

`mirrored` gives every unit a twin whose candidate has the other sign: z and r are the same, g' = -g, and so its state is
-h. Together they say h = max(h, 0) - max(-h, 0), and every matrix W that hears h becomes (W, -W). This holds for any
input and any weights, up to the float32 rounding of the sums; it takes twice the units and up to four times the weights.

It knows keys and signs; files and number formats are `models/foreign`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.checkpoint import Model
from models.foreign.request import SEGMENT, Findings, ImportRequest
from models.foreign.state_dict import StateDict, describe_keys, listed, read_state
from models.importers import Head
from models.kernels.egru import layer_of
from models.network import F32, ModelError, Network, Population, SparseRows

KNOWN_BY = "GRU (weight_hh_l0)"
_CERTAINTY = 80
_KEY = re.compile(r"(?:(?P<stem>.+)\.)?weight_hh(?P<tail>(?:_l\d+)?)(?:_orig)?")
_REFUSED = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse|_raw)(_orig|_mask)?")
_ORDER = (1, 0, 2)  # r z n -> z r g


@dataclass(frozen=True)
class _Layer:
    """A GRU layer with its gates in the order z, r, g: (3H, C), (3H, H), (3H,), (3H,)."""

    kernel: F32
    recurrent: F32
    bias: F32
    recurrent_bias: F32

    @property
    def units(self) -> int:
        """Number of units H."""
        return int(self.recurrent.shape[1])


def probe(head: Head) -> int:
    """Return how certain it is that the tensors are a GRU's."""
    return _CERTAINTY if _stems(head.keys) else 0


def read(path: Path, request: ImportRequest) -> Findings:
    """Return a bare stack of EGRU layers that computes what the GRU does; ModelError where the file has none."""
    return read_state(path, request, _read)


def _stems(keys: Iterable[str]) -> list[str]:
    """Return what comes before `.weight_hh_l0` (or `.weight_hh` of a GRUCell) in the keys; "" where they lie bare."""
    matches = (_KEY.fullmatch(key) for key in keys)
    return list(dict.fromkeys(match["stem"] or "" for match in matches if match))


def _read(path: Path, state: StateDict, request: ImportRequest) -> Findings:
    del path
    for flag, value in (("--projection", request.projection), ("--zoneout", request.zoneout)):
        if value is not None:
            raise ModelError(f"{state.who}: {flag}: a torch.nn.GRU has none")
    places = _stems(state.tensors)
    if not places:
        raise ModelError(f"{state.who}: no {KNOWN_BY} in it; has {describe_keys(state.tensors)}")
    if len(places) > 1:
        raise ModelError(f"{state.who}: has GRUs in {len(places)} places ({listed(places)}); choose one with --prefix")
    part = state.under(places[0]) if places[0] else state
    layers = _layers(part)
    mirrored = request.gru != "plain"
    network = _network(layers, mirrored)
    how, exact = request.state or "carried", mirrored
    if mirrored:
        n = layers[-1].units
        twins = f"h = y[0:{n}] - y[{n}:{2 * n}] of the last layer"
        notes = [f"exact for any input, up to rounding: each unit has a twin of the other sign; {twins}"]
    elif _never_negative(layers):
        exact, notes = True, ["exact, up to rounding, for inputs from -1 to 1: by its weights no state is ever negative"]
    else:
        part_at = "the two part where a state is negative (--gru mirrored is exact)"
        notes = [f"not exact: an EGRU hands on y = max(h, 0), a GRU h; {part_at}"]
    if how == "zeroed":
        exact = False
        notes.append("not exact from the second segment on: cell states are zeroed there, and a GRU's are not")
    kind = "torch.nn.GRU, " + ("mirrored" if mirrored else "unit for unit")
    description = ("kind", f"{kind}, keys {listed([state.prefix + places[0]]) if places[0] else 'bare'}")
    provenance = {"importer": "torch.nn.GRU", "mapping": "mirrored" if mirrored else "plain", "exact": exact}
    model = Model(network, segment=request.segment or SEGMENT, state=how)
    return Findings(model, (description,), tuple(notes), provenance)


def _layers(state: StateDict) -> list[_Layer]:
    for key in state.tensors:
        if _REFUSED.fullmatch(key):
            what = "a bidirectional GRU" if "_reverse" in key else "a GRU with dropped weights"
            raise ModelError(f"{state.who}: {listed([state.prefix + key])}: {what}; needs one direction and plain weights")
    tails = [match["tail"] for match in (_KEY.fullmatch(key) for key in state.tensors) if match and not match["stem"]]
    numbers = sorted(int(tail[2:]) if tail else 0 for tail in tails)
    if numbers != list(range(len(numbers))):
        raise ModelError(f"{state.who}: GRU layers need the numbers 0 to {max(numbers)}, have {', '.join(map(str, numbers[:8]))}")
    layers: list[_Layer] = []
    for number in numbers:
        tail = f"_l{number}" if f"_l{number}" in tails else ""
        inputs, (rows, units) = state.shape(f"weight_ih{tail}", 2)[1], state.shape(f"weight_hh{tail}", 2)
        where = f"{state.who}: {state.prefix}weight_hh{tail}"
        if not inputs or not units or rows != 3 * units:
            kind = " (an LSTM's?)" if rows == 4 * units else ""
            raise ModelError(f"{where}: needs shape (3 * units, units), has {(rows, units)}{kind}")
        if layers and layers[-1].units != inputs:
            raise ModelError(f"{where}: has {inputs} inputs, the layer before it {layers[-1].units} units")
        ih, hh = state.array(f"weight_ih{tail}", (rows, inputs)), state.array(f"weight_hh{tail}", (rows, units))
        biases = [
            state.array(f"{name}{tail}", (rows,)) if state.has(f"{name}{tail}") else np.zeros(rows, np.float32)
            for name in ("bias_ih", "bias_hh")
        ]
        layers.append(_Layer(*(_reordered(tensor) for tensor in (ih, hh, *biases))))
    return layers


def _reordered(rows: F32) -> F32:
    gates = np.split(rows, 3)
    return np.concatenate([gates[gate] for gate in _ORDER])


def _network(layers: list[_Layer], mirrored: bool) -> Network:
    populations = [Population("input", layers[0].kernel.shape[1])]
    for number, layer in enumerate(layers, start=1):
        whole = _with_twins(layer, number == 1) if mirrored else layer
        kernel, recurrent = SparseRows.from_dense(whole.kernel), SparseRows.from_dense(whole.recurrent)
        threshold = np.zeros(whole.units, np.float32)
        vectors = {"threshold": threshold, "bias": whole.bias, "recurrent_bias": whole.recurrent_bias}
        populations.append(layer_of(number, kernel, recurrent, vectors, {"zoneout": 0.0}))
    return Network(tuple(populations))


def _with_twins(layer: _Layer, first: bool) -> _Layer:
    """Return the layer of 2 H units in which unit H + i has the state of unit i with the other sign."""
    kernel = layer.kernel if first else np.concatenate([layer.kernel, -layer.kernel], axis=1)
    recurrent = np.concatenate([layer.recurrent, -layer.recurrent], axis=1)
    return _Layer(*(_twice(rows) for rows in (kernel, recurrent, layer.bias, layer.recurrent_bias)))


def _twice(rows: F32) -> F32:
    """Return gate rows for units and their twins: z and r the same, g with the other sign."""
    z, r, g = np.split(rows, 3)
    return np.concatenate([z, z, r, r, g, -g])


def _never_negative(layers: list[_Layer]) -> bool:
    """Say whether the weights alone keep every state of every layer at 0 or above, for inputs from -1 to 1.

    A state is a mean of candidates, beginning at 0, so this holds where no candidate can be negative: where the smallest
    argument of its tanh is not, over inputs, states in [0, 1] and reset gates in [0, 1].
    """
    for number, layer in enumerate(layers):
        h = layer.units
        kernel, recurrent = (rows[2 * h :].astype(np.float64) for rows in (layer.kernel, layer.recurrent))
        heard = -np.abs(kernel).sum(axis=1) if number == 0 else np.minimum(kernel, 0).sum(axis=1)
        fed_back = np.minimum(layer.recurrent_bias[2 * h :] + np.minimum(recurrent, 0).sum(axis=1), 0)
        if np.any(layer.bias[2 * h :] + heard + fed_back < 0):
            return False
    return True
