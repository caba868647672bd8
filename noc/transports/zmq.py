"""ZeroMQ within a machine: one DEALER per PE and host, one ROUTER per chip, which also calls its neighbours' ROUTERs.

Sockets live in the abstract namespace (`ipc://@...`), which has no files: whatever dies, nothing is left on disk. It has no
permissions either, so a router asks the system whose process calls, and an endpoint proves its name (`noc/identities.py`). Every
queue is bounded and a full one is an error with a name (`ROUTER_MANDATORY`, send without waiting at the router), so no
packet is ever lost in silence; the host's window keeps the queues far from full.
"""

import ctypes
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import zmq

from noc.identities import STRANGER, identity_of, name_in
from noc.transport import TransportError
from noc.wire import MAX_MESSAGE_BYTES
from noc.zmtp import ZmtpTransport, scripted

PROCESSES = True
JOINS_MACHINES = True
_SEND_TIMEOUT_S = 30.0  # a peer that takes nothing for this long is stuck; the launcher names the process behind it
_CALL_AGAIN_MS = 10  # between two calls to a router that is not up yet
AWAKE_S = 30e-6  # that a router looks out for the next message before it sleeps: to be woken takes as long
_CLOSE_LINGER_MS = 200  # enough for a last `Stopped` or `Fault`, short enough for any exit
# Plain integers: combining the library's flags anew for each message costs more than the send itself.
FIRST_FRAME, DO_NOT_WAIT = int(zmq.SNDMORE | zmq.NOBLOCK), int(zmq.NOBLOCK)
MESSAGE_BYTES = 64  # of a zmq_msg_t: zmq.h


class Libzmq(NamedTuple):
    """Addresses of libzmq's functions."""

    zmq_msg_recv: int
    zmq_msg_data: int
    zmq_msg_more: int
    zmq_msg_init: int
    zmq_msg_init_size: int
    zmq_msg_copy: int
    zmq_msg_send: int
    zmq_msg_close: int
    zmq_send: int
    zmq_errno: int


@cache
def libzmq() -> Libzmq | None:
    """Return the functions of the library that pyzmq has loaded; None where they cannot be found."""
    try:
        from zmq.backend.cython import _zmq

        library = ctypes.CDLL(_zmq.__file__)  # asked for a name, it looks into the libraries that it is linked to
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in Libzmq._fields]
    except (ImportError, OSError, AttributeError):
        return None
    return Libzmq(*found)


def new_address() -> str:
    """Return an address nobody else uses, for a router to listen on."""
    return f"ipc://@gennaker-{secrets.token_hex(16)}"


def listen(name: str, address: str, queue: int, *, calls: Mapping[str, str], secret: bytes, most_bytes: int) -> "RouterSocket":
    """Return a router's ROUTER, which also calls its neighbours."""
    return RouterSocket(name, address, queue, calls=calls, secret=secret, most_bytes=most_bytes)


def connect(name: str, address: str, queue: int, *, peer: str, identity: bytes) -> "DealerSocket":
    """Return the host's DEALER."""
    return DealerSocket(name, address, queue, peer=peer, identity=identity)


def connect_pe(name: str, address: str, queue: int, *, peer: str, identity: bytes) -> ZmtpTransport:  # noqa: ARG001 - no queue
    """Return a PE's end of a connection, which speaks ZeroMQ's wire protocol by itself, and waits where it cannot send."""
    return ZmtpTransport(name, address, peer=peer, identity=identity)


connect_ahead = connect_pe  # it has no thread


def scripted_pe(name: str, *, peer: str, messages: Sequence[bytes]) -> tuple[ZmtpTransport, Any]:
    """Return a PE's end of a connection on which its router has said all that it will, and the router's end, to be kept so long."""
    return scripted(name, peer, messages)


