"""What carries messages: the contract of an endpoint. The schemes are in `noc/transports/`; `mem` is the smallest."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from noc.packet import Message, Outgoing

TAKEN = b"\0 taken"
"""In place of the bytes of a batch (it is told by being this object): a router's columns have it, and it filled some of them."""


class TransportError(RuntimeError):
    """A message that could not be handed over; names the endpoint."""


class Unreachable(TransportError):
    """The peer is gone, or takes nothing: what became of it, others know."""


class Core(Protocol):
    """A sans-I/O endpoint: `Pe`, `ChipRouter` or the host's `Run`."""

    @property
    def done(self) -> bool:
        """Whether the endpoint has left."""

    def handle(self, sender: str, message: Message) -> Outgoing:
        """Take one message; return what goes out because of it."""

    def malformed(self, sender: str, why: str) -> Outgoing:
        """Take note of bytes that were no message."""


class Transport(Protocol):
    """An endpoint's way to its peers. One that has `send_all(destinations, raw)` is handed a message for all of them at once."""

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return (sender, bytes) of the next message, or None after `timeout_s` seconds without one."""

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message, never blocking for long; TransportError where the destination is unknown or its queue full."""

    def close(self) -> None:
        """Give the transport's resources back, without waiting for undelivered messages."""


@runtime_checkable
class FramedTransport(Transport, Protocol):
    """A transport that leaves messages in a buffer as ZMTP frames (`noc/zmtp.py`), where compiled code can read them.

    A PE that has such a one runs `pe/socket_loop.py`; with any other it runs `noc/serve.py` alone.
    """

    peer: str
    inbox: Any  # bytes as they came from the socket
    span: Any  # where in the inbox unread bytes begin and end
    descriptor: int  # of the socket

    def give_room_back(self) -> None:
        """Shrink the inbox to what is unread."""

    def send_framed(self, destination: str, framed: bytes | memoryview) -> None:
        """Hand over bytes that have their frame's head, or the rest of such."""
