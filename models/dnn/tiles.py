"""How an operation is cut into tiles, and what of SRAM a tile takes: the same for whoever plans it and for the PE that does it.

A tile is what one PE does at a time: it has its part of the input, of the weights and of the output in regions of its SRAM. With
`parts` the depth of a product is cut too: each part is a tile of its own with int32 sums, which one PE adds up. With two
`buffers` the next tile is fetched while one is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from models.dnn.work import Conv2dWork, CoreWork, MatmulWork
from models.network import Field

CONFIGURATION_WORDS = 16  # of 32 bits: what a tile is, and where its parts lie
_ROWS, _COLUMNS = 4, 16  # of the array
_PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_LEAST_DEPTH = 16  # of a part: one read of the SRAM


class TileBytes(NamedTuple):
    """Bytes that a tile fetches: of what arrives, and of what the network brings."""

    input: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class MatmulTiling:
    """Tiles of so many rows by so many columns of the output, and of a part of the depth."""

    work: MatmulWork
    rows: int
    columns: int
    parts: int = 1

    @property
    def depth(self) -> int:
        """Of a tile."""
        return _up(self.work.depth, self.parts)

    @property
    def tiles(self) -> int:
        """How many there are, parts included."""
        return self.work.batches * _up(self.work.rows, self.rows) * _up(self.work.columns, self.columns) * self.parts

    @property
    def fetched(self) -> TileBytes:
        """What a tile fetches."""
        left, right = self.rows * self.depth, self.depth * self.columns
        return TileBytes(left, right + 4 * self.columns) if self.work.is_weight else TileBytes(left + right, 0)

    @property
    def results(self) -> int:
        """Outputs of a tile."""
        return self.rows * self.columns

    @property
    def shape(self) -> str:
        """A tile in words."""
        return f"{self.rows} x {self.depth} . {self.depth} x {self.columns}"

    def fields(self, buffers: int = 1) -> list[Field]:
        """Return the regions of a tile."""
        right = "weights" if self.work.is_weight else "variables"
        return _fields(
            [("input", self.rows * self.depth, "variables"), ("right", self.depth * self.columns, right)],
            results=self.results, channels=self.columns, parts=self.parts, multiplied=self.work.multiplied, buffers=buffers,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Conv2dTiling:
    """Tiles of so many channels, rows and columns of the output, and of a part of the channels in."""

    work: Conv2dWork
    channels: int
    rows: int
    columns: int
    parts: int = 1

    @property
    def in_channels(self) -> int:
        """Of a tile."""
        return _up(self.work.in_channels, self.parts)

    @property
    def tiles(self) -> int:
        """How many there are, parts included."""
        one = self.work
        cuts = ((one.out_channels, self.channels), (one.out_height, self.rows), (one.out_width, self.columns))
        return one.samples * self.parts * math.prod(_up(length, each) for length, each in cuts)

    @property
    def fetched(self) -> TileBytes:
        """What a tile fetches: its part of the padded input, with the border that neighbours have too."""
        one = self.work
        spans = (
            min(whole, (each - 1) * stride + dilation * (kernel - 1) + 1)
            for whole, each, stride, dilation, kernel in zip(
                (one.height, one.width), (self.rows, self.columns), one.strides, one.dilations, one.kernel, strict=True
            )
        )
        weights = self.channels * self.in_channels * math.prod(one.kernel)
        return TileBytes(self.in_channels * math.prod(spans), weights + 4 * self.channels)

    @property
    def results(self) -> int:
        """Outputs of a tile."""
        return self.channels * self.rows * self.columns

    @property
    def shape(self) -> str:
        """A tile in words."""
        return f"{self.in_channels} > {self.channels}, {self.rows} x {self.columns}"

    def fields(self, buffers: int = 1) -> list[Field]:
        """Return the regions of a tile."""
        fetched = self.fetched
        return _fields(
            [("input", fetched.input, "variables"), ("right", fetched.parameters - 4 * self.channels, "weights")],
            results=self.results, channels=self.channels, parts=self.parts, multiplied=self.work.multiplied, buffers=buffers,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CoreTiling:
    """Tiles of so many units of what the core does."""

    work: CoreWork
    units: int
    parts: int = 1

    @property
    def tiles(self) -> int:
        """How many there are."""
        return _up(self.work.units, self.units) if self.units else 0

    @property
    def fetched(self) -> TileBytes:
        """What a tile fetches."""
        return TileBytes(self.units * self.work.unit_input_bytes, self.work.constant_bytes)

    @property
    def results(self) -> int:
        """Bytes that a tile writes."""
        return self.units * self.work.unit_output_bytes

    @property
    def shape(self) -> str:
        """A tile in words."""
        return f"{self.units:,} x {self.work.unit_output_bytes:,} B"

    def fields(self, buffers: int = 1) -> list[Field]:
        """Return the regions of a tile."""
        inputs, constants = self.fetched
        return [
            _field("configuration", CONFIGURATION_WORDS, "<i4"), _field("constants", constants, "|i1", "weights"),
            *_buffered("input", inputs, "variables", buffers), *_buffered("output", self.results, "variables", buffers),
        ]  # fmt: skip


Tiling: TypeAlias = MatmulTiling | Conv2dTiling | CoreTiling


def tilings(work: MatmulWork | Conv2dWork | CoreWork, workers: int) -> Iterable[Tiling]:
    """Return the tilings that are worth looking at, with the largest tiles first."""
    if isinstance(work, CoreWork):
        if not work.units:  # a reshape
            return [CoreTiling(work=work, units=0)]
        return [CoreTiling(work=work, units=units) for units in _lengths(work.units, 1, workers)]
    if isinstance(work, MatmulWork):
        shapes = [(m, n) for m in _lengths(work.rows, _ROWS, workers) for n in _lengths(work.columns, _COLUMNS, workers)]
        return [
            MatmulTiling(work=work, rows=rows, columns=columns, parts=parts)
            for parts in _parts_of(work.depth) for rows, columns in shapes
        ]  # fmt: skip
    return [
        Conv2dTiling(work=work, channels=channels, rows=rows, columns=columns, parts=parts)
        for parts in _parts_of(work.in_channels, 1)
        for columns in _widths(work.out_width)
        for rows in _lengths(work.out_height, 1, workers)
        for channels in _lengths(work.out_channels, _ROWS, workers)
    ]


def smallest(work: MatmulWork | Conv2dWork | CoreWork) -> Tiling:
    """Return the tiling whose tile is the smallest that there is: where that does not fit, none does."""
    if isinstance(work, CoreWork):
        return CoreTiling(work=work, units=min(1, work.units))
    if isinstance(work, MatmulWork):
        parts = max(_parts_of(work.depth))
        return MatmulTiling(work=work, rows=min(_ROWS, work.rows), columns=min(_COLUMNS, work.columns), parts=parts)
    parts, columns = max(_parts_of(work.in_channels, 1)), min(_widths(work.out_width))
    return Conv2dTiling(work=work, channels=min(_ROWS, work.out_channels), rows=1, columns=columns, parts=parts)


def _parts_of(depth: int, least: int = _LEAST_DEPTH) -> list[int]:
    return [parts for parts in _PARTS if parts == 1 or depth // parts >= least]


def _lengths(whole: int, each: int, most: int) -> list[int]:
    """Return into what lengths, multiples of `each` but for the whole, something is cut, longest first: 1 to 16 pieces, then fewer
    choices, and so many that each of `most` PEs has one.
    """
    pieces = {*range(1, 17), 20, 24, 32, 48, 64, 96, 128, most, 2 * most, 4 * most, _up(whole, each)}
    cuts = {min(whole, each * _up(_up(whole, n), each)) for n in pieces if n <= max(1, whole)}
    return sorted(cuts, reverse=True)


def _widths(whole: int) -> list[int]:
    """Return the widths of tiles of a row: all of it, or multiples of the array's columns."""
    return [whole, *(width for width in (256, 128, 64, 32, 16) if width < whole)]


