"""What an operation asks of PEs, in shapes alone: how it can be cut into tiles, and how much there is to do.

Three patterns. The array's are `MatmulWork` and `Conv2dWork`; what the core does is `CoreWork`: units that any PE can do by itself,
rows of a softmax, say. Everything is counted for one sample, int8 unless it says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class MatmulWork:
    """`batches` products of (rows, depth) by (depth, columns); `is_weight`: the right side is a constant, one for all batches.

    `multiplied`: its sums are scaled by the core, since its scales are no powers of two; then they leave the array as int32.
    """

    batches: int
    rows: int
    depth: int
    columns: int
    is_weight: bool
    multiplied: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.batches * self.rows * self.depth * self.columns

    @property
    def parameter_bytes(self) -> int:
        """Bytes of weights and biases (int32)."""
        return self.depth * self.columns + 4 * self.columns if self.is_weight else 0

    @property
    def input_bytes(self) -> int:
        """Bytes that earlier operations made."""
        return self.batches * self.depth * (self.rows + (0 if self.is_weight else self.columns))

    @property
    def output_bytes(self) -> int:
        """Bytes of the output."""
        return self.batches * self.rows * self.columns

    def __str__(self) -> str:
        head = f"{self.batches} x " if self.batches > 1 else ""
        return f"{head}{self.rows} x {self.depth} . {self.depth} x {self.columns}"


@dataclass(frozen=True, kw_only=True)
class Conv2dWork:
    """A convolution without groups of `samples` images; `height` and `width` are those of its input, padding included."""

    samples: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    out_height: int
    out_width: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    multiplied: bool = False

    @property
    def depth(self) -> int:
        """Products of one output."""
        return self.in_channels * math.prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of outputs that are wanted."""
        return self.output_bytes * self.depth

    @property
    def parameter_bytes(self) -> int:
        """Bytes of weights and biases (int32)."""
        return self.out_channels * (self.depth + 4)

    @property
    def input_bytes(self) -> int:
        """Bytes of the padded input."""
        return self.samples * self.in_channels * self.height * self.width

    @property
    def output_bytes(self) -> int:
        """Bytes of the output."""
        return self.samples * self.out_channels * self.out_height * self.out_width

    def __str__(self) -> str:
        kernel = " x ".join(map(str, self.kernel))
        stride = f" / {self.strides[0]}" if max(self.strides) > 1 else ""
        return f"{self.in_channels} > {self.out_channels}, {kernel}{stride}, {self.out_height} x {self.out_width}"


@dataclass(frozen=True, kw_only=True)
class CoreWork:
    """`units` that any PE can do by itself, each of which reads and writes so many bytes.

    `strips`: into how many units a row or plane is cut that a PE has no room for; where it is 1, a unit is a whole one.
    `constant_bytes` is what every PE needs beside them (a table). `steps`: what a unit costs the core, in the words of its price
    (elements of a softmax, products of a depthwise convolution); `results` are its outputs that are scaled back to int8.
    """

    units: int
    unit_input_bytes: int
    unit_output_bytes: int
    constant_bytes: int = 0
    steps: int = 0
    results: int = 0
    strips: int = 1

    @property
    def macs(self) -> int:
        """None of the array's."""
        return 0

    @property
    def parameter_bytes(self) -> int:
        """Bytes of constants, once."""
        return self.constant_bytes

    @property
    def input_bytes(self) -> int:
        """Bytes that are read."""
        return self.units * self.unit_input_bytes

    @property
    def output_bytes(self) -> int:
        """Bytes of the output."""
        return self.units * self.unit_output_bytes

    def __str__(self) -> str:
        return f"{self.units:,} x {self.unit_output_bytes:,} B"


Work: TypeAlias = MatmulWork | Conv2dWork | CoreWork
