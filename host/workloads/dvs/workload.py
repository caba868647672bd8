"""The gesture workload: recordings of an event camera in, a class for each out.

Samples go through in rounds: as many side by side as there are lanes, round after round, each beginning fresh. The host
makes a sample's feature vectors (frames, CNN head), writes them into the emulated DRAM, and streams them from there, as
the paper has them pre-computed. The next round's samples are read while this one runs, a few at a time, so that neither
a large set nor a slow disk holds up anything; a sample's place in DRAM is used again once its round is over. A class is
the one with the highest score, of equals the first.

A last round with fewer samples than lanes leaves the others without input; what they do has no part in events, hash and
accuracy. Not known here: where samples come from, and what their files look like.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from host.errors import Exit, HostError
from host.workloads.lm.workload import Feed
from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import DvsError, Sample
from models.heads.gesture import Gesture, Scores, features_of
from models.network import F32, Array
from noc.dram import Dram
from noc.packet import FRESH, RESET, VALID, Section

_BRIGHTEST = 99  # percentile of a sample's lit pixels that is shown at full brightness


class Answer(NamedTuple):
    """What came out for a sample: its class, and the scores (classes,) float32."""

    name: str
    subject: str
    label: int
    prediction: int
    scores: F32


class _Taken(NamedTuple):
    """A sample whose features lie in DRAM, or lay there."""

    name: str
    subject: str
    label: int


class FeatureStore:
    """Room in DRAM for the features of some samples, `frames` vectors of `units` float32 each.

    HostError where two rounds of `lanes` samples (or all `samples` there can be) do not fit: one is streamed while the
    next is written.
    """

    def __init__(self, dram: Dram, units: int, frames: int, lanes: int, samples: int) -> None:
        self._dram, self._units, self._frames = dram, units, frames
        self._stride = dram.row_stride(4 * units)
        each, need = self._stride * frames, min(2 * lanes, samples)
        self._slots = min(samples, dram.room_bytes // each)
        if self._slots < need:
            have = f"room for {self._slots} in {dram.capacity_bytes:,} B"
            raise HostError(f"DRAM: features of {need} samples need {need * each:,} B, has {have}", Exit.DOES_NOT_FIT)
        self._region = dram.allocate("features", self._slots * each)

    def write(self, number: int, features: F32) -> None:
        """Write a sample's features (frames, units) float32 where that of an earlier round may have been."""
        first = number % self._slots * self._frames
        for frame, row in enumerate(features):
            self._dram.write(self._region, (first + frame) * self._stride, row.astype("<f4").tobytes())

    def feed(self, numbers: Sequence[int], frame: int) -> tuple[bytes, bytes]:
        """Return keys and values of one frame of these samples, one a lane; a zero is no event."""
        places = [(number % self._slots * self._frames + frame) * self._stride for number in numbers]
        rows = b"".join([self._dram.read(self._region, place, 4 * self._units) for place in places])
        values = np.frombuffer(rows, "<f4")
        keys = np.flatnonzero(values).astype("<u4")
        return keys.tobytes(), values[keys].tobytes()


