"""numpy files with named columns: .npy of a structured array, .npz of one or of an array a column. One file a recording, in folders
of splits and classes (`models/dvs/labelled_folders.py`); columns in any order.

A time whose name says no unit is in microseconds if it is a whole number, in seconds if not. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from models.dvs.event_columns import columns_of
from models.dvs.labelled_folders import Recording, layout_of, probe_for, samples_in
from models.dvs.readers import Head
from models.dvs.samples import Damage, DvsError, Sample
from models.dvs.sensors import on_sensor, smallest_sensor
from models.input_file import InputError, check_input
from models.network import Array

KIND, SUFFIX = "numpy files of named columns", ".np[yz]"
LAYOUT = layout_of(".npy or .npz")
_MOST_BYTES = 1 << 31
_LATEST_US = 1 << 52


def probe(head: Head) -> int:
    """Look for such files in the folders of the split."""
    return probe_for(head, SUFFIX)


def read(head: Head, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    """Yield every slice of every file."""
    return samples_in(head, SUFFIX, slice_us, damages, read_columns)


def read_columns(path: Path, damages: list[Damage]) -> Recording:
    """Return the events of a numpy file, and how they were read; `DvsError` for one that holds none."""
    try:
        check_input(path)
        arrays = _arrays(path)
    except InputError as error:
        raise DvsError(str(error)) from None
    except DvsError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise DvsError(f"is no numpy file that can be read ({' '.join(str(error).split())[:100]})") from None
    names = list(arrays)
    places = columns_of(names)
    t, x, y, p = (np.asarray(arrays[names[place]]) for place in places[:4])
    if any(column.ndim != 1 or column.dtype.kind not in "iufb" or len(column) != len(t) for column in (t, x, y, p)):
        have = ", ".join(f"{name} {arrays[name].dtype} {arrays[name].shape}" for name in names)
        raise DvsError(f"needs columns of numbers of one length, has {have[:120]}")
    unit = places.unit or ("s" if t.dtype.kind == "f" else "us")
    t_us = np.rint(t.astype(np.float64) * places.unit_us(unit))
    with np.errstate(invalid="ignore"):
        good = (t_us >= 0) & (t_us < _LATEST_US) & (x >= 0) & (y >= 0) & ((p == 0) | (p == 1) | (p == -1))
    if not good.all():
        damages.append(Damage(str(path), 0, f"{np.count_nonzero(~good):,} of {len(t):,} rows are no events; left out"))
    if not good.any():
        raise DvsError(f"has no row that is an event; columns {', '.join(names)[:80]}")
    whole = t_us[good].astype(np.int64), x[good].astype(np.int64), y[good].astype(np.int64), p[good] > 0
    size, why = smallest_sensor(whole[1], whole[2])
    events, scaled = on_sensor(*whole, size)
    off = "-1" if (p[good] < 0).any() else "0"
    note = "" if places.unit else " (not said)"
    return events, f"columns {', '.join(names)}, times in {unit}{note}, {off} is OFF; sensor {why}: {scaled}"


def _arrays(path: Path) -> Mapping[str, Array]:
    """Return a file's columns by their names, in its order."""
    with path.open("rb") as file:
        loaded = np.load(file)  # unpickles nothing
        if isinstance(loaded, np.ndarray):
            return _fields(loaded)
        if sum(entry.file_size for entry in loaded.zip.infolist()) > _MOST_BYTES:
            raise DvsError(f"holds more than {_MOST_BYTES:,} bytes")
        arrays = {name: loaded[name] for name in loaded.files}
    if len(arrays) == 1:
        return _fields(next(iter(arrays.values())))
    return arrays


def _fields(array: Array) -> Mapping[str, Array]:
    if not array.dtype.names:
        raise DvsError(f"holds an array {array.shape} without names of columns: which is time? Save a structured array")
    return {name: array[name] for name in array.dtype.names}
