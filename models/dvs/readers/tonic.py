"""What tonic leaves behind: numpy files, one for each labelled span.

`ibmGestureTrain/user02_fluorescent/0.npy` and `ibmGestureTest/`, in the folder itself or in the `DVSGesture/` in it. The file's
number is the label. Each file holds a plain array (events, 4) of x, y, polarity and time; the time is in
**milliseconds** (tonic multiplies by 1000 when it loads them). As in tonic's slicing by time, slices begin at the
span's first event; an incomplete last one is dropped. Files are checked against what their header claims before their
numbers are touched, and nothing in them is ever unpickled.
"""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.dvs.readers import Head
from models.dvs.samples import CLASSES, PUBLISHED_TERMS, SENSOR, Damage, Events, Sample
from models.input_file import InputError, open_input

KIND, TERMS = "numpy files", PUBLISHED_TERMS
READING = "columns x, y, polarity, time in ms; 1 is ON; 128 x 128"
FOLDERS = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
LAYOUT = {split: f"{name}/ (tonic)" for split, name in FOLDERS.items()}
_NAME = re.compile(r"\d{1,4}\.npy", re.ASCII)
_MOST_HEADER_BYTES = 1 << 14
_LONGEST_US = 600_000_000  # of a plausible span: a hundred times a gesture of DVS128 Gesture
_LATEST_US = 1 << 52  # whole microseconds up to here are exact in float64


class _Bad(Exception):
    """The file is not what it should be: (offset, why)."""


def probe(head: Head) -> int:
    """Look for the folder of the split."""
    return 0 if _place(head) is None else 80


def read(head: Head, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    """Yield every slice of every file, users by name and files by number."""
    folder = _place(head)
    return iter(()) if folder is None else _samples(folder, slice_us, damages)


def _place(head: Head) -> Path | None:
    """Return the folder of the split."""
    places = (folder / FOLDERS[head.split] for folder in (head.path, head.path / "DVSGesture"))
    return next((place for place in places if place.is_dir()), None)


def _samples(folder: Path, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    """Yield every slice of every file, users by name and files by number; append what is wrong to `damages`."""
    files: dict[tuple[int, int], Path] = {}
    for path in sorted(folder.glob("*/*.npy"), key=lambda path: (path.parent.name, len(path.name), path.name)):
        try:
            first = files.setdefault(_identity(path), path)
            if first is not path:
                raise _Bad(0, f"is {first.parent.name}/{first.name} under another name; taken once")
            if not _NAME.fullmatch(path.name) or not 0 <= int(path.stem) < len(CLASSES):
                raise _Bad(0, f"need the name of a file to be its label, 0 to {len(CLASSES) - 1}, and .npy")
            rows, start = _rows(path)
        except _Bad as bad:
            damages.append(Damage(str(path), *bad.args))
            continue
        events = _events(rows, str(path), start, damages)
        if not events.t_us.size:
            damages.append(Damage(str(path), start, "no slice: it holds no event"))
            continue
        begin, length_us = int(events.t_us[0]), int(events.t_us[-1] - events.t_us[0])
        slices = list(events.slices(begin, begin + length_us, slice_us))
        damages.extend(Damage(str(path), start, why) for why in _odd(length_us, slice_us, len(slices)))
        for number, slice_ in slices:
            name = f"{path.parent.name}/{path.name}#{number}"
            yield Sample(slice_, int(path.stem), path.parent.name.split("_")[0], name, READING)


def _odd(length_us: int, slice_us: int, slices: int) -> Iterator[str]:
    """Yield in words what is odd about a file of events that last so long and give so many slices."""
    lasts = f"its events last {length_us / 1e6:g} s"
    if not slices:
        hint = "; are its times in seconds? They need milliseconds" if slice_us <= length_us * 1000 else ""
        yield f"no slice: {lasts}, a slice {slice_us / 1e6:g} s{hint}"
    elif (holes := length_us // slice_us - slices) > 0:
        hint = "; are its times in microseconds? They need milliseconds" if length_us > _LONGEST_US else ""
        yield f"{holes:,} of {holes + slices:,} slices hold no event and are left out: {lasts}{hint}"
    elif length_us > _LONGEST_US:
        yield f"{lasts}; are its times in microseconds? They need milliseconds"


def _identity(path: Path) -> tuple[int, int]:
    """Return what all names of one file have in common; raise `_Bad` where there is none."""
    try:
        facts = path.stat()
    except OSError as error:
        raise _Bad(0, f"cannot be read ({error.strerror or error})") from None
    return facts.st_dev, facts.st_ino


def _rows(path: Path) -> tuple[NDArray[np.float64], int]:
    """Return the array as float64 (events, 4) and the offset of its first byte; raise `_Bad`."""
    try:
        with open_input(path) as file:
            head = file.read(_MOST_HEADER_BYTES)
            shape, fortran, dtype, start = _header(head)
            if len(shape) != 2 or shape[1] != 4 or dtype.kind not in "iufb":
                raise _Bad(0, f"need an array of numbers, events x 4, have {str(dtype)[:40]} {str(shape)[:40]}")
            need, have = shape[0] * 4 * dtype.itemsize, os.fstat(file.fileno()).st_size - start
            if need != have:
                raise _Bad(start + min(need, max(have, 0)), f"need {need} bytes of numbers, have {have}")
            file.seek(start)
            raw = file.read(need)
    except InputError as error:
        raise _Bad(0, str(error)) from None
    except OSError as error:
        raise _Bad(0, f"cannot be read ({error.strerror or error})") from None
    if len(raw) != need:
        raise _Bad(start + len(raw), f"need {need} bytes of numbers, have {len(raw)}")
    flat = np.frombuffer(raw, dtype)
    rows = flat.reshape(4, shape[0]).T if fortran else flat.reshape(shape)
    return rows.astype(np.float64), start


def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, whether columns lie together, type and the offset of the numbers."""
    stream = io.BytesIO(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of hostile headers
            version = npy.read_magic(stream)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, fortran, dtype = read(stream)
        if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) > _LATEST_US:
            raise ValueError("shape")
    except Exception as error:  # whatever numpy's parser makes of hostile text
        raise _Bad(0, f"need the header of a .npy file, have none that can be read ({type(error).__name__})") from None
    return shape, fortran, dtype, stream.tell()


def _events(rows: NDArray[np.float64], path: str, start: int, damages: list[Damage]) -> Events:
    """Return the rows that are events, in order of time; rows that cannot be any are left out and reported."""
    x, y, p = rows[:, 0], rows[:, 1], rows[:, 2]
    with np.errstate(invalid="ignore", over="ignore"):
        t_us = np.rint(rows[:, 3] * 1000.0)
        # Comparisons with NaN are false, so it never passes.
        good = (x >= 0) & (x < SENSOR) & (y >= 0) & (y < SENSOR) & ((p == 0) | (p == 1)) & (t_us >= 0) & (t_us < _LATEST_US)
    if not good.all():
        row = int(np.argmin(good))
        why = f"row {row}: need x, y, polarity and milliseconds, have {', '.join(f'{v:g}' for v in rows[row])}"
        damages.append(Damage(path, start, f"{why}; {int((~good).sum())} rows left out"))
    t = t_us[good].astype(np.int64)
    if (back := int((np.diff(t) < 0).sum())) > 0:
        damages.append(Damage(path, start, f"need times that ascend, have {back} steps back; sorted by time"))
    order = np.argsort(t, kind="stable")
    return Events(t[order], x[good].astype(np.uint8)[order], y[good].astype(np.uint8)[order], p[good].astype(np.bool_)[order])
