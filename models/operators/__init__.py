"""Operators of an integer network: one file a kind, found by its name (`models/dnn/integer.py` says what each kind computes).

Contract of an operator's file:

- `compute(operation, inputs, shape, overflow) -> Computed`: its output (int8, of `shape`) from its inputs, by compiled loops. A
  constant is an input like others. `overflow` is one of `OVERFLOWS`; with "error" sums saturate, and whoever asked looks at the
  count.
- `work(operation, shapes, shape) -> Work`: what it asks of a PE, from the shapes of its inputs and of its output alone
  (`models/dnn/work.py`): how it can be cut into tiles, and how much there is to do.

Its price is `host/cost/operators/<kind>.py`. What the MAC array computes is `models/compute/mac_array.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np

from models.families import family_path, member, member_names
from models.network import Array

if TYPE_CHECKING:
    from models.dnn.integer import IntegerOperation
    from models.dnn.work import Work

__path__ = family_path(__path__, __name__)
Shape = tuple[int, ...]


class Computed(NamedTuple):
    """An operator's output, and what its kernel counted: sums of more than 24 bits, and values that int8 has no place for."""

    values: Array
    overflowed: int = 0
    saturated: int = 0


class Operator(Protocol):
    """A module of this package."""

    def compute(self, operation: IntegerOperation, inputs: Sequence[Array], shape: Shape, overflow: str) -> Computed:
        """Return the operator's output."""

    def work(self, operation: IntegerOperation, shapes: Sequence[Shape], shape: Shape) -> Work:
        """Return what it asks of a PE."""


def names() -> list[str]:
    """Return the kinds of operator that there are, ascending."""
    return member_names(__name__)


def operator(kind: str) -> Operator:
    """Return the operator of this kind; ModelError, with the nearest name, where there is none."""
    return cast(Operator, member(__name__, kind, "operator"))


def counted(values: Array, counts: Array) -> Computed:
    """Return an output with a kernel's counts."""
    return Computed(values, int(counts[0]), int(counts[1]))


def contiguous(array: Array) -> Array:
    """Return an array in C order, as kernels take it; the same one where it is."""
    return np.ascontiguousarray(array)
