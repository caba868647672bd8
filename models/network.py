"""The un-sharded description of a network, and `Shard`, one PE's slice of a population.

A network is a line of populations: an input (whose events the host sends), then layers of neurons. A projection carries
the events of one population to a port of another one. Units keep their checkpoint index everywhere; a shard may own any
set of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

SEGMENT_STATES = ("carried", "zeroed")  # what becomes of cell states where a segment begins


class ModelError(ValueError):
    """A network, checkpoint or shard that cannot be run as it stands; one line for the user."""


def in_one_line(error: Exception) -> str:
    """Return a library's error as one line of at most 160 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


@dataclass(frozen=True)
class Field:
    """One array that a shard keeps in its PE's SRAM.

    `role` is the column of the paper's Table I it belongs to: "weights" or "variables". `scratch` marks what may lie in
    the program's bank, behind the program (dense vectors, the event FIFO): its contents need not survive from one tick to
    the next.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's little-endian name, such as "<f4"
    role: str
    unit: str = ""
    scratch: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of the array itself, without padding."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class SparseRows:
    """A weight matrix by rows: `values` float32, `columns` uint32 ascending within a row, `extents` int64 (rows + 1)."""

    shape: tuple[int, int]
    extents: I64
    columns: U32
    values: F32

    @property
    def nonzeros(self) -> int:
        """Number of stored weights."""
        return int(self.extents[-1])

    @cached_property
    def row_nonzeros(self) -> I64:
        """Number of stored weights of each row."""
        return np.diff(self.extents)

    @classmethod
    def from_dense(cls, matrix: Array) -> SparseRows:
        """Keep the nonzero elements of `matrix` (rows, columns), converted to float32."""
        dense = np.ascontiguousarray(matrix, dtype=np.float32)
        rows, columns = np.nonzero(dense)
        extents = np.zeros(dense.shape[0] + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=dense.shape[0]), out=extents[1:])
        shape = (int(dense.shape[0]), int(dense.shape[1]))
        return cls(shape, extents, columns.astype(np.uint32), dense[rows, columns])

    def to_dense(self) -> F32:
        """Return the (rows, columns) float32 matrix."""
        dense = np.zeros(self.shape, np.float32)
        dense[np.repeat(np.arange(self.shape[0]), np.diff(self.extents)), self.columns] = self.values
        return dense

    def take(self, rows: Array) -> SparseRows:
        """Return the given rows, in the given order."""
        lengths = self.row_nonzeros[rows]
        extents = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=extents[1:])
        pick = np.repeat(self.extents[:-1][rows] - extents[:-1], lengths) + np.arange(extents[-1])
        return SparseRows((len(rows), self.shape[1]), extents, self.columns[pick], self.values[pick])

    def check(self, who: str) -> None:
        """Raise ModelError unless the rows are well formed, sorted, in range and finite."""
        rows, columns = self.shape
        if self.extents.shape != (rows + 1,) or self.extents[0] != 0 or np.any(self.extents[1:] < self.extents[:-1]):
            raise ModelError(f"{who}: row extents are not {rows + 1} ascending numbers from 0")
        if len(self.columns) != self.nonzeros or len(self.values) != self.nonzeros:
            need, have = self.nonzeros, (len(self.columns), len(self.values))
            raise ModelError(f"{who}: row extents name {need} weights, the file has {have[0]} columns and {have[1]} values")
        if self.nonzeros and int(self.columns.max()) >= columns:
            raise ModelError(f"{who}: column {int(self.columns.max())} in a matrix of {columns} columns")
        steps = np.diff(self.columns.astype(np.int64))
        starts = self.extents[1:-1]
        inner = np.ones(max(self.nonzeros - 1, 0), bool)
        inner[starts[(starts > 0) & (starts < self.nonzeros)] - 1] = False
        if np.any(steps[inner] <= 0):
            raise ModelError(f"{who}: columns are not in ascending order within each row")
        check_finite(who, self.values)
        zeros = self.nonzeros - int(np.count_nonzero(self.values))
        if zeros:  # only some formats would visit and count them
            raise ModelError(f"{who}: {zeros} of {self.nonzeros} stored weights are zero; leave them out")


def check_finite(who: str, values: Array) -> None:
    """Raise ModelError, naming the first place, where `values` holds a NaN or an infinity."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        first = int(bad[0])
        raise ModelError(f"{who}: {bad.size} of {values.size} values are not finite, first {values.flat[first]} at {first}")


