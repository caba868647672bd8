"""The emulator's kernels against the torch layer, on the same checkpoint and text.

The emulator's side is what a PE runs: the shard code of `models/kernels` on a weight format of `models/formats`, bound to
plain arrays instead of an arena, one shard a layer (any cut into shards gives the same bits: `launch.py verify` and the
one-answer tests hold that). The torch side is `egru.py` in evaluation mode, in float32.

Two runs that compute a sum in another order differ in its last bits, and a unit within that of its threshold fires in one
and not in the other, which all later steps hear. So the layers are compared teacher-forced: each step of each layer gets
the emulator's own x, y and c. How far free runs drift apart is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models import formats, kernels
from models.checkpoint import Model
from models.heads.language import log_likelihood, logits_of, project
from models.network import F32, U32, Array, ModelError, Network, Population
from models.shard import PortShape
from models.text.perplexity import perplexity_of
from models.training.common.egru_inside import EgruInside
from models.training.common.egru_layer import Egru, LayerState

TOLERANCE = 1e-6
"""States should agree within this (those that do not are counted), and a unit whose event differs lies no further from
its threshold."""
LARGEST = 4e-6
"""No state may differ by more. A row is summed with one float32 accumulator, in order (the one-answer rule), whose rounding
grows with the sum's terms: of the shipped model's states 7 in a million are 1.0e-6 to 1.6e-6 away from float64, where
torch's blocked sums stay within 0.9e-6 (docs/model.md)."""
PERPLEXITY_TOLERANCE = 5e-5  # relative: four digits
DEFAULT_TOKENS = 210  # three of the authors' segments
FREE_POSITIONS = 70  # over which the drift of free runs is shown
_BLOCK = 10  # positions a line


class LayerStep(NamedTuple):
    """A layer's step: input x (inputs,), what it began with and what it ended with, y and c (units,), float32."""

    x: F32
    y_before: F32
    c_before: F32
    y: F32
    c: F32


class Kernels:
    """A network on the emulator's kernels, position by position, one sequence."""

    def __init__(self, network: Network, weights: str = "csr") -> None:
        self._layers = [_Layer([_Shard(network.populations[n], network, weights) for n in group]) for group in network.groups]

    def reset(self) -> None:
        """Begin a segment: cell states are zeroed, outputs carried."""
        for layer in self._layers:
            layer.reset()

    def step(self, x: F32) -> list[LayerStep]:
        """Step all layers on the input vector (input units,)."""
        steps = []
        for layer in self._layers:
            steps.append(layer.step(x))
            x = steps[-1].y
        return steps


class _Layer:
    """A layer that hears x and its own y of the step before: one shard, or gates and the cells that hear them."""

    def __init__(self, shards: list[_Shard]) -> None:
        self._gates, self._cells = shards[:-1], shards[-1]
        self._y = np.zeros(self._cells.units, np.float32)

    def reset(self) -> None:
        self._cells.reset()

    def step(self, x: F32) -> LayerStep:
        y_before, c_before = self._y, self._cells.cell
        heard = {"input": x, "recurrent": y_before, "own": y_before}
        for gates in self._gates:
            heard["gated"] = gates.step(heard)
        self._y = self._cells.step(heard)
        return LayerStep(x=x, y_before=y_before, c_before=c_before, y=self._y, c=self._cells.cell)


