"""What a run waits for, in words: who is to blame where nothing has moved for too long."""

from __future__ import annotations

from host.run.run import Run
from pe.lifecycle import State


def describe_stall(run: Run) -> str:
    """Return who has not done what, of a run in which nothing moves."""
    late = run.oldest_missing() if run.phase in ("running", "reading") else None
    if late is not None and (run.phase == "running" or late[0] < run.feeding.issued):  # counters are read behind the last tick
        more = f" and {len(late[1]) - 3} more" if len(late[1]) > 3 else ""
        what = "pass on" if late[1][0] in run.routers else "send the batch of"
        return f"{', '.join(late[1][:3])}{more} did not {what} tick {late[0]}"
    if run.phase == "running":
        return f"{run.routers[-1]} did not complete tick {run.completed} nor say why"
    if run.phase == "starting":
        silent = [name for name in reversed(run.routers) if name not in run.configured]
        return f"{', '.join(silent[:3])} did not answer"
    order = list(State)  # as a life goes
    furthest = max(order.index(state) for state in run.states.values())
    behind = [name for name, state in run.states.items() if order.index(state) < furthest]
    behind += [name for name in run.routers if run.phase == "reading" and name not in run.accounts.routers]
    return f"{', '.join(behind[:3]) or run.routers[-1]} made no progress while {run.phase}"