def _fields(
    operands: list[tuple[str, int, str]], *, results: int, channels: int, parts: int, multiplied: bool, buffers: int
) -> list[Field]:
    """Return the regions of a tile of the array: sums beside outputs where they leave it as int32."""
    fields = [_field("configuration", CONFIGURATION_WORDS, "<i4"), _field("bias", channels, "<i4", "weights")]
    if multiplied:
        fields += [_field("multipliers", channels, "<i4", "weights"), _field("shifts", channels, "<i4", "weights")]
    for name, size, role in operands:
        fields += _buffered(name, size, role, buffers)
    if parts > 1 or multiplied:
        fields.append(_field("sums", results, "<i4"))
    if parts > 1:
        fields.append(_field("partial", results, "<i4"))
    return [*fields, *_buffered("output", results, "variables", buffers)]


def _buffered(name: str, size: int, role: str, buffers: int) -> list[Field]:
    return [_field(name if not n else f"{name}.{n}", size, "|i1", role) for n in range(buffers)]


def _field(name: str, length: int, dtype: str, role: str = "variables") -> Field:
    # What is small, or goes out at once, may lie behind the program: published tiles fill the data banks to the byte.
    is_large = name.startswith(("input", "right"))
    return Field(name=name, shape=(length,), dtype=dtype, role=role, scratch=not is_large)


def _up(length: int, each: int) -> int:
    return -(-length // each)
