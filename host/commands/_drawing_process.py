"""A process of its own for what can be drawn beside something else."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator

from host.processes.parent_death import die_with

_LONGEST_S = 60.0


@contextlib.contextmanager
def draw_beside(draw: Callable[[], None]) -> Iterator[None]:
    """Draw in a forked process while the block runs; behind it where this process has other threads, whose locks a fork would
    copy, or the machine no second core. A process that fails or takes a minute is replaced by this one, which says what is wrong.
    """
    if threading.active_count() > 1 or len(os.sched_getaffinity(0)) < 2:
        yield
        draw()
        return
    pid = _fork(draw)
    code = None
    try:
        yield
        code = _wait(pid)
    finally:
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if code != 0:
        draw()


def _fork(draw: Callable[[], None]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        die_with(parent)
        draw()
        code = 0
    finally:
        os._exit(code)  # whatever it was: nothing of the parent's is cleaned up here


def _wait(pid: int) -> int | None:
    """Return a child's exit code; None where it takes too long."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], _LONGEST_S)[0]:
            return None
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
