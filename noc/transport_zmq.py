"""ZeroMQ: one DEALER per PE and host, one ROUTER per chip. The only file that knows zmq.

Sockets live in the abstract namespace (`ipc://@...`), which has no files: whatever dies, nothing is left on disk. Every queue is
bounded and a full one is an error with a name (`ROUTER_MANDATORY`, send without waiting at the router), so no packet is ever lost in silence;
the host's window keeps the queues far from full. This file does not know `tcp://` between machines.
"""

from __future__ import annotations

import secrets

import zmq

from noc.transport import TransportError
from noc.wire import MAX_MESSAGE_BYTES

_SEND_TIMEOUT_S = 30.0  # a peer that takes nothing for this long is stuck; the launcher names the process behind it
_CLOSE_LINGER_MS = 200  # enough for a last `Stopped` or `Fault`, short enough for any exit


def new_address() -> str:
    """Return an address nobody else uses, for a router to listen on."""
    return f"ipc://@gennaker-{secrets.token_hex(16)}"


class ZmqTransport:
    """A ROUTER where `listen`, else a DEALER with `name` as its identity.

    Args:
        name: the endpoint's own name.
        address: where the chip's router listens.
        queue: messages each queue may hold per peer.
        listen: True for the router.
        peer: for a DEALER, the name of what it talks to (the router).
    """

    def __init__(self, name: str, address: str, queue: int, *, listen: bool = False, peer: str = "") -> None:
        self._context = zmq.Context(io_threads=1)
        self._context.setsockopt(zmq.MAX_SOCKETS, 4)
        self._listen = listen
        self._peer = peer
        self._socket = self._context.socket(zmq.ROUTER if listen else zmq.DEALER)
        self._socket.setsockopt(zmq.SNDHWM, queue)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.setsockopt(zmq.LINGER, _CLOSE_LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        if listen:
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._socket.setsockopt(zmq.BACKLOG, 4096)  # a board of PEs connects at once
            self._socket.bind(address)
        else:
            self._socket.setsockopt(zmq.SNDTIMEO, int(_SEND_TIMEOUT_S * 1000))
            self._socket.setsockopt(zmq.ROUTING_ID, name.encode())
            self._socket.connect(address)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when messages may have come (edge-triggered, as ZeroMQ documents)."""
        return int(self._socket.getsockopt(zmq.FD))

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        try:
            # Trying first saves a poll call a message whenever messages wait, which at a busy router is nearly always.
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            if not self._socket.poll(int(timeout_s * 1000)):
                return None
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        if self._listen:
            if len(frames) != 2:
                return frames[0].decode(errors="replace"), b""  # decodes as no message, and is counted as such
            return frames[0].decode(errors="replace"), frames[1]
        return self._peer, frames[0] if len(frames) == 1 else b""

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message; TransportError where the destination is unknown or its queue is full."""
        try:
            if self._listen:
                self._socket.send(destination.encode(), zmq.SNDMORE | zmq.NOBLOCK)
                self._socket.send(raw, zmq.NOBLOCK)
            else:
                self._socket.send(raw)
        except zmq.ZMQError as error:
            raise TransportError(f"cannot reach {destination}: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket and its I/O thread."""
        self._context.destroy(linger=_CLOSE_LINGER_MS)
