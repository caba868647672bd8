"""Events that were recorded on a board, beside those of a run: counts by layer and, where the run kept its events, which agree."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from host.cost.ledger import RunLedger
from host.errors import HostError, nearest_name
from models.network import I64, Array

_FIELDS = ("sequence", "position", "population", "unit")
_KEPT = "events.npz"


@dataclass(frozen=True, kw_only=True)
class SpikeRow:
    """Events of a layer: on the board, in the run, and in both (None where the run kept no events). `first`: the first (sequence,
    position, unit) that only one of them has.
    """

    layer: str
    measured: int
    modelled: int
    both: int | None = None
    first: tuple[int, int, int] | None = None


def compare_spikes(path: Path, folder: Path, ledger: RunLedger) -> list[SpikeRow]:
    """Return a row for each layer whose events the file has; HostError, one line, for a file that has none of this run's.

    The file has the arrays `sequence`, `position`, `population` and `unit`, or `events` with these fields, as `--save events`
    writes them; `populations` may name the populations by number.
    """
    who = f"--spikes {path}"
    names = {one.name: number for number, one in enumerate(ledger.populations)}
    measured = _read(path, who, names)
    recorded = _read(folder / _KEPT, f"run {folder}: {_KEPT}", names) if (folder / _KEPT).is_file() else None
    sent, rows = sum(part.own_ledger.sent.sum(axis=0) for part in ledger.parts()), []
    for number in sorted(set(measured["population"].tolist())):
        if number not in ledger.layers:
            have = ", ".join(f"{n} {ledger.populations[n].name}" for n in ledger.layers)
            raise HostError(f"{who}: population {number} is no layer of the run; have {have}")
        name, spikes = ledger.populations[number].name, int(sent[number])
        measured_keys = _keys(measured, number)
        if recorded is None:
            rows.append(SpikeRow(layer=name, measured=len(measured_keys), modelled=spikes))
            continue
        run_keys = _keys(recorded, number)
        apart = np.setxor1d(measured_keys, run_keys)
        first = (int(apart[0]["sequence"]), int(apart[0]["position"]), int(apart[0]["unit"])) if len(apart) else None
        rows.append(
            SpikeRow(
                layer=name,
                measured=len(measured_keys),
                modelled=len(run_keys),
                both=len(np.intersect1d(measured_keys, run_keys)),
                first=first,
            )
        )
    return rows


def _keys(events: Mapping[str, I64], population: int) -> Array:
    """Return (sequence, position, unit) of a population's events, each once, ascending."""
    of_population = events["population"] == population
    keys = np.zeros(int(of_population.sum()), [("sequence", "<i8"), ("position", "<i8"), ("unit", "<i8")])
    for name in keys.dtype.names or ():
        keys[name] = events[name][of_population]
    return np.unique(keys)


def _read(path: Path, who: str, names: Mapping[str, int]) -> dict[str, I64]:
    """Return the fields of a file's events, (events,) each, with populations by the numbers of the run."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name in ("events", "populations", *_FIELDS)}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise HostError(f"{who}: cannot be read as .npz ({' '.join(str(error).split())[:120]})") from error
    events = arrays.get("events")
    fields: dict[str, Array] = {}
    if events is not None and events.dtype.names:
        fields = {name: events[name] for name in _FIELDS if name in events.dtype.names}
    fields |= {name: arrays[name] for name in _FIELDS if name in arrays}
    if missing := [name for name in _FIELDS if name not in fields]:
        have = ", ".join(arrays) or "none of them"
        raise HostError(
            f"{who}: lacks {', '.join(missing)}; needs the arrays {', '.join(_FIELDS)} or `events` with them; has {have}"
        )
    sizes = {name: fields[name].shape for name in _FIELDS}
    if len(set(sizes.values())) > 1 or fields["unit"].ndim != 1:
        raise HostError(f"{who}: needs arrays of one length, has {', '.join(f'{name} {size}' for name, size in sizes.items())}")
    if any(not np.issubdtype(array.dtype, np.integer) for array in fields.values()):
        raise HostError(f"{who}: needs whole numbers in {', '.join(_FIELDS)}")
    whole = {name: array.astype(np.int64) for name, array in fields.items()}
    if "populations" in arrays:
        whole["population"] = _renumbered(whole["population"], list(map(str, arrays["populations"].tolist())), who, names)
    return whole


def _renumbered(numbers: I64, own: Sequence[str], who: str, names: Mapping[str, int]) -> I64:
    """Return populations by the run's numbers, from those of a file that names them."""
    table = np.full(len(own), -1, np.int64)
    for number in np.unique(numbers).tolist():
        if not 0 <= number < len(own):
            raise HostError(f"{who}: population {number}: the file names {len(own)}")
        if own[number] not in names:
            near = nearest_name(own[number], names)
            raise HostError(
                f"{who}: population {own[number]!r}: the run has none; the nearest is {near!r}; have {', '.join(names)}"
            )
        table[number] = names[own[number]]
    return np.asarray(table[numbers], np.int64)
