"""What runs inside the processes: a PE, a router, the host. Each dies with its parent, and none reacts to Ctrl-C.

The host process speaks to the launcher over a pipe in small records (`noc/wire.py` status): `refused`, `mapped`, `routed`,
`running`, `status`, `report` and `failed` go up; `routers`, `interrupt`, `postmortem` and `stop` come down.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import time
from typing import Any, Protocol

from host.mortality import die_with, show_as
from noc.link import Wiring
from noc.packet import HOST
from noc.process import post, serve
from noc.transport_zmq import ZmqTransport
from noc.transport_zmtp import ZmtpTransport


class Pipe(Protocol):
    """The host's end of the pipe to the launcher (`multiprocessing` lives in `host/cluster.py` alone)."""

    def send_bytes(self, buf: bytes, /) -> None:
        """Send one record."""

    def recv_bytes(self) -> bytes:
        """Return the next record, waiting for it; EOFError where the launcher is gone."""

    def poll(self) -> bool:
        """Tell whether a record waits."""


def _settle_in(name: str) -> None:
    """Die with the fork server, show `name` in process listings, and leave Ctrl-C to the launcher."""
    from host.preload import SERVER_PID  # not above: the launcher reads this file too, and must stay light

    die_with(SERVER_PID)
    show_as(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher ends its processes by SIGKILL
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def run_pe(name: str, router: str, address: str, slow_s: float) -> None:
    """Run one processing element until it is stopped."""
    _settle_in(name)
    # A tick makes no cycles, and a collection would touch, and so copy, pages shared with the fork server.
    gc.disable()
    transport = ZmtpTransport(name, address, router)
    from pe.core import Pe
    from pe.exchange import Exchange

    core = Pe(name, router)
    post(transport, core.boot())
    if slow_s:
        serve(core, transport, lambda _: time.sleep(slow_s))
    else:
        serve(core, transport, exchange=Exchange(core, transport))
    transport.close()


def run_router(
    name: str, addresses: dict[str, str], queue: int, table_entries: int, wiring: tuple[Any, ...], slow: dict[str, float]
) -> None:
    """Run one chip's router until it is stopped. `addresses`: of every router; `slow`: seconds before each message of a
    sender, "" for all.
    """
    _settle_in(name)
    gc.disable()
    links = Wiring(*wiring)
    calls = {neighbour: addresses[neighbour] for neighbour in links.calls}
    transport = ZmqTransport(name, addresses[name], queue, listen=True, calls=calls)
    from noc.router import ChipRouter

    def dawdle(sender: str) -> None:
        time.sleep(slow.get(sender, slow.get("", 0.0)))

    core = ChipRouter(name, table_entries, links)
    post(transport, core.boot())
    serve(core, transport, dawdle if slow else None, core.undelivered)
    transport.close()


def run_host(pipe: Pipe, options: dict[str, Any], folder: str | None) -> None:
    """Run the host until the run has ended or the launcher is gone."""
    _settle_in(HOST)
    from host.drive import drive

    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):  # the launcher is gone: nobody is left to tell
        drive(pipe, options, folder)
