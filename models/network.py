"""The un-sharded description of a network: a graph of populations joined by projections.

Inputs are populations whose events the host sends; the others have a neuron model and run on PEs. A projection carries
the events of one population to a port of another, at the same position or a number of positions later. Units keep their
checkpoint index everywhere; `models/shard.py` has one PE's slice, `models/graph_check.py` what makes a graph that can run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
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


class Weights(Protocol):
    """A projection's weights, as a matrix (rows, columns): by rows, or a convolution's kernel (`models/convolution.py`)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def numeric(self) -> str:
        """What the weights are: "float32", "int8" or "int4" (`models/numerics.py`)."""

    @property
    def values(self) -> Array:
        """What is stored: each weight once, however many elements of the matrix it is."""

    @property
    def places(self) -> int:
        """Number of weights there are, those that are zero too, each once."""

    @property
    def nonzeros(self) -> int:
        """Number of elements of the matrix that are not zero."""

    @property
    def row_nonzeros(self) -> I64:
        """Number of elements of each row that are not zero."""

    def products(self, heard: Array) -> I64:
        """Return how many products each row makes of weights that are not zero, (rows,), and `heard` events of each column."""

    def take(self, rows: Array) -> Weights:
        """Return the given rows, in the given order."""

    def to_rows(self) -> SparseRows:
        """Return the matrix by rows: a kernel unrolled."""

    def to_dense(self) -> Array:
        """Return the (rows, columns) matrix, of the values' type."""

    def check(self, who: str) -> None:
        """Raise ModelError, beginning with `who`, where the weights cannot be."""


@dataclass(frozen=True)
class SparseRows:
    """A weight matrix by rows: `values` float32 or int8, `columns` uint32 ascending within a row, `extents` int64 (rows + 1).

    `four_bits`: values are -8 to 7 and are stored two to a byte, in SRAM and in a checkpoint.
    """

    shape: tuple[int, int]
    extents: I64
    columns: U32
    values: Array
    four_bits: bool = False

    @property
    def numeric(self) -> str:
        """What the weights are: "float32", "int8" or "int4" (`models/numerics.py`)."""
        return "int4" if self.four_bits else self.values.dtype.name

    @property
    def nonzeros(self) -> int:
        """Number of stored weights."""
        return int(self.extents[-1])

    @property
    def places(self) -> int:
        """Number of elements, those that are zero too."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def row_nonzeros(self) -> I64:
        """Number of stored weights of each row."""
        return np.diff(self.extents)

    @cached_property
    def row_bits(self) -> Array:
        """Which weights of each row are stored, (rows, bytes) uint8, eight columns a byte."""
        held = np.zeros(self.shape, bool)
        held[np.repeat(np.arange(self.shape[0]), self.row_nonzeros), self.columns] = True
        return np.packbits(held, axis=1)

    @classmethod
    def from_dense(cls, matrix: Array) -> SparseRows:
        """Keep the nonzero elements of `matrix` (rows, columns): int8 as they are, anything else converted to float32."""
        dense = np.ascontiguousarray(matrix, dtype=matrix.dtype if matrix.dtype == np.int8 else np.float32)
        rows, columns = np.nonzero(dense)
        extents = np.zeros(dense.shape[0] + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=dense.shape[0]), out=extents[1:])
        shape = (int(dense.shape[0]), int(dense.shape[1]))
        return cls(shape, extents, columns.astype(np.uint32), dense[rows, columns])

    def to_dense(self) -> Array:
        """Return the (rows, columns) matrix, of the values' type."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[np.repeat(np.arange(self.shape[0]), np.diff(self.extents)), self.columns] = self.values
        return dense

    def to_rows(self) -> SparseRows:
        """Return these rows."""
        return self

    def products(self, heard: Array) -> I64:
        """Return how many products of stored weights each row makes, (rows,), of `heard` events of each column."""
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(heard[self.columns], dtype=np.int64)])
        return np.asarray(sums[self.extents[1:]] - sums[self.extents[:-1]], np.int64)

    def take(self, rows: Array) -> SparseRows:
        """Return the given rows, in the given order."""
        lengths = self.row_nonzeros[rows]
        extents = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=extents[1:])
        pick = np.repeat(self.extents[:-1][rows] - extents[:-1], lengths) + np.arange(extents[-1])
        return SparseRows((len(rows), self.shape[1]), extents, self.columns[pick], self.values[pick], self.four_bits)

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
        if self.values.dtype not in (np.float32, np.int8):
            raise ModelError(f"{who}: weights of type {self.values.dtype}; needs float32 or int8")
        if self.four_bits and not ((self.values >= -8) & (self.values <= 7)).all():
            raise ModelError(f"{who}: weights of 4 bits from {self.values.min()} to {self.values.max()}; needs -8 to 7")
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
    """Events of population `source` into port `port` of another; `weights` has (gates * units, source units) rows.

    `delay` is in positions: 0 hears what the source sent at the same position, d what it sent d positions before. Several
    projections may share a port: each has its own accumulator, and the port's sum adds them in the order of `sort_key`.

    With a decay `trace` above 0 the port hears, instead of the events y, their low-pass trace

        h = trace * h + (1 - trace) * y

    in float32, 1 - trace too, rounded after each product and after the sum (`models/compute/lowpass.py`). The receiving port keeps
    it; what travels are the events. It begins at zero, and again wherever a segment begins. Of int8 events it is a trace of their
    numbers, and the port hears the whole number that is nearest to 2**`trace_shift` times it, at most 127 either side.
    """

    source: int
    port: str
    weights: Weights
    trace: float = 0.0
    delay: int = 0
    trace_shift: int = 0
    summed_as: tuple[int, int] | None = None  # of an input that is fed late: the source and delay that it stands for

    @property
    def sort_key(self) -> tuple[int, int]:
        """The order in which projections of one port are added: ascending source, then delay."""
        return self.summed_as or (self.source, self.delay)


