"""A network computed plainly in one process: dense loops in numpy, written apart from kernels, formats and schedule.

What `launch.py verify` holds a run against, bit for bit. Each neuron model has a file here that is called as its kernel is
(`models/kernels`), with a class `Neurons` of a population, for one sequence:

- `reset()`: what a segment boundary does to the units' states;
- `step(sums, phase)`: the numbers (units,) that the units send, 0 where silent, of the population's payload (1 for a spike);
  `sums` are those of each port, (rows,), float32 or int32, and empty but at phase 0;
- `ticks`, where a position takes more than one: how many.

Nothing here knows of shards, slots or ticks in flight. Population v hears at position p what a source sent at p - delay, and
nothing from before the position at which its sequence began. Every row is summed with one accumulator in ascending source
unit, the phases of a position one after the other; integers exactly, modulo 2**32.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any, Protocol, cast

import numpy as np

from models.convolution import Convolution
from models.families import family_path, member
from models.network import Array, Network, Population, Projection, Weights
from models.numerics import PAYLOADS, sum_of
from models.plain_convolution import PlainConvolution

__path__ = family_path(__path__, __name__)


class Neurons(Protocol):
    """The units of a population, for one sequence."""

    def reset(self) -> None:
        """Begin a segment."""

    def step(self, sums: Mapping[str, Array], phase: int) -> Array:
        """Return the numbers (units,) that the units send at a phase of a position."""


def neurons_of(population: Population) -> Neurons:
    """Return the plain neurons of a population; ModelError where its neuron model has none."""
    file: Any = member(sys.modules[__name__], population.kernel, "neuron model with a plain reference")
    return cast(Neurons, file.Neurons(population))


class Reference:
    """Steps a whole network for one sequence, position by position."""

    def __init__(self, network: Network) -> None:
        populations = network.populations
        self._network = network
        self._neurons = {n: neurons_of(populations[n]) for n in network.layers}
        self._ticks = {n: int(getattr(neurons, "ticks", 1)) for n, neurons in self._neurons.items()}
        prompt = {n: {p.source for p in populations[n].projections if not p.delay} for n in network.layers}
        self._order = [n for n in TopologicalSorter(prompt).static_order() if n in self._neurons]
        self._products = {n: [_Product(populations[p.source], p) for p in populations[n].projections] for n in network.layers}
        longest = max((p.delay for n in network.layers for p in populations[n].projections), default=0)
        self._sent: deque[Mapping[int, Array]] = deque(maxlen=longest + 1)  # at the latest positions: (ticks, units) each
        self._heard_back = 0  # positions before the present one that belong to the sequence

    def step(
        self, inputs: Mapping[int, Array], *, fresh: bool = False, reset: bool = False, idle: bool = False
    ) -> Mapping[int, Array]:
        """Step all layers at the next position; return what each sends, (ticks, units) numbers of its payload.

        `inputs` has numbers (units,) of each input, 0 where it has no event; one that is not named is silent. `fresh` begins a
        sequence and `reset` a segment. Where the lane is idle nothing steps or sends, whatever the inputs; traces fade on.
        """
        populations, reset = self._network.populations, reset or fresh
        if idle:
            inputs, fresh = {}, False
        sent: dict[int, Array] = {}
        for n in self._network.inputs:
            numbers = inputs.get(n, np.zeros(populations[n].units, _dtype(populations[n])))
            sent[n] = np.asarray(numbers, _dtype(populations[n])).reshape(1, -1)
        self._heard_back = 0 if fresh else min(self._heard_back + bool(self._sent), len(self._sent))
        self._sent.append(sent)
        for n in self._order:
            for product in self._products[n]:
                product.fade(sent, reset=reset)
            if idle:
                sent[n] = np.zeros((self._ticks[n], populations[n].units), _dtype(populations[n]))
                continue
            if reset:
                self._neurons[n].reset()
            sums = self._sums(n)
            phases = [self._neurons[n].step({} if phase else sums, phase) for phase in range(self._ticks[n])]
            sent[n] = np.stack([np.asarray(numbers, _dtype(populations[n])) for numbers in phases])
        return {n: sent[n] for n in self._network.layers}

    def _sums(self, layer: int) -> dict[str, Array]:
        """Return the sums of each port, those of its projections added from left to right."""
        sums: dict[str, Array] = {}
        for product in self._products[layer]:
            delay = product.projection.delay
            heard = self._sent[-1 - delay][product.projection.source] if delay <= self._heard_back else None
            part = product.of(heard)
            port = product.projection.port
            sums[port] = part if port not in sums else sums[port] + part
        return sums


class _Product:
    """A projection's weights, and the trace that it hears where it has one."""

    def __init__(self, source: Population, projection: Projection) -> None:
        self.projection, weights = projection, projection.weights
        is_float = sum_of(weights.numeric, source.payload) == "float32"
        self._sums = PlainConvolution(weights, is_float) if isinstance(weights, Convolution) else _Matrix(weights, is_float)
        self._keep = np.float32(projection.trace)
        self._gain = None if is_float else np.float32(1 << projection.trace_shift)
        self._trace = np.zeros(source.units, np.float32)

    def fade(self, sent: Mapping[int, Array], *, reset: bool) -> None:
        """Let the trace, where there is one, hear a position."""
        if self._keep:
            trace = np.zeros_like(self._trace) if reset else self._trace
            self._trace = self._keep * trace + (np.float32(1) - self._keep) * sent[self.projection.source][0]

    def of(self, heard: Array | None) -> Array:
        """Return the sums (rows,) of what is heard of a position, (ticks, units); None is silence."""
        if heard is None:
            heard = np.zeros((1, self.projection.weights.shape[1]), np.float32)
        if self._keep:
            heard = self._trace[None]
            if self._gain is not None:  # whole numbers, that integer weights multiply
                heard = np.clip(np.rint(heard * self._gain), -127, 127)
        return self._sums.of(heard)


class _Matrix:
    """A matrix of weights, dense."""

    def __init__(self, weights: Weights, is_float: bool) -> None:
        columns = np.ascontiguousarray(weights.to_dense().T)
        self._is_float, self._columns = is_float, columns if is_float else columns.astype(np.int64)

    def of(self, heard: Array) -> Array:
        """Return the sums (rows,) of what is heard of a position, (ticks, units)."""
        if not self._is_float:
            return np.asarray(heard.astype(np.int64).sum(axis=0) @ self._columns, np.int64).astype(np.int32)
        total = np.zeros(self._columns.shape[1], np.float32)
        for numbers in heard.astype(np.float32):
            for unit in np.flatnonzero(numbers):  # a zero times finite weights changes no accumulator: none is ever -0
                total += self._columns[unit] * numbers[unit]
        return total


def _dtype(population: Population) -> str:
    return PAYLOADS[population.payload] or "|u1"
