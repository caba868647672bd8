"""A PE process's loop while it runs: wait for a bundle, make the tick, send the batch, without Python in between.

One compiled function stands between the socket's frames (`noc/zmtp.py`) and the tick (`pe/tick.py`). It comes back for
everything that is not a bundle that is due: another message, a command, a wait that has lasted long enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.compute.bound_calls import Call, bytes_at, call, call_at, carray, number, pointer
from models.compute.compiling import inlined
from models.network import Array
from noc.transport import FramedTransport
from noc.zmtp import HEAD_BYTES, LONG, LONG_HEAD_BYTES, SHORTEST_LONG
from pe.core import Pe

_LOST_PEER_IS_NO_SIGNAL = 0x4000  # Linux's MSG_NOSIGNAL
_DO_NOT_WAIT = 0x40  # MSG_DONTWAIT
_TO_READ = 1  # POLLIN
_WAIT_MS = 1000  # then Python looks whether there is something else to do
_longs_at = pointer(types.int64)
_recv: Any = types.ExternalFunction("recv", types.intp(types.intc, types.intp, types.uintp, types.intc))
_poll: Any = types.ExternalFunction("poll", types.intc(types.intp, types.uintp, types.intc))
_send: Any = types.ExternalFunction("send", types.intp(types.intc, types.intp, types.uintp, types.intc))


class SocketLoop:
    """Answers bundles for `pe` out of `transport`, from when it is loaded."""

    def __init__(self, pe: Pe, transport: FramedTransport) -> None:
        self._pe, self._transport = pe, transport
        self._bound: Call | None = None

    def __call__(self) -> None:
        """Answer bundles until something else is to be done; nothing of it is lost."""
        tick, transport = self._pe.tick, self._transport
        if tick is None:
            return
        if self._bound is None:
            transport.give_room_back()  # the shards have come, and nothing as large will
        if self._bound is None or self._bound.parts[0] is not transport.inbox:
            outbox, unsent = np.zeros(LONG_HEAD_BYTES + tick.reply.size, np.uint8), np.zeros(2, np.int64)
            asked = np.array([transport.descriptor | _TO_READ << 32], np.int64)  # a pollfd
            place = transport.inbox, transport.span, outbox, unsent, asked
            self._bound = Call(_answer_bundles, *place, transport.descriptor, tick.address, tick.block)
        self._bound()
        outbox, unsent = self._bound.parts[2:4]  # type: ignore[assignment]  # the two arrays from above
        if unsent[0] < unsent[1]:
            transport.send_framed(transport.peer, outbox[unsent[0] : unsent[1]].tobytes())
            unsent[:] = 0


@inlined
def _framed(outbox: Array, size: int) -> int:
    """Put the head of a frame before the `size` bytes behind LONG_HEAD_BYTES; return where it begins."""
    if size < SHORTEST_LONG:
        outbox[LONG_HEAD_BYTES - 2], outbox[LONG_HEAD_BYTES - 1] = 0, size
        return LONG_HEAD_BYTES - HEAD_BYTES
    outbox[0] = LONG
    for i in range(8):
        outbox[1 + i] = size >> 8 * (7 - i) & 0xFF
    return 0


@call
def _answer_bundles(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Parts: inbox, its span, outbox, its unsent span, a pollfd, descriptor, the tick's address and block. Return how many were
    answered.
    """
    inbox_at, room = number(block, 0), carray(_longs_at(block), (2,))[1]
    inbox, span = carray(bytes_at(inbox_at), (room,)), carray(_longs_at(number(block, 1)), (2,))
    outbox_at = number(block, 2)
    outbox, unsent = carray(bytes_at(outbox_at), (LONG_HEAD_BYTES,)), carray(_longs_at(number(block, 3)), (2,))
    asked, descriptor, tick, state = number(block, 4), np.int32(number(block, 5)), number(block, 6), number(block, 7)
    answered = 0
    while True:
        begin, end = span[0], span[1]
        have = end - begin
        need = head = HEAD_BYTES
        if have >= HEAD_BYTES and inbox[begin]:
            need = head = LONG_HEAD_BYTES
            if inbox[begin] != LONG:
                return answered
        if have >= head:
            size = int(inbox[begin + 1])
            if head == LONG_HEAD_BYTES:
                size = 0
                for i in range(8):
                    size = size << 8 | int(inbox[begin + 1 + i])
                if not 0 <= size <= room:
                    return answered
            need = head + size
            if have >= need:
                reply = call_at(tick, state, inbox_at + begin + head, outbox_at + LONG_HEAD_BYTES, size)
                if reply < 0:
                    return answered
                span[0] = begin + need
                unsent[0], unsent[1] = _framed(outbox, reply), LONG_HEAD_BYTES + reply
                while unsent[0] < unsent[1]:
                    sent = _send(descriptor, outbox_at + unsent[0], unsent[1] - unsent[0], _LOST_PEER_IS_NO_SIGNAL)
                    if sent <= 0:
                        return answered  # the rest is sent, or given up with an error, by the transport
                    unsent[0] += sent
                answered += 1
                continue
        if begin == end or begin + need > room:
            if need > room:
                return answered  # the transport makes room
            for i in range(have):
                inbox[i] = inbox[begin + i]
            begin, end = 0, have
            span[0], span[1] = begin, end
        # Who waits in `recv` is also woken when the router has read the last batch; who waits in `poll` is not.
        if _poll(asked, 1, _WAIT_MS) <= 0:
            return answered
        got = _recv(descriptor, inbox_at + end, room - end, _DO_NOT_WAIT)
        if got <= 0:
            return answered
        span[1] = end + got