def check_trace(who: str, decay: float) -> None:
    """Raise ModelError unless `decay` can be that of a low-pass trace, or 0: none."""
    if not 0 <= decay < 1:  # also refuses NaN
        raise ModelError(f"{who}: trace {decay!r} needs a number from 0 to below 1")


@dataclass(frozen=True)
class Projection:
    """Events of population `source` into port `port` of a layer; `weights` has (gates * units, source units) rows.

    With a decay `trace` above 0 the port hears, instead of the events y, their low-pass trace

        h = trace * h + (1 - trace) * y

    in float32, 1 - trace too, rounded after each product and after the sum (`models/compute/lowpass.py`). The receiving port keeps
    it; what travels are the events. It begins at zero, and again wherever a segment begins.
    """

    source: int
    port: str
    weights: SparseRows
    trace: float = 0.0


@dataclass(frozen=True)
class Population:
    """A set of units. A layer has a `kernel` (a file of `models/kernels`), projections, vectors (units long) and params."""

    name: str
    units: int
    kernel: str = ""  # empty: an input, whose events the host sends
    projections: tuple[Projection, ...] = ()
    vectors: Mapping[str, F32] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """Populations by number: 0 is the input, the others layers; a layer hears the population before it and itself."""

    populations: tuple[Population, ...]

    @property
    def layers(self) -> range:
        """The numbers of the populations that run on PEs."""
        return range(1, len(self.populations))

    @property
    def output(self) -> int:
        """The number of the population whose events are the network's answer."""
        return len(self.populations) - 1

    def listeners(self, source: int) -> tuple[int, ...]:
        """Return the layers that hear population `source`, ascending."""
        return tuple(n for n in self.layers if any(p.source == source for p in self.populations[n].projections))

    @property
    def nonzeros(self) -> int:
        """Number of stored weights in all layers."""
        return sum(p.weights.nonzeros for layer in self.populations for p in layer.projections)


@dataclass(frozen=True)
class ShardPort:
    """One projection's slice: the port's name, the population it hears, its width, weights and trace (0: the events)."""

    name: str
    source: int
    source_units: int
    nonzeros: int
    arrays: Mapping[str, Array]
    trace: float = 0.0


@dataclass(frozen=True)
class Shard:
    """A PE's slice of a population: the units it owns (ascending checkpoint indices) and what it needs to step them.

    `lanes` is the number of independent sequences that run side by side (the batch). Event keys of a population are
    lane * width + unit, so that one ascending run of keys serves any batch.
    """

    population: int
    kernel: str
    format: str
    width: int
    lanes: int
    units: U32
    ports: tuple[ShardPort, ...]
    vectors: Mapping[str, Array]
    params: Mapping[str, float]

    def to_parts(self) -> list[Any]:
        """Return the shard as nested lists, strings, numbers and bytes (little-endian arrays), ready for the wire."""
        ports = [[p.name, p.source, p.source_units, p.nonzeros, _pack(p.arrays), p.trace] for p in self.ports]
        head = [self.population, self.kernel, self.format, self.width, self.lanes]
        return [*head, _pack({"units": self.units}), ports, _pack(self.vectors), dict(self.params)]

    @classmethod
    def from_parts(cls, parts: Any) -> Shard:
        """Rebuild a shard from `to_parts`; ModelError where the parts have another form."""
        try:
            population, kernel, form, width, lanes, units, ports, vectors, params = parts
            return cls(
                population=population, kernel=kernel, format=form, width=width, lanes=lanes, units=_unpack(units)["units"],
                ports=tuple(
                    ShardPort(name=p, source=s, source_units=u, nonzeros=n, arrays=_unpack(arrays), trace=float(trace))
                    for p, s, u, n, arrays, trace in ports
                ),
                vectors=_unpack(vectors), params={str(k): float(v) for k, v in params.items()},
            )  # fmt: skip
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"shard: not in the form of Shard.to_parts ({error})") from error


def _pack(arrays: Mapping[str, Array]) -> list[list[Any]]:
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    return [[name, a.dtype.str, list(a.shape), a.tobytes()] for name, a in little.items()]


def _unpack(parts: Any) -> dict[str, Array]:
    return {name: cast(Array, np.frombuffer(raw, dtype).reshape(shape)) for name, dtype, shape, raw in parts}
