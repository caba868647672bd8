"""The integer network: what the MAC array and the core compute, in int8, to the bit.

A number q of a tensor stands for (q - zero_point) * scale. Operations are in an order in which they can run; each makes one
tensor. By kind, with x and y the inputs, w the weights (all int8) and sums exact:

- `conv2d`: sum of x w + bias; weights (out, in, rows, columns), bias int32 (out); strides and dilations of 2, pads (top, left,
  bottom, right), where `pad_value` is heard. `depthwise_conv2d`: the same with weights (out, 1, rows, columns), out a multiple
  of the channels in; channel o hears o // (out / in).
- `matmul`: sum of x w + bias; x (..., K), weights (K, N), bias int32 (N).
- `batch_matmul`: sum of (x - offsets[0]) (y - offsets[1]); x (..., M, K), y (..., K, N), leading dimensions equal.
- `add`: (x - offsets[0]) multipliers[0] + (y - offsets[1]) multipliers[1]; shapes broadcast, and an input may be a constant.
- `multiply`: (x - offsets[0]) (y - offsets[1]), the same.
- `mean`: sum of x - offset over `axes`, which stay with length 1.
- `average_pool2d`: sum of x - offset; kernel, strides, pads; what is padded counts as zero.
- `max_pool2d`: the largest x; kernel, strides, pads, dilations; what is padded is not there.
- `table`: table[x + 128]; int8 (256), or (channels, 256) by dimension 1.
- `softmax`, along the last axis: t (factor / sum of t), t = table[largest x of the row - x], uint32 (256), factor float32 (1); with
  `mask` uint8 (M, N) over the last two dimensions what is 0 is not there and gets zero. The sum is an integer below 2^32.
- `layer_norm`, along the last axis of n: ((n x - S) (1 / sqrt(V + epsilon))) gamma + beta with the integers S = sum of x and
  V = n (sum of x^2) - S^2; gamma, beta (n) and epsilon (1) float32.
- `reshape` (shape), `transpose` (permutation), `slice` (starts, ends, steps, one a dimension), `pad` (pads: begins, then ends,
  one a dimension; pad_value), `concat` (axis; one scale), `resize_nearest` (factors, one a dimension), `gather` (x int32: rows
  of weights).

Those from `conv2d` to `average_pool2d` make a sum, and `requantisation` makes int8 of it. Sums of the first four are of the
array's 24 bits, bias included: `overflow` says what becomes of one that does not fit, once, when it is complete, so that no
split of K shows. `softmax` and `layer_norm` make float32, one operation at a time in the order written and never fused, of which
`requantisation` (multiplier 1, shift 0) makes int8: half-up is floor(v + 0.5) in float32. The rest has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.network import I32, I64, Array

ACCUMULATOR_BITS = 24
ROUNDINGS = ("half-up", "floor", "even")
OVERFLOWS = ("saturate", "wrap", "error")
ARRAY_KINDS = ("conv2d", "matmul", "batch_matmul")  # what the MAC array computes; the rest is the core's
SUM_KINDS = (*ARRAY_KINDS, "depthwise_conv2d")  # whose sums have 24 bits
FLOAT_KINDS = ("softmax", "layer_norm")
MOVE_KINDS = ("reshape", "transpose", "concat", "slice", "pad", "gather", "resize_nearest")
KINDS = (*SUM_KINDS, "add", "multiply", "mean", "average_pool2d", "max_pool2d", "table", *FLOAT_KINDS, *MOVE_KINDS)


@dataclass(frozen=True)
class IntegerTensor:
    """A tensor: a number q stands for (q - zero_point) * scale; `exponent` where scale is 2^exponent, else None.

    `dtype` is "int8", or "int32" for indices (scale 1). `low` and `high` bound its numbers (0 to 127 behind a ReLU).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    exponent: int | None
    zero_point: int = 0
    low: int = -128
    high: int = 127


@dataclass(frozen=True)
class Requantisation:
    """From an exact sum to int8: min(max(zero_point + round(sum * multiplier / 2^shift), low), high).

    `multipliers` and `shifts` have one element, or one a channel out. With scales that are powers of two the multiplier is 1,
    or a power of two where the sum must grow; else it has 31 bits. A product has less than 63 bits.
    """

    multipliers: I64
    shifts: I32
    zero_point: int
    low: int
    high: int
    rounding: str


@dataclass(frozen=True)
class IntegerOperation:
    """One operation; `inputs` are names of tensors, some of them constants.

    `sum_low` and `sum_high` bound its sums, in whatever order they are added up and whatever it hears.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    requantisation: Requantisation | None = None
    sum_low: int = 0
    sum_high: int = 0

    @property
    def may_overflow(self) -> bool:
        """Tell whether some input makes a sum of more than 24 bits."""
        limit = 1 << (ACCUMULATOR_BITS - 1)
        return self.kind in SUM_KINDS and not -limit <= self.sum_low <= self.sum_high < limit


@dataclass(frozen=True)
class IntegerNetwork:
    """Operations in an order in which they can run; `constants` are int8 tensors that are heard like others."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, IntegerTensor]
    operations: tuple[IntegerOperation, ...]
    constants: Mapping[str, Array]
    rounding: str = "half-up"
    overflow: str = "saturate"

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that an answer depends on: structure, numbers, rounding and overflow."""
        digest = hashlib.sha256(repr((self.inputs, self.outputs, self.rounding, self.overflow)).encode())
        for name in sorted(self.tensors):
            digest.update(repr(self.tensors[name]).encode())
        for name in sorted(self.constants):
            _add(digest, name, self.constants[name])
        for one in self.operations:
            digest.update(repr((one.name, one.kind, one.inputs, one.output, sorted(one.attributes.items()))).encode())
            for name in sorted(one.arrays):
                _add(digest, name, one.arrays[name])
            if one.requantisation is not None:
                step = one.requantisation
                digest.update(repr((step.zero_point, step.low, step.high, step.rounding)).encode())
                _add(digest, "multipliers", step.multipliers)
                _add(digest, "shifts", step.shifts)
        return digest.hexdigest()


def _add(digest: Any, name: str, array: Array) -> None:
    digest.update(repr((name, array.dtype.str, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
