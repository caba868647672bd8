"""The life of a PE, as one table that the PE and the host both judge by: which message is allowed when.

The states are those of the paper's Algorithm 1: check for input, process it, wait for the host to read the output, stop.
"""

from enum import Enum
from typing import Any

from noc.packet import Bundle, Fault, Hello, Load, Loaded, Read, Reading, Recall, Save, Snapshot, Start, Stop, Stopped


class State(Enum):
    """Where a PE is in its life."""

    BOOT = "BOOT"  # the process starts
    IDLE = "IDLE"  # up, without a shard
    LOADING = "LOADING"  # takes its shards into SRAM
    LOADED = "LOADED"  # everything fits; no tick yet
    RUNNING = "RUNNING"  # takes part in ticks
    READ = "READ"  # has been asked for its counters, after the ticks that it still owes
    WAITING = "WAITING"  # waits for the host to have read its output
    STOPPING = "STOPPING"  # has been told to leave
    STOPPED = "STOPPED"  # has left
    FAULT = "FAULT"  # has said what went wrong


_ANYTIME: dict[Any, State] = {Fault: State.FAULT, Stop: State.STOPPING}


def _stay(state: State, *kinds: Any) -> dict[Any, State]:
    return dict.fromkeys(kinds, state)


LIFECYCLE: dict[State, dict[Any, State]] = {
    State.BOOT: {Hello: State.IDLE, **_ANYTIME},
    State.IDLE: {Load: State.LOADING, **_ANYTIME},
    State.LOADING: {Loaded: State.LOADED, **_ANYTIME},
    # Whoever does not hear itself may hear others that were started before it.
    State.LOADED: {**_stay(State.LOADED, Recall, Snapshot, Bundle), Start: State.RUNNING, **_ANYTIME},
    State.RUNNING: {**_stay(State.RUNNING, Bundle, Save, Snapshot), Read: State.READ, **_ANYTIME},
    State.READ: {**_stay(State.READ, Bundle, Save, Snapshot), Reading: State.WAITING, **_ANYTIME},
    # Layers behind the first run a tick ahead of the host, so a last bubble may still come while they wait.
    State.WAITING: {**_stay(State.WAITING, Bundle, Save, Snapshot), Read: State.READ, Start: State.RUNNING, **_ANYTIME},
    State.STOPPING: {Stopped: State.STOPPED, **_stay(State.STOPPING, Bundle, Save), **_ANYTIME},
    State.STOPPED: {},
    State.FAULT: {Stop: State.STOPPING, Stopped: State.STOPPED, Bundle: State.FAULT, Save: State.FAULT},
}


class LifecycleError(ValueError):
    """A message that the state it meets does not allow."""


def advance(who: str, state: State, message: Any) -> State:
    """Return the state after `message` (a message or its class); LifecycleError where the table has no row."""
    kind = message if isinstance(message, type) else type(message)
    after = LIFECYCLE[state].get(kind)
    if after is None:
        allowed = ", ".join(k.__name__ for k in LIFECYCLE[state]) or "nothing"
        raise LifecycleError(f"{who}: {kind.__name__} in state {state.value}; needs one of: {allowed}")
    return after
