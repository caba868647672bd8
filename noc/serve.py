"""`serve`: the one loop that PEs and routers run between a core and a transport."""

import contextlib
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from noc.packet import Outgoing
from noc.transport import Core, Transport, TransportError
from noc.wire import WireError, decode, encode

IDLE_S = 1.0  # how long a wait lasts before the loop looks whether it should still run


@runtime_checkable
class LinkedCore(Protocol):
    """A core with its links (`noc/router_links.py`, `pe/link.py`): bytes in, bytes out."""

    chatter: Outgoing
    """What `take_chatter` would return."""

    @property
    def done(self) -> bool:
        """Whether the endpoint has left."""

    def handle_bytes(self, sender: str, raw: bytes) -> Outgoing:
        """Take the bytes of one message; return what goes out because of it."""

    def take_chatter(self) -> Outgoing:
        """Return what goes out for the links' own sake since the last call; where it cannot be delivered, nothing is wrong."""

    def idle(self) -> Outgoing:
        """Nothing has come for a while: return what may mend that, which is chatter as well."""


def post(transport: Transport, outgoing: Outgoing) -> None:
    """Send what a core returned: each message packed once."""
    send_all = getattr(transport, "send_all", None)
    for destinations, message in outgoing:
        raw = message if isinstance(message, bytes) else encode(message)
        if send_all is not None:
            send_all(destinations, raw)
            continue
        for destination in destinations:
            transport.send(destination, raw)


def _chat(transport: Transport, chatter: Outgoing) -> None:
    for one in chatter:
        with contextlib.suppress(TransportError):  # who is gone needs nothing
            post(transport, [one])


def serve(
    core: Core | LinkedCore,
    transport: Transport,
    before_each: Callable[[str], None] | None = None,
    undelivered: Callable[[str], Outgoing] | None = None,
    fast_path: Callable[[], None] | None = None,
    idle_s: float = IDLE_S,
) -> None:
    """Hand messages to `core` and send what it returns until it is done.

    `before_each` runs before each message, with its sender (a slow PE, router or link). `undelivered` says what to send
    where a destination cannot be reached; without it TransportError is raised. `fast_path` may take messages out of the
    transport and answer them by itself, and comes back where it cannot. `idle_s`: a while without any message.
    """
    # To ask for the whole protocol walks through the names of all its bases, in a process that is to write to little memory.
    links: LinkedCore | None = core if hasattr(core, "handle_bytes") else None  # type: ignore[assignment]  # by that name
    handle = links.handle_bytes if links else handler_of(core)  # type: ignore[arg-type]  # the other one
    while not core.done:
        if fast_path is not None:
            fast_path()
        received = transport.receive(idle_s)
        if received is None:
            if links:
                _chat(transport, links.idle())
            continue
        sender, raw = received
        if before_each is not None:
            before_each(sender)
        outgoing = handle(sender, raw)
        if outgoing:
            try:
                post(transport, outgoing)
            except TransportError as error:
                if undelivered is None:
                    raise
                with contextlib.suppress(TransportError):  # nobody is left to tell; the launcher ends what remains
                    post(transport, undelivered(str(error)))
        if links and links.chatter:
            _chat(transport, links.take_chatter())


def handler_of(core: Core) -> Callable[[str, bytes], Outgoing]:
    """Return what takes the bytes of one message for a core without links, and returns what goes out because of it."""

    def handle(sender: str, raw: bytes) -> Outgoing:
        try:
            return core.handle(sender, decode(raw))
        except WireError as error:
            return core.malformed(sender, str(error))

    return handle
