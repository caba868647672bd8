"""Rows of numbers in the emulated DRAM, and the events that they make: embeddings of words, feature vectors of frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.network import Array
from models.numerics import PAYLOADS
from noc.dram import Dram


class RowsInDram:
    """A table of `rows` rows of `units` numbers in DRAM, each row where a read may start.

    The numbers are what an input of that `payload` sends (`models/numerics.py`), a byte for each that is none or one spike;
    `dense`: whether it sends zeros too. Raises what `Dram.allocate` raises where the table does not fit.
    """

    def __init__(self, dram: Dram, name: str, rows: int, units: int, payload: str = "float32", dense: bool = False) -> None:
        self.dtype, self._is_spike, self._dense = np.dtype(PAYLOADS[payload] or "|u1"), not PAYLOADS[payload], dense
        self._dram, self._row_bytes = dram, self.dtype.itemsize * units
        self._stride_bytes = dram.row_stride(self._row_bytes)
        self._region = dram.allocate(name, self._stride_bytes * rows)
        self._nothing = bytes(self._row_bytes)

    @classmethod
    def of(cls, dram: Dram, name: str, table: Array, payload: str = "float32", dense: bool = False) -> RowsInDram:
        """Return a table, (rows, units) numbers of the payload, written to DRAM."""
        rows, units = table.shape
        store = cls(dram, name, rows, units, payload, dense)
        dram.write_rows(store._region, table.astype(store.dtype, copy=False))
        return store

    def write(self, number: int, row: Array) -> None:
        """Write one row, (units,)."""
        self._dram.write(self._region, number * self._stride_bytes, row.astype(self.dtype).tobytes())

    def feed(self, numbers: Iterable[int | None]) -> tuple[bytes, bytes]:
        """Return keys and values of one row a lane, as they go into a packet; a zero element is no event but of a dense input.

        None is an idle lane: nothing is read for it.
        """
        rows = b"".join([self._nothing if n is None else self._read(int(n)) for n in numbers])
        if self._dense:
            return b"", rows
        values = np.frombuffer(rows, self.dtype)
        keys = np.flatnonzero(values).astype("<u4")
        if self._is_spike:
            return keys.tobytes(), b""
        return keys.tobytes(), rows if len(keys) == len(values) else values[keys].tobytes()

    def _read(self, number: int) -> bytes:
        return self._dram.read(self._region, number * self._stride_bytes, self._row_bytes)
