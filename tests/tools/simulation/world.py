"""`World`: pretended time, in which one thing happens after another; and `Fiber`: code that waits in it."""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable

from greenlet import getcurrent, greenlet


class World:
    """Time, as a list of what will happen. It is a `Clock` (`host/run/clock.py`): who sleeps lets the rest happen."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self._now_s, self._number = 0.0, 0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        """Return the pretended seconds."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Let happen what happens within these seconds."""
        self.run(self._now_s + seconds, lambda: False)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        self._number += 1
        heapq.heappush(self._coming, (self._now_s + seconds, self._number, act))

    def run(self, until_s: float, is_over: Callable[[], bool]) -> None:
        """Let things happen until then, or until `is_over`."""
        while not is_over():
            if not self._coming or self._coming[0][0] > until_s:
                self._now_s = max(self._now_s, until_s)
                return
            self._now_s, _, act = heapq.heappop(self._coming)
            act()


class Killed(BaseException):
    """The process in which this code runs has been killed."""


class Fiber:
    """Code that waits, on a stack of its own: a thread would take a core's turn for each wait."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body, self._stack, self._is_killed = body, greenlet(self._run), False

    def _run(self) -> None:
        with contextlib.suppress(Killed):
            self._body()

    @property
    def has_ended(self) -> bool:
        """Whether the code has come to its end."""
        return self._stack.dead or self._is_killed

    def resume(self) -> None:
        """Let it run until it waits or ends; whatever it raises is raised here."""
        if not self.has_ended:
            self._stack.parent = getcurrent()
            self._stack.switch()

    def wait(self) -> None:
        """Wait, from within, until it is resumed."""
        parent = self._stack.parent
        assert parent is not None
        parent.switch()

    def kill(self) -> None:
        """End it where it waits, or before it has begun."""
        self._is_killed = True
        if self._stack:
            self._stack.parent = getcurrent()
            self._stack.throw(Killed)
