"""What a run keeps of what the network computed, where asked for: events, states, answers, and rows of the workload's own.

While the run goes on everything streams to files without a name in the run folder, which vanish with the host process however
it ends; a run without a folder keeps it in memory. At the end it becomes one file of numpy (.npz) a name. In memory are a few
megabytes, and at the end 32 bytes a row of the array that is being written. No event, hash or count changes.

- `events.npz`: `events`, a structured array (`EVENT`), each population in ascending position; `populations` and `units`, the names
  and sizes of populations by number; `layers`, the numbers of those whose events are there (all but the inputs); `lengths`, the
  positions of each sequence. They are the events of the run's hash. In pandas:
  `pd.DataFrame(np.load("events.npz")["events"])`.
- `states.npz`: `<population>.<field>` (sequences, time, units), what the neuron models keep after each position.
- `outputs.npz`: `outputs` (sequences, time, units), what the output sends, or the workload's answers; with several outputs each
  under its population's name. Where an output takes several ticks a position they are a dimension before the units.
- `logits.npz`: what the workload's head computes.

Beside arrays of sequences stands `lengths` (sequences,): how many positions of each count; behind them are zeros.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from host.options import SAVED, RunOptions
from host.run_folder import part_of
from host.workloads.contract import Job, Readout, output_labels
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
Alive = Callable[[], None]


def savable(readout: Readout) -> tuple[str, ...]:
    """Return what of `SAVED` a run with this readout has: logits where the host computes some, and no events or states where the
    run's fingerprint is of something else than events.
    """
    own, of_events = getattr(readout, "saves", ()), getattr(readout, "stream", None) is None
    return tuple(name for name in SAVED if name in own or (name != LOGITS and (of_events or name == OUTPUTS)))


class SavedRun:
    """Keeps `names` (of `SAVED`) of a job's run, on disk in `folder`, or in memory without one.

    HostError, one line, for what the workload does not compute, and where the folder cannot be written.
    """

    def __init__(self, job: Job, names: Sequence[str], folder: Path | None = None) -> None:
        self.names, self._folder = tuple(dict.fromkeys(names)), folder
        network, self._lanes = job.placement.network, job.placement.request.lanes
        self._network, self._sending = network, all_sending(network, self._lanes)
        self._sequence_at = job.source.sequence_at
        own, have = getattr(job.readout, "saves", ()), savable(job.readout)
        if unknown := [name for name in self.names if name not in have]:
            raise HostError(f"--save {unknown[0]}: {job.options.workload} has none; have {', '.join(have)}")
        if set(own) & set(self.names):
            job.readout.save_rows_to(self.add_row)  # type: ignore[attr-defined] # a readout that has `saves` has it
        self._own, self._outputs = own, () if OUTPUTS in own or OUTPUTS not in self.names else network.outputs
        self._labels = output_labels(network)
        self._events = _Spool(folder) if EVENTS in self.names else None
        self._positions: dict[int, int] = {}  # of each sequence
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
            for sequence, position in places.values():
                self._positions[sequence] = max(self._positions.get(sequence, 0), position + 1)
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
                self._add(OUTPUTS, self._labels[number], *place, rows[lane], phase, sending.ticks)

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
        shape = self._shape(name)
        parts = self._rows[name].items()
        arrays = {of: np.concatenate([*rows.blocks(shape)]).reshape(rows.full_shape(shape)) for of, rows in parts}
        return {**arrays, "lengths": self._lengths(name)}

    def write(self, folder: Path, names: Sequence[str] | None = None, alive: Alive = lambda: None) -> dict[str, int]:
        """Write `NAME.npz` into a folder for each of `names` (all that are kept); return each file's bytes. OSError."""
        return {f"{name}.npz": self.write_file(name, folder / f"{name}.npz", alive) for name in names or self.names}

    def write_file(self, name: str, path: Path, alive: Alive = lambda: None) -> int:
        """Write what is kept under a name to a new file; return its bytes. `alive` is called every few megabytes.

        OSError where that fails, now or before; whoever looks sees all of the file or nothing.
        """
        part = part_of(path)
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                if name == EVENTS:
                    assert self._events is not None
                    names = np.array([population.name for population in self._network.populations])
                    size = self._events.size // EVENT.itemsize
                    _write_array(archive, "events", (size,), EVENT, _watched(self._events.chunks(), alive))
                    units = np.array([population.units for population in self._network.populations], np.int64)
                    lengths = np.array([self._positions.get(n, 0) for n in range(max(self._positions, default=-1) + 1)], np.int64)
                    layers = np.array(self._network.layers, np.int64)
                    for of, array in (("populations", names), ("units", units), ("layers", layers), ("lengths", lengths)):
                        _write_array(archive, of, array.shape, array.dtype, [array.tobytes()])
                else:
                    shape, lengths = self._shape(name), self._lengths(name)
                    for of, rows in self._rows[name].items():
                        blocks = _watched((np.ascontiguousarray(block).tobytes() for block in rows.blocks(shape)), alive)
                        _write_array(archive, of, rows.full_shape(shape), rows.dtype, blocks)
                    _write_array(archive, "lengths", lengths.shape, lengths.dtype, [lengths.tobytes()])
            size = part.stat().st_size
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    def close(self) -> None:
        """Let go of the files without a name; nothing can be read any more."""
        every = [rows.spool for of_name in self._rows.values() for rows in of_name.values()]
        for spool in [*every, *([self._events] if self._events is not None else [])]:
            spool.close()

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


