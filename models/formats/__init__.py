"""Weight formats: one file each, found by name. A format says how a shard's weights lie in SRAM and how events meet
them.

Contract of a format file (the conformance suite `tests/test_formats.py` finds every member):

- `fields(shape)`: every array that a port of this `PortShape` keeps in SRAM, as `Field`s without prefix; those with role
  "weights" hold the matrix. It follows from counts alone, so that a mapping can be judged before anything is encoded. What
  a port hears of one position, before its product, is called `vector`: where it holds several positions, the PE keeps
  several of those, or of its sums.
- `encode(weights, shape)`: the arrays of role "weights", from the shard's rows of the matrix (gates * units, source units), as
  `SparseRows`. A format with `KEEPS_KERNELS = True` gets the rows of a convolution as they are (`models/convolution.py`), and its
  `shape.window`; for any other they are unrolled.
- `BYTES_ONLY = True`, where it is another format for weights that are no int8.
- `laid_out(weights, rows, units, shape)`, where weights are stored in blocks of `BLOCK_WEIGHTS` whose number does not follow from
  counts: the shape with its `blocks`, and `offset`, for these rows of a matrix, of these units. `RUNS = True`: mappings had best
  deal neighbouring units to one PE.
- `check(arrays, shape)`, where it has indices: raises ModelError where one leads beyond the shard, before compiled code follows it.
- `port(mem, shape, trace)`: a `Port` over arena views by their names: its own, and `sums` (lanes, rows) of the type
  `sum_of(weight, payload)` and `counts` (lanes, 2) uint32 (effective MACs, stored weights visited), which the PE keeps. With
  a decay `trace` above 0 its product runs over the low-pass trace of the events, in an array `trace` (`models/compute/lowpass.py`).
  It may have working room of its own, outside the SRAM, that is empty between ticks: then the port `closes`
  (`models/compute/port.py`), or `receive` leaves nothing there.

Every row is summed in ascending source unit with one accumulator: float32 that starts at +0, each product and sum rounded, or
int32 modulo 2**32. A source of several ticks a position is heard section by section, the product made after each, with `more`
before all but the first: the accumulator goes on. Adding a product with a zero event changes no accumulator (it can never be
-0), so formats that visit zeros and formats that skip them agree to the bit. A zero in a dense section or in a trace is no event,
and so neither a MAC nor, where events are looped over, a visit. Events with keys are never zero; a spike stands for a 1.

A format's functions are compiled at load for what most runs use, float32, and for other types where they are first bound
(`models/compute/bound_calls.py`, `pe/compile_ahead.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from models.convolution import Convolution
from models.families import family_path, member, member_names, require_member
from models.network import Array, Field, ModelError, Weights
from models.nibbles import nibble_bytes, to_nibbles
from models.numerics import INTEGERS, WEIGHTS
from models.shard import PortShape

if TYPE_CHECKING:  # whoever only asks for names needs no compiler
    from models.compute.port import Port

__path__ = family_path(__path__, __name__)
WORD = "weight format"


def check_indices(extents: Array, indices: Array, beyond: int) -> None:
    """Raise ModelError unless `extents` ascend from 0 to all the indices, and each index is below `beyond`."""
    steps = extents.astype(np.int64)
    if steps[0] != 0 or steps[-1] != len(indices) or np.logical_or.reduce(steps[1:] < steps[:-1]):
        raise ModelError(f"extents that do not ascend from 0 to {len(indices)}")
    if np.maximum.reduce(indices, initial=0) >= max(beyond, 1):
        raise ModelError(f"an index of {indices.max()}; needs one below {beyond}")


def trace_field(shape: PortShape) -> Field:
    """Return the array in which a port keeps a trace; it outlives ticks, so it is no scratch."""
    return Field("trace", (shape.lanes, shape.source_units), "<f4", "variables", "low-pass of event values")


def vector_field(shape: PortShape, dtype: str) -> Field:
    """Return the array in which a port looks up what it heard of a position."""
    return Field("vector", (shape.lanes, shape.source_units), dtype, "variables", "event value", scratch=True)


def trace_fields(shape: PortShape) -> list[Field]:
    """Return the arrays of a port's trace, where it keeps one: itself, and of numbers the whole ones that are nearest to it."""
    if not shape.trace:
        return []
    return [trace_field(shape), *([vector_field(shape, "|i1")] if shape.weight in INTEGERS else [])]


def values_field(shape: PortShape, *lengths: int) -> Field:
    """Return the array of a port's stored weights, so many of them; of int4 a row takes half as many bytes, rounded up."""
    if shape.weight == "int4":
        lengths = (*lengths[:-1], nibble_bytes(lengths[-1]))
    return Field("values", lengths, WEIGHTS[shape.weight], "weights")


def stored_values(values: Array, shape: PortShape) -> Array:
    """Return weights as they are stored: themselves, or of int4 two to a byte."""
    return to_nibbles(values) if shape.weight == "int4" else values


class Format(Protocol):
    """A module of this package."""

    def encode(self, weights: Weights, shape: PortShape) -> dict[str, Array]:
        """Return the arrays of the weights as they lie in SRAM."""

    def fields(self, shape: PortShape) -> list[Field]:
        """Return every array that a port keeps in SRAM."""

    def port(self, mem: Mapping[str, Array], shape: PortShape, trace: float = 0.0) -> Port:
        """Bind a port to its arena views."""


def names() -> list[str]:
    """Return the names of all weight formats, ascending."""
    return member_names(sys.modules[__name__])


def names_for(weights: Iterable[Weights]) -> list[str]:
    """Return the names of the formats between which these weights differ: without those for kernels, or for bytes, where none are.

    A file that does not load is left out: whoever asks for that format by its name gets the error.
    """
    several = list(weights)
    lacking = {
        "KEEPS_KERNELS": not any(isinstance(some, Convolution) for some in several),
        "BYTES_ONLY": not any(some.numeric in INTEGERS for some in several),
    }
    without = [of for of, is_lacking in lacking.items() if is_lacking]
    return [name for name in names() if _is_loadable(name) and not any(getattr(named(name), of, False) for of in without)]


def _is_loadable(name: str) -> bool:
    try:
        named(name)
    except Exception:
        return False
    return True


def require(name: str) -> None:
    """Raise ModelError, with the nearest name, where there is no format called `name`."""
    require_member(sys.modules[__name__], name, WORD)


def keeps_kernel(name: str, weights: Weights) -> bool:
    """Tell whether a format keeps these weights as a convolution's kernel."""
    return isinstance(weights, Convolution) and getattr(named(name), "KEEPS_KERNELS", False)


def laid_out(name: str, weights: Weights, rows: Array, units: Array, shape: PortShape) -> PortShape:
    """Return the shape of a port with what a format that stores blocks has of them, for these rows of a matrix."""
    of = getattr(named(name), "laid_out", None)
    return of(weights.to_rows(), rows, units, shape) if of else shape


def stored(name: str, shape: PortShape) -> int:
    """Return how many weights a format stores for a port, zeros of its blocks among them."""
    return getattr(named(name), "BLOCK_WEIGHTS", 1) * shape.blocks if shape.blocks else shape.nonzeros


def wants_runs(name: str) -> bool:
    """Tell whether mappings had best deal neighbouring units to one PE, for a format."""
    return bool(getattr(named(name), "RUNS", False))


@cache  # a mapping asks for it once a shard
def named(name: str) -> Format:
    """Return the format called `name`; ModelError with the nearest name where there is none."""
    return cast(Format, member(sys.modules[__name__], name, WORD))
