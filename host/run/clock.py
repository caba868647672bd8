"""`Clock`: the time that decisions go by: the machine's, or one that a simulation sets."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since whenever, and waiting."""

    def now(self) -> float:
        """Return the seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return the seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
