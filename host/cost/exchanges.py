"""When populations send within a position, and the ticks of each shard's step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.network import I64, Array


@dataclass(frozen=True)
class Exchanges:
    """What populations send at a position: an input once, a layer once for each tick that its step takes.

    (exchanges,) each, by population and then by tick: `population`; `phase`, the tick within the step; `tick`, how many ticks
    after the position entered it is sent by those who run side by side: those of inputs come while the first layers work.
    `of_layers`, whether a layer sends it. `interval`: ticks between positions.
    """

    population: I64
    phase: I64
    tick: I64
    of_layers: Array
    interval: int

    @classmethod
    def of(cls, populations: Iterable[tuple[bool, int, int]], interval: int) -> Exchanges:
        """Return the exchanges of populations: whether each is a layer, its start, and the ticks of its step."""
        rows = [
            (number, phase, start - 1 + phase if layer else 0, layer)
            for number, (layer, start, ticks) in enumerate(populations)
            for phase in range(ticks)
        ]
        population, phase, tick, layer = (np.array(column) for column in zip(*rows, strict=True))
        return cls(population.astype(np.int64), phase.astype(np.int64), tick.astype(np.int64), layer.astype(bool), interval)

    def __len__(self) -> int:
        """Return how many exchanges a position has."""
        return len(self.population)

    @cached_property
    def layers(self) -> I64:
        """The numbers of the exchanges of layers."""
        return np.flatnonzero(self.of_layers)

    @cached_property
    def inputs(self) -> I64:
        """The numbers of the exchanges of inputs."""
        return np.flatnonzero(~self.of_layers)

    @property
    def depth(self) -> int:
        """How many ticks a position takes from its entry to the last exchange."""
        return int(self.tick.max()) + 1

    def ticks_of(self, exchange: int, positions: int) -> slice:
        """Return the ticks of a run at which an exchange of each position is made."""
        first = int(self.tick[exchange])
        return slice(first, first + self.interval * (positions - 1) + 1, self.interval)

    def count_ticks(self, positions: int) -> int:
        """Return how many ticks a run takes whose populations work side by side."""
        return self.interval * (positions - 1) + self.depth

    def sum_by_tick(self, loads: I64, with_input: bool) -> I64:
        """Return what each tick carries, (ticks, ...), of loads (positions, exchanges, ...) of populations side by side."""
        of_tick = np.zeros((self.count_ticks(len(loads)), *loads.shape[2:]), np.int64)
        for n in range(len(self)):
            if with_input or self.of_layers[n]:
                of_tick[self.ticks_of(n, len(loads))] += loads[:, n]
        return of_tick

    def of_positions(self, of_tick: Array, positions: int) -> Array:
        """Return for each position the tick's number at which each layer's exchange is made, (positions, layers' exchanges)."""
        return np.stack([of_tick[self.ticks_of(n, positions)] for n in self.layers.tolist()], axis=1)


@dataclass(frozen=True)
class Turns:
    """The ticks of each shard's step, shard by shard: (turns,) its `shard`, its `phase` and its `exchange`."""

    shard: I64
    phase: I64
    exchange: I64

    @classmethod
    def of(cls, population_of: I64, exchanges: Exchanges) -> Turns:
        """Return the turns of shards of these populations."""
        rows = [
            (shard, phase, exchange)
            for shard, population in enumerate(population_of.tolist())
            for phase, exchange in enumerate(np.flatnonzero(exchanges.population == population).tolist())
        ]
        return cls(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))

    @cached_property
    def first(self) -> I64:
        """The first turn of each shard, (shards,)."""
        return np.flatnonzero(self.phase == 0)

    def sum_by_shard(self, values: Array) -> I64:
        """Add up (..., turns) over the turns of each shard: (..., shards)."""
        if len(self.first) == len(self.shard):
            return np.asarray(values, np.int64)
        return np.asarray(np.add.reduceat(values, self.first, axis=-1, dtype=np.int64), np.int64)