class _Shard:
    """All units of a population as one shard."""

    def __init__(self, layer: Population, network: Network, weights: str) -> None:
        kernel, form, units = kernels.named(layer.kernel), formats.named(weights), layer.units
        mem: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in kernel.fields(units, 1)}
        mem |= {name: np.array(vector, np.float32) for name, vector in layer.vectors.items()}
        mem |= {"units": np.arange(units, dtype=np.uint32), "counts": np.zeros(len(kernel.COUNTS), np.uint32)}
        mem |= {"send_keys": np.zeros(units, np.uint32), "send_values": np.zeros(units, np.float32)}
        self._ports = {}
        for projection in layer.projections:
            weights_of, source = projection.weights, network.populations[projection.source].units
            rows = len(weights_of.row_nonzeros)
            shape = PortShape(rows=rows, gates=rows // units, source_units=source, nonzeros=weights_of.nonzeros, lanes=1)
            own: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in form.fields(shape)}
            own |= {"sums": np.zeros((1, rows), np.float32), "counts": np.zeros((1, 2), np.uint32)}
            for name, array in form.encode(weights_of, shape).items():
                own[name][...] = array
            mem[f"{projection.port}.sums"] = own["sums"]
            self._ports[projection.port] = form.port(own, shape)
        self._stepper = kernel.stepper(mem, units, {**kernel.DEFAULTS, **layer.params})
        self.reset = self._stepper.reset
        self._mem, self.units = mem, units

    @property
    def cell(self) -> F32:
        """Cell states c (units,)."""
        return np.array(self._mem["cell"][0], np.float32)

    def step(self, heard: Mapping[str, F32]) -> F32:
        """Return what the units send, (units,), of what each port hears."""
        for name, port in self._ports.items():
            keys = np.flatnonzero(heard[name]).astype(np.uint32)
            port.clear()
            port.receive(keys, heard[name][keys], len(keys))
            port.product()
        events = self._stepper.step()
        sent = np.zeros(self.units, np.float32)
        sent[self._mem["send_keys"][:events]] = self._mem["send_values"][:events]
        return sent


@torch.no_grad()
def layers_of(network: Network) -> list[Egru]:
    """Return a network's layers in torch, in evaluation mode; ModelError for what the torch layer does not know."""
    layers = []
    for group in network.groups:
        *gates, cells = (network.populations[number] for number in group)
        if cells.params.get("fire_at_threshold"):
            raise ModelError(f"{cells.name}: the torch layer has no fire_at_threshold; a unit fires above its threshold")
        numbers = _inside_numbers(gates[0], cells) if gates else _numbers_of(cells)
        form = EgruInside if gates else Egru
        layer = form(numbers["kernel"].shape[1], cells.units, zoneout=cells.params.get("zoneout", 0.0))
        for name, array in numbers.items():
            layer.get_parameter(name).copy_(torch.from_numpy(np.array(array, np.float32)))
        layers.append(layer.eval())
    return layers


def _numbers_of(layer: Population) -> dict[str, Array]:
    """Return the parameters of a torch layer by their names."""
    matrices = {p.port: p.weights.to_dense() for p in layer.projections}
    return {"kernel": matrices["input"], "recurrent": matrices["recurrent"], **layer.vectors}


def _inside_numbers(gates: Population, cells: Population) -> dict[str, Array]:
    """Return the parameters of a torch layer whose gates and cells are populations of their own, rows z, r, g again."""
    of_gates, of_cells = _numbers_of(gates), _numbers_of(cells)
    (kernel_z, kernel_g), (bias_z, bias_g) = (np.split(of_cells[name], 2) for name in ("kernel", "bias"))
    late = next(p.weights.to_dense() for p in cells.projections if p.port == "gated")
    return {
        "kernel": np.concatenate([kernel_z, of_gates["kernel"], kernel_g]),
        "recurrent": np.concatenate([of_cells["recurrent"], of_gates["recurrent"], late]),
        "bias": np.concatenate([bias_z, of_gates["bias"], bias_g]),
        "threshold": cells.vectors["threshold"],
    }


@dataclass(frozen=True)
class Agreement:
    """What a layer's teacher-forced steps gave: largest differences of p, and of y and c where both fired or neither."""

    p: float
    y: float
    c: float
    events: int  # of the emulator
    updates: int  # units times steps
    differing: int  # events in one and not in the other
    distance: float  # of such a unit from its threshold, the largest; 0 where there is none
    beyond: int = 0  # states p that differ by more than `TOLERANCE`

    @property
    def holds(self) -> bool:
        """Tell whether every event agrees but at its threshold, and no state is further away than `LARGEST`."""
        return all(size <= LARGEST for size in (self.p, self.y, self.c)) and self.distance <= TOLERANCE  # false for a NaN


