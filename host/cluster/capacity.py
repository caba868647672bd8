"""Whether a machine has room for chips: memory, processes and file descriptors, asked before anything starts there.

Limits of the user, of the machine, and of the container that this process runs in (control groups, both versions' files
of the second). Not known here: who asks, and what is done about it.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

from host.processes.process_group import machine_memory_bytes, machine_processes

PE_BYTES = 12_000_000  # unshared by a PE's process, with its arena: measured 8 to 10 MB
ROUTER_BYTES = 40_000_000
AGENT_BYTES = 260_000_000  # agent and fork server with compiled kernels
PE_TASKS = 4  # processes and threads of a PE: its own and ZeroMQ's
ROUTER_TASKS = 7
AGENT_TASKS = 12
_GROUP = Path("/sys/fs/cgroup")


def needed(pes: int, routers: int, stored_bytes: int) -> dict[str, int]:
    """Return what chips need on one machine: bytes of memory, tasks (processes and threads), and file descriptors."""
    return {
        "memory_bytes": AGENT_BYTES + ROUTER_BYTES * routers + PE_BYTES * pes + stored_bytes,
        "tasks": AGENT_TASKS + ROUTER_TASKS * routers + PE_TASKS * pes,
        "descriptors": 4 * (pes + routers) + 100,
    }


def available() -> dict[str, int]:
    """Return what this machine, or this process's container, can still give, in the same terms."""
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    tasks = [_left("pids.max", "pids.current")]
    if most != resource.RLIM_INFINITY:
        tasks.append(most - machine_processes())
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = [machine_memory_bytes(), _left("memory.max", "memory.current")]
    return {"memory_bytes": min(memory), "tasks": min(tasks), "descriptors": descriptors}


def lacking(need: Mapping[str, int], have: Mapping[str, int]) -> str | None:
    """Return what does not suffice, in words with both numbers; None where all does."""
    names = {"memory_bytes": ("memory", 1e6, "MB"), "tasks": ("processes and threads", 1, ""), "descriptors": ("open files", 1, "")}
    lacks = [
        f"{name}: needs {need[key] / per:,.0f}{unit and ' ' + unit}, has {have[key] / per:,.0f}{unit and ' ' + unit}"
        for key, (name, per, unit) in names.items()
        if need[key] > have[key]
    ]
    return "; ".join(lacks) or None


def _left(most: str, now: str) -> int:
    """Return what a control group's limit leaves; a very large number where there is none."""
    try:
        limit, used = (_GROUP / name for name in (most, now))
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return 1 << 62
