"""What a run on several machines has lost: processes that died elsewhere, machines, and links between machines; and what is
to be said of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from host.errors import Exit

_BEHIND_S = 1.5  # after a link is cut: is a machine lost?
MOST_RESTARTS = 3


@dataclass
class Losses:
    """Taken note of by the launcher, record by record.

    `died`: how each process ended that an agent told of; `restarts`: for the report, one entry for each time that the run began
    again.
    """

    died: dict[str, str] = field(default_factory=dict)
    restarts: list[dict[str, Any]] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)
    _for_good: bool = False
    _cut: str = ""
    _cut_at: float = 0.0

    def gone(self, problem: str, for_good: bool) -> None:
        """Take note of a machine that is lost; `for_good` where nobody is left to go on with."""
        self._gone.append(problem)
        self._for_good |= for_good

    def cut(self, problem: str) -> None:
        """Take note of a link that cannot be used; the first is the one that is told of."""
        if not self._cut:
            self._cut, self._cut_at = problem, time.monotonic()

    def verdict(self, at_once: bool = False) -> tuple[str, Exit] | None:
        """Return what ends the run, in one line, and its exit code. A lost machine is a better reason than the links that it
        takes along, so those wait for a moment, unless `at_once`.
        """
        if self._gone:
            more = f"; {len(self._gone) - 1} more are lost" if self._gone[1:] else ""
            return self._gone[0] + more, Exit.DIED
        if self._cut and (at_once or time.monotonic() - self._cut_at > _BEHIND_S):
            return self._cut, Exit.STALLED
        return None

    @property
    def machine(self) -> bool:
        """Whether a machine is lost."""
        return bool(self._gone)

    @property
    def spent(self) -> bool:
        """Whether the run cannot begin once more."""
        return self._for_good or len(self.restarts) >= MOST_RESTARTS

    def restart(self, problem: str, tick: int) -> None:
        """Forget what was lost; the run begins again without it."""
        self.restarts.append({"problem": problem, "tick": tick})
        self._gone, self._cut, self.died = [], "", {}