@torch.no_grad()
def teacher_forced(layer: Egru, steps: list[LayerStep]) -> Agreement:
    """Give each step's x, y and c to the torch layer and compare what it makes of them."""
    x, y_before, c_before, y, c = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*steps, strict=True))
    own_y, fired, after = layer(x[None], LayerState(y_before, c_before))
    own_y, own, have = own_y[0], fired[0] > 0, y != 0
    own_p, p = torch.where(own, own_y, after.c), torch.where(have, y, c)
    same, other = own == have, own != have
    thresholds = layer.threshold.expand_as(p)
    distances = torch.maximum((p - thresholds).abs(), (own_p - thresholds).abs())[other]
    return Agreement(
        p=_largest(own_p - p), y=_largest((own_y - y)[same]), c=_largest((after.c - c)[same]), events=int(have.sum()),
        updates=have.numel(), differing=int(other.sum()), distance=_largest(distances),
        beyond=int(((own_p - p).abs() > TOLERANCE).sum()),
    )  # fmt: skip


def _largest(differences: Tensor) -> float:
    return float(differences.abs().max()) if differences.numel() else 0.0


class Drift(NamedTuple):
    """How far two free runs are apart at each position: events that differ, and the largest difference of c."""

    events: list[int]
    cell: list[float]


@dataclass(frozen=True)
class Conformance:
    """What `conform` found: a layer's agreement each, the drift of free runs, and both perplexities."""

    layers: list[Agreement]
    drift: Drift
    units: int  # of all layers
    perplexity: float  # of the emulator's kernels
    torch_perplexity: float

    @property
    def holds(self) -> bool:
        """Tell whether the layers agree and both perplexities are equal to four digits."""
        near = abs(self.torch_perplexity - self.perplexity) <= PERPLEXITY_TOLERANCE * self.perplexity
        return near and all(layer.holds for layer in self.layers)


def compare(model: Model, ids: U32, layers: list[Egru] | None = None) -> Conformance:
    """Run `ids` (at least 2 word numbers, the last only predicted) on both sides, cell states as `model.state` says.

    `layers` stand in for the checkpoint's own in torch. ModelError where the model is no language model.
    """
    if model.embedding is None or model.decoder_bias is None:
        raise ModelError("conform: needs a checkpoint with an embedding, this one holds layers only")
    layers = layers or layers_of(model.network)
    table, bias = model.embedding, torch.from_numpy(model.decoder_bias)
    emulated = Kernels(model.network)
    states = [layer.begin(1) for layer in layers]
    steps_of: list[list[LayerStep]] = [[] for _ in layers]
    drift, nats, torch_nats = Drift([], []), 0.0, 0.0
    score = _scorer(model)
    for position, (word, target) in enumerate(pairwise(ids)):
        if model.reset_every and position and position % model.reset_every == 0:
            emulated.reset()
            states = [LayerState(y, torch.zeros_like(c)) for y, c in states]
        steps = emulated.step(table[word])
        nats -= score(steps[-1].y, int(target))
        x = torch.from_numpy(table[word])[None, None]
        with torch.no_grad():
            for number, layer in enumerate(layers):
                x, _, states[number] = layer(x, states[number])
            logits = functional.linear(_projected(model, x[0, 0]), torch.from_numpy(table), bias)
            torch_nats -= float(torch.log_softmax(logits.double(), 0)[int(target)])
        for number, step in enumerate(steps):
            steps_of[number].append(step)
        pairs = list(zip(steps, states, strict=True))
        drift.events.append(sum(int(((state.y[0].numpy() != 0) != (step.y != 0)).sum()) for step, state in pairs))
        drift.cell.append(max(_largest(state.c[0] - torch.from_numpy(step.c)) for step, state in pairs))
    return Conformance(
        layers=[teacher_forced(layer, steps) for layer, steps in zip(layers, steps_of, strict=True)],
        drift=drift, units=sum(layer.units for layer in layers),
        perplexity=perplexity_of(nats, len(ids)),  # the authors count the first token, which nothing predicts
        torch_perplexity=perplexity_of(torch_nats, len(ids)),
    )  # fmt: skip


