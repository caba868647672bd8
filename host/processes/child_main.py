"""Entry points of the processes of routers and the host (`host/processes/pe_server.py`: PEs). Each dies with its parent, and none
reacts to Ctrl-C.

The host process speaks to the launcher over a pipe in small records (`noc/wire.py` status): `refused`, `mapped`, `routed`,
`running`, `status`, `cut`, `again`, `report` and `failed` go up; `routers`, `starting`, `again`, `interrupt`, `postmortem` and
`stop` come down.
"""

import contextlib
import gc
import importlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from host.errors import Exit
from host.options import transport_named
from host.processes.fork_environment import (
    NO_ROUTER,
    PRELOAD_VARIABLE,
    code_for_lack,
    members_needed,
    raise_descriptor_limit,
)
from host.processes.parent_death import die_with_fork_server, set_process_name
from host.processes.scheduling import let_others_finish
from host.run.content_store import ContentStore
from noc.packet import HOST
from noc.serve import post, serve
from noc.transport import Transport, TransportError, Unreachable
from noc.wire import pack_status, unpack_status
from noc.wiring import Wiring

_ROUTER_IDLE_S = 0.5  # without any message, before a router asks for what may have been lost: sockets here lose nothing
_BAD_IDLE_S = 0.01  # where links lose on purpose
_COMPLAINT_READ_S = 2.0  # for a complaint to be read before this process is found dead
_compile_s = 0.0  # what the fork server took to compile kernels
_refusal: dict[str, Any] = {}  # why nothing can run: the input is wrong, or kernels could not be compiled


def refuse(problem: str, code: int = int(Exit.USAGE)) -> None:
    """Note in the fork server that its children cannot run, and why."""
    global _refusal  # noqa: PLW0603 - set once, before the first fork
    _refusal = {"text": problem, "code": code}


def load(compile_s: float) -> None:
    """Import in the fork server what its children run (the launcher stays without it), and note how long it compiled kernels."""
    global _compile_s  # noqa: PLW0603 - set once, before the first fork
    for module in ("host.run.host_process", "host.processes.pe_server", "pe.core", "pe.link", "noc.link_end"):
        importlib.import_module(module)

    if preload := os.environ.get(PRELOAD_VARIABLE):
        importlib.import_module(preload)
    _compile_s = compile_s


def prepare_process(name: str) -> None:
    """Die with the fork server, show `name` in process listings, and leave Ctrl-C to the launcher."""
    die_with_fork_server()
    set_process_name(name)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the launcher ends its processes by SIGKILL
    signal.signal(signal.SIGCONT, signal.SIG_DFL)


def code_of_lack(error: Exception) -> int | None:
    """Return the exit code that says that the system has no memory to give, or that a PE's router is gone; None for a bug."""
    if isinstance(error, MemoryError):
        return code_for_lack(error) or 1
    return NO_ROUTER if isinstance(error, Unreachable) else None


@contextlib.contextmanager
def _leaving_with_what_lacks() -> Iterator[None]:
    """Leave with the exit code that says so where something is lacking."""
    try:
        yield
    except (MemoryError, Unreachable) as error:
        os._exit(code_of_lack(error) or 1)


RemoteLinks = tuple[Any, tuple[str, str], tuple[str, int, int], list[str]]
"""A router's part in links between machines: a pipe to the agent, keys, where to listen, and the remote peers' names."""


@_leaving_with_what_lacks()
def run_router(
    name: str, scheme: str, addresses: dict[str, str], queue: int, table_entries: int, wiring: tuple[Any, ...],
    slow: dict[str, float], secret: bytes, most_bytes: int, remote: RemoteLinks | None = None, store: str | None = None, *,
    bad: Sequence[float] | None = None,
) -> None:  # fmt: skip
    """Run one chip's router until it is stopped. `scheme`: the transport's name; `addresses`: of every router of this machine;
    `slow`: seconds before each message of a sender, "" for all; `secret`: the run's, by which its peers prove their names;
    `most_bytes`: of a message; `remote`: for peers on other machines; `store`: folder of content from other machines; `bad`: what
    its links do to messages (`LinkFaults`).
    """
    prepare_process(name)
    let_others_finish()
    raise_descriptor_limit()
    gc.disable()
    links = Wiring(*wiring)
    if _refusal:  # at home the host says it
        if remote:
            remote[0].send_bytes(pack_status({"kind": "refused", **_refusal}))
            time.sleep(_COMPLAINT_READ_S)
        return
    calls = {neighbour: addresses[neighbour] for neighbour in links.calls if neighbour in addresses}
    local = transport_named(scheme).listen(name, addresses[name], queue, calls=calls, secret=secret, most_bytes=most_bytes)
    transport: Transport | None = _bridged(name, local, queue, links, remote, most_bytes) if remote else local
    if transport is None:
        return
    from noc.bad_links import BadTransport, LinkFaults
    from noc.router import ChipRouter
    from noc.router_links import RouterLinks
    from noc.transports.zmq import RouterSocket
    from pe.compiled_columns import CompiledColumns
    from pe.router_loop import loop_of

    def delay(sender: str) -> None:
        time.sleep(slow.get(sender, slow.get("", 0.0)))

    router = ChipRouter(name, table_entries, links, ContentStore(Path(store)) if store else None, CompiledColumns)
    core = RouterLinks(router, links, lingers=bad is not None)
    # Whoever loses or delays messages on purpose, or bridges machines, is to see each.
    if transport is local and isinstance(local, RouterSocket) and bad is None and not slow:
        transport = loop_of(router, local, secret)
    if bad is not None:
        transport = BadTransport(transport, LinkFaults._make(bad), name)
    post(transport, core.boot())
    serve(core, transport, delay if slow else None, core.undelivered, idle_s=_ROUTER_IDLE_S if bad is None else _BAD_IDLE_S)
    transport.close()


def _bridged(
    name: str, local: Any, queue: int, wiring: Wiring, remote: RemoteLinks, most_bytes: int
) -> Transport | None:  # fmt: skip
    """Return the router's transport with links to other machines; None where it cannot listen, or its agent has gone."""
    from noc.transport_tcp import Bridge, Keys, Listening, MachineLinks

    pipe, keys, listening, remote_peers = remote

    def send(record: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the agent is gone, and this process with it in a moment
            pipe.send_bytes(pack_status(record))

    try:
        links = MachineLinks(name, Keys(*keys), queue, Listening(*listening), send, most_bytes)
    except TransportError as error:
        send({"kind": "refused", "text": str(error), "code": int(Exit.USAGE)})
        time.sleep(_COMPLAINT_READ_S)
        return None
    send({"kind": "listening", "port": links.port})
    try:
        addresses = unpack_status(pipe.recv_bytes())["addresses"]
    except (EOFError, OSError):
        return None
    links.call({neighbour: addresses[neighbour] for neighbour in wiring.calls if neighbour in remote_peers})
    return Bridge(local, links, frozenset(remote_peers))


@_leaving_with_what_lacks()
def run_host(pipe: Any, options: dict[str, Any], folder: str | None, content_folder: str | None, resume: bool) -> None:
    """Run the host until the run has ended or the launcher is gone. `content_folder`: for what PEs on other machines load;
    `resume`: go on from the journal in `folder`.
    """
    prepare_process(HOST)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):  # the launcher is gone: nobody is left to tell
        if _refusal:
            pipe.send_bytes(pack_status({"kind": "refused", **_refusal, "is_cold": True}))
            return
        from host.run.host_process import drive

        drive(pipe, options, folder, content_folder, _compile_s, resume=resume, need=members_needed())
