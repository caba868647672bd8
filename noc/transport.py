"""What carries messages: the contract. `noc/transport_mem.py` is the smallest member of the family, and its living definition."""

from typing import Protocol

from noc.packet import Message, Outgoing


class TransportError(RuntimeError):
    """A message that could not be handed over; names the endpoint."""


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
    """An endpoint's way to its peers."""

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return (sender, bytes) of the next message, or None after `timeout_s` seconds without one."""

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message, never blocking for long; TransportError where the destination is unknown or its queue full."""

    def close(self) -> None:
        """Give the transport's resources back, without waiting for undelivered messages."""