def write_saved(saved: SavedRun, options: RunOptions, folder: Path | None, alive: Alive) -> dict[str, int]:
    """Write what `options` ask for into the run folder, where there is one, and where else they say; return each file's bytes."""
    files = saved.write(folder, options.save, alive) if folder is not None and options.save else {}
    if options.outputs is not None:
        files[options.outputs] = saved.write_file(OUTPUTS, Path(options.outputs), alive)
    return files


def _watched(parts: Iterable[bytes], alive: Alive) -> Iterator[bytes]:
    for part in parts:
        alive()
        yield part


class _Spool:
    """Bytes that grow: in a file without a name in `folder`, or in memory."""

    def __init__(self, folder: Path | None) -> None:
        try:
            self._file: Any = tempfile.TemporaryFile(dir=folder) if folder else BytesIO()  # noqa: SIM115 - for the whole run
        except OSError as error:
            raise HostError(f"--out {folder}: cannot be written ({error.strerror})") from error
        self.size, self._in_memory = 0, folder is None
        self._trouble: OSError | None = None

    def append(self, raw: bytes) -> None:
        """Add bytes at the end; a disk that has no room for them is told of where they are read, and the run goes on."""
        try:
            self._file.write(raw)
            self.size += len(raw)
        except OSError as error:
            self._trouble = error

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()

    def records(self, dtype: np.dtype[Any]) -> Array:
        """Return all that is there as records; of a file without reading it. OSError where it could not be written."""
        if self._trouble is not None:
            raise self._trouble
        count = self.size // dtype.itemsize
        if self._in_memory or not count:
            return np.frombuffer(self._file.getvalue() if count else b"", dtype)
        self._file.flush()
        return np.memmap(self._file, dtype, mode="r", shape=(count,))

    def chunks(self) -> Iterator[bytes]:
        """Yield all that is there, piece by piece. OSError where it could not be written."""
        if self._trouble is not None:
            raise self._trouble
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk
        self._file.seek(0, 2)


class _Rows:
    """Rows of one shape, each with its sequence and step in it; a position takes `ticks` steps."""

    def __init__(self, spool: _Spool, like: Array, ticks: int) -> None:
        self.spool, self._ticks, self.dtype, self._row = spool, ticks, like.dtype, like.shape
        self._record = np.dtype([("sequence", "<u4"), ("step", "<u4"), ("row", like.dtype, like.shape)])

    def add(self, sequence: int, step: int, row: Array) -> None:
        """Take one row."""
        record = np.empty(1, self._record)
        record["sequence"], record["step"], record["row"] = sequence, step, row
        self.spool.append(record.tobytes())

    def lengths(self) -> Array:
        """Return the positions of each sequence, (sequences,)."""
        records = self.spool.records(self._record)
        out = np.zeros(int(records["sequence"].max(initial=0)) + 1 if len(records) else 0, np.int64)
        np.maximum.at(out, records["sequence"], records["step"].astype(np.int64) // self._ticks + 1)
        return out

    def full_shape(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of the whole array, of so many sequences and positions."""
        return (*shape, *(() if self._ticks == 1 else (self._ticks,)), *self._row)

    def blocks(self, shape: tuple[int, int]) -> Iterator[Array]:
        """Yield all rows, sequence by sequence in order of step, some at a time; zeros where there is none."""
        records, (sequences, positions) = self.spool.records(self._record), shape
        places = records["sequence"].astype(np.int64) * positions * self._ticks + records["step"]
        order = np.argsort(places, kind="stable")
        places, steps = places[order], sequences * positions * self._ticks
        at_once = max(_CHUNK_BYTES // max(self._record.itemsize, 1), 1)
        for first in range(0, steps, at_once):
            block = np.zeros((min(at_once, steps - first), *self._row), self.dtype)
            begin, end = np.searchsorted(places, (first, first + len(block)))
            block[places[begin:end] - first] = records[order[begin:end]]["row"]
            yield block


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
