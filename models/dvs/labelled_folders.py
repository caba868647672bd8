"""One file a recording in folders that say split and class: `train/3/user02_led.raw`, or `test/drums/user29.npz`.

The folder's name is the class, by its number from 0 or its name; a file's name begins with who is seen, up to the first `_`.
Slices begin at a file's first event; an incomplete last one is dropped. What the files hold, a reader knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from models.dvs.readers import Head
from models.dvs.samples import CLASSES, SPLITS, Damage, DvsError, Events, Sample

Recording = tuple[Events, str]
"""Events on 128 x 128 pixels, and in words how they were read."""
CERTAINTY = 70
_PLAIN = str.maketrans("_-", "  ")


def layout_of(suffix: str) -> dict[str, str]:
    """Return what a reader of such files looks for, by split."""
    return {split: f"{split}/CLASS/SUBJECT_*{suffix}" for split in SPLITS}


def probe_for(head: Head, suffix: str) -> int:
    """Return how certain it is that a folder holds such files in the folders of classes."""
    try:
        return CERTAINTY if next((head.path / head.split).glob(f"*/*{suffix}"), None) is not None else 0
    except OSError:
        return 0


def samples_in(
    head: Head, suffix: str, slice_us: int, damages: list[Damage], read_file: Callable[[Path, list[Damage]], Recording]
) -> Iterator[Sample]:
    """Yield every slice of every file, by class, then name; what is wrong with a file joins `damages`, and the rest goes on.

    `read_file` raises `DvsError`, one line without the file's name, for a file that gives nothing.
    """
    for path in sorted((head.path / head.split).glob(f"*/*{suffix}")):
        label = label_of(path.parent.name)
        if label is None:
            need = f"0 to {len(CLASSES) - 1}, or one of {', '.join(CLASSES)}"
            damages.append(Damage(str(path), 0, f"need its folder's name to be a class, {need}"))
            continue
        try:
            events, reading = read_file(path, damages)
        except (DvsError, OSError) as error:
            damages.append(Damage(str(path), 0, " ".join(str(error).split())))
            continue
        t_us = events.t_us
        begin, length_us = (int(t_us[0]), int(t_us[-1] - t_us[0])) if t_us.size else (0, 0)
        slices = list(events.slices(begin, begin + length_us, slice_us))
        if not slices:
            why = f"its {t_us.size:,} events last {length_us / 1e6:g} s, a slice {slice_us / 1e6:g} s" if t_us.size else "no event"
            damages.append(Damage(str(path), 0, f"no slice: {why}; read as {reading}"))
        for number, part in slices:
            name = f"{path.parent.name}/{path.name}#{number}"
            yield Sample(part, label, path.stem.split("_")[0], name, reading)


def label_of(name: str) -> int | None:
    """Return the class that a folder's name says; None where it says none."""
    if name.isdecimal() and name.isascii() and len(name) < 4 and int(name) < len(CLASSES):
        return int(name)
    plain = name.translate(_PLAIN).lower()
    return CLASSES.index(plain) if plain in CLASSES else None
