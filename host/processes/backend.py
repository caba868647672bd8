"""A crew: the routers and PEs of a run, wherever they are. The launcher deals with one and does not ask where that is.

`Here` runs them on this machine, in the launcher's own family; `host/cluster/dask_backend.py` on the workers of an engine.
What a crew
has to say are records: `routers` (all listen: tell the host), `died` (a process, with how), `gone` (a machine is lost or cannot
be reached) and `failed` (it cannot start, with an exit code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from host.options import RunOptions
from host.processes.fork_environment import too_few_descriptors
from host.processes.process_group import Family
from noc.packet import chip_of, router_name

Plan = Mapping[str, Any]
"""What the host has mapped: `layout`, `routers` with their wiring, `queue`, `table_entries`, `stored`."""


class Crew(Protocol):
    """What the launcher needs of routers and PEs."""

    @property
    def remote(self) -> bool:
        """Whether they are on other machines."""

    @property
    def stock(self) -> Path | None:
        """The folder in which the host leaves what PEs on other machines load; None where it reaches them in packets."""

    def fileno(self) -> int:
        """Return what becomes readable when there is news."""

    @property
    def starting(self) -> bool:
        """Whether routers are being started, of which the host hears nothing yet."""

    def open(self) -> None:
        """Make ready; HostError for what cannot be used."""

    def start_routers(self, plan: Plan) -> None:
        """Begin to start the routers; a record `routers` follows. HostError where there is no room."""

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Start the PEs, as long as `stop` does not say otherwise."""

    def news(self) -> list[dict[str, Any]]:
        """Return what there is to say."""

    def cut(self, name: str, peer: str, for_s: float) -> str:
        """Return the line on a link between machines that cannot be used."""

    def again(self) -> None:
        """End all routers and PEs, so that `start_routers` can start others."""

    def hear_host(self, traffic: dict[str, Any]) -> None:
        """Take in what the host says of its own link to another machine."""

    def rows(self) -> list[dict[str, Any]]:
        """Return what the monitor shows of each machine; nothing where there is only this one."""

    def processes(self) -> int:
        """Return how many processes have been started."""

    def uss_bytes(self) -> int | None:
        """Return what a PE's process uses alone, in bytes; None where that is not known."""

    def report(self) -> dict[str, Any] | None:
        """Return the report's block on machines, or None."""

    def end(self, patience_s: float) -> None:
        """Leave nothing behind, after `patience_s` for processes that are leaving."""


ConnectBackend = Callable[[Family, Callable[[str, int], None]], Crew]
"""Makes a crew on other machines for the launcher, from its processes here and what to call with each name and pid that starts."""


class Here:
    """Routers and PEs on this machine. Their deaths are told by the family's own watch."""

    remote = False
    stock = None
    starting = False

    def __init__(self, family: Family, options: RunOptions) -> None:
        self._family, self._faults = family, options.faults
        self._plan: Plan = {}
        self._addresses: dict[str, str] = {}
        self._news: list[dict[str, Any]] = []

    def fileno(self) -> int:
        """Never: what happens here, the family hears."""
        raise AssertionError("the family hears")

    def open(self) -> None:
        """Nothing is to be done."""

    def start_routers(self, plan: Plan) -> None:
        """Start all routers, each with the addresses of all."""
        from host.processes.child_main import run_router
        from noc.transport_zmq import new_address

        self._plan, queue, routers = plan, plan["queue"], plan["routers"]
        short = too_few_descriptors(len(plan["layout"]["pes"]))
        if short:
            self._news.append({"kind": "failed", "problem": short})
            return
        self._addresses = {router["name"]: new_address() for router in routers}
        for router in routers:
            name, wiring = router["name"], tuple(router["wiring"])
            slow = self._faults.of_router(name)
            self._family.start(name, run_router, name, self._addresses, queue, plan["table_entries"], wiring, slow)
        self._news.append({"kind": "routers", "queue": queue, "address": self._addresses[routers[0]["name"]]})

    def start_pes(self, stop: Callable[[], bool]) -> None:
        """Start the PEs one after another."""
        from host.processes.child_main import run_pe

        for pe in self._plan["layout"]["pes"]:
            if stop():
                return
            name = pe["name"]
            router = router_name(chip_of(name))
            slow_s = self._faults.slow.get(name, 0.0)
            self._family.start(name, run_pe, name, router, self._addresses[router], slow_s)

    def news(self) -> list[dict[str, Any]]:
        """Return what has happened since the last call."""
        news, self._news = self._news, []
        return news

    def cut(self, name: str, peer: str, for_s: float) -> str:
        """Never: there is no link between machines."""
        raise AssertionError(f"{name} called {peer} for {for_s} s")

    def again(self) -> None:
        """Never: this machine is lost only with its launcher."""
        raise AssertionError("only machines are lost")

    def hear_host(self, traffic: dict[str, Any]) -> None:
        """Never: the host has no such link."""

    def rows(self) -> list[dict[str, Any]]:
        """Return nothing: there is one machine."""
        return []

    def processes(self) -> int:
        """Return how many processes have been started, the host included."""
        return len(self._family)

    def uss_bytes(self) -> int | None:
        """Return the median unique set size of the PEs."""
        return self._family.uss_bytes(("host", *self._addresses))

    def report(self) -> None:
        """Return nothing: there is one machine."""

    def end(self, patience_s: float) -> None:
        """Nothing: the family ends its processes."""
