"""Recording of a run's ledger, from the sections of its layers: in memory, or on disk, where a run may be as long as it likes."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from host.cost.ledger import Ledger, RunLedger
from host.cost.ledger_columns import Columns
from host.cost.ledger_file import LedgerFile
from host.cost.ledger_writer import FILE, LedgerWriter
from host.mapping.placement import Placement
from host.run.assembly import Assembly, LayerSteps
from host.run.step_counts import words_of
from host.run_folder import part_of
from host.workloads.lane_sets import idle_lanes
from models.network import U32
from models.schedule import schedule
from noc.packet import PHASE, Section

_BLOCK_BYTES, _MOST_BLOCK, _LEAST_BLOCK = 1 << 20, 1024, 64  # bytes and positions that are kept until they are written


class Recorder:
    """Collects a run's ledger as its sections arrive, each layer in ascending position, tick by tick.

    With a `folder` its rows go into a file there, some positions at a time, which `save` completes; what is kept in memory does
    not grow.
    """

    def __init__(self, placement: Placement, folder: Path | None = None) -> None:
        network = placement.network
        self._placement, self._ticks = placement, schedule(network).ticks
        self._words = {n: words_of(network.populations[n]).size for n in network.layers}
        self._parts: dict[int, list[bytes]] = {n: [] for n in network.layers}
        self._stepped: dict[int, list[int]] = {n: [] for n in network.layers}
        self._inputs: list[int] = []  # one behind the other: a list of each would be one more object a position
        self._table: _MemoryTable | _FileTable = _MemoryTable() if folder is None else _FileTable(folder / FILE)
        self._last = network.layers[-1]
        row_bytes = 4 * sum(len(placement.senders(n)) * self._ticks[n] * self._words[n] for n in network.layers)
        self.block = min(max(_BLOCK_BYTES // row_bytes, _LEAST_BLOCK), _MOST_BLOCK)

    @cached_property
    def _assembly(self) -> Assembly:
        return Assembly(self._placement)

    def add_input(self, *events: int) -> None:
        """Take in the numbers of input events of the next position, one for each input."""
        self._inputs += events

    def add(self, section: Section) -> None:
        """Take in a layer's counts at the next tick of its steps."""
        self._parts[section.population].append(section.ledger)
        if section.flags < PHASE:
            self._stepped[section.population].append(count_lanes(section.lanes, self._placement.request.lanes))
        if section.population == self._last and len(self._stepped[self._last]) >= self.block and self._done >= self.block:
            self._flush()

    @property
    def _done(self) -> int:
        """How many of the positions that are kept every layer has finished."""
        return min(len(parts) // self._ticks[n] for n, parts in self._parts.items())

    def _flush(self) -> None:
        done = self._done
        if not done:
            return
        ledger = self._part(self._assembly, 0, done)
        for n, parts in self._parts.items():
            del parts[: done * self._ticks[n]], self._stepped[n][:done]
        del self._inputs[: done * len(self._placement.network.inputs)]
        self._table.append(self._assembly, ledger)

    def _part(self, assembly: Assembly, first: int, last: int) -> Ledger:
        """Return the ledger of these of the positions that are kept."""
        steps = {}
        for n, parts in self._parts.items():
            senders, ticks = len(self._placement.senders(n)), self._ticks[n]
            rows = np.frombuffer(b"".join(parts[first * ticks : last * ticks]), "<u4")
            rows = rows.reshape(last - first, ticks, senders, self._words[n]).transpose(0, 2, 1, 3)
            steps[n] = LayerSteps(rows=rows, stepped=np.array(self._stepped[n][first:last], np.uint32))
        width = len(self._placement.network.inputs)
        inputs = np.array(self._inputs[first * width : last * width], np.uint32).reshape(last - first, width)
        return assembly.part(steps, inputs)

    @property
    def has_latest(self) -> bool:
        """Whether `latest` has a position."""
        return self._done > 0

    def latest(self, most: int) -> Ledger:
        """Return the ledger of the last positions that every layer has finished, `most` of them at most; of none just after those
        before them were written.
        """
        first = max(self._done - most, 0)
        begin = max(first - 1, 0)  # one more: some counts are told as sums so far
        return self._part(self._assembly.apart(), begin, self._done).part(first - begin, self._done - begin)

    def ledger(self) -> Ledger:
        """Return the ledger of the positions that every layer has finished, all of it in memory."""
        run = self.run_ledger()
        return run.part(0, run.positions)

    def run_ledger(self) -> RunLedger:
        """Return the same as it is kept; OSError where it could not be written."""
        self._flush()
        return self._table.ledger(self._assembly)

    def save(self) -> RunLedger:
        """Complete the file, where there is one and a position; return the ledger. OSError where it could not be written."""
        self._flush()
        self._table.finish(self._assembly)
        return self._table.ledger(self._assembly)

    def record(self) -> dict[str, Any]:
        """Return all that is needed to go on in another process, as plain values, once the file has the rest; OSError where that
        cannot be written. Needs a folder.
        """
        self._flush()
        assert isinstance(self._table, _FileTable)
        return {
            "parts": self._parts, "stepped": self._stepped, "inputs": self._inputs, "assembly": self._assembly.record(),
            "table": self._table.record(),
        }  # fmt: skip

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record; OSError or ValueError where the file is not as it was left."""
        assert isinstance(self._table, _FileTable)
        self._parts, self._stepped, self._inputs = record["parts"], record["stepped"], record["inputs"]
        self._assembly.restore(record["assembly"])
        self._table.restore(record["table"], self._assembly)

    def empty(self) -> Ledger:
        """Return the ledger of no position."""
        return _MemoryTable().ledger(self._assembly)


class _MemoryTable:
    """Rows in memory."""

    def __init__(self) -> None:
        self._rows: list[U32] = []

    def append(self, assembly: Assembly, ledger: Ledger) -> None:
        self._rows.append(Columns(assembly.run, assembly.by_turn).join(ledger))

    def ledger(self, assembly: Assembly) -> Ledger:
        columns = Columns(assembly.run, assembly.by_turn)
        rows = np.concatenate([np.zeros((0, columns.width), np.uint32), *self._rows])
        arrays = columns.split(rows, columns.by_turn)
        arrays["by_turn"] = {name: counts for name, counts in arrays["by_turn"].items() if counts.any()}
        return Ledger(**assembly.run.facts() | {"per_lane": assembly.amounts()}, **arrays)

    def finish(self, assembly: Assembly) -> None:
        """There is no file."""


class _FileTable:
    """Rows in a file, which has its name when it is complete; one that cannot be written is told of where it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: LedgerWriter | None = None
        self._at = part_of(path)
        self._trouble: OSError | None = None

    def append(self, assembly: Assembly, ledger: Ledger) -> None:
        if self._trouble is not None:
            return
        try:
            if self._writer is None:
                self._open(assembly)
            assert self._writer is not None
            if self._at == self._path:  # a run that goes on behind its report
                self._at = self._at.replace(part_of(self._path))
            self._writer.append(ledger)
        except OSError as error:
            self._trouble = error

    def _open(self, assembly: Assembly, record: Mapping[str, Any] | None = None) -> None:
        self._writer = LedgerWriter(
            self._at, assembly.run, by_turn=assembly.by_turn, per_lane=assembly.per_lane, record=record
        )  # fmt: skip
        weakref.finalize(self, self._writer.close)

    def record(self) -> dict[str, Any] | None:
        """Return how far the file is, once that is on the disk; None where there is no file yet."""
        if self._trouble is not None:
            raise self._trouble
        return self._writer.record() if self._writer is not None else None

    def restore(self, record: Mapping[str, Any] | None, assembly: Assembly) -> None:
        """Go on with the file as it was; what was written since is cut off."""
        if record is not None:
            self._open(assembly, record)

    def ledger(self, assembly: Assembly) -> RunLedger:
        if self._trouble is not None:
            raise self._trouble
        if self._writer is None:
            return _MemoryTable().ledger(assembly)
        self._writer.flush()
        return LedgerFile(
            **assembly.run.facts() | {"per_lane": assembly.amounts()}, path=self._at, rows=self._writer.positions,
            rows_at=self._writer.rows_at, by_turn=assembly.by_turn, in_use=self._writer.in_use, sends=self._writer.has_transfers,
        )  # fmt: skip

    def finish(self, assembly: Assembly) -> None:
        if self._trouble is not None:
            raise self._trouble
        if self._writer is not None:
            self._writer.finish(assembly.amounts())
            self._at = self._at.replace(self._path)


def count_lanes(packed: bytes, lanes: int) -> int:
    """Return how many of a section's lanes are not idle."""
    idle = idle_lanes(packed, lanes)
    return lanes if idle is None else lanes - int(idle.sum())
