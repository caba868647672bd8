"""Judges a host that says nothing: it may have much to do, and little of a busy machine; or it is stopped, or waits in vain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from host.processes.kernel_view import StandstillClock
from noc.packet import HOST

NO_SILENCE_S = 1.0  # a pause between two things that the host says
WORK_S = 120.0  # for the host to read and map its input, or to compile, without a word; `--stall` where that is more


class Processes(Protocol):
    """What is asked of the processes of a run."""

    def is_stopped(self, name: str) -> bool:
        """Tell whether a process is stopped."""

    def is_at_work(self, name: str) -> bool:
        """Tell whether a process's main thread has something to do at this moment."""

    def worked_s(self, name: str) -> float:
        """Return the processor time that it has used."""


class Silence:
    """Measures what the host does while it says nothing. `stall_s`: how long it may be stopped, or wait."""

    def __init__(self, processes: Processes, now: Callable[[], float], stall_s: float) -> None:
        self._processes, self._now, self._stall_s = processes, now, stall_s
        self._stands, self._rests = StandstillClock(now), StandstillClock(now)
        self._begun = False
        self._looked_at = self._worked_before_s = self._worked_s = self._waited_s = 0.0

    def stopped_s(self) -> float:
        """Look at the host; return for how many seconds it has been stopped."""
        return self._stands.look(self._processes.is_stopped(HOST))

    def too_long_s(self, heard_at: float, is_prepared: bool) -> float:
        """Look at the host; return for how many seconds it has said nothing where that is too long, else 0.

        Who works may do so for `WORK_S` of a processor's time, however long that takes; who waits, for `stall_s`, and for `WORK_S`
        before it is prepared. A host that gets no processor time for as long waits for a disk that does not answer.
        """
        quiet_s = self._now() - heard_at
        if quiet_s <= NO_SILENCE_S:
            self._begun = False
            for clock in (self._stands, self._rests):
                clock.look(False)
            return 0.0
        rests_s = self._look_at_work(quiet_s)
        most_s = max(self._stall_s, WORK_S)
        waits = self._waited_s > (self._stall_s if is_prepared else most_s)
        works = self._worked_s - self._worked_before_s > most_s
        return quiet_s if self.stopped_s() > self._stall_s or waits or works or rests_s > most_s else 0.0

    def _look_at_work(self, quiet_s: float) -> float:
        """Add up what the host has waited since the last look; return for how many seconds it has had no processor time."""
        now, worked_s = self._now(), self._processes.worked_s(HOST)
        if not self._begun:
            self._begun, self._worked_before_s, self._waited_s = True, worked_s, 0.0
            self._looked_at, self._worked_s = now - quiet_s, worked_s
        new_s, more_s = worked_s - self._worked_s, now - self._looked_at
        if not self._processes.is_at_work(HOST):  # other threads and children may be
            self._waited_s += max(more_s - new_s, 0.0)
        self._looked_at, self._worked_s = now, worked_s
        return self._rests.look(new_s <= 0.0)
