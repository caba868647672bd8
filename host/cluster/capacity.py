"""How many chips a machine has room for: memory, processes and file descriptors, checked before anything starts there.

Counted are the limits of the user, of the machine, and of the container that this process runs in (control groups,
version 2).
"""

import resource
from collections.abc import Mapping
from pathlib import Path

from host.processes.process_group import count_tasks, free_memory_bytes

PE_BYTES = 12_000_000  # unshared by a PE's process, with its arena: measured 8 to 10 MB
ROUTER_BYTES = 40_000_000
AGENT_BYTES = 260_000_000  # agent and fork server with compiled kernels
PE_TASKS = 4  # processes and threads of a PE: its own and ZeroMQ's
ROUTER_TASKS = 7
AGENT_TASKS = 12
_GROUP = Path("/sys/fs/cgroup")


def resources_needed(pes: int, routers: int, stored_bytes: int) -> dict[str, int]:
    """Return what PEs and routers need on one machine: bytes of memory, tasks (processes and threads), and file descriptors."""
    return {
        "memory_bytes": AGENT_BYTES + ROUTER_BYTES * routers + PE_BYTES * pes + stored_bytes,
        "tasks": AGENT_TASKS + ROUTER_TASKS * routers + PE_TASKS * pes,
        "descriptors": 4 * (pes + routers) + 100,
    }


def resources_available() -> dict[str, int]:
    """Return what this machine, or this process's container, can still give, in the same terms."""
    _, user_limit = resource.getrlimit(resource.RLIMIT_NPROC)
    tasks = [_group_headroom("pids.max", "pids.current")]
    if user_limit != resource.RLIM_INFINITY:
        tasks.append(user_limit - count_tasks())
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = [free_memory_bytes(), _group_headroom("memory.max", "memory.current")]
    return {"memory_bytes": min(memory), "tasks": min(tasks), "descriptors": descriptors}


def describe_shortage(need: Mapping[str, int], have: Mapping[str, int]) -> str | None:
    """Return in words what does not suffice, with both numbers; None where all does."""
    names = {
        "memory_bytes": ("memory", 1e6, " MB"), "tasks": ("processes and threads", 1, ""), "descriptors": ("open files", 1, ""),
    }  # fmt: skip
    lacks = [
        f"{name}: needs {need[key] / per:,.0f}{unit}, has {have[key] / per:,.0f}{unit}"
        for key, (name, per, unit) in names.items()
        if need[key] > have[key]
    ]
    return "; ".join(lacks) or None


def _group_headroom(limit_file: str, used_file: str) -> int:
    """Return what a control group's limit leaves; a very large number where there is none."""
    try:
        limit, used = (_GROUP / name for name in (limit_file, used_file))
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return 1 << 62
