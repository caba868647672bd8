"""Weight formats: one file each, found by name. A format says how a shard's weights lie in SRAM and how events meet
them.

Contract of a format file (the conformance suite `tests/test_formats.py` finds every member):

- `fields(rows, source_units, nonzeros, lanes, trace)`: every array that a port keeps in SRAM, as `Field`s without prefix;
  those with role "weights" hold the matrix. It follows from counts alone, so that a mapping can be judged before anything
  is encoded.
- `encode(weights)`: the arrays of role "weights", from the shard's rows of the matrix (gates * units, source units).
- `port(mem, name, lanes, source_units, trace)`: a `Port` over the arena views `mem[name + "." + array]`; with a decay `trace`
  above 0 its product runs over the low-pass trace of the events, which it keeps in an array `trace` (`models/compute/lowpass.py`).

Each port has `sums` (lanes, rows) float32 and `counts` uint32 (effective MACs, stored weights visited) among its
buffers. Every row is summed in ascending source unit with one float32 accumulator that starts at +0. Adding a product
with a zero event changes no accumulator (it can never be -0), so formats that visit zeros and formats that skip them
agree to the bit. An element of a trace that is exactly zero is no event, and so neither a MAC nor a visit.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

from models.network import Array, Field, ModelError, SparseRows

if TYPE_CHECKING:  # whoever only asks for names needs no compiler
    from models.compute.port import Port


def trace_field(lanes: int, source_units: int) -> Field:
    """Return the array in which a port keeps a trace; it outlives ticks, so it is no scratch."""
    return Field("trace", (lanes, source_units), "<f4", "variables", "low-pass of event values")


class Format(Protocol):
    """A module of this package."""

    def encode(self, weights: SparseRows) -> dict[str, Array]:
        """Return the arrays of the weights as they lie in SRAM."""

    def fields(self, rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:
        """Return every array that a port keeps in SRAM."""

    def port(self, mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:
        """Bind a port to its arena views."""


def names() -> list[str]:
    """Return the names of all weight formats, ascending."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def require(name: str) -> None:
    """Raise ModelError, with the nearest name, where there is no format called `name`."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1, cutoff=0.0)[0]
        raise ModelError(f"unknown weight format {name!r}: have {', '.join(names())}; did you mean {near!r}?")


@cache  # a mapping asks for it once a shard
def named(name: str) -> Format:
    """Return the format called `name`; ModelError with the nearest name where there is none."""
    require(name)
    return cast(Format, importlib.import_module(f"{__name__}.{name}"))
