"""How the processes of a run take turns on the cores."""

from __future__ import annotations

import contextlib
import os


def let_others_finish() -> None:
    """Have the system let who computes finish, when this process or one that it forks is woken: Linux's SCHED_BATCH.

    A router wakes one PE after another. By the usual policy each of them may interrupt the router, or a PE that computes: two
    switches more, caches that are cold for both, and an interrupt on the other core (docs/performance.md has what it comes to). A
    process's share of the cores is the same by both policies. What a user has chosen, as by `chrt --idle`, is left as it is, and so
    is a process that the system refuses this.
    """
    with contextlib.suppress(AttributeError, OSError):  # no such policy
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
