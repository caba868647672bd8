"""State of one Dask worker of a run, as the launcher knows it: its chips, ports, load and traffic."""

from dataclasses import dataclass, field
from typing import Any

from noc.transport_tcp import REFUSALS


@dataclass
class WorkerState:
    """A worker and what runs there; `traffic` is by router, as each reports of its links."""

    worker: str
    name: str
    host: str
    chips: list[int] = field(default_factory=list)
    pes: int = 0
    interface: str = ""
    ports: dict[str, int] | None = None
    processes: int = 0
    pe_uss_bytes: int | None = None
    cpu_s: float = 0.0
    load: float = 0.0  # cores in use
    stored_bytes: int = 0
    heard_at: float = 0.0
    usage_at: float = 0.0
    state: str = "starting"
    is_asked: bool = False  # to run an agent
    is_attended: bool = False
    has_left: bool = False
    traffic: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The worker in an error line."""
        return f"worker {self.name} on {self.host} ({self.worker})"

    @property
    def sent_bytes(self) -> int:
        """What its links have sent."""
        return sum(sent for traffic in self.traffic.values() for sent, _ in traffic["bytes"].values())

    @property
    def received_bytes(self) -> int:
        """What its links have received."""
        return sum(received for traffic in self.traffic.values() for _, received in traffic["bytes"].values())

    @property
    def refused(self) -> dict[str, int]:
        """How many peers its routers have refused, by kind."""
        return {kind: sum(traffic["refused"][kind] for traffic in self.traffic.values()) for kind in REFUSALS}

    def report_entry(self) -> dict[str, Any]:
        """Return the worker's entry in the report."""
        return {
            "name": self.name, "host": self.host, "worker": self.worker, "chips": self.chips, "pes": self.pes,
            "state": self.state, "interface": self.interface, "ports": sorted((self.ports or {}).values()),
            "processes": self.processes, "pe_uss_bytes": self.pe_uss_bytes, "cpu_s": self.cpu_s,
            "stored_bytes": self.stored_bytes, "sent_bytes": self.sent_bytes, "received_bytes": self.received_bytes,
            "refused": self.refused,
        }  # fmt: skip
