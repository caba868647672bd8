"""`serve`: the one loop that PEs and routers run between a core and a transport."""

import contextlib
from collections.abc import Callable

from noc.packet import Outgoing
from noc.transport import Core, Transport, TransportError
from noc.wire import WireError, decode, encode

IDLE_S = 1.0  # how long a wait lasts before the loop looks whether it should still run


def post(transport: Transport, outgoing: Outgoing) -> None:
    """Send what a core returned: each message packed once."""
    for destinations, message in outgoing:
        raw = message if isinstance(message, bytes) else encode(message)
        for destination in destinations:
            transport.send(destination, raw)


def serve(
    core: Core,
    transport: Transport,
    before_each: Callable[[str], None] | None = None,
    undelivered: Callable[[str], Outgoing] | None = None,
    fast_path: Callable[[], None] | None = None,
) -> None:
    """Hand messages to `core` and send what it returns until it is done.

    `before_each` runs before each message, with its sender (a slow PE, router or link). `undelivered` says what to send
    where a destination cannot be reached; without it TransportError is raised. `fast_path` may take messages out of the
    transport and answer them by itself, and comes back where it cannot.
    """
    while not core.done:
        if fast_path is not None:
            fast_path()
        received = transport.receive(IDLE_S)
        if received is None:
            continue
        sender, raw = received
        if before_each is not None:
            before_each(sender)
        try:
            outgoing = core.handle(sender, decode(raw))
        except WireError as error:
            outgoing = core.malformed(sender, str(error))
        try:
            post(transport, outgoing)
        except TransportError as error:
            if undelivered is None:
                raise
            with contextlib.suppress(TransportError):  # nobody is left to tell; the launcher ends what remains
                post(transport, undelivered(str(error)))
