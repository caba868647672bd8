"""What every process of every engine does: each tick send one batch of events, hear those of the whole population, compare.

A process may send its batch of tick t + 1 once it has heard tick t. There is nothing to compute, so a tick costs what the
engine costs. Every process compares all that it hears, byte for byte, with what the population has sent: an engine that
loses, repeats or reorders events, or lets somebody run ahead, ends its trial. Not known here: engines, processes, sockets.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import psutil

FEWEST, MOST = 5, 20  # events in a batch
UNITS = 27  # of one process, as of a PE of the paper's language model
LAPS = 5  # a trial's ticks are timed in laps, and the median lap counts: machines are shared
EVENT = np.dtype([("key", "<u4"), ("value", "<f4")])
PATTERNS = 4  # ticks repeat after so many, so that what is heard can be compared with what was prepared


class Size(NamedTuple):
    """How large a trial is: processes, and ticks to time after those that warm up."""

    processes: int
    ticks: int
    warm_up: int

    @property
    def all_ticks(self) -> int:
        """Ticks of the trial, timed or not."""
        return self.warm_up + self.ticks


class Report(NamedTuple):
    """What one process says at the end.

    `first_s`: when it had heard tick 0; `laps_s`: when the timed ticks began and when each lap of them ended, both by
    the machine's monotonic clock, which all processes share. `events`: heard and found right. `uss_bytes`: unshared memory.
    """

    rank: int
    events: int
    first_s: float
    laps_s: list[float]
    uss_bytes: int


class WrongEventsError(AssertionError):
    """A process did not hear what was sent; names the process, the tick and how many events it heard."""


class Part:
    """One process's part of the exchange.

    Args:
        rank: number of the process. Its keys are one block, and blocks ascend with the rank, so that batches in order of
            rank are the merged population: no engine needs to sort.
        size: of the trial.

    """

    def __init__(self, rank: int, size: Size) -> None:
        self.rank, self.size = rank, size
        self._batches, self._runs = [], []
        draws = np.random.default_rng(0)  # the same in every process
        for _ in range(PATTERNS):
            counts = draws.integers(FEWEST, MOST + 1, size.processes)
            chosen = draws.random((size.processes, UNITS)).argsort(axis=1) < counts[:, None]
            run = np.empty(int(counts.sum()), EVENT)
            run["key"] = np.flatnonzero(chosen)
            run["value"] = draws.random(len(run))
            end = int(counts[: rank + 1].sum())
            self._batches.append(run[end - counts[rank] : end].tobytes())
            self._runs.append(run.tobytes())
        self._ticks = self._events = 0
        self._first_s = 0.0
        self._laps_s: list[float] = []

    @property
    def done(self) -> bool:
        """Whether all ticks have been heard."""
        return self._ticks == self.size.all_ticks

    def batch(self, tick: int) -> bytes:
        """Return the events that this process sends at `tick`: `EVENT` records, ascending."""
        return self._batches[tick % PATTERNS]

    def run(self, tick: int) -> bytes:
        """Return the events that the whole population sends at `tick`: `EVENT` records, ascending."""
        return self._runs[tick % PATTERNS]

    def hear(self, run: bytes) -> None:
        """Take the population's events of the next tick; WrongEventsError where they are not what was sent."""
        self.heard(run, self.run(self._ticks))

    def heard(self, have: Any, need: Any) -> None:
        """Take note that the next tick came as `have`; WrongEventsError where that is not `need`."""
        if have != need:
            events = len(have) // EVENT.itemsize
            raise WrongEventsError(f"process {self.rank} at tick {self._ticks}: heard {events} events that are not what was sent")
        self._ticks += 1
        self._events += len(self.run(self._ticks - 1)) // EVENT.itemsize
        timed = self._ticks - self.size.warm_up
        if self._ticks == 1:
            self._first_s = time.monotonic()
        if timed >= 0 and timed % lap_ticks(self.size) == 0:
            self._laps_s.append(time.monotonic())

    def followed(self, ticks: int, first_s: float, laps_s: list[float]) -> None:
        """Take note of `ticks` ticks that were heard and compared in compiled code, with the times of a `Report`."""
        self._ticks, self._first_s, self._laps_s = ticks, first_s, laps_s
        self._events = sum(len(self.run(tick)) for tick in range(ticks)) // EVENT.itemsize

    def report(self) -> Report:
        """Return this process's account, once it has heard all ticks and while all others still run."""
        assert self.done, f"process {self.rank} has heard {self._ticks} of {self.size.all_ticks} ticks"
        return Report(self.rank, self._events, self._first_s, self._laps_s, psutil.Process().memory_full_info().uss)


def lap_ticks(size: Size) -> int:
    """Return how many ticks a lap has."""
    return max(1, size.ticks // LAPS)


def events_due(size: Size) -> int:
    """Return how many events all processes together must have heard by the end."""
    part = Part(0, size)
    return size.processes * sum(len(part.run(tick)) // EVENT.itemsize for tick in range(size.all_ticks))
