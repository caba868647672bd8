"""`Line`: messages between two machines survive a connection that is lost and made again: each is taken once and in order.

TCP loses what is under way when a connection breaks, and ZeroMQ does not say what that was. So each message carries a
number and how many have been taken of the other side; it is kept until the other side says that it has it. Whoever calls
says after each connection how far it has heard (`RESUME`); both sides then send again what is missing. Sans-I/O.
"""

import struct
from collections import deque

_HEAD = struct.Struct("<BQQ")  # kind, number of this message, messages taken of the other side
HEAD_BYTES = _HEAD.size
DATA, ACKNOWLEDGE, RESUME, RESUMED = range(4)
ACKNOWLEDGE_EVERY = 32
"""Messages taken without one that went back, before one goes back to say so: it bounds what the other side keeps."""

Frames = list[tuple[bytes, bytes]]  # (header, payload)


class LineError(ValueError):
    """A header that is none, or more messages kept than a line may keep."""


class Line:
    """What one side of a connection keeps of it; `most` messages may wait for the other side to have them."""

    def __init__(self, most: int) -> None:
        self._most = most + 2 * ACKNOWLEDGE_EVERY
        self._sent = 0
        self._taken = 0
        self._said = 0  # how many taken messages the other side knows of
        self._kept: deque[tuple[int, bytes]] = deque()
        self.has_gap = False  # before the frame that came last: something was lost

    def outgoing(self, payload: bytes) -> bytes:
        """Number and keep a message; return its header. LineError where too many wait already."""
        if len(self._kept) >= self._most:
            raise LineError(f"{len(self._kept)} messages wait for the other side")
        self._sent += 1
        self._kept.append((self._sent, payload))
        return self._head(DATA, self._sent)

    def resume(self) -> bytes:
        """Return the header to say after each connection that this side has made."""
        return self._head(RESUME)

    def incoming(self, head: bytes, payload: bytes) -> tuple[bytes | None, Frames]:
        """Take a frame; return the message, if it is the next one, and what to send. LineError for a header that is none."""
        if len(head) != HEAD_BYTES or head[0] > RESUMED:
            raise LineError(f"a header of {len(head)} B")
        kind, number, taken = _HEAD.unpack(head)
        self.has_gap = kind == DATA and number > self._taken + 1
        while self._kept and self._kept[0][0] <= taken:
            self._kept.popleft()
        if kind == RESUME:
            return None, [(self._head(RESUMED), b""), *self._again()]
        if kind == RESUMED:
            return None, self._again()
        if kind == ACKNOWLEDGE or number != self._taken + 1:  # what came twice, or after a gap that will be sent again
            return None, []
        self._taken += 1
        if self._taken - self._said < ACKNOWLEDGE_EVERY:
            return payload, []
        return payload, [(self._head(ACKNOWLEDGE), b"")]

    @property
    def taken(self) -> int:
        """How many messages of the other side have been taken."""
        return self._taken

    @property
    def kept(self) -> int:
        """How many messages wait for the other side to have them."""
        return len(self._kept)

    def _again(self) -> Frames:
        return [(self._head(DATA, number), payload) for number, payload in self._kept]

    def _head(self, kind: int, number: int = 0) -> bytes:
        self._said = self._taken
        return _HEAD.pack(kind, number, self._taken)
