"""Folders of gesture recordings as people have them: DVS128 Gesture itself, or what tonic leaves behind.

DVS128 Gesture: `userNN_light.aedat` recordings, each with `userNN_light_labels.csv` (class from 1, start and end in
microseconds), and the published lists `trials_to_train.txt` and `trials_to_test.txt`. Every labelled span is cut into
slices from its start; slices do not overlap and an incomplete last one is dropped.

One bad file never stops the set: it is named with its byte offset in `GestureSet.damages`, and
reading goes on with the next. It knows neither the bytes of AEDAT (`aedat.py`) nor those of numpy (`tonic_folder.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from models.dvs.aedat import read_aedat
from models.dvs.samples import CLASSES, SLICE_US, Damage, DvsError, GestureSet, Sample, check_split
from models.dvs.tonic_folder import FOLDERS, tonic_samples

LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
CSV_HEADER = "class,startTime_usec,endTime_usec"
LICENCE = "if they are the published ones: DVS128 Gesture (Amir et al., CVPR 2017), terms in its LICENSE.txt"
_MOST_TEXT_BYTES = 1 << 24
_LONGEST_NUMBER = 18  # digits: below 2**62, so that sums of two stay below 2**63


class Span(NamedTuple):
    """One line of a label file."""

    place: int  # its number among the labels of the recording, from 0, bad lines counted
    label: int
    start_us: int
    end_us: int


class _Line(NamedTuple):
    number: int
    offset: int
    text: str


def open_folder(path: str | Path, split: str, slice_us: int = SLICE_US) -> GestureSet:
    """Return the samples of one split of a folder, in the order of its list (or, for tonic's layout, of its names).

    Raises `DvsError` (one line) where the folder has neither layout. Everything else that is wrong is in the set's
    `damages` after its samples were read.
    """
    check_split("open_folder", split, slice_us)
    place = Path(path)
    try:
        for folder in (place, place / "DvsGesture"):
            if (folder / LISTS[split]).is_file():
                read, source = partial(_samples, folder, LISTS[split], slice_us), f"AEDAT 3.1 recordings in {path}; {LICENCE}"
                return GestureSet(str(path), split, source, read)
        for folder in (place, place / "DVSGesture"):
            if (folder / FOLDERS[split]).is_dir():
                read = partial(tonic_samples, folder / FOLDERS[split], slice_us)
                return GestureSet(str(path), split, f"numpy files in {path}; {LICENCE}", read)
        have = "neither" if place.is_dir() else "no such folder"
    except (OSError, ValueError) as error:
        have = f"none that can be read ({error})"
    raise DvsError(f"open_folder: {str(path)!r}: need {LISTS[split]} (AEDAT) or {FOLDERS[split]}/ (tonic), have {have}")


def _samples(folder: Path, list_name: str, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    for line in _lines(folder / list_name, damages):
        name = line.text
        if not name.endswith(".aedat") or Path(name).name != name or not name.isprintable():
            why = f"line {line.number}: need the name of an .aedat file in the same folder, have {name[:80]!r}"
            damages.append(Damage(str(folder / list_name), line.offset, why))
            continue
        spans = list(_spans(folder / f"{name.removesuffix('.aedat')}_labels.csv", damages))
        if not spans:
            continue
        try:
            recording = read_aedat(folder / name)
        except DvsError as error:
            damages.append(Damage(str(folder / list_name), line.offset, f"line {line.number}: {error}"))
            continue
        damages.extend(recording.damages)
        t_us = recording.events.t_us
        last_us = int(t_us[-1]) if t_us.size else -1
        for span in spans:
            # A recording may be quiet at its end; one that breaks off says nothing about what came then.
            end_us = span.end_us if recording.whole else min(span.end_us, last_us)
            for number, events in recording.events.slices(span.start_us, max(end_us, span.start_us), slice_us):
                yield Sample(events, span.label, name.split("_")[0].removesuffix(".aedat"), f"{name}[{span.place}]#{number}")


def _spans(path: Path, damages: list[Damage]) -> Iterator[Span]:
    """Yield the good lines of a label file."""
    lines = _lines(path, damages)
    head = next(lines, None)
    if head is None:
        return
    if head.text.replace(" ", "") != CSV_HEADER:
        damages.append(Damage(str(path), head.offset, f"line {head.number}: need {CSV_HEADER}, have {head.text[:80]!r}"))
        return
    for place, line in enumerate(lines):
        parts = [part.strip() for part in line.text.split(",")]
        good = len(parts) == 3 and all(part.isascii() and part.isdigit() and len(part) <= _LONGEST_NUMBER for part in parts)
        label, start_us, end_us = (int(part) for part in parts) if good else (0, 0, 0)
        if 1 <= label <= len(CLASSES) and start_us < end_us:
            yield Span(place, label - 1, start_us, end_us)
        else:
            need = f"a class of 1 to {len(CLASSES)}, a start and a later end"
            damages.append(Damage(str(path), line.offset, f"line {line.number}: need {need}, have {line.text[:80]!r}"))


def _lines(path: Path, damages: list[Damage]) -> Iterator[_Line]:
    """Yield the lines of a text file that are not blank; a file that cannot be read is a damage at byte 0."""
    try:
        if not path.is_file():
            raise OSError("no such file")
        with path.open("rb") as file:
            raw = file.read(_MOST_TEXT_BYTES + 1)
    except OSError as error:
        damages.append(Damage(str(path), 0, f"cannot be read ({error.strerror or error})"))
        return
    if len(raw) > _MOST_TEXT_BYTES:
        damages.append(Damage(str(path), _MOST_TEXT_BYTES, f"need a text of at most {_MOST_TEXT_BYTES} bytes, have more"))
        return
    offset = 0
    for number, line in enumerate(raw.split(b"\n"), start=1):
        text = line.decode("utf-8", "backslashreplace").lstrip("\ufeff").strip()
        if text:
            yield _Line(number, offset, text)
        offset += len(line) + 1
