"""`packed`: event-driven columns. An event adds its column of weights to the accumulators; silent units cost nothing.

Per stored weight a float32 value and a row index in the smallest unsigned integer that holds the shard's rows (one byte up to 85
EGRU units), per source unit one extent in the smallest integer that holds the number of weights. No dense vector is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.compiled import compiled
from models.network import Array, Field, SparseRows

_UNSIGNED = ("|u1", "<u2", "<u4")


def _smallest(largest: int) -> str:
    return next(dtype for dtype in _UNSIGNED if largest <= np.iinfo(dtype).max)


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32 by column, `rows` and `extents` (source units + 1) in the smallest integers that fit."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.extents))
    order = np.argsort(weights.columns, kind="stable")  # rows stay ascending within a column
    dtypes = {f.name: f.dtype for f in fields(*weights.shape, weights.nonzeros, 1)}
    extents = np.zeros(weights.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(weights.columns, minlength=weights.shape[1]), out=extents[1:])
    return {
        "values": weights.values[order],
        "rows": rows[order].astype(dtypes["rows"]),
        "extents": extents.astype(dtypes["extents"]),
    }


def fields(rows: int, source_units: int, nonzeros: int, lanes: int) -> list[Field]:
    """Return the weights and accumulators of a port."""
    return [
        Field("values", (nonzeros,), "<f4", "weights"),
        Field("rows", (nonzeros,), _smallest(max(rows - 1, 0)), "weights"),
        # One-byte extents would save next to nothing and cost further specialisations.
        Field("extents", (source_units + 1,), _smallest(max(nonzeros, 256)), "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int) -> PackedPort:  # noqa: ARG001
    """Bind a port to its arena views."""
    return PackedPort(mem, name, source_units)


class PackedPort:
    """Adds each event's column to the accumulators as it comes."""

    __slots__ = ("_arrays", "_counts", "_source_units", "_sums")

    def __init__(self, mem: Mapping[str, Array], name: str, source_units: int) -> None:
        self._sums, self._counts = mem[f"{name}.sums"], mem[f"{name}.counts"]
        order = ("values", "rows", "extents", "sums", "counts")
        self._arrays = tuple(mem[f"{name}.{array}"] for array in order)
        self._source_units = source_units

    def clear(self) -> None:
        """Forget every event and the work it made."""
        self._sums.fill(0)
        self._counts.fill(0)

    def receive(self, keys: Array, values: Array, count: int) -> None:
        """Add the columns of `count` events of the FIFO."""
        _accumulate(keys, values, count, self._source_units, *self._arrays)

    def product(self) -> None:
        """Nothing is left to do: the accumulators are the product."""


@compiled
def _accumulate(
    keys: Array, events: Array, count: int, source_units: int,
    values: Array, rows: Array, extents: Array, sums: Array, counts: Array,
) -> None:  # fmt: skip
    macs = 0
    for e in range(count):
        key = np.int64(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        event = events[e]
        first, last = int(extents[unit]), int(extents[unit + 1])
        for k in range(first, last):
            sums[lane, rows[k]] += values[k] * event
        macs += last - first
    counts[0] += macs
    counts[1] += macs


def warm() -> None:
    """Compile the kernels for each width of index and extent."""
    for index, extent in product(_UNSIGNED, _UNSIGNED[1:]):
        zeros = np.zeros(1, np.float32)
        sums, counts = np.zeros((1, 1), np.float32), np.zeros(2, np.uint32)
        _accumulate(np.zeros(1, np.uint32), zeros, 1, 1, zeros, np.zeros(1, index), np.zeros(2, extent), sums, counts)
