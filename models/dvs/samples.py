"""Records of the gesture data: events, samples, sets of samples, and damages of a file.

Class names and their order are those of the DVS128 Gesture data set (Amir et al., "A Low Power, Fully Event-Based Gesture
Recognition System", CVPR 2017), whose label files count from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "hand clapping", "right hand wave", "left hand wave",
    "right hand clockwise", "right hand counter clockwise", "left hand clockwise", "left hand counter clockwise",
    "forearm roll", "drums", "guitar", "other gestures",
)  # fmt: skip
"""Name of each class; its place is the label of a `Sample`, and one less than the class in a label file."""
SENSOR = 128  # pixels along each side of the sensor (DVS128)
SLICE_US = 1_700_000  # length of a sample in the EGRU authors' code: 1.7 s, no overlap, an incomplete rest dropped
SPLITS = ("train", "test")
PUBLISHED_TERMS = "if they are the published ones: DVS128 Gesture (Amir et al., CVPR 2017), terms in its LICENSE.txt"


class DvsError(ValueError):
    """Event data is not usable; the message is one line: who, what, need, have."""


class Events(NamedTuple):
    """Polarity events, ascending in time; all four arrays have one length."""

    t_us: NDArray[np.int64]
    x: NDArray[np.uint8]  # column, 0 at the left edge of the image
    y: NDArray[np.uint8]  # row, 0 at the top
    p: NDArray[np.bool_]  # true: brighter (ON)

    def between(self, start_us: int, end_us: int) -> Events:
        """Return the events with start_us <= t < end_us, their time counted from start_us."""
        first, last = np.searchsorted(self.t_us, (start_us, end_us))
        return Events(self.t_us[first:last] - start_us, self.x[first:last], self.y[first:last], self.p[first:last])

    def slices(self, start_us: int, end_us: int, slice_us: int) -> Iterator[tuple[int, Events]]:
        """Yield number and events of each whole slice of [start_us, end_us) that holds an event.

        A camera is never silent for a second, so a slice without events is a hole in a recording (or a label that lies).
        """
        span = self.between(start_us, start_us + (end_us - start_us) // slice_us * slice_us)
        for number in np.unique(span.t_us // slice_us).tolist():
            yield number, span.between(number * slice_us, (number + 1) * slice_us)


@dataclass(frozen=True, eq=False)
class Sample:
    """One slice of a labelled span."""

    events: Events  # only those of the slice; time counts from its start
    label: int  # place in `CLASSES`
    subject: str  # who is seen, e.g. `user24`: train and test never share one
    name: str  # recording, labelled span and slice, e.g. `user24_led.aedat[3]#1`
    reading: str = "microseconds, ON is 1, 128 x 128"  # how the file was read: what it does not say, or what was changed


@dataclass(frozen=True)
class Damage:
    """One thing wrong with one file; the rest of the set still runs."""

    file: str
    offset: int  # bytes from the start of the file to the first byte that is wrong or missing
    why: str

    def __str__(self) -> str:
        return f"{self.file!r}: byte {self.offset}: {self.why}"


Reader = Callable[[list[Damage]], Iterator[Sample]]
"""Yields samples in a fixed order and appends what is wrong with files as it meets them."""


@dataclass(frozen=True, eq=False)
class GestureSet:
    """Samples of one split, read or rendered as they are asked for."""

    name: str
    split: str
    source: str  # where the samples come from and under which terms, in one line for a report
    read: Reader
    count: int | None = None  # how many samples there are, where that is known before reading
    damages: list[Damage] = field(default_factory=list)
    """What the latest pass over the samples found wrong; filled while reading."""

    def samples(self) -> Iterator[Sample]:
        """Yield every sample, in the same order each time."""
        self.damages.clear()
        yield from self.read(self.damages)


def check_split(who: str, split: Any, slice_us: Any) -> None:
    """Raise `DvsError` unless `split` is train or test and `slice_us` a positive whole number."""
    if split not in SPLITS:
        raise DvsError(f"{who}: need split {' or '.join(SPLITS)}, have {split!r}")
    if isinstance(slice_us, bool) or not isinstance(slice_us, int) or not 0 < slice_us <= 2**40:
        raise DvsError(f"{who}: need slice_us as a positive whole number of microseconds, have {slice_us!r}")
