"""`Overdue`: whose batch of which tick the routers wait for, as far as they have said."""

from __future__ import annotations

from collections.abc import Sequence

from noc.packet import StallReport


class Overdue:
    """What was heard since the last tick. `routers`: by name, the farthest first."""

    def __init__(self, routers: Sequence[str]) -> None:
        self._routers = routers
        self._missing: dict[str, StallReport] = {}  # by router, of those that were asked and said
        self._asked: set[str] = set()  # routers that owe an answer to the last question
        self._silent: set[str] = set()  # those that had not answered the one before when it was asked again

    def forget(self) -> None:
        """Note that a tick has come."""
        if self._missing:
            self._missing, self._asked, self._silent = {}, set(), set()

    def note_question(self) -> None:
        """Note that every router is asked."""
        self._silent, self._asked = self._asked, set(self._routers)

    def note_answer(self, router: str, report: StallReport) -> None:
        """Note what a router says."""
        self._missing[router] = report
        self._asked.discard(router)

    def mark_silent_routers(self) -> None:
        """Count every router that still owes an answer as one that does not answer."""
        self._silent |= self._asked

    def oldest(self, completed: int) -> tuple[int, list[str]] | None:
        """Return the oldest tick that waits, after `completed` ticks, and who has not sent their batch of it.

        A router that does not answer is named before all, the one nearest to the host, because others lie behind it. One that
        lacks a relay only waits for somebody, so endpoints are named before neighbours.
        """
        if not self._missing and not self._silent:
            return None
        tick = min((answer.tick for answer in self._missing.values()), default=completed)
        mute = next((name for name in reversed(self._routers) if name in self._silent), None)
        if mute is not None:
            return tick, [mute]
        names = sorted({name for answer in self._missing.values() if answer.tick == tick for name in answer.missing})
        return tick, [name for name in names if name not in self._routers] or names
