"""`Restarts`: which parts of a run failed and were replaced, how often that may be, and what it cost."""

from __future__ import annotations

from typing import Any

from host.run.clock import SYSTEM_CLOCK, Clock

MOST_RESTARTS = 3  # of the same part
LAUNCHER = "the launcher"
MACHINE = "a machine"  # whichever: who is lost does not come back


class Restarts:
    """The restarts of one run, of which there are some where `is_asked` alone."""

    def __init__(self, is_asked: bool, clock: Clock = SYSTEM_CLOCK) -> None:
        self.is_asked, self._clock = is_asked, clock
        self.rows: list[dict[str, Any]] = []  # the report's, one for each
        self._failed_at = 0.0
        self.is_under_way = False  # new processes do not run yet

    def count(self, part: str) -> int:
        """Return how often a part has been replaced."""
        return sum(row["part"] == part for row in self.rows)

    def allows(self, part: str) -> bool:
        """Tell whether the run may go on without this part once more."""
        return self.is_asked and self.count(part) < MOST_RESTARTS

    def note(self, part: str, problem: str, tick: int | None = None) -> None:
        """Note that a part has failed and is being replaced; `tick`: when, as far as that is known."""
        self.rows.append({"part": part, "problem": problem, **({} if tick is None else {"tick": tick})})
        self._failed_at, self.is_under_way = self._clock.now(), True

    def note_position(self, position: int, positions_again: int) -> None:
        """Note from which position the run goes on, and how many that have been run are run again."""
        self.rows[-1] |= {"position": position, "positions_again": positions_again}

    def note_running(self) -> None:
        """Note that ticks run again."""
        if self.is_under_way:
            self.rows[-1]["back_s"] = self._clock.now() - self._failed_at
            self.is_under_way = False

    def explain(self, part: str, problem: str) -> str:
        """Return the line of a failure that ends the run, with what a restart would do or has done."""
        if not self.is_asked:
            return f"{problem}; with --restart a run goes on"
        return f"{problem}; it was replaced {count} times before" if (count := self.count(part)) else problem

    def report(self) -> dict[str, Any]:
        """Return the report's block: the restarts, and of which set of processes its counts of packets and processes are."""
        return {"restarts": self.rows, "counts_of_set": len(self.rows) + 1}
