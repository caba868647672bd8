"""Weights that are a convolution's kernel: what they are as a matrix follows from it and is computed where it is asked for.

Cross-correlation, as in torch's `conv2d`. Units of source and target lie in C order: (channel, row, column). In one dimension
everything has one row. A sum pool in front belongs to it: a source unit's event meets the weights of its window's place, so
that events travel and no counts of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.network import I64, Array, ModelError, SparseRows, check_finite

Pair = tuple[int, int]
_MOST_AT_ONCE = 1 << 21  # elements of the matrix that are looked at together while it is unrolled


@dataclass(frozen=True, eq=False)
class Convolution:
    """A kernel (channels out, channels in / groups, rows, columns), float32 or int8, over an input (channels, rows, columns).

    `stride`, `dilation` and `pool` are (rows, columns), `padding` is (top, left, bottom, right), of zeros. `pool`: before all
    that, sums over windows of that size and stride; rows and columns left over are dropped. As a matrix it has a row for each
    unit out and a column for each unit in. Elements of the kernel may be zero.
    """

    kernel: Array
    input_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (1, 1)

    @cached_property
    def pooled_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns after the pool."""
        channels, rows, columns = self.input_shape
        return channels, rows // self.pool[0], columns // self.pool[1]

    @cached_property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns that come out."""
        top, left, bottom, right = self.padding
        padded = self.pooled_shape[1] + top + bottom, self.pooled_shape[2] + left + right
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel.shape[2:], strict=True)]
        rows, columns = ((n - r) // s + 1 for n, r, s in zip(padded, reach, self.stride, strict=True))
        return self.kernel.shape[0], rows, columns

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def numeric(self) -> str:
        """What the weights are: "float32" or "int8" (`models/numerics.py`)."""
        return self.kernel.dtype.name

    @property
    def values(self) -> Array:
        """The stored weights, those that are zero too, in C order of the kernel."""
        return self.kernel.reshape(-1)

    @property
    def places(self) -> int:
        """Number of weights there are, those that are zero too."""
        return self.kernel.size

    @cached_property
    def nonzeros(self) -> int:
        """Number of the matrix's elements that are not zero."""
        return int(self.row_nonzeros.sum())

    @cached_property
    def row_nonzeros(self) -> I64:
        """Number of elements of each row of the matrix that are not zero."""
        return self._count(np.count_nonzero(self.kernel, axis=1))

    @cached_property
    def row_met(self) -> I64:
        """Number of elements of each row of the matrix at which an event meets an element of the kernel, be it zero."""
        return self._count(np.full((len(self.kernel), *self.kernel.shape[2:]), self.kernel.shape[1]))

    def _count(self, elements: Array) -> I64:
        """Return how many (out, rows, columns) `elements` of the kernel, summed over channels in, each row of the matrix has."""
        rows, columns = (inside.astype(np.int64) for inside in self._inside())
        return np.asarray((rows @ elements @ columns.T).reshape(-1) * self.pool[0] * self.pool[1], np.int64)

    def _inside(self) -> tuple[Array, Array]:
        """Return for rows, and for columns, whether each element of the kernel (second) lies inside for each output (first)."""
        inside = []
        for at in (0, 1):
            places = self._places(at)
            inside.append((places >= 0) & (places < self.pooled_shape[1 + at]))
        return inside[0], inside[1]

    def _places(self, at: int) -> I64:
        """Return the pooled row (`at` 0) or column (1) that each element of the kernel (second) meets for each output (first)."""
        outputs, elements = np.arange(self.output_shape[1 + at]), np.arange(self.kernel.shape[2 + at])
        return np.asarray(outputs[:, None] * self.stride[at] - self.padding[at] + elements[None, :] * self.dilation[at], np.int64)

    def products(self, heard: Array) -> I64:
        """Return how many products of weights that are not zero each row makes, (rows,), of `heard` events of each column."""
        return self._correlate(self.kernel != 0, heard)

    def meetings(self, heard: Array) -> I64:
        """Return how many elements of the kernel, be they zero, `heard` events of each column meet for each row, (rows,)."""
        return self._correlate(np.ones(self.kernel.shape, bool), heard)

    def _correlate(self, taken: Array, heard: Array) -> I64:
        """Return the convolution of `heard` events of each column with a kernel of ones where an element is `taken`, (rows,)."""
        rows, columns = self._inside()
        rows_at, columns_at = (np.where(part, self._places(at), 0) for at, part in enumerate((rows, columns)))
        channels, of_group = self.pooled_shape[0], self.kernel.shape[1]
        (high, wide), (_, tall, broad) = self.pool, self.pooled_shape
        events = np.asarray(heard, np.int64).reshape(self.input_shape)[:, : high * tall, : wide * broad]
        events = events.reshape(channels, tall, high, broad, wide).sum(axis=(2, 4))
        taps = taken.astype(np.int64).reshape(self.groups, -1, *self.kernel.shape[1:])
        counts = np.zeros((self.groups, taps.shape[1], *self.output_shape[1:]), np.int64)
        for i in range(self.kernel.shape[2]):
            for j in range(self.kernel.shape[3]):
                met = events[:, rows_at[:, i]][:, :, columns_at[:, j]] * (rows[:, i, None] & columns[None, :, j])
                met = met.reshape(self.groups, of_group, -1)
                counts += (taps[..., i, j] @ met).reshape(counts.shape)
        return np.asarray(counts.reshape(-1), np.int64)

    def take(self, rows: Array) -> ConvolutionRows:
        """Return the given rows of the matrix, in the given order, as a part of this convolution."""
        return ConvolutionRows(self, np.asarray(rows, np.int64))

    def to_rows(self) -> SparseRows:
        """Return the matrix, without the elements that are zero."""
        return self.take(np.arange(self.shape[0])).to_rows()

    def to_dense(self) -> Array:
        """Return the (rows, columns) matrix, of the kernel's type."""
        return self.to_rows().to_dense()

    def unrolled(self, rows: I64) -> Iterator[tuple[I64, I64, Array]]:
        """Yield, for a few of the `rows` at a time, how many elements each has, and their columns, ascending, and values."""
        _, tall, broad = self.output_shape
        of_group, windows = self.kernel.shape[1], self.pool[0] * self.pool[1]
        elements = max(self.kernel[0].size * windows, 1)
        inside, (high, wide) = self._inside(), self.pool
        rows_at, columns_at = self._places(0), self._places(1)
        # Columns ascend with (channel in, row and column of the kernel), each row of which comes with all of its window's.
        row_numbers = rows_at[:, :, None] * high + np.arange(high)  # (output row, kernel row, of the window)
        column_numbers = columns_at[:, :, None] * wide + np.arange(wide)
        _, height, width = self.input_shape
        for first in range(0, len(rows), max(_MOST_AT_ONCE // elements, 1)):
            some = rows[first : first + max(_MOST_AT_ONCE // elements, 1)]
            channel, row, column = some // (tall * broad), some // broad % tall, some % broad
            source = (channel // (len(self.kernel) // self.groups) * of_group)[:, None] + np.arange(of_group)
            kept = (self.kernel[channel] != 0) & inside[0][row][:, None, :, None] & inside[1][column][:, None, None, :]
            at_row, at_column = row_numbers[row], column_numbers[column]
            columns = (source[:, :, None, None] * height + at_row.reshape(len(some), 1, -1, 1)) * width
            columns = columns + at_column.reshape(len(some), 1, 1, -1)
            kept = kept.repeat(high, axis=2).repeat(wide, axis=3)
            values = self.kernel[channel].repeat(high, axis=2).repeat(wide, axis=3)
            yield np.count_nonzero(kept.reshape(len(some), -1), axis=1), columns[kept], values[kept]

    def check(self, who: str) -> None:
        """Raise ModelError, beginning with `who`, unless it can be computed and its numbers are finite."""
        kernel, channels = self.kernel, self.input_shape[0]
        if kernel.ndim != 4 or not kernel.size:
            raise ModelError(f"{who}: a kernel needs four dimensions with something in each, has {kernel.shape}")
        if kernel.dtype not in (np.float32, np.int8):
            raise ModelError(f"{who}: a kernel of type {kernel.dtype}; needs float32 or int8")
        numbers = {
            "input shape": (self.input_shape, 3, 1), "stride": (self.stride, 2, 1), "padding": (self.padding, 4, 0),
            "dilation": (self.dilation, 2, 1), "groups": ((self.groups,), 1, 1), "pool": (self.pool, 2, 1),
        }  # fmt: skip
        for name, (given, need, least) in numbers.items():
            if len(given) != need or any(n != int(n) or n < least for n in given):
                raise ModelError(f"{who}: {name} needs {need} whole numbers from {least}, has {given}")
        if channels != kernel.shape[1] * self.groups or kernel.shape[0] % self.groups:
            have = f"{channels} channels in, {kernel.shape[0]} out and {kernel.shape[1]} of each kernel"
            raise ModelError(f"{who}: {have} do not go with {self.groups} groups")
        if min(self.pooled_shape) < 1:
            have = "x".join(map(str, self.input_shape[1:]))
            raise ModelError(f"{who}: no window of {self.pool[0]}x{self.pool[1]} fits into {have}")
        if min(self.output_shape) < 1:
            place = "x".join(map(str, self.pooled_shape[1:]))
            raise ModelError(f"{who}: a kernel of {kernel.shape[2]}x{kernel.shape[3]} does not fit into {place} with its padding")
        check_finite(who, kernel)


@dataclass(frozen=True, eq=False)
class ConvolutionRows:
    """Some rows of a convolution's matrix, (rows,) int64: what one PE has of it."""

    whole: Convolution
    rows: I64

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.rows), self.whole.shape[1]

    @property
    def numeric(self) -> str:
        """What the weights are: "float32" or "int8" (`models/numerics.py`)."""
        return self.whole.numeric

    @cached_property
    def row_nonzeros(self) -> I64:
        """Number of elements of each row that are not zero."""
        return self.whole.row_nonzeros[self.rows]

    @property
    def nonzeros(self) -> int:
        """Number of elements that are not zero."""
        return int(self.row_nonzeros.sum())

    @property
    def values(self) -> Array:
        """The stored weights of the channels out that these rows have."""
        _, tall, broad = self.whole.output_shape
        return self.whole.kernel[np.unique(self.rows // (tall * broad))].reshape(-1)

    @property
    def places(self) -> int:
        """Number of stored weights of the channels out that these rows have."""
        return self.values.size

    def products(self, heard: Array) -> I64:
        """Return how many products of weights that are not zero each row makes, (rows,), of `heard` events of each column."""
        return self.whole.products(heard)[self.rows]

    def take(self, rows: Array) -> ConvolutionRows:
        """Return the given ones of these rows, in the given order."""
        return ConvolutionRows(self.whole, self.rows[rows])

    def to_rows(self) -> SparseRows:
        """Return the rows, without the elements that are zero."""
        lengths, columns, values = [], [], []
        for of_some, columns_of_some, values_of_some in self.whole.unrolled(self.rows):
            lengths.append(of_some)
            columns.append(columns_of_some.astype(np.uint32))
            values.append(values_of_some)
        extents = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([*lengths, np.zeros(0, np.int64)]))])
        none = np.zeros(0, np.uint32), np.zeros(0, self.whole.kernel.dtype)
        return SparseRows(self.shape, extents, np.concatenate([*columns, none[0]]), np.concatenate([*values, none[1]]))

    def to_dense(self) -> Array:
        """Return the (rows, columns) matrix, of the kernel's type."""
        return self.to_rows().to_dense()

    def check(self, who: str) -> None:
        """Raise ModelError, beginning with `who`, unless the convolution can be computed and its numbers are finite."""
        self.whole.check(who)
