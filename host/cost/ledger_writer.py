"""A ledger on its way to disk: rows are written as positions come, and the file's head, which says how many, at the end.

The form is that of safetensors: a head in JSON, then arrays. Room for the head is left at the beginning, the arrays that do not
grow come next, and the table of counts is last.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from host.cost.ledger import KERNEL_COLUMNS, PEER_COLUMNS, PORT_COLUMNS, SHARD_COLUMNS, Ledger, RunLedger
from host.cost.ledger_columns import Columns, column_names, peer_names, port_names, shard_names
from models.network import I64, Array

SCHEMA = 5
FILE = "ledger.safetensors"
KEY = "gennaker-ledger"
PER_LANE, COUNTS, ALIKE = "per_lane.", "counts", "alike"
_MOST_POSITIONS = 10**15


class LedgerWriter:
    """Writes the ledger of `run` to `path`: of its counts by turn those of `by_turn`, and amounts a lane of the names `per_lane`.

    OSError from each method where the file cannot be written. `record`: of a writer of the same file, which this one goes on from;
    ValueError where the file has less.
    """

    def __init__(
        self, path: Path, run: RunLedger, *, by_turn: Sequence[str], per_lane: Sequence[str],
        record: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.columns, self.positions, self.has_transfers = Columns(run, by_turn), 0, False
        self._run, self._in_use = run, dict.fromkeys(by_turn, False)
        self._tables = _tables(run) | {PER_LANE + name: np.zeros(len(run.shards["pe"]), np.int64) for name in per_lane}
        self._names = _metadata_names(run, by_turn)
        self._room = -(-len(self._head(_MOST_POSITIONS, 1 << 32, by_turn)) // 8) * 8
        self.rows_at = 8 + self._room + sum(array.nbytes for array in self._tables.values())
        self._crc = zlib.crc32(COUNTS.encode(), checksum({name: self._tables[name] for name in self._tables if name < COUNTS}))
        self._file = path.open("wb" if record is None else "r+b")
        if record is not None:
            self._go_on(record)
        self._file.seek(self.rows_at + self.positions * self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return 4 * self.columns.width

    def _go_on(self, record: Mapping[str, Any]) -> None:
        self.positions, self.has_transfers, self._crc = record["positions"], record["has_transfers"], record["crc"]
        self._in_use |= dict.fromkeys(record["in_use"], True)
        size = self.rows_at + self.positions * self._row_bytes
        if self._file.seek(0, os.SEEK_END) < size:
            raise ValueError(f"{self._file.name} has fewer than {self.positions} positions")
        self._file.truncate(size)

    def record(self) -> dict[str, Any]:
        """Return all that another writer needs to go on, as plain values, once the rows so far are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {
            "positions": self.positions, "has_transfers": self.has_transfers, "crc": self._crc, "in_use": list(self.in_use)
        }  # fmt: skip

    @property
    def in_use(self) -> tuple[str, ...]:
        """The counts by turn of which any was not 0."""
        return tuple(name for name, in_use in self._in_use.items() if in_use)

    def append(self, ledger: Ledger) -> None:
        """Write the next positions."""
        rows = self.columns.join(ledger)
        for name, counts in ledger.by_turn.items():
            self._in_use[name] = self._in_use[name] or bool(counts.any())
        self.has_transfers = self.has_transfers or bool(ledger.transfers.any())
        raw = rows.tobytes()
        self._file.write(raw)
        self._crc = zlib.crc32(raw, self._crc)
        self.positions += len(rows)

    def flush(self) -> None:
        """Let whoever reads the file have all positions so far."""
        self._file.flush()

    def finish(self, per_lane: Mapping[str, I64]) -> None:
        """Write head and tables; more positions may follow, and the head once more."""
        for name, amounts in per_lane.items():
            self._tables[PER_LANE + name] = np.ascontiguousarray(amounts, np.int64)
        crc = checksum({name: self._tables[name] for name in self._tables if name > COUNTS}, self._crc)
        head = self._head(self.positions, crc, self.in_use).ljust(self._room)
        assert len(head) == self._room, "the head outgrew its room"
        self._file.seek(0)
        self._file.write(self._room.to_bytes(8, "little") + head + b"".join(array.tobytes() for array in self._tables.values()))
        self._file.seek(0, 2)
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _head(self, positions: int, crc: int, in_use: Sequence[str]) -> bytes:
        run = self._run
        about = {
            "schema": SCHEMA, "pes": [str(pe) for pe in run.pes], "populations": [one._asdict() for one in run.populations],
            "outputs": list(run.outputs), "interval": run.interval, "port_names": list(run.port_names),
            "lanes": run.lanes, "format": run.format, "chip": dict(run.chip),
            "machine": {"chips": run.chips, "down_chips": list(run.down_chips), "down_links": list(map(list, run.down_links))},
            "by_turn": list(self.columns.by_turn), "in_use": list(in_use), "crc32": crc,
        }  # fmt: skip
        head: dict[str, Any] = {"__metadata__": {KEY: json.dumps(about), **self._names}}
        at = 0
        for name, array in self._tables.items():
            head[name] = {"dtype": "I64", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
            at += array.nbytes
        shape = [positions, self.columns.width]
        head[COUNTS] = {"dtype": "U32", "shape": shape, "data_offsets": [at, at + 4 * positions * self.columns.width]}
        return json.dumps(head).encode()


def save_ledger(ledger: Ledger, folder: Path) -> None:
    """Write a ledger that is in memory into a run folder."""
    writer = LedgerWriter(folder / FILE, ledger, by_turn=tuple(ledger.by_turn), per_lane=tuple(ledger.per_lane))
    try:
        writer.append(ledger)
        writer.finish(ledger.per_lane)
    finally:
        writer.close()


def checksum(arrays: Mapping[str, Array], crc: int = 0) -> int:
    """Return a checksum of names and bytes, by name, that goes on from `crc`: the file's form has none."""
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return crc


def _tables(run: RunLedger) -> dict[str, Array]:
    tables: dict[str, Array] = {f"shards.{name}": run.shards[name] for name in SHARD_COLUMNS}
    tables |= {f"ports.{name}": run.ports[name] for name in (*PORT_COLUMNS, *KERNEL_COLUMNS) if name in run.ports}
    if len(run.peers["shard"]):
        tables |= {f"peers.{name}": run.peers[name] for name in PEER_COLUMNS}
    if run.representatives is not None:
        tables[ALIKE] = run.representatives
    return {name: np.ascontiguousarray(array, np.int64) for name, array in tables.items()}


def _metadata_names(run: RunLedger, by_turn: Sequence[str]) -> dict[str, str]:
    """Return what a reader of nothing but this file needs to name each row and column of its arrays, as JSON."""
    names = {
        "columns": column_names(run, by_turn), "shards": shard_names(run), "ports": port_names(run), "peers": peer_names(run),
    }  # fmt: skip
    return {name: json.dumps(rows) for name, rows in names.items()}
