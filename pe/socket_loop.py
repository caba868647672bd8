"""A PE process's loop while it runs: wait for a bundle, make the tick, send the batch, without Python in between.

One compiled function stands between the socket's frames (`noc/zmtp.py`) and the tick (`pe/tick.py`). It comes back for
everything that is not a bundle that is due: another message, a command, a wait that has lasted long enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.compute.bound_calls import Call, bytes_at, call, call_at, carray, number, pointer, shape, size
from models.compute.compiling import inlined
from models.compute.working_room import records
from models.network import Array
from noc.checksum import RESIDUE, SEAL_BYTES
from noc.serve import post
from noc.transport import FramedTransport
from noc.zmtp import HEAD_BYTES, LONG, LONG_HEAD_BYTES, SHORTEST_LONG
from pe.core import Pe
from pe.crc32 import crc32
from pe.link import KeptBatches, PeLink
from pe.msgpack_codec import read_tick

_LOST_PEER_IS_NO_SIGNAL = 0x4000  # Linux's MSG_NOSIGNAL
_DO_NOT_WAIT = 0x40  # MSG_DONTWAIT
_TO_READ = 1  # POLLIN
_WAIT_S = 1.0  # then Python looks whether there is something else to do
_PLAIN, _SEALED = 0x94, 0x95  # how a bundle begins, without and with its checksum
_longs_at = pointer(types.int64)
_recv: Any = types.ExternalFunction("recv", types.intp(types.intc, types.intp, types.uintp, types.intc))
_poll: Any = types.ExternalFunction("poll", types.intc(types.intp, types.uintp, types.intc))
_send: Any = types.ExternalFunction("send", types.intp(types.intc, types.intp, types.uintp, types.intc))


class SocketLoop:
    """Answers bundles for `pe` out of `transport`, from when it is loaded: with a link, those that are whole by their checksum, and
    its batches are kept there. `wait_s`: how long it waits for one.
    """

    def __init__(self, pe: Pe, transport: FramedTransport, link: PeLink | None = None, wait_s: float = _WAIT_S) -> None:
        self._pe, self._transport, self._link, self._wait_ms = pe, transport, link, max(int(wait_s * 1e3), 1)
        self._bound: Call | None = None

    def __call__(self) -> None:
        """Answer bundles until something else is to be done; nothing of it is lost."""
        tick, transport = self._pe.tick, self._transport
        if tick is None:
            return
        if self._bound is None:
            transport.give_room_back()  # the shards have come, and nothing as large will
        if self._bound is None or self._bound.parts[0] is not transport.inbox:
            kept = (self._link and self._link.kept) or KeptBatches(1, tick.reply.size)
            outbox, unsent, asked = kept.frames.reshape(-1), records(2, np.int64), records(1, np.int64)
            asked[0] = transport.descriptor | _TO_READ << 32  # a pollfd
            place = transport.inbox, transport.span, outbox, unsent, asked
            self._bound = Call(
                _answer_bundles, *place, transport.descriptor, tick.address, tick.block, kept.frames, kept.marks,
                int(self._link is not None), self._wait_ms,
            )  # fmt: skip
        self._pe.run_to_reading()
        self._bound()
        outbox, unsent = self._bound.parts[2:4]  # type: ignore[assignment]  # the two arrays from above
        if unsent[0] < unsent[1]:
            transport.send_framed(transport.peer, outbox[unsent[0] : unsent[1]].tobytes())
            unsent[:] = 0
        if reading := (self._link or self._pe).take_reading():
            post(transport, reading)


@inlined
def _framed(outbox: Array, at: int, size: int) -> int:
    """Put the head of a frame before the `size` bytes at `at`; return where it begins."""
    if size < SHORTEST_LONG:
        outbox[at - 2], outbox[at - 1] = 0, size
        return at - HEAD_BYTES
    outbox[at - LONG_HEAD_BYTES] = LONG
    for i in range(8):
        outbox[at - 8 + i] = size >> 8 * (7 - i) & 0xFF
    return at - LONG_HEAD_BYTES


@inlined
def _is_whole(inbox: Array, at: int, size: int, inbox_at: int) -> bool:
    """Tell whether the message of `size` bytes at `at` is a bundle, as its checksum says it was sent."""
    if size <= SEAL_BYTES or inbox[at] != _SEALED or inbox[at + size - SEAL_BYTES] != 0xC4:
        return False
    return crc32(inbox_at + at, size) == RESIDUE


@inlined
def _seal(outbox: Array, at: int, size: int, outbox_at: int) -> int:
    """Put a checksum behind the batch of `size` bytes at `at`; return how many it has now."""
    outbox[at], outbox[at + size], outbox[at + size + 1] = _SEALED, 0xC4, 4
    crc = crc32(outbox_at + at, size + 2)
    for i in range(4):
        outbox[at + size + 2 + i] = crc >> 8 * i & 0xFF
    return size + SEAL_BYTES


@call
def _answer_bundles(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Parts: inbox, its span, outbox, its unsent span, a pollfd, descriptor, the tick's address and block; the outbox once more,
    in rows, the tick and bytes of each, whether there are checksums, milliseconds to wait. Return how many were answered.
    """
    inbox_at, room = number(block, 0), carray(_longs_at(block), (2,))[1]
    inbox, span = carray(bytes_at(inbox_at), (room,)), carray(_longs_at(number(block, 1)), (2,))
    outbox_at = number(block, 2)
    outbox, unsent = carray(bytes_at(outbox_at), (size(block, 2),)), carray(_longs_at(number(block, 3)), (2,))
    rows, stride = shape(block, 8)
    marks, is_sealed, wait_ms = carray(_longs_at(number(block, 9)), (rows, 2)), number(block, 10), number(block, 11)
    asked, descriptor, tick, state = number(block, 4), np.int32(number(block, 5)), number(block, 6), number(block, 7)
    answered, progress = 0, carray(_longs_at(state), (2,))  # the tick before which bundles are answered here, and the next one
    while True:
        begin, end = span[0], span[1]
        have = end - begin
        need = head = HEAD_BYTES
        if have >= HEAD_BYTES and inbox[begin]:
            need = head = LONG_HEAD_BYTES
            if inbox[begin] != LONG:
                return answered
        if have >= head:
            length = int(inbox[begin + 1])
            if head == LONG_HEAD_BYTES:
                length = 0
                for i in range(8):
                    length = length << 8 | int(inbox[begin + 1 + i])
                if not 0 <= length <= room:
                    return answered
            need = head + length
            if have >= need:
                at, row, said, sealed_bytes = begin + head, 0, 0, 0
                if is_sealed:
                    if not _is_whole(inbox, at, length, inbox_at):
                        return answered  # it is asked for again, or is no bundle
                    said = read_tick(inbox, at + 2)[0] + 1  # behind its array's head and code
                    row, sealed_bytes = said % rows, SEAL_BYTES
                    inbox[at] = _PLAIN
                batch = row * stride + LONG_HEAD_BYTES
                reply = call_at(tick, state, inbox_at + at, outbox_at + batch, length - sealed_bytes)
                if reply < 0:
                    if is_sealed:
                        inbox[at] = _SEALED
                    return answered
                span[0] = begin + need
                if is_sealed:
                    reply = _seal(outbox, batch, reply, outbox_at)
                    marks[row, 0], marks[row, 1] = said, reply
                unsent[0], unsent[1] = _framed(outbox, batch, reply), batch + reply
                while unsent[0] < unsent[1]:
                    sent = _send(descriptor, outbox_at + unsent[0], unsent[1] - unsent[0], _LOST_PEER_IS_NO_SIGNAL)
                    if sent <= 0:
                        return answered  # the rest is sent, or given up with an error, by the transport
                    unsent[0] += sent
                answered += 1
                if progress[1] >= progress[0]:
                    return answered  # something else is due
                continue
        if begin == end or begin + need > room:
            if need > room:
                return answered  # the transport makes room
            for i in range(have):
                inbox[i] = inbox[begin + i]
            begin, end = 0, have
            span[0], span[1] = begin, end
        # Who waits in `recv` is also woken when the router has read the last batch; who waits in `poll` is not.
        if _poll(asked, 1, wait_ms) <= 0:
            return answered
        got = _recv(descriptor, inbox_at + end, room - end, _DO_NOT_WAIT)
        if got <= 0:
            return answered
        span[1] = end + got
