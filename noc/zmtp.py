"""A PE's end of a ZeroMQ connection, without ZeroMQ: ZMTP 3.1 over a Unix socket, as the DEALER that its router expects.

libzmq gives every process a context, an I/O thread and three wake-ups a message, which for hundreds of processes that each
speak to one peer is most of a tick. The wire protocol itself is small (ZMTP 3.1: greeting, NULL handshake, length-prefixed
frames; rfc.zeromq.org/spec/37), and the router keeps its ROUTER socket, which cannot tell the difference. The socket
blocks, so a peer that does not read stops this process and loses nothing. Each frame counts as a message.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Sequence

import numpy as np

from noc.transport import TransportError, Unreachable
from noc.wire import MAX_MESSAGE_BYTES

SCHEME = "ipc://"
LONG, COMMAND = 2, 4  # flags of a frame; 1 would be "more frames follow"
HEAD_BYTES, LONG_HEAD_BYTES = 2, 9
SHORTEST_LONG = 256  # bytes of a frame that needs the long head
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)  # version 3.1, as no server
_CONNECT_WITHIN_S = 30.0
_CALL_AGAIN_S = 0.01
_FIRST_WAIT_S = 1.0  # until `receive` says otherwise
_SEND_TIMEOUT_S = 30.0  # a peer that takes nothing for this long is stuck; the launcher names the process behind it
_INBOX_BYTES = 1 << 14
_NO_ROOM = np.zeros(0, np.uint8)
_READY = b"\x05READY"
_PING, _PONG, _PING_TTL_BYTES = b"\x04PING", b"\x04PONG", 2


class ZmtpTransport:
    """The connection of the endpoint `name` to its router, `peer`, to which it shows `identity` (`noc/identities.py`).

    The router listens at `address`, `ipc://PATH` or, in the abstract namespace, `ipc://@NAME`. Raises TransportError where
    nobody listens there within half a minute, or does not answer in ZMTP within another. `connected`: what to speak over
    in place of that.
    """

    def __init__(
        self, name: str, address: str, *, peer: str, identity: bytes, connected: socket.socket | None = None
    ) -> None:  # fmt: skip
        self.peer = peer
        self._readable = self._writable = True  # what the router said before it went can still be read
        if not address.startswith(SCHEME):
            raise TransportError(f"address {address!r}: needs {SCHEME}...")
        path = address.removeprefix(SCHEME)
        path = "\0" + path[1:] if path.startswith("@") else path
        self.inbox = _NO_ROOM  # made where the first message comes: who connects may not be who reads
        self.span = np.zeros(2, np.int64)
        """Where in the inbox unread bytes begin and end."""
        self._socket = connected or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.descriptor = self._socket.fileno()
        try:
            if connected is None:
                self._connect(path)
            self._shake_hands(identity)
        except (OSError, EOFError) as error:
            self._socket.close()
            raise Unreachable(f"{name} cannot reach {peer} on {address}: {error}") from error
        self._socket.settimeout(None)
        self._limit(socket.SO_SNDTIMEO, _SEND_TIMEOUT_S)
        self._timeout_s = _FIRST_WAIT_S
        self._limit(socket.SO_RCVTIMEO, _FIRST_WAIT_S)

    def _connect(self, path: str) -> None:
        self._socket.settimeout(_CONNECT_WITHIN_S)
        late = time.monotonic() + _CONNECT_WITHIN_S
        while True:
            try:
                self._socket.connect(path)
                break
            except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
                if time.monotonic() > late:
                    raise
                time.sleep(_CALL_AGAIN_S)

    def _shake_hands(self, identity: bytes) -> None:
        late = time.monotonic() + _CONNECT_WITHIN_S
        self._socket.sendall(_GREETING)
        theirs = self._exactly(len(_GREETING), late)
        if theirs[0] != _GREETING[0] or theirs[9] != _GREETING[9] or theirs[10] < _GREETING[10]:  # between them is padding
            raise EOFError("it is no ZMTP 3 peer")
        ready = _READY + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", identity)
        self._socket.sendall(frame_head(len(ready), COMMAND) + ready)
        flags, size = self._exactly(HEAD_BYTES, late)
        if flags != COMMAND or not self._exactly(size, late).startswith(_READY):
            raise EOFError("the handshake was refused")

    def _exactly(self, size: int, late: float) -> bytes:
        received = b""
        while len(received) < size:
            self._socket.settimeout(max(late - time.monotonic(), _CALL_AGAIN_S))  # a peer may let its bytes drip
            more = self._socket.recv(size - len(received))
            if not more:
                raise EOFError("the connection was closed in the handshake")
            received += more
        return received

    def _limit(self, option: int, seconds: float) -> None:
        """Set a time limit in the kernel, which holds for compiled code as well; Python's own would poll before each call."""
        self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6)))

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds, also when the router is gone."""
        if timeout_s != self._timeout_s:
            self._limit(socket.SO_RCVTIMEO, max(timeout_s, 1e-6))
            self._timeout_s = timeout_s
        late = time.monotonic() + timeout_s
        while True:
            frame = self._frame()
            if frame is not None:
                flags, body = frame
                if not flags & COMMAND:
                    return self.peer, body
                self._obey(body)
                continue
            if not self._fill():
                # Whoever connects again by himself would wait, too: the launcher knows why the router is gone, and says so.
                time.sleep(max(late - time.monotonic(), 0) if not self._readable else 0)
                return None
            if time.monotonic() > late:
                return None

    def _frame(self) -> tuple[int, bytes] | None:
        """Cut the next whole frame off the inbox, if there is one."""
        begin, end = map(int, self.span)
        have = end - begin
        if have < HEAD_BYTES:
            return None
        flags, size, head = int(self.inbox[begin]), int(self.inbox[begin + 1]), HEAD_BYTES
        if flags & LONG:
            if have < LONG_HEAD_BYTES:
                return None
            size, head = int.from_bytes(self.inbox[begin + 1 : begin + LONG_HEAD_BYTES].tobytes(), "big"), LONG_HEAD_BYTES
        if size > MAX_MESSAGE_BYTES:
            raise TransportError(f"{self.peer} sends a message of {size} B; the most is {MAX_MESSAGE_BYTES} B")
        if have < head + size:
            self._make_room(head + size)
            return None
        body = self.inbox[begin + head : begin + head + size].tobytes()
        self.span[0] = begin + head + size
        return flags, body

    def give_room_back(self) -> None:
        """Shrink the inbox to what is unread, after a message of a size that does not come again."""
        unread = self.inbox[self.span[0] : self.span[1]]
        self.inbox = np.zeros(max(unread.size, _INBOX_BYTES), np.uint8)
        self.inbox[: unread.size] = unread
        self.span[:] = 0, unread.size

    def _make_room(self, need: int) -> None:
        begin, end = map(int, self.span)
        unread = self.inbox[begin:end].copy()
        if need > self.inbox.size:
            self.inbox = np.zeros(max(2 * need, _INBOX_BYTES), np.uint8)  # for one more such message, or part of it
        self.inbox[: unread.size] = unread
        self.span[:] = 0, unread.size

    def _fill(self) -> bool:
        """Wait for bytes and take them in; False where none came."""
        if not self._readable:
            return False
        if self.span[1] == self.inbox.size or self.span[0] == self.span[1]:
            self._make_room(int(self.span[1] - self.span[0]) + 1)
        try:
            count = self._socket.recv_into(memoryview(self.inbox)[int(self.span[1]) :])  # type: ignore[arg-type]  # a buffer
        except BlockingIOError:
            return False
        except ConnectionResetError:
            count = 0
        self._readable = count > 0
        self.span[1] += count
        return self._readable

    def _obey(self, command: bytes) -> None:
        if command.startswith(_PING):
            pong = _PONG + command[len(_PING) + _PING_TTL_BYTES :]
            self.send_framed(self.peer, frame_head(len(pong), COMMAND) + pong)

    def send(self, destination: str, raw: bytes | memoryview) -> None:
        """Hand over one message; TransportError where the router takes nothing."""
        self.send_framed(destination, frame_head(len(raw)) + raw)

    def send_framed(self, destination: str, framed: bytes | memoryview) -> None:
        """Hand over bytes that have their frame's head, or the rest of such."""
        if not self._writable:
            return  # nobody is there to take it; see `receive`
        try:
            self._socket.sendall(framed)
        except (BrokenPipeError, ConnectionResetError):
            self._writable = False
        except OSError as error:
            self._writable = False  # part of a frame may be out, and what followed would be taken for its rest
            raise Unreachable(f"cannot reach {destination}: {error.strerror}") from error

    def release(self) -> None:
        """Give up a connection that another process has as well."""
        self._socket.close()

    def close(self) -> None:
        """Close the connection; what was sent still arrives."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()


def scripted(name: str, peer: str, messages: Sequence[bytes]) -> tuple[ZmtpTransport, socket.socket]:
    """Return a connection on which the peer has said all that it will, `messages`, and the peer's end, which is to stay open as
    long. OSError where that is more than a socket holds.
    """
    theirs, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setblocking(False)
    said = [_GREETING, frame_head(len(_READY), COMMAND) + _READY, *(frame_head(len(one)) + one for one in messages)]
    theirs.sendall(b"".join(said))
    return ZmtpTransport(name, SCHEME, peer=peer, identity=b"", connected=own), theirs


def frame_head(size: int, flags: int = 0) -> bytes:
    """Return what stands before a frame of `size` bytes."""
    return bytes((flags, size)) if size < SHORTEST_LONG else bytes((flags | LONG,)) + size.to_bytes(8, "big")


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + struct.pack(">I", len(value)) + value
