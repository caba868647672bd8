"""How much room chips need on a worker: an upper bound, because nobody watches that machine."""

from host.processes.room import describe_shortage, resources_available

__all__ = ["describe_shortage", "resources_available", "resources_needed"]

PE_BYTES = 12_000_000  # unshared by a PE's process, with its arena: measured 8 to 10 MB
ROUTER_BYTES = 40_000_000
AGENT_BYTES = 260_000_000  # agent and fork server with compiled kernels
PE_TASKS = 4  # processes and threads of a PE: its own and ZeroMQ's
ROUTER_TASKS = 7
AGENT_TASKS = 12


def resources_needed(pes: int, routers: int, stored_bytes: int) -> dict[str, int]:
    """Return what PEs and routers need on one machine: bytes of memory, tasks (processes and threads), and file descriptors."""
    return {
        "memory_bytes": AGENT_BYTES + ROUTER_BYTES * routers + PE_BYTES * pes + stored_bytes,
        "tasks": AGENT_TASKS + ROUTER_TASKS * routers + PE_TASKS * pes,
        "descriptors": 4 * (pes + routers) + 100,
    }
