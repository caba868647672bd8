"""ZeroMQ within a machine: one DEALER per PE and host, one ROUTER per chip, which also calls its neighbours' ROUTERs.

Sockets live in the abstract namespace (`ipc://@...`), which has no files: whatever dies, nothing is left on disk. Every
queue is bounded and a full one is an error with a name (`ROUTER_MANDATORY`, send without waiting at the router), so no
packet is ever lost in silence; the host's window keeps the queues far from full.
"""

import secrets
from collections.abc import Mapping
from typing import Any

import zmq

from noc.transport import TransportError
from noc.wire import MAX_MESSAGE_BYTES
from noc.zmtp import ZmtpTransport

PROCESSES = True
JOINS_MACHINES = True
_SEND_TIMEOUT_S = 30.0  # a peer that takes nothing for this long is stuck; the launcher names the process behind it
_CALL_AGAIN_MS = 10  # between two calls to a neighbour that is not up yet
_CLOSE_LINGER_MS = 200  # enough for a last `Stopped` or `Fault`, short enough for any exit
# Plain integers: combining the library's flags anew for each message costs more than the send itself.
_MORE, _LAST = int(zmq.SNDMORE | zmq.NOBLOCK), int(zmq.NOBLOCK)


def new_address() -> str:
    """Return an address nobody else uses, for a router to listen on."""
    return f"ipc://@gennaker-{secrets.token_hex(16)}"


def listen(name: str, address: str, queue: int, calls: Mapping[str, str]) -> "ZmqTransport":
    """Return a router's ROUTER, which also calls its neighbours."""
    return ZmqTransport(name, address, queue, listen=True, calls=calls)


def connect(name: str, address: str, queue: int, peer: str) -> "ZmqTransport":
    """Return the host's DEALER."""
    return ZmqTransport(name, address, queue, peer=peer)


def connect_pe(name: str, address: str, queue: int, peer: str) -> ZmtpTransport:  # noqa: ARG001 - it has no queue: it waits
    """Return a PE's end of a connection, which speaks ZeroMQ's wire protocol by itself."""
    return ZmtpTransport(name, address, peer)


class ZmqTransport:
    """A ROUTER at `address` where `listen`, else a DEALER that calls it; `name` is the endpoint's identity.

    `queue`: messages that each queue may hold for a peer. `peer`: for a DEALER, the router's name. `calls`: for a ROUTER, the
    neighbours that it connects to, name -> address.
    """

    def __init__(
        self, name: str, address: str, queue: int, *, listen: bool = False, peer: str = "", calls: Mapping[str, str] | None = None
    ) -> None:
        self._context = zmq.Context(io_threads=1)
        self._context.setsockopt(zmq.MAX_SOCKETS, 4)
        self._listen = listen
        self._timeout_s = -1.0
        self._ids: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}  # routing ids of peers that have been written to
        self._peer = peer
        self._raw, self._frame = b"", zmq.Frame()  # what was sent last, and as libzmq has it
        self.socket = self._context.socket(zmq.ROUTER if listen else zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, name.encode())
        self.socket.setsockopt(zmq.SNDHWM, queue)
        self.socket.setsockopt(zmq.RCVHWM, queue)
        self.socket.setsockopt(zmq.LINGER, _CLOSE_LINGER_MS)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        if listen:
            self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self.socket.setsockopt(zmq.BACKLOG, 4096)  # a board of PEs connects at once
            self.socket.setsockopt(zmq.RECONNECT_IVL, _CALL_AGAIN_MS)
            try:
                self.socket.bind(address)
            except zmq.ZMQError as error:
                self._context.destroy(linger=0)
                raise TransportError(f"{name} cannot listen on {address}: {error.strerror}") from error
            for neighbour, theirs in (calls or {}).items():
                # The name first, so that the neighbour can be written to before it has answered.
                self.socket.setsockopt(zmq.CONNECT_ROUTING_ID, neighbour.encode())
                self.socket.connect(theirs)
        else:
            self.socket.setsockopt(zmq.SNDTIMEO, int(_SEND_TIMEOUT_S * 1000))
            self.socket.connect(address)
        self._receive: Any = self.socket.recv

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        if timeout_s != self._timeout_s:
            # The socket's own time limit: a blocking receive is one call, where polling first would be three.
            self.socket.setsockopt(zmq.RCVTIMEO, int(timeout_s * 1000))
            self._timeout_s = timeout_s
        try:
            frame = self._receive()
        except zmq.Again:
            return None
        if not self._listen:
            return self._peer, frame  # of several frames each would count as a message of its own, and as malformed
        sender = self._names.get(frame) or frame.decode(errors="replace")
        payload = self._receive(copy=False)  # as a Frame, which knows whether more follow
        if not payload.more:
            return sender, payload.bytes
        while self._receive(copy=False).more:
            pass
        return sender, b""  # nothing decodes as no message, and is counted as such

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message; TransportError where the destination is unknown or its queue is full."""
        try:
            if self._listen:
                self.socket.send(self._routing_id(destination), _MORE)
                if raw is not self._raw:  # a bundle goes to a layer's PEs one after another: it is copied once, not for each
                    self._raw, self._frame = raw, zmq.Frame(raw, copy=True)
                self.socket.send(self._frame, _LAST, copy=False)
            else:
                self.socket.send(raw)
        except zmq.ZMQError as error:
            raise TransportError(f"cannot reach {destination}: {error.strerror}") from error

    def _routing_id(self, name: str) -> bytes:
        routing_id = self._ids.get(name)
        if routing_id is None:
            routing_id = self._ids[name] = name.encode()
            self._names[routing_id] = name
        return routing_id

    def close(self) -> None:
        """Close the socket and its I/O thread."""
        self._context.destroy(linger=_CLOSE_LINGER_MS)
