"""How much work something is, said so that it holds on any machine: calls, this program's own memory, and a machine's pace."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np

_REPEATS = 5
_USUAL_S = 0.05


def count_calls(action: Callable[[], object]) -> int:
    """Return how many functions `action` calls in this thread, those in C included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def highest_memory_bytes() -> int:
    """Return the most memory that this program has had since its start.

    Not `ru_maxrss`: there a child process begins with what its parent had.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1])


def crowding() -> float:
    """Return how many tasks want each of this machine's cores, over the last minute; at least 1.

    A bound on seconds that the program states for a machine of its own, times this holds beside others.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def pace() -> float:
    """Return how many times as long this machine takes, now, for a fixed piece of work as that of docs/performance.md.

    In processor time, half of it in numpy and half in Python; a bound times this holds on slower machines as well. At least 1: on a
    faster machine nothing else need be as much faster, nor is a machine as fast a moment later.
    """
    return max(1.0, min(_work_s() for _ in range(_REPEATS)) / _USUAL_S)


def _work_s() -> float:
    began = process_time()
    values = np.random.default_rng(1).random(500_000)
    np.cumsum(np.sort(values))
    words: dict[str, int] = {}
    for number in range(100_000):
        word = str(number % 1000)
        words[word] = words.get(word, 0) + number
    return process_time() - began
