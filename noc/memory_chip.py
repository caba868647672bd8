"""A chip, or several linked ones, in one process: routers and PEs around a host's core, over `noc/transports/mem.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from noc.columns import Columns, MakeColumns
from noc.machine import Machine
from noc.packet import HOST, Outgoing, chip_of, router_name
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.serve import LinkedCore
from noc.transport import Core
from noc.transports.mem import MemNetwork
from noc.wiring import deepest_first, wiring_of


class PeCore(Core, Protocol):
    """A PE's core: says hello when it boots."""

    def boot(self) -> Outgoing:
        """Return what the PE says when it is up."""


class Booting(Protocol):
    """Whoever says something when it boots."""

    def boot(self) -> Outgoing:
        """Return that."""


P = TypeVar("P", bound=PeCore)


class MemoryChip:
    """The routers and PEs (by name) of `machine`, attached to a network with the host's core; nothing has been sent yet.

    `make_pe` makes a PE's core of its name and its router's, as `pe.core.Pe` does. `network` carries the messages, in the
    order of sending where none is given. Where its links are bad, `link_pe` puts a PE behind its link, as `pe.link.PeLink` does.
    `make_columns`: the routers'.
    """

    def __init__(
        self, host: Core, machine: Machine, table_entries: int, pes: Iterable[str], make_pe: Callable[[str, str], P],
        network: MemNetwork | None = None, link_pe: Callable[[P, str], LinkedCore] | None = None,
        make_columns: MakeColumns = Columns,
    ) -> None:  # fmt: skip
        self.network = network or MemNetwork()
        self.routers: dict[str, ChipRouter] = {}
        for chip in deepest_first(machine):
            name = router_name(chip)
            self.routers[name] = ChipRouter(name, table_entries, wiring_of(machine, chip), make_columns=make_columns)
        self.pes: dict[str, P] = {name: make_pe(name, router_name(chip_of(name))) for name in pes}
        cores: dict[str, Core | LinkedCore] = {HOST: host, **self.routers, **self.pes}
        if self.network.faults is not None and link_pe is not None:
            cores |= {name: RouterLinks(one, wiring_of(machine, chip_of(name))) for name, one in self.routers.items()}
            cores |= {name: link_pe(pe, router_name(chip_of(name))) for name, pe in self.pes.items()}
        self._booting: dict[str, Booting] = {name: core for name, core in cores.items() if name != HOST}  # type: ignore[misc]
        for name, core in cores.items():
            self.network.attach(name, core)

    def boot_routers(self, begin: Outgoing, settle: Callable[[], Outgoing]) -> None:
        """Boot the routers, post what the host begins with, and deliver until nothing is under way: they are configured.

        `settle`: the host's own work after each message it got.
        """
        for name in self.routers:
            self.network.post(name, self._booting[name].boot())
        self.network.post(HOST, begin)
        self.network.run(settle)

    def boot_pes(self, settle: Callable[[], Outgoing]) -> None:
        """Boot the PEs, and deliver until nothing is under way: a run has ended, or waits for its host."""
        for name in self.pes:
            self.network.post(name, self._booting[name].boot())
        self.network.run(settle)
