"""Judges a host that says nothing: it may have much to do, and little of a busy machine; or it is stopped, or waits in vain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from host.processes.kernel_view import StandstillClock
from noc.packet import HOST

NO_SILENCE_S = 1.0  # a pause between two things that the host says
_WORK_S = 120.0  # for the host to read and map its input, or to compile, without a word


class Processes(Protocol):
    """What is asked of the processes of a run."""

    def is_stopped(self, name: str) -> bool:
        """Tell whether a process is stopped."""

    def is_at_work(self, name: str) -> bool:
        """Tell whether a process has something to do at this moment."""

    def worked_s(self, name: str) -> float:
        """Return the processor time that it has used."""


class Silence:
    """Measures what the host does while it says nothing. `stall_s`: how long it may be stopped, or wait."""

    def __init__(self, processes: Processes, now: Callable[[], float], stall_s: float) -> None:
        self._processes, self._now, self._stall_s = processes, now, stall_s
        self._stands, self._idles, self._rests = StandstillClock(now), StandstillClock(now), StandstillClock(now)
        self._worked_before_s: float | None = None  # when the silence began
        self._worked_s = 0.0

    def stopped_s(self) -> float:
        """Look at the host; return for how many seconds it has been stopped."""
        return self._stands.look(self._processes.is_stopped(HOST))

    def too_long_s(self, heard_at: float, is_prepared: bool) -> float:
        """Look at the host; return for how many seconds it has said nothing where that is too long, else 0.

        Who works may do so for `_WORK_S` of a processor's time, however long that takes.
        """
        quiet_s = self._now() - heard_at
        if quiet_s <= NO_SILENCE_S:
            self._worked_before_s = None
            for clock in (self._stands, self._idles, self._rests):
                clock.look(False)
            return 0.0
        worked_s = self._processes.worked_s(HOST)
        if self._worked_before_s is None:
            self._worked_before_s = self._worked_s = worked_s
        rests_s, self._worked_s = self._rests.look(worked_s == self._worked_s), worked_s
        idle_s = self._idles.look(not self._processes.is_at_work(HOST))
        if (stopped_s := self.stopped_s()) > self._stall_s:
            return max(quiet_s, stopped_s)
        if is_prepared and idle_s >= NO_SILENCE_S / 2:
            return quiet_s if quiet_s > self._stall_s else 0.0
        most_s = max(self._stall_s, _WORK_S)
        is_slow = rests_s <= most_s and worked_s - self._worked_before_s <= most_s and (is_prepared or idle_s <= most_s)
        return quiet_s if quiet_s > most_s and not is_slow else 0.0
