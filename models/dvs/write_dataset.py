"""Synthetic gestures written to files, in the layout of DVS128 Gesture: what the readers take.

`folder.open_folder` on the result gives the samples that `synthetic.open_synthetic` gives, bit for bit and by the same
names, in the order of the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.dvs.aedat import write_aedat
from models.dvs.labels import CSV_HEADER
from models.dvs.readers.dvs128_gesture import LISTS
from models.dvs.samples import CLASSES, SLICE_US, DvsError, Events
from models.dvs.synthetic import REPETITIONS, SUBJECTS, checked_plan, people_of, recording_name, rendered

_LEAD_US, _GAP_US = 500_000, 300_000  # before the first gesture of a recording, and from each gesture to the next


def write_synthetic(
    folder: str | Path, seed: int = 1, train: int = SUBJECTS["train"], test: int = SUBJECTS["test"], lights: int = 4,
    repetitions: int | None = None, slice_us: int = SLICE_US,
) -> int:  # fmt: skip
    """Write recordings, label files and both lists; return how many recordings.

    `train` and `test` are numbers of subjects (0 leaves a list empty), each with a recording under each of `lights` lights;
    the others are as of `open_synthetic`. Raises `DvsError` (one line) where the folder holds lists already or cannot be
    written.
    """
    place, recordings = Path(folder), 0
    plans = {}
    for split, subjects in (("train", train), ("test", test)):
        times = REPETITIONS[split] if repetitions is None else repetitions
        plans[split] = checked_plan("write_synthetic", seed, max(subjects, 1), lights, times, slice_us)._replace(subjects=subjects)
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any((place / name).exists() for name in LISTS.values()):
            have = " or ".join(LISTS.values())
            raise DvsError(f"write_synthetic: {str(folder)!r}: need a folder without recordings, have {have} in it")
        for split, plan in plans.items():
            names = []
            for person in people_of(split, plan.subjects):
                for light in range(plan.lights):
                    names.append(recording_name(seed, person, light))
                    _write_recording(place / names[-1], seed, person, light, plan.repetitions, slice_us)
            (place / LISTS[split]).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
            recordings += len(names)
    except DvsError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DvsError(f"write_synthetic: {str(folder)!r}: cannot be written ({error})") from None
    return recordings


def _write_recording(path: Path, seed: int, person: int, light: int, repetitions: int, slice_us: int) -> None:
    parts, rows = [], [CSV_HEADER]
    for place in range(repetitions * len(CLASSES)):
        repetition, label = divmod(place, len(CLASSES))
        start_us = _LEAD_US + place * (slice_us + _GAP_US)
        events = rendered(seed, person, light, label, repetition, slice_us)
        parts.append(events._replace(t_us=events.t_us + start_us))
        rows.append(f"{label + 1},{start_us},{start_us + slice_us}")
    write_aedat(path, Events(*(np.concatenate(part) for part in zip(*parts, strict=True))))
    labels = path.with_name(f"{path.stem}_labels.csv")
    labels.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