class Gestures:
    """Feeds samples in rounds, and reads a class off the last layer for each.

    Args:
        gesture: head and read-out.
        samples: what to classify, read as it is needed.
        store: room for two rounds in DRAM.
        lanes: how many samples run side by side.
        most: how many samples to take.

    """

    def __init__(self, gesture: Gesture, samples: Iterator[Sample], store: FeatureStore, lanes: int, most: int) -> None:
        self._gesture, self._store, self._lanes, self._most = gesture, store, lanes, most
        self._samples = islice(samples, most)
        self._spec = FrameSpec(gesture.bin_us, gesture.slice_us, gesture.size, gesture.polarity, gesture.scale)
        self.frames = gesture.frames
        self.ended = ""  # why reading stopped before its end
        self.host_s = 0.0  # for reading, frames and features
        self.answers: list[Answer] = []
        self.answered_frames = 0
        self._taken: list[_Taken] = []
        self._pictures: dict[int, Array] = {}  # (frames, pixels) uint8 of the samples of the first lane that are yet to be shown
        self._scores = [Scores(gesture, lane) for lane in range(lanes)]
        self._next = 0
        self._answered = 0
        self._shown = 0  # the sample on the screen
        self._top = 0.0  # the highest score that one has had there, the last half of it
        self._take(lanes)

    @property
    def positions(self) -> int:
        """Positions of the samples that are known so far."""
        return -(-len(self._taken) // self._lanes) * self.frames

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return the sample that a lane runs at a position and which of its frames, or None (`events.SequenceAt`)."""
        turn, frame = divmod(position, self.frames)
        number = turn * self._lanes + lane
        return (number, frame) if number < len(self._taken) else None

    def next(self) -> Feed | None:
        """Return the next frame of every sample of this round; take in what falls due of the next round."""
        if self.exhausted():
            return None
        position = self._next
        self._next += 1
        turn, frame = divmod(position, self.frames)
        numbers = range(turn * self._lanes, min((turn + 1) * self._lanes, len(self._taken)))
        feed = Feed(position, VALID if frame else VALID | FRESH | RESET, *self._store.feed(numbers, frame))
        due = (turn + 1) * self._lanes + (frame + 1) * self._lanes // self.frames
        self._take(due - len(self._taken))
        return feed

    def exhausted(self) -> bool:
        """Tell whether every frame of every sample has been handed out."""
        return self._next >= self.positions

    def answer(self, section: Section) -> None:
        """Take the last layer's events at one position; after a sample's last frame, its class."""
        turn, frame = divmod(section.position, self.frames)
        keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<f4")
        running = min(self._lanes, len(self._taken) - turn * self._lanes)
        self._answered = section.position + 1
        if self._shown != turn * self._lanes:
            self._pictures.pop(self._shown, None)
            self._shown = turn * self._lanes
        self.answered_frames += running
        for lane in range(running):
            if frame == 0:
                self._scores[lane].reset()
            self._scores[lane].add(keys, values)
            if frame == self.frames - 1:
                scores = self._scores[lane].scores()
                self.answers.append(Answer(*self._taken[turn * self._lanes + lane], class_of(scores), scores))

    def correct(self) -> int:
        """Return how many samples got their own class."""
        return sum(answer.prediction == answer.label for answer in self.answers)

    def progress(self) -> dict[str, Any]:
        """Return what the monitor shows; a frame of a sample is a token."""
        return {
            "tokens": self.answered_frames,
            "tokens_total": self._most * self.frames,
            "perplexity": None,
            "text": "",
            "gesture": self._watched(),
        }

    def report(self) -> dict[str, Any]:
        """Return how many frames came through, as tokens; the rest is in `host/workloads/dvs/results.py`."""
        nothing = dict.fromkeys(("cross_entropy_nats", "perplexity", "perplexity_per_prediction", "text", "generated"))
        return {"tokens": self.answered_frames, **nothing}

    def _take(self, count: int) -> None:
        """Read up to `count` samples more and put their features into DRAM."""
        began, wanted = time.perf_counter(), len(self._taken) + count
        try:
            for sample in islice(self._samples, max(count, 0)):
                self._put(sample)
        except (DvsError, OSError) as error:  # what was read before still runs
            self.ended, self._samples = " ".join(str(error).split()), islice((), 0)
        if len(self._taken) < wanted:
            self._most = len(self._taken)
        self.host_s += time.perf_counter() - began

    def _put(self, sample: Sample) -> None:
        number, frames = len(self._taken), frames_of(sample.events, self._spec)
        self._store.write(number, features_of(self._gesture, frames))
        if number % self._lanes == 0:
            self._pictures[number] = picture_of(frames)
        self._taken.append(_Taken(sample.name, sample.subject, sample.label))

    def _watched(self) -> dict[str, Any]:
        """Return the first lane's sample as it is now: its frame, and how much each frame so far has added to its scores."""
        taken, done = self._taken[self._shown], len(self.answers)
        frame = max(self._answered - 1, 0) % self.frames
        so_far = self._scores[0]
        scores = so_far.scores()
        self._top = max(self._top, float(scores.max())) if so_far.positions * 2 > self.frames else self._top
        grown = scores * np.float32(so_far.positions / self.frames)
        return {
            "sample": self._shown + 1,
            "name": taken.name,
            "label": taken.label,
            "frame": self._pictures[self._shown][frame].tobytes(),
            "size": self._gesture.size,
            "scores": [float(score) for score in grown],
            "top": max(self._top, float(grown.max())),
            "done": done,
            "samples": self._most,
            "accuracy": self.correct() / done if done else None,
        }


def class_of(scores: F32) -> int:
    """Return the class with the highest score, of equals the first; a score that is no number is the lowest."""
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))


def picture_of(frames: F32) -> Array:
    """Return frames (n, size, size) as brightness, (n, pixels) uint8: the sample's brightest pixels at 255."""
    lit = np.abs(frames[frames != 0])
    top = float(np.percentile(lit, _BRIGHTEST)) if len(lit) else 1.0
    return np.clip(np.abs(frames) * (255 / top), 0, 255).astype(np.uint8).reshape(len(frames), -1)
