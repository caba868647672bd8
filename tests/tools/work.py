"""How much work something is, in words that hold on any machine: calls, memory of this program, and how crowded a machine is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path


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
