"""What a run keeps of what the network computed, where asked for: events, states, answers, and rows of the workload's own.

While the run goes on everything streams to files without a name in the run folder, which vanish with the host process however
it ends; a run without a folder keeps it in memory. At the end it becomes one file of numpy (.npz) a name. In memory are at most a
sequence's rows of one array, and 8 bytes a row. No event, hash or count changes.

- `events.npz`: `events`, a structured array (`EVENT`), each population in ascending position, and `populations`, their names
  by number. They are the events of the run's hash. In pandas: `pd.DataFrame(np.load("events.npz")["events"])`.
- `states.npz`: `<population>.<field>` (sequences, time, units), what the neuron models keep after each position.
- `outputs.npz`: `<population>` (sequences, time, units), what the outputs send, or the workload's answers.
- `logits.npz`: what the workload's head computes.

Beside arrays of sequences stands `lengths` (sequences,): how many positions of each count; behind them are zeros.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from host.options import SAVED, RunOptions
from host.workloads.contract import Job
from host.workloads.lane_sets import idle_lanes
from host.workloads.section_events import all_sending
from models import kernels
from models.network import Array, Network
from noc.packet import PHASE, Section

EVENT = np.dtype([
    ("sequence", "<u4"), ("position", "<u4"), ("phase", "<u2"), ("population", "<u2"), ("unit", "<u4"), ("value", "<f8"),
])  # fmt: skip
"""One event: `position` within its sequence; `phase`, the tick of a position where a population takes several; its value, 1 of a
spike. Every payload fits a float64."""
EVENTS, STATES, OUTPUTS, LOGITS = SAVED
_CHUNK_BYTES = 1 << 22


class SavedRun:
    """Keeps `names` (of `SAVED`) of a job's run, on disk in `folder`, or in memory without one.

    HostError, one line, for what the workload does not compute, and where the folder cannot be written.
    """

    def __init__(self, job: Job, names: Sequence[str], folder: Path | None = None) -> None:
        self.names, self._folder = tuple(dict.fromkeys(names)), folder
        network, self._lanes = job.placement.network, job.placement.request.lanes
        self._network, self._sending = network, all_sending(network, self._lanes)
        self._sequence_at = job.source.sequence_at
        own = getattr(job.readout, "saves", ())
        if LOGITS in self.names and LOGITS not in own:
            have = ", ".join(name for name in SAVED if name != LOGITS)
            raise HostError(f"--save {LOGITS}: {job.options.workload} computes none on the host; have {have}")
        if set(own) & set(self.names):
            job.readout.save_rows_to(self.add_row)  # type: ignore[attr-defined] # a readout that has `saves` has it
        self._own, self._outputs = own, () if OUTPUTS in own or OUTPUTS not in self.names else network.outputs
        self._events = _Spool(folder) if EVENTS in self.names else None
        self._rows: dict[str, dict[str, _Rows]] = {name: {} for name in self.names if name != EVENTS}
        self._states = _states_of(network) if STATES in self.names else {}
        self.probes: Mapping[int, Sequence[str]] = {  # of the job, and those whose values are kept
            n: list(dict.fromkeys([*job.probes.get(n, ()), *self._states.get(n, ())])) for n in {**job.probes, **self._states}
        }

    def add(self, section: Section) -> None:
        """Take the events of one population at one tick of a position."""
        number = section.population
        if self._events is None and number not in self._outputs:
            return
        sending, phase = self._sending[number], section.flags // PHASE
        places = self._places(section)
        if self._events is not None:
            keys, numbers = sending.keys_of(section), sending.numbers_of(section)
            edges = np.searchsorted(keys, np.arange(self._lanes + 1) * sending.units)
            for lane, (sequence, position) in places.items():
                first, last = int(edges[lane]), int(edges[lane + 1])
                records = np.empty(last - first, EVENT)
                records["sequence"], records["position"], records["phase"] = sequence, position, phase
                records["population"], records["value"] = number, numbers[first:last]
                records["unit"] = keys[first:last] - np.uint32(lane * sending.units)
                self._events.append(records.tobytes())
        if number in self._outputs:
            rows = sending.spread(section, self._lanes)
            for lane, place in places.items():
                self._add(OUTPUTS, self._network.populations[number].name, *place, rows[lane], phase, sending.ticks)

    def observe(self, section: Section, fields: Mapping[str, Array]) -> None:
        """Take what is probed of a population at one tick of a position: field -> (lanes, units)."""
        number, ticks = section.population, self._sending[section.population].ticks
        for lane, place in self._places(section).items():
            for field in self._states.get(number, ()):
                name = f"{self._network.populations[number].name}.{field}"
                self._add(STATES, name, *place, fields[field][lane], section.flags // PHASE, ticks)

    def add_row(self, name: str, of: str, sequence: int, position: int, row: Array) -> None:
        """Take a row of what the workload computes (`SaveRow`); one that is not asked for is dropped."""
        if name in self._rows:
            self._add(name, of, sequence, position, np.asarray(row))

    def events(self) -> Array:
        """Return the events, (events,) of `EVENT`."""
        assert self._events is not None
        return self._events.records(EVENT)

    def arrays(self, name: str) -> dict[str, Array]:
        """Return what is kept under a name but events: name of the array -> (sequences, time, ...), and `lengths`."""
        kept = {of: np.stack(list(rows.blocks(self._shape(name)))) for of, rows in self._rows[name].items()}
        return {**kept, "lengths": self._lengths(name)}

    def write(self, folder: Path, names: Sequence[str] | None = None) -> dict[str, int]:
        """Write `NAME.npz` into a folder for each of `names` (all that are kept); return each file's bytes. OSError."""
        return {f"{name}.npz": self.write_file(name, folder / f"{name}.npz") for name in names or self.names}

    def write_file(self, name: str, path: Path) -> int:
        """Write what is kept under a name to a new file; return its bytes. OSError; whoever looks sees all of it or nothing."""
        part = path.with_name(f".{path.name}.part")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                if name == EVENTS:
                    assert self._events is not None
                    names = np.array([population.name for population in self._network.populations])
                    _write_array(archive, "events", (self._events.size // EVENT.itemsize,), EVENT, self._events.chunks())
                    _write_array(archive, "populations", names.shape, names.dtype, [names.tobytes()])
                else:
                    shape, lengths = self._shape(name), self._lengths(name)
                    for of, rows in self._rows[name].items():
                        blocks = (np.ascontiguousarray(block).tobytes() for block in rows.blocks(shape))
                        _write_array(archive, of, rows.full_shape(shape), rows.dtype, blocks)
                    _write_array(archive, "lengths", lengths.shape, lengths.dtype, [lengths.tobytes()])
            size = part.stat().st_size
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    def _places(self, section: Section) -> dict[int, tuple[int, int]]:
        """Return (sequence, position in it) of each lane that steps."""
        idle = idle_lanes(section.lanes, self._lanes)
        at = {lane: self._sequence_at(lane, section.position) for lane in range(self._lanes) if idle is None or not idle[lane]}
        return {lane: place for lane, place in at.items() if place is not None}

    def _add(self, name: str, of: str, sequence: int, position: int, row: Array, phase: int = 0, ticks: int = 1) -> None:
        rows = self._rows[name].get(of)
        if rows is None:
            rows = self._rows[name][of] = _Rows(_Spool(self._folder), row, ticks)
        rows.add(sequence, position * ticks + phase, row)

    def _shape(self, name: str) -> tuple[int, int]:
        """Return how many sequences, and the positions of the longest."""
        lengths = self._lengths(name)
        return len(lengths), int(lengths.max(initial=0))

    def _lengths(self, name: str) -> Array:
        every = [rows.lengths() for rows in self._rows[name].values()]
        out = np.zeros(max(map(len, every), default=0), np.int64)
        for lengths in every:
            out[: len(lengths)] = np.maximum(out[: len(lengths)], lengths)
        return out


def save_for(job: Job, folder: Path | None) -> SavedRun | None:
    """Return what keeps what a job's options ask for; None where they ask for nothing."""
    options = job.options
    names = [*(options.save or ()), *([OUTPUTS] if options.outputs is not None else [])]
    return SavedRun(job, names, folder) if names else None


def write_saved(saved: SavedRun, options: RunOptions, folder: Path | None) -> dict[str, int]:
    """Write what `options` ask for into the run folder, where there is one, and where else they say; return each file's bytes."""
    files = saved.write(folder, options.save) if folder is not None and options.save else {}
    if options.outputs is not None:
        files[options.outputs] = saved.write_file(OUTPUTS, Path(options.outputs))
    return files


class _Spool:
    """Bytes that grow: in a file without a name in `folder`, or in memory."""

    def __init__(self, folder: Path | None) -> None:
        try:
            self._file: Any = tempfile.TemporaryFile(dir=folder) if folder else BytesIO()  # noqa: SIM115 - for the whole run
        except OSError as error:
            raise HostError(f"--out {folder}: cannot be written ({error.strerror})") from error
        self.size, self._in_memory = 0, folder is None

    def append(self, raw: bytes) -> None:
        """Add bytes at the end."""
        self._file.write(raw)
        self.size += len(raw)

    def records(self, dtype: np.dtype[Any]) -> Array:
        """Return all that is there as records; of a file without reading it."""
        count = self.size // dtype.itemsize
        if self._in_memory or not count:
            return np.frombuffer(self._file.getvalue() if count else b"", dtype)
        self._file.flush()
        return np.memmap(self._file, dtype, mode="r", shape=(count,))

    def chunks(self) -> Iterator[bytes]:
        """Yield all that is there, piece by piece."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk
        self._file.seek(0, 2)


class _Rows:
    """Rows of one shape, each with its sequence and step in it; a position takes `ticks` steps."""

    def __init__(self, spool: _Spool, like: Array, ticks: int) -> None:
        self._spool, self._ticks, self.dtype, self._row = spool, ticks, like.dtype, like.shape
        self._record = np.dtype([("sequence", "<u4"), ("step", "<u4"), ("row", like.dtype, like.shape)])

    def add(self, sequence: int, step: int, row: Array) -> None:
        """Take one row."""
        record = np.empty(1, self._record)
        record["sequence"], record["step"], record["row"] = sequence, step, row
        self._spool.append(record.tobytes())

    def lengths(self) -> Array:
        """Return the positions of each sequence, (sequences,)."""
        records = self._spool.records(self._record)
        out = np.zeros(int(records["sequence"].max(initial=0)) + 1 if len(records) else 0, np.int64)
        np.maximum.at(out, records["sequence"], records["step"].astype(np.int64) // self._ticks + 1)
        return out

    def full_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the whole array, of so many sequences and positions."""
        return (*shape, *(() if self._ticks == 1 else (self._ticks,)), *self._row)

    def blocks(self, shape: tuple[int, int]) -> Iterator[Array]:
        """Yield each sequence's rows in order of position, zeros where there is none."""
        records, (sequences, positions) = self._spool.records(self._record), shape
        order = np.argsort(records["sequence"], kind="stable")
        edges = np.searchsorted(records["sequence"][order], np.arange(sequences + 1))
        for sequence in range(sequences):
            block = np.zeros((positions * self._ticks, *self._row), self.dtype)
            here = records[order[edges[sequence] : edges[sequence + 1]]]
            block[here["step"]] = here["row"]
            yield block.reshape(self.full_shape(shape)[1:])


def _states_of(network: Network) -> dict[int, list[str]]:
    """Return for each layer the fields of its neuron model that hold a number a lane and unit."""
    lanes, units = 3, 7  # any two numbers that tell the dimensions apart
    return {
        n: [field.name for field in fields if field.shape == (lanes, units) and not field.scratch]
        for n in network.layers
        if (fields := kernels.named(network.populations[n].kernel).fields(units, lanes))
    }


def _write_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[bytes]) -> None:
    """Write an array into an .npz, from its bytes in parts."""
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, about)
        for part in parts:
            file.write(part)
