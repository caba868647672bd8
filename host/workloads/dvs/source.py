"""Recordings of an event camera as input: samples become feature vectors in DRAM, and stream from there.

Samples go through in rounds: as many side by side as there are lanes, round after round, each beginning fresh. The host
makes a sample's feature vectors (frames, CNN head), writes them into the emulated DRAM, and streams them from there, as
the paper has them pre-computed. The next round's samples are read while this one runs, a few at a time, so that neither
a large set nor a slow disk holds up anything; a sample's place in DRAM is used again once its round is over.

A last round with fewer samples than lanes leaves the others idle: they do not step, and nothing is counted of them.
"""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from host.errors import Exit, HostError
from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from host.workloads.rows_in_dram import RowsInDram
from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import DvsError, Sample
from models.event_numbers import numbers_of
from models.heads.gesture import Gesture, features_of
from models.network import F32, Array, Population
from models.numerics import payload_bytes
from noc.dram import Dram

_BRIGHTEST = 99  # percentile of a sample's lit pixels that is shown at full brightness


class LoadedSample(NamedTuple):
    """A sample whose features lie in DRAM, or lay there."""

    name: str
    subject: str
    label: int


class SampleStore:
    """Room in DRAM for the features of some samples, `frames` vectors each of what population `heard` sends.

    HostError where two rounds of `lanes` samples (or all `samples` there can be) do not fit: one is streamed while the
    next is written.
    """

    def __init__(self, dram: Dram, heard: Population, *, frames: int, lanes: int, samples: int) -> None:
        self._frames, self._heard = frames, heard
        row_bytes = payload_bytes(heard.payload) * heard.units
        each_bytes, need = dram.row_stride(row_bytes) * frames, min(2 * lanes, samples)
        self._slots = min(samples, dram.room_bytes // each_bytes)
        if self._slots < need:
            have = f"room for {self._slots} in {dram.capacity_bytes:,} B"
            raise HostError(f"DRAM: features of {need} samples need {need * each_bytes:,} B, has {have}", Exit.DOES_NOT_FIT)
        self._rows = RowsInDram(dram, "features", self._slots * frames, heard.units, heard.payload)

    def write(self, number: int, features: F32) -> None:
        """Write a sample's features (frames, units) float32 where that of an earlier round may have been."""
        for frame, row in enumerate(numbers_of(self._heard, features)):
            self._rows.write(number % self._slots * self._frames + frame, row)

    def feed(self, numbers: Sequence[int], frame: int) -> tuple[bytes, bytes]:
        """Return keys and values of one frame of these samples, one a lane; a zero is no event."""
        return self._rows.feed(number % self._slots * self._frames + frame for number in numbers)


class SampleSource(Source):
    """Feeds at most `limit` samples, read as they are needed, in rounds of `lanes` samples side by side.

    `gesture` has frames and head; `store` is room for two rounds in DRAM; `into` is the population that hears the features;
    `positions` counts the samples known so far.
    """

    def __init__(
        self, gesture: Gesture, samples: Iterator[Sample], store: SampleStore, *, lanes: int, limit: int, into: int
    ) -> None:
        self._gesture, self._store, self._input = gesture, store, into
        self._unread = islice(samples, limit)
        self._spec = FrameSpec(
            bin_us=gesture.bin_us, slice_us=gesture.slice_us, size=gesture.size, polarity=gesture.polarity, scale=gesture.scale
        )
        self.lanes, self.limit, self.frames = lanes, limit, gesture.frames
        self.ended = ""  # why reading stopped before its end
        self.host_s = 0.0  # for reading, frames and features
        self.loaded: list[LoadedSample] = []
        self.readings: dict[str, None] = {}  # how files were read, in words
        self.pictures: dict[int, Array] = {}  # (frames, pixels) uint8 of the samples of the first lane that are yet to be shown
        self._load(lanes)

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return the sample that a lane runs at a position and which of its frames, or None."""
        turn, frame = divmod(position, self.frames)
        number = turn * self.lanes + lane
        return (number, frame) if number < len(self.loaded) else None

    def feed_at(self, position: int) -> Feed:
        """Return a frame of every sample of this round; load what falls due of the next round."""
        turn, frame = divmod(position, self.frames)
        numbers = range(turn * self.lanes, min((turn + 1) * self.lanes, len(self.loaded)))
        running = np.arange(self.lanes) < len(numbers)
        begin = running & (frame == 0)
        flags, lanes = pack_lanes(begin, begin, ~running)
        feed = Feed(position, flags, {self._input: self._store.feed(numbers, frame)}, lanes)
        due = (turn + 1) * self.lanes + (frame + 1) * self.lanes // self.frames
        self._load(due - len(self.loaded))
        return feed

    def snapshot(self) -> bytes:
        """Return the next position, and how many samples are loaded."""
        return json.dumps([self._next, len(self.loaded)]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot; the samples are read again."""
        self._next, count = json.loads(snapshot)
        self._load(count - len(self.loaded))

    def _load(self, count: int) -> None:
        """Read up to `count` samples more and put their features into DRAM."""
        began, target = time.perf_counter(), len(self.loaded) + count
        try:
            for sample in islice(self._unread, max(count, 0)):
                self._put(sample)
        except (DvsError, OSError) as error:  # what was read before still runs
            self.ended, self._unread = " ".join(str(error).split()), islice((), 0)
        if len(self.loaded) < target:
            self.limit = len(self.loaded)
        self.positions = -(-len(self.loaded) // self.lanes) * self.frames
        self.host_s += time.perf_counter() - began

    def _put(self, sample: Sample) -> None:
        number, frames = len(self.loaded), frames_of(sample.events, self._spec)
        self._store.write(number, features_of(self._gesture, frames))
        if number % self.lanes == 0:
            self.pictures[number] = picture_of(frames)
        self.readings[sample.reading] = None
        self.loaded.append(LoadedSample(sample.name, sample.subject, sample.label))


def picture_of(frames: F32) -> Array:
    """Return frames (n, size, size) as brightness, (n, pixels) uint8: the sample's brightest pixels at 255."""
    lit = np.abs(frames[frames != 0])
    top = float(np.percentile(lit, _BRIGHTEST)) if len(lit) else 1.0
    return np.clip(np.abs(frames) * (255 / top), 0, 255).astype(np.uint8).reshape(len(frames), -1)
