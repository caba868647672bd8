"""The same gestures in the layout of each recording reader, built by hand from the layouts' descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from models.dvs.samples import CLASSES, Events
from tests.tools.dvs_bytes import aedat, event, packet

LENGTH_US = 250  # of each gesture: two slices of 100 us, and an incomplete rest
Gestures = dict[tuple[str, int], Events]
"""By subject and label: events, the first at time 0 and the last at `LENGTH_US`."""
Writer = Callable[[Path, str, Gestures], None]


def gestures_of(seed: int, subjects: tuple[str, ...]) -> Gestures:
    """Return two gestures of each subject, of 26 events at distinct times."""
    rng, gestures = np.random.default_rng(seed), {}
    for subject in subjects:
        for label in rng.choice(11, 2, replace=False).tolist():
            t_us = np.sort(np.append(rng.choice(np.arange(1, LENGTH_US), 24, replace=False), (0, LENGTH_US)))
            x, y = rng.integers(0, 128, (2, t_us.size)).astype(np.uint8)
            gestures[subject, label] = Events(t_us, x, y, rng.random(t_us.size) < 0.5)
    return gestures


def write_dvs128_gesture(place: Path, split: str, gestures: Gestures) -> None:
    """Add a recording a subject, its labels, and the split's list; gestures begin 1 ms after each other."""
    place.mkdir(exist_ok=True)
    subjects = dict.fromkeys(subject for subject, _ in gestures)
    for subject in subjects:
        own = [(label, events) for (who, label), events in gestures.items() if who == subject]
        rows, raw = ["class,startTime_usec,endTime_usec"], b""
        for number, (label, events) in enumerate(own):
            start = 1000 * (number + 1)
            raw += b"".join(event(t + start, x, y, p) for t, x, y, p in zip(*(part.tolist() for part in events), strict=True))
            rows.append(f"{label + 1},{start},{start + LENGTH_US}")
        (place / f"{subject}_led.aedat").write_bytes(aedat(packet(raw)))
        (place / f"{subject}_led_labels.csv").write_text("\n".join([*rows, ""]))
    (place / f"trials_to_{split}.txt").write_text("".join(f"{subject}_led.aedat\n" for subject in subjects))


def write_tonic(place: Path, split: str, gestures: Gestures) -> None:
    """Add a numpy file a gesture."""
    for (subject, label), events in gestures.items():
        folder = place / f"ibmGesture{split.capitalize()}" / f"{subject}_led"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{label}.npy", np.stack([events.x, events.y, events.p, events.t_us / 1000.0], axis=1))


def write_event_table(place: Path, split: str, gestures: Gestures) -> None:
    """Add lines to the table of docs/extending.md."""
    with place.open("a") as file:
        if not file.tell():
            file.write("split,subject,label,time_us,x,y,polarity\n")
        for (subject, label), events in gestures.items():
            for t, x, y, p in zip(*(part.tolist() for part in events), strict=True):
                file.write(f"{split},{subject},{label},{t},{x},{y},{int(p)}\n")


def write_evt_raw(place: Path, split: str, gestures: Gestures) -> None:
    """Add an EVT 2 file a gesture: words of 4 bits of type, 6 of time, 11 of x and 11 of y, and higher bits of time before them."""
    for path, events in files_of(place, split, gestures, ".raw"):
        words, high = [], -1
        for t, x, y, p in zip(*(part.tolist() for part in events), strict=True):
            if t >> 6 != high:
                high = t >> 6
                words.append(0x8 << 28 | high)
            words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
        path.write_bytes(b"% evt 2.0\n% geometry 128x128\n% end\n" + np.array(words, "<u4").tobytes())


def write_csv_columns(place: Path, split: str, gestures: Gestures) -> None:
    """Add a table a gesture, its columns in an order of their own, times in milliseconds."""
    for path, events in files_of(place, split, gestures, ".csv"):
        rows = zip(*(part.tolist() for part in events), strict=True)
        path.write_text("".join(["y,polarity,t_ms,x\n", *(f"{y},{int(p)},{t / 1000},{x}\n" for t, x, y, p in rows)]))


def write_numpy_columns(place: Path, split: str, gestures: Gestures) -> None:
    """Add a structured array a gesture, its columns in an order of their own, OFF as -1."""
    for path, events in files_of(place, split, gestures, ".npy"):
        array = np.zeros(events.t_us.size, [("p", "i1"), ("y", "<u2"), ("x", "<u2"), ("t", "<i8")])
        array["t"], array["x"], array["y"], array["p"] = events.t_us, events.x, events.y, np.where(events.p, 1, -1)
        np.save(path, array)


def written_by_faery(suffix: str, **given: str) -> Writer:
    """Return a writer of files that faery writes, too."""

    def write(place: Path, split: str, gestures: Gestures) -> None:
        import faery

        for path, events in files_of(place, split, gestures, suffix):
            array = np.zeros(events.t_us.size, faery.EVENTS_DTYPE)
            array["t"], array["x"], array["y"], array["on"] = events
            faery.events_stream_from_array(array, (128, 128)).to_file(path, **given)

    return write


def files_of(place: Path, split: str, gestures: Gestures, suffix: str) -> Iterator[tuple[Path, Events]]:
    """Yield the path of each gesture in a folder of splits and classes, and its events."""
    for (subject, label), events in gestures.items():
        folder = place / split / (str(label) if label % 2 else CLASSES[label].replace(" ", "_"))
        folder.mkdir(parents=True, exist_ok=True)
        yield folder / f"{subject}_led{suffix}", events


WRITERS: dict[str, Writer] = {
    "dvs128_gesture": write_dvs128_gesture, "tonic": write_tonic, "event_table": write_event_table,
    "evt_raw": write_evt_raw, "csv_columns": write_csv_columns, "numpy_columns": write_numpy_columns,
    "aedat4": written_by_faery(".aedat4"), "dat": written_by_faery(".dat", version="dat2"), "es": written_by_faery(".es"),
}  # fmt: skip