class RouterSocket:
    """A router's ROUTER at `address`.

    `queue`: messages that may wait for a peer, each way. `calls`: the neighbours that it connects to, name -> address. `secret`:
    the run's, by which identities are made and proven; whoever proves none is a stranger, of whom nothing is unpacked.
    `most_bytes`: of a message that is let in; who sends a larger one is hung up on. The system lets in the user of this
    process alone. TransportError where it cannot listen there.
    """

    def __init__(
        self, name: str, address: str, queue: int, *, secret: bytes, calls: Mapping[str, str] | None = None,
        most_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:  # fmt: skip
        self._secret, self._timeout_s = secret, -1.0
        self._ids: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}  # by proven identity
        self._raw: bytes | None = None  # what was sent last
        self._frame: Any = None  # and, once it was sent twice, as libzmq has it
        self._context, self.socket = _new_socket(zmq.ROUTER, queue)
        self.socket.setsockopt(zmq.MAXMSGSIZE, most_bytes)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.BACKLOG, 4096)  # a board of PEs connects at once
        self.socket.setsockopt(zmq.RECONNECT_IVL, _CALL_AGAIN_MS)
        try:
            self.socket.setsockopt(zmq.IPC_FILTER_UID, os.geteuid())
            self.socket.bind(address)  # without an identity yet: a listener shows its own to whoever calls
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise TransportError(f"{name} cannot listen on {address}: {error.strerror}") from error
        self.socket.setsockopt(zmq.ROUTING_ID, identity_of(name, secret))
        for neighbour, theirs in (calls or {}).items():
            # The name first, so that the neighbour can be written to before it has answered.
            self.socket.setsockopt(zmq.CONNECT_ROUTING_ID, self._routing_id(neighbour))
            self.socket.connect(theirs)
        self._receive: Any = self.socket.recv

    @property
    def address(self) -> int:
        """Where libzmq has the socket."""
        return int(self.socket.underlying)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        self.wait_at_most(timeout_s)
        try:
            identity = self._receive_awake() or self._receive()
        except zmq.Again:
            return None
        sender = self.prove(identity)
        payload = self._receive(copy=False)  # as a Frame, which knows whether more follow
        return self.join_frames(sender, payload.bytes, more=payload.more)

    def wait_at_most(self, timeout_s: float) -> None:
        """Let a receive that waits come back after so many seconds."""
        if timeout_s != self._timeout_s:
            # The socket's own time limit: a blocking receive is one call, where polling first would be three.
            self.socket.setsockopt(zmq.RCVTIMEO, int(timeout_s * 1000))
            self._timeout_s = timeout_s

    def join_frames(self, sender: str, raw: bytes, *, more: bool) -> tuple[str, bytes]:
        """Return who says what, after the first frame behind the identity: b"" for several, and for a stranger's."""
        if not more and sender is not STRANGER:
            return sender, raw
        while more:
            more = self._receive(copy=False).more
        return sender, b""  # nothing decodes as no message, and is counted as such

    def _receive_awake(self) -> bytes | None:
        """Return the first frame of what comes within a moment, None where nothing does."""
        end_s = 0.0
        while True:
            try:
                return bytes(self._receive(DO_NOT_WAIT))
            except zmq.Again:
                now_s = time.perf_counter()
                end_s = end_s or now_s + AWAKE_S
                if now_s >= end_s:
                    return None
                os.sched_yield()  # to whoever it waits for

    def prove(self, identity: bytes) -> str:
        """Return the name that an identity proves; STRANGER where it proves none."""
        name = self._names.get(identity)
        if name is None:
            name = name_in(identity, self._secret)
            if name != STRANGER:
                self._names[identity] = name
        return name

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message; TransportError where the destination is unknown or its queue is full."""
        try:
            self.socket.send(self._routing_id(destination), FIRST_FRAME)
            if raw is not self._raw:
                self._raw, self._frame = raw, None
                self.socket.send(raw, DO_NOT_WAIT)
                return
            if self._frame is None:  # a bundle goes to a layer's PEs one after another: it is copied once more, not for each
                self._frame = zmq.Frame(raw, copy=True)
            self.socket.send(self._frame, DO_NOT_WAIT, copy=False)
        except zmq.ZMQError as error:
            raise TransportError(f"cannot reach {destination}: {error.strerror}") from error

    def _routing_id(self, name: str) -> bytes:
        routing_id = self._ids.get(name)
        if routing_id is None:
            routing_id = self._ids[name] = identity_of(name, self._secret)
            self._names[routing_id] = name
        return routing_id

    def close(self) -> None:
        """Close the socket and its I/O thread."""
        self._context.destroy(linger=_CLOSE_LINGER_MS)


class DealerSocket:
    """The DEALER of the endpoint `name`, which calls the router `peer` at `address` and shows it `identity`.

    `queue`: messages that may wait, each way.
    """

    def __init__(self, name: str, address: str, queue: int, *, peer: str, identity: bytes) -> None:
        self.name, self._peer, self._timeout_s = name, peer, -1.0
        self._context, self.socket = _new_socket(zmq.DEALER, queue)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self.socket.setsockopt(zmq.ROUTING_ID, identity)
        self.socket.setsockopt(zmq.SNDTIMEO, int(_SEND_TIMEOUT_S * 1000))
        self.socket.setsockopt(zmq.RECONNECT_IVL, _CALL_AGAIN_MS)
        self.socket.connect(address)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return (router, bytes) of the next frame, or None after `timeout_s` seconds."""
        if timeout_s != self._timeout_s:
            self.socket.setsockopt(zmq.RCVTIMEO, int(timeout_s * 1000))
            self._timeout_s = timeout_s
        try:
            return self._peer, self.socket.recv()  # of several frames each counts as a message of its own, and as malformed
        except zmq.Again:
            return None

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message; TransportError where the router takes nothing."""
        try:
            self.socket.send(raw)
        except zmq.ZMQError as error:
            raise TransportError(f"cannot reach {destination}: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket and its I/O thread."""
        self._context.destroy(linger=_CLOSE_LINGER_MS)


def _new_socket(kind: int, queue: int) -> tuple[Any, Any]:
    """Return a context of its own, and a socket in it."""
    context: Any = zmq.Context(io_threads=1)
    context.setsockopt(zmq.MAX_SOCKETS, 4)
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.LINGER, _CLOSE_LINGER_MS)
    return context, socket
