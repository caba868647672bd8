"""Interface to the routers and PEs of a run: the launcher does not know whether they are local or on a cluster.

`LocalBackend` starts them on this machine, `host/cluster/dask_backend.py` on Dask's workers. A backend's records: `routers`
(all listen: tell the host), `died` (a process, with how), `cut` (a link between machines), `gone` (a machine is lost or
cannot be reached) and `failed` (it cannot start, with an exit code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from host.options import RunOptions, transport_named
from host.processes.fork_environment import reserve_descriptors
from host.processes.pe_server import PeCall, PeCalls
from host.processes.process_group import PE_SERVER, ProcessGroup
from noc.identities import identity_of, new_secret
from noc.packet import HOST, chip_of, router_name

LaunchPlan = Mapping[str, Any]
"""What `host/run/launch_plan.py` returns: `layout`, `routers` with their wiring, `queue`, `table_entries`, `stored` and more."""


class Backend:
    """The routers and PEs of a run, as the launcher starts, watches and ends them; what is defined here holds for one machine."""

    remote = False  # whether they are on other machines
    content_folder: Path | None = None  # where the host leaves what PEs on other machines load; None: it reaches them in packets

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []

    @property
    def starting(self) -> bool:
        """Whether routers are being started: the host is silent meanwhile."""
        return False

    def open(self) -> None:
        """Connect to other machines; HostError where that fails."""

    def fileno(self) -> int:
        """Return what becomes readable when there are records of other machines."""
        raise NotImplementedError

    def start_routers(self, plan: LaunchPlan) -> None:
        """Start the routers; a record `routers` follows. HostError where there is no room."""
        raise NotImplementedError

    @property
    def starts_pes(self) -> bool:
        """Whether there are PEs still to be started here, and somebody is at work on that."""
        return False

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Start the PEs, or have them started; where that is waited for, until `stop` returns True."""
        raise NotImplementedError

    def take_records(self) -> list[dict[str, Any]]:
        """Return the records since the last call."""
        records, self._records = self._records, []
        return records

    def describe_cut(self, cut: Mapping[str, Any]) -> str:
        """Return the error line for a link between machines that cannot be used: `name` called `peer` for `for_s` seconds."""
        raise NotImplementedError

    def reset(self) -> None:
        """End all routers and PEs, so that `start_routers` can start others."""
        raise NotImplementedError

    def note_host_traffic(self, traffic: dict[str, Any]) -> None:
        """Note the host's counts of its own link to another machine."""

    def machine_rows(self) -> list[dict[str, Any]]:
        """Return the monitor's row of each machine; none where there is only this one."""
        return []

    def process_count(self) -> int:
        """Return how many processes have been started."""
        raise NotImplementedError

    def pe_uss_bytes(self) -> int | None:
        """Return what a PE's process uses alone (the median unique set size), in bytes; None where that is not known."""
        raise NotImplementedError

    def report(self) -> dict[str, Any] | None:
        """Return the report's block on machines; None where there is only this one."""
        return None

    def end(self, patience_s: float) -> None:
        """End every process on other machines, after `patience_s` for those that are leaving."""


ConnectBackend = Callable[[ProcessGroup, Callable[[str, int], None]], Backend]
"""Makes a backend on other machines, of the launcher's processes here and what to call with each name and pid that starts."""


class LocalBackend(Backend):
    """Routers and PEs on this machine. The launcher's process group notices their deaths and ends them."""

    def __init__(self, processes: ProcessGroup, options: RunOptions) -> None:
        super().__init__()
        self._processes, self._faults, self._transport = processes, options.faults, options.transport
        self._plan: LaunchPlan = {}
        self._addresses: dict[str, str] = {}
        self._secret = b""

    def start_routers(self, plan: LaunchPlan) -> None:
        """Start all routers, each with the addresses of all."""
        from host.processes.child_main import run_router

        scheme = transport_named(self._transport)
        self._plan, queue, routers = plan, plan["queue"], plan["routers"]
        from host.processes.room import shortage_for

        pes = len(plan["layout"]["pes"])
        problem = reserve_descriptors(pes) or shortage_for(pes, len(routers))
        if problem:
            self._records.append({"kind": "failed", "problem": problem})
            return
        self._addresses = {router["name"]: scheme.new_address() for router in routers}
        self._secret = new_secret()
        for router in routers:
            name, wiring = router["name"], tuple(router["wiring"])
            slow = self._faults.of_router(name)
            self._processes.start(
                name, run_router, name, self._transport, self._addresses, queue, plan["table_entries"], wiring, slow,
                self._secret, plan["most_bytes"], bad=self._faults.links,
            )  # fmt: skip
        address, identity = self._addresses[routers[0]["name"]], identity_of(HOST, self._secret)
        self._records.append({"kind": "routers", "queue": queue, "address": address, "identity": identity})

    @property
    def starts_pes(self) -> bool:
        """Whether there are PEs still to be started, and the PE server is at work on that."""
        return self._processes.starts_pes

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Have the PEs started, one after another."""
        plan, addresses = self._plan, self._addresses
        calls = []
        for name in (pe["name"] for pe in plan["layout"]["pes"]):
            router, slow_s = router_name(chip_of(name)), self._faults.slow.get(name, 0.0)
            calls.append(PeCall(name, router, addresses[router], identity_of(name, self._secret), slow_s))
        has_bad_link = self._faults.links is not None
        pes = PeCalls(self._transport, plan["queue"], has_bad_link, tuple(calls), tuple(plan["samples"]))
        self._processes.start_pes(pes, stop)

    def reset(self) -> None:
        """End all routers and PEs, and forget them."""
        pes = [pe["name"] for pe in self._plan["layout"]["pes"]] if self._plan else []
        self._processes.drop([*self._addresses, PE_SERVER, *pes])
        self._records = []

    def process_count(self) -> int:
        """Return how many processes have been started, with the host."""
        return len(self._processes)

    def pe_uss_bytes(self) -> int | None:
        """Return the median unique set size of the PEs."""
        return self._processes.uss_bytes(("host", *self._addresses))
