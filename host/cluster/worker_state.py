"""A machine of a run, as the launcher knows it: a worker of the engine, its chips, and what its agent has told. Not known here:
the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from noc.transport_tcp import REFUSALS


@dataclass
class Machine:
    """A worker and what runs there."""

    worker: str
    name: str
    host: str
    capacity: int
    chips: list[int] = field(default_factory=list)
    pes: int = 0
    interface: str = ""
    ports: dict[str, int] | None = None
    processes: int = 0
    pe_uss_bytes: int | None = None
    cpu_s: float = 0.0
    load: float = 0.0  # cores in use
    stored_bytes: int = 0
    heard: float = 0.0
    usage_at: float = 0.0
    state: str = "starting"
    attended: bool = False
    left: bool = False
    traffic: dict[str, dict[str, Any]] = field(default_factory=dict)  # by router: what it says of its links


def total_bytes(machine: Machine, way: int) -> int:
    """Return the bytes that a machine's links have sent (0) or received (1)."""
    return sum(counts[way] for traffic in machine.traffic.values() for counts in traffic["bytes"].values())


def refusals(machine: Machine) -> dict[str, int]:
    """Return how many peers a machine's routers have refused, by kind."""
    return {kind: sum(traffic["refused"][kind] for traffic in machine.traffic.values()) for kind in REFUSALS}


def block(machine: Machine) -> dict[str, Any]:
    """Return the report's entry of a machine."""
    return {
        "name": machine.name, "host": machine.host, "worker": machine.worker, "chips": machine.chips, "pes": machine.pes,
        "state": machine.state, "interface": machine.interface, "ports": sorted((machine.ports or {}).values()),
        "processes": machine.processes, "pe_uss_bytes": machine.pe_uss_bytes, "cpu_s": machine.cpu_s,
        "stored_bytes": machine.stored_bytes, "sent_bytes": total_bytes(machine, 0), "received_bytes": total_bytes(machine, 1),
        "refused": refusals(machine),
    }  # fmt: skip