def _scorer(model: Model) -> Callable[[F32, int], float]:
    """Return (last layer's y, word) -> log likelihood, by the emulator's own decoder."""
    embedding, bias, between = model.embedding, model.decoder_bias, model.projection
    assert embedding is not None
    assert bias is not None
    columns = np.ascontiguousarray(embedding.T)
    logits, hidden = np.zeros(len(embedding), np.float32), np.zeros(embedding.shape[1], np.float32)
    to_hidden = np.ascontiguousarray(between.weight.T) if between else columns

    def score(y: F32, target: int) -> float:
        keys = np.flatnonzero(y).astype(np.uint32)
        values = y[keys]
        if between is not None:
            project(keys, values, 0, to_hidden, between.bias, between.activation, hidden)
            keys, values = np.arange(len(hidden), dtype=np.uint32), hidden
        logits_of(keys, values, 0, columns, bias, logits)
        return float(log_likelihood(logits, target))

    return score


def _projected(model: Model, y: Tensor) -> Tensor:
    if (between := model.projection) is None:
        return y
    h = functional.linear(y, torch.from_numpy(between.weight), torch.from_numpy(between.bias))
    return functional.relu(h) if between.activation == "relu" else h


def conform(model: Model, split: str, tokens: int | None, state: str, say: Callable[[str], object]) -> bool:
    """Compare both sides on `tokens` tokens of a stored split (None: three segments, or all), report, and return if all agrees."""
    if split not in model.tokens:
        have = ", ".join(model.tokens) or "none"
        raise ModelError(f"--split {split}: the checkpoint holds the text of: {have}")
    ids = model.tokens[split]
    tokens = min(DEFAULT_TOKENS, len(ids) - 1) if tokens is None else tokens
    if not 1 <= tokens < len(ids):
        raise ModelError(f"--tokens {tokens}: the {split} split has {len(ids)} words; use --tokens 1 to {len(ids) - 1}")
    outcome = compare(replace(model, state=state), ids[: tokens + 1])
    say(f"c {state}, {tokens:,} tokens of the {split} split")
    say("  teacher-forced   |p|      |y|      |c|      events  differ    share  farthest from threshold")
    for number, layer in enumerate(outcome.layers, start=1):
        share = layer.differing / layer.updates
        head = f"  layer {number:<6}  {layer.p:8.1e} {layer.y:8.1e} {layer.c:8.1e}  {layer.events:9,} {layer.differing:7,}"
        say(f"{head} {share:8.1e}  {layer.distance:.1e}")
    say("  free-running   events that differ   share    |c|")
    shown = min(tokens, FREE_POSITIONS)
    for first in range(0, shown, _BLOCK):
        last = min(first + _BLOCK, shown)
        count = sum(outcome.drift.events[first:last])
        share = count / ((last - first) * outcome.units)
        say(f"  {first + 1:>3} to {last:<5}  {count:18,}  {share:8.1e} {max(outcome.drift.cell[first:last]):8.1e}")
    say(f"  perplexity     {outcome.perplexity:.4f} kernels, {outcome.torch_perplexity:.4f} torch")
    beyond, updates = sum(layer.beyond for layer in outcome.layers), sum(layer.updates for layer in outcome.layers)
    states = f"{beyond:,} of {updates:,} states beyond {TOLERANCE:g}"
    verdict = "DOES NOT AGREE" if not outcome.holds else "agrees but for some states" if beyond else "agrees"
    say(f"  {verdict}: events, perplexity to four digits; {states}")
    return outcome.holds
