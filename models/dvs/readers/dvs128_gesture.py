"""DVS128 Gesture as distributed: AEDAT 3.1 recordings, label files, and lists of what is train and what is test.

`userNN_light.aedat` recordings, each with `userNN_light_labels.csv` (class from 1, start and end in microseconds), and the
published lists `trials_to_train.txt` and `trials_to_test.txt`; in the folder itself or in the `DvsGesture/` that the archive
unpacks to. Every labelled span is cut into slices from its start; slices do not overlap and an incomplete last one is dropped.

A bad file is named with its byte offset, and reading goes on with the next. So is whatever is odd: a recording that is listed
twice, labels that overlap or fit no events. It knows neither the bytes of AEDAT (`models/dvs/aedat.py`) nor the lines of labels
(`models/dvs/labels.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from models.dvs.aedat import read_aedat
from models.dvs.coverage import cut
from models.dvs.labels import Line, read_labels, read_lines
from models.dvs.readers import Head
from models.dvs.samples import PUBLISHED_TERMS, SPLITS, Damage, DvsError, Sample

LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
KIND, TERMS = "AEDAT 3.1 recordings", PUBLISHED_TERMS
LAYOUT = {split: f"{name} (AEDAT)" for split, name in LISTS.items()}


def probe(head: Head) -> int:
    """Look for the list of the split."""
    return 0 if _place(head) is None else 90


def read(head: Head, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    """Yield every slice of every recording, in the order of the list."""
    folder = _place(head)
    return iter(()) if folder is None else _samples(folder, head.split, slice_us, damages)


def _place(head: Head) -> Path | None:
    """Return the folder with the list of the split."""
    return next((folder for folder in (head.path, head.path / "DvsGesture") if (folder / LISTS[head.split]).exists()), None)


def _samples(folder: Path, split: str, slice_us: int, damages: list[Damage]) -> Iterator[Sample]:
    recordings: dict[str, int] = {}  # by events: the line of the list that named them first
    for name, line in _listed(folder, split, damages):
        where = folder / LISTS[split]
        spans = read_labels(folder / f"{name.removesuffix('.aedat')}_labels.csv", damages)
        if not spans:
            continue
        try:
            recording = read_aedat(folder / name)
        except DvsError as error:
            damages.append(Damage(str(where), line.offset, f"line {line.number}: {error}"))
            continue
        t_us = recording.events.t_us
        if t_us.size:
            first = recordings.setdefault(hashlib.blake2b(np.ascontiguousarray(t_us).data).hexdigest(), line.number)
            if first != line.number:
                why = f"line {line.number}: {name} holds the events of line {first}, as a copy does: its samples count as well"
                damages.append(Damage(str(where), line.offset, why))
        slices, found = cut(recording, spans, slice_us)
        damages.extend(Damage(str(folder / name), offset, why) for offset, why in found)
        for span, number, events in slices:
            yield Sample(events, span.label, name.split("_")[0].removesuffix(".aedat"), f"{name}[{span.place}]#{number}")


def _listed(folder: Path, split: str, damages: list[Damage]) -> Iterator[tuple[str, Line]]:
    """Yield the recordings of a split's list, each once, with their lines; append what is odd about the list."""
    path = folder / LISTS[split]
    lines = list(read_lines(path, damages))
    others = {_plain(line.text) for other in SPLITS if other != split for line in read_lines(folder / LISTS[other], [])}
    files: dict[object, Line] = {}
    both: list[Line] = []
    for line in lines:
        name = _plain(line.text)
        if not name.endswith(".aedat") or Path(name).name != name or not name.isprintable():
            why = f"line {line.number}: need the name of an .aedat file in the same folder, have {line.text[:80]!r}"
            damages.append(Damage(str(path), line.offset, why))
            continue
        first = files.setdefault(_identity(folder / name), line)
        if first is not line:
            why = f"line {line.number}: {name} again, as in line {first.number}; taken once"
            damages.append(Damage(str(path), line.offset, why))
            continue
        both += [line] if name in others else []
        yield name, line
    if both:
        why = f"line {both[0].number}: {_plain(both[0].text)}{_more(both)} in the other split's list, too"
        damages.append(Damage(str(path), both[0].offset, why))
    if not lines and path.is_file() and path.stat().st_size:
        damages.append(Damage(str(path), 0, "names no recording"))


def _plain(name: str) -> str:
    """Return a name in a list without what says that it lies in the same folder."""
    return name.removeprefix("./")


def _more(lines: Sequence[Line]) -> str:
    return " is" if len(lines) == 1 else f" and {len(lines) - 1} more are"


def _identity(path: Path) -> object:
    """Return what two names of one file have in common: links, and case where the file system has none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return path.name
    return facts.st_dev, facts.st_ino
