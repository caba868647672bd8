"""Rows of numbers in the emulated DRAM, and the events that they make: embeddings of words, feature vectors of frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.network import F32
from noc.dram import Dram


class RowsInDram:
    """A table of `rows` rows of `units` float32 in DRAM, each row where a read may start.

    Raises what `Dram.allocate` raises where the table does not fit.
    """

    def __init__(self, dram: Dram, name: str, rows: int, units: int) -> None:
        self._dram, self._row_bytes = dram, 4 * units
        self._stride_bytes = dram.row_stride(self._row_bytes)
        self._region = dram.allocate(name, self._stride_bytes * rows)

    @classmethod
    def of(cls, dram: Dram, name: str, table: F32) -> RowsInDram:
        """Return a table, (rows, units) float32, written to DRAM."""
        store = cls(dram, name, *table.shape)
        dram.write_rows(store._region, table)
        return store

    def write(self, number: int, row: F32) -> None:
        """Write one row, (units,) float32."""
        self._dram.write(self._region, number * self._stride_bytes, row.astype("<f4").tobytes())

    def feed(self, numbers: Iterable[int]) -> tuple[bytes, bytes]:
        """Return keys and values of one row a lane, as they go into a packet; a zero element is no event."""
        rows = b"".join([self._dram.read(self._region, int(n) * self._stride_bytes, self._row_bytes) for n in numbers])
        values = np.frombuffer(rows, "<f4")
        keys = np.flatnonzero(values).astype("<u4")
        return keys.tobytes(), rows if len(keys) == len(values) else values[keys].tobytes()
