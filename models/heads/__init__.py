"""Heads: from the last population's events to an answer, on the host, or from features to its input. One file each, found by name.

Contract of a head's file:

- `warm()` compiles all that it calls in a run, before processes start where the workload says that its host calls it (`HEADS`);
- `example()`: an `Example`, a small head of random numbers, by which `tests/test_heads.py` holds every head to the same: sums in
  float32 with one accumulator in a stated order, so that an answer has the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from models.families import family_path
from models.network import F32

__path__ = family_path(__path__, __name__)


class Example(NamedTuple):
    """A small head: its answer to a row (units,) float32, the same written out number by number, and rows (n, units) for both."""

    answer: Callable[[F32], F32]
    plainly: Callable[[F32], F32]
    rows: F32
