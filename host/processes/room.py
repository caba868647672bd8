"""Room for processes on this machine: memory, tasks, descriptors and address space, counted before anything starts.

Counted are the limits of the user, of the machine, and of the container that this process runs in (control groups, version
1 and 2). What is asked for at home is the least that no run does without; what bites later all the same is named then.
"""

import os
import resource
from collections.abc import Mapping
from pathlib import Path

from host.processes.control_groups import UNLIMITED, memory_headroom_bytes, task_headroom
from host.processes.machine_state import count_tasks, free_memory_bytes

# Measured with 5 to 150 PEs, and rounded down.
_START_BYTES = 130_000_000  # the fork server with all kernels, the host, and what keeps track of them
_START_TASKS = 7  # the same, processes that compile, and the host's threads
_START_ADDRESSES = 600_000_000  # of each process; the compiler takes the most
_START_DATA_BYTES = 300_000_000  # of each process; with less, OpenBLAS asks for ever
_START_DESCRIPTORS = 32
_PE_BYTES, _ROUTER_BYTES = 3_000_000, 4_000_000
_PE_TASKS, _ROUTER_TASKS = 1, 3  # a router has ZeroMQ's two threads
_MANY_TASKS = 20_000  # more than a run can have

_NAMES = {
    "memory_bytes": ("memory", 1e6, " MB", "the container's limit, or the machine's memory"),
    "tasks": ("processes and threads", 1, "", "ulimit -u, or the container's pids limit"),
    "descriptors": ("open files", 1, "", "ulimit -n"),
    "addresses": ("address space", 1e6, " MB", "ulimit -v"),
    "data": ("data of a process", 1e6, " MB", "ulimit -d"),
}


def resources_available() -> dict[str, int]:
    """Return what this machine, or this process's container, can still give, in the terms of `describe_shortage`."""
    return {
        "memory_bytes": min(free_memory_bytes(), memory_headroom_bytes()),
        "tasks": min(_user_tasks(), task_headroom()),
        "descriptors": _limit(resource.RLIMIT_NOFILE),
    }


def describe_shortage(need: Mapping[str, int], have: Mapping[str, int]) -> str | None:
    """Return in words what does not suffice, with both numbers; None where all does."""
    lacks = [
        f"{name}: needs {need[key] / per:,.0f}{unit}, has {have[key] / per:,.0f}{unit}"
        for key, (name, per, unit, _) in _NAMES.items()
        if need.get(key, 0) > have.get(key, UNLIMITED)
    ]
    return "; ".join(lacks) or None


def shortage_to_start() -> str | None:
    """Return what is lacking here for a run of any size, in one line with what to raise; None where nothing is."""
    need = {
        "memory_bytes": _START_BYTES, "tasks": _START_TASKS, "addresses": _START_ADDRESSES, "data": _START_DATA_BYTES,
        "descriptors": _START_DESCRIPTORS,
    }  # fmt: skip
    return _shortage_here("this machine has no room for a run", need)


def shortage_for(pes: int, routers: int) -> str | None:
    """Return what is lacking here for so many PEs and routers, once fork server and host run; None where nothing is."""
    need = {
        "memory_bytes": _PE_BYTES * pes + _ROUTER_BYTES * routers,
        "tasks": _PE_TASKS * pes + _ROUTER_TASKS * routers + 1,  # and the PE server
    }
    return _shortage_here(f"no room for {pes} PEs", need)


def _shortage_here(who: str, need: Mapping[str, int]) -> str | None:
    limits = {"addresses": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}
    soft = {name: resource.getrlimit(kind)[0] for name, kind in limits.items()}
    have = resources_available() | {name: UNLIMITED if n == resource.RLIM_INFINITY else n for name, n in soft.items()}
    lacks = describe_shortage(need, have)
    remedies = [remedy for key, (_, _, _, remedy) in _NAMES.items() if need.get(key, 0) > have[key]]
    return f"{who}: {lacks}; raise {', '.join(remedies)}" if lacks else None


def _limit(kind: int) -> int:
    """Return how far this process may raise a limit of its own."""
    _, hard = resource.getrlimit(kind)
    return UNLIMITED if hard == resource.RLIM_INFINITY else hard


def _user_tasks() -> int:
    """Return how many tasks this user may still have, after raising the limit as far as that goes; root's are not limited."""
    limit, (soft, hard) = _limit(resource.RLIMIT_NPROC), resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    if not os.geteuid() or limit > _tasks_of_machine() + _MANY_TASKS:  # to count a user's own takes a while
        return UNLIMITED
    return limit - count_tasks()


def _tasks_of_machine() -> int:
    return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