@dataclass(frozen=True)
class Population:
    """A set of units. One with a `kernel` (a file of `models/kernels`) has projections, vectors and params; an input has none.

    Projections are kept by port and, within one, in the order in which their sums are added; counts of a step follow that order.

    `payload` is what each of its events carries beside its key, and `dense` whether it sends every unit's number at every
    position, without keys (`models/numerics.py`). `peers`: the populations whose PEs its own may send transfers to. `beside`:
    the population with which it shares PEs, unit by unit; it has as many units, and lies beside none itself.
    """

    name: str
    units: int
    kernel: str = ""  # empty: an input, whose events the host sends
    projections: tuple[Projection, ...] = ()
    vectors: Mapping[str, Array] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    payload: str = "float32"
    dense: bool = False
    peers: tuple[int, ...] = ()
    beside: int | None = None

    def __post_init__(self) -> None:
        in_order = tuple(sorted(self.projections, key=lambda p: (p.port, p.sort_key)))
        object.__setattr__(self, "projections", in_order)

    def projections_to(self, port: str) -> list[Projection]:
        """Return the projections that share a port, in the order in which their sums are added."""
        return [projection for projection in self.projections if projection.port == port]


class HasKernel(Protocol):
    """A population, or what a ledger knows of one."""

    @property
    def kernel(self) -> str:
        """Its neuron model; an input's is empty."""


def inputs_among(populations: Sequence[HasKernel]) -> tuple[int, ...]:
    """Return the numbers of the populations whose events the host sends."""
    return tuple(number for number, population in enumerate(populations) if not population.kernel)


def layers_among(populations: Sequence[HasKernel]) -> tuple[int, ...]:
    """Return the numbers of the populations that run on PEs."""
    return tuple(number for number, population in enumerate(populations) if population.kernel)


@dataclass(frozen=True)
class Network:
    """A graph: populations by number. `outputs` are those whose events are the network's answer; empty: the last one alone."""

    populations: tuple[Population, ...]
    outputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", (len(self.populations) - 1,))

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the populations whose events the host sends."""
        return inputs_among(self.populations)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the populations that run on PEs."""
        return layers_among(self.populations)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The layers by the PEs that they share unit by unit, each group ascending; most layers are a group of their own."""
        groups: dict[int, list[int]] = {}
        for number in self.layers:
            beside = self.populations[number].beside
            groups.setdefault(number if beside is None else beside, []).append(number)
        return tuple(sorted(map(tuple, groups.values())))

    def group_of(self, number: int) -> tuple[int, ...]:
        """Return the layers with which a layer shares PEs unit by unit, itself among them."""
        return next(group for group in self.groups if number in group)

    @property
    def output(self) -> int:
        """The number of the last output, for networks that have one."""
        return self.outputs[-1]

    def listeners(self, source: int) -> tuple[int, ...]:
        """Return the layers that hear population `source`, ascending: who hears whom is read here and nowhere else."""
        return self._listeners.get(source, ())

    @cached_property
    def _listeners(self) -> Mapping[int, tuple[int, ...]]:
        sources = {number: {p.source for p in self.populations[number].projections} for number in self.layers}
        return {n: tuple(v for v in self.layers if n in sources[v]) for n in range(len(self.populations))}

    def sources(self, number: int) -> tuple[int, ...]:
        """Return the populations that a layer hears, ascending."""
        return tuple(sorted({projection.source for projection in self.populations[number].projections}))

    @property
    def weights(self) -> list[Weights]:
        """The weights of every projection."""
        return [projection.weights for layer in self.populations for projection in layer.projections]

    @cached_property
    def nonzeros(self) -> int:
        """Number of stored weights in all layers that are not zero; those of a kernel once."""
        return sum(int(np.count_nonzero(weights.values)) for weights in self.weights)

    @cached_property
    def connections(self) -> int:
        """Number of pairs of units that weights of all layers join: as `nonzeros`, with kernels as matrices."""
        return sum(weights.nonzeros for weights in self.weights)
