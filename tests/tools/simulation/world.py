"""`World`: pretended time, in which one thing happens after another; and `Fiber`: code that waits in it."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable


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
    """Code that waits, in a thread of its own; at any moment either it runs or whoever resumed it."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body, self._is_killed = body, False
        self._there, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        self.has_ended = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._there.acquire()
        try:
            if not self._is_killed:
                self._body()
        except Killed:
            pass
        except BaseException as failure:  # is raised where it was resumed
            self._failure = failure
        self.has_ended = True
        self._back.release()

    def resume(self) -> None:
        """Let it run until it waits or ends."""
        if self.has_ended:
            return
        self._there.release()
        self._back.acquire()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def wait(self) -> None:
        """Wait, from within, until it is resumed."""
        self._back.release()
        self._there.acquire()
        if self._is_killed:
            raise Killed

    def kill(self) -> None:
        """End it where it waits."""
        self._is_killed = True
        self.resume()
