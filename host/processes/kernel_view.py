"""What the kernel says of a process in /proc: whether it is stopped, and how one that nobody has reaped has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_STATE, _EXIT_STATUS = 0, 49  # among the fields of /proc/PID/stat behind the name


def is_stopped(pid: int | None) -> bool:
    """Tell whether a process is stopped, as by SIGSTOP or Ctrl-Z."""
    return _field(pid, _STATE) == "T"


def is_at_work(pid: int | None) -> bool:
    """Tell whether a process has something to do at this moment, whether or not it has a core for it, or waits for a disk."""
    return _field(pid, _STATE) in ("R", "D")


def exit_code_of(pid: int | None) -> int | None:
    """Return the exit code, -n for signal n, of a process that has ended and that its parent has not asked for; None of others."""
    status = _field(pid, _EXIT_STATUS) if _field(pid, _STATE) in ("Z", "X") else None
    return None if status is None else os.waitstatus_to_exitcode(int(status))


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process's main thread."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def cpu_ticks_of(pid: int) -> int:
    """Return the clock ticks of processor time that a process and its children have used."""
    own = (11, 12, 13, 14)  # utime, stime, cutime, cstime
    return sum(int(_field(one, n) or 0) for one in (pid, *children_of(pid)) for n in own)


def _field(pid: int | None, number: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[number]
    except (OSError, IndexError):
        return None


class StandstillClock:
    """Measures how long a process has been stopped, look by look; time in which whoever looks was stopped itself does not count."""

    _ASLEEP_S = 2.0  # a gap between two looks that is no scheduling delay

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.monotonic
        self._since: float | None = None
        self._looked_at = self._now()

    def look(self, stopped: bool) -> float:
        """Take note of whether the process is stopped now; return for how many seconds it has been."""
        now = self._now()
        if not stopped:
            self._since = None
        elif self._since is None or now - self._looked_at > self._ASLEEP_S:
            self._since = now
        self._looked_at = now
        return 0.0 if self._since is None else now - self._since
