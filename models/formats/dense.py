"""`dense`: every weight of the shard stored, source unit by source unit, for networks that are not pruned (the gesture model).

Event-driven like `packed`: an event adds its row of stored weights to all accumulators, which needs no index. Effective MACs count
weights that are not zero, as in every format, so that the model counters do not depend on the format.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compiled import compiled
from models.network import Array, Field, SparseRows


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32 (source units, rows)."""
    return {"values": np.ascontiguousarray(weights.to_dense().T)}


def fields(rows: int, source_units: int, nonzeros: int, lanes: int) -> list[Field]:  # noqa: ARG001 - zeros are stored
    """Return the weights and accumulators of a port."""
    return [
        Field("values", (source_units, rows), "<f4", "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int) -> DensePort:  # noqa: ARG001
    """Bind a port to its arena views."""
    return DensePort(mem, name, source_units)


class DensePort:
    """Adds each event's weights to all accumulators as it comes."""

    __slots__ = ("_arrays", "_counts", "_source_units", "_sums")

    def __init__(self, mem: Mapping[str, Array], name: str, source_units: int) -> None:
        self._sums, self._counts = mem[f"{name}.sums"], mem[f"{name}.counts"]
        self._arrays = (mem[f"{name}.values"], self._sums, self._counts)
        self._source_units = source_units

    def clear(self) -> None:
        """Forget every event and the work it made."""
        self._sums.fill(0)
        self._counts.fill(0)

    def receive(self, keys: Array, values: Array, count: int) -> None:
        """Add the weights of `count` events of the FIFO."""
        _accumulate(keys, values, count, self._source_units, *self._arrays)

    def product(self) -> None:
        """Nothing is left to do: the accumulators are the product."""


@compiled
def _accumulate(
    keys: Array, events: Array, count: int, source_units: int, values: Array, sums: Array, counts: Array
) -> None:
    macs = 0
    rows = values.shape[1]
    for e in range(count):
        key = np.int64(keys[e])
        lane = key // source_units
        unit = key - lane * source_units
        event = events[e]
        for row in range(rows):
            sums[lane, row] += values[unit, row] * event
            macs += values[unit, row] != np.float32(0)
    counts[0] += macs
    counts[1] += count * rows


def warm() -> None:
    """Compile the kernels: this format has one specialisation."""
    one = np.zeros((1, 1), np.float32)
    _accumulate(np.zeros(1, np.uint32), one[0], 1, 1, one, one.copy(), np.zeros(2, np.uint32))
