"""`RouterLoop`: a router's socket whose batches go into columns as they come, without Python in between.

Of several hundred messages a tick nearly all are batches that fill no column. One compiled function asks libzmq for a message,
finds out whose it is by the identity in front of it, and puts it into the columns (`pe/column_calls.py`). It comes back with the
first that fills something, and with whatever Python is to look at. Another sends a bundle to all that hear it. The socket stays
libzmq's ROUTER: its functions are found in the library that pyzmq has loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from models.compute.bound_calls import Call, bytes_at, call, call_at, called, carray, copy_bytes, number, pointer
from models.compute.compiling import inlined
from models.network import Array
from noc.identities import identity_of
from noc.packet import HOST
from noc.router import ChipRouter
from noc.transport import TAKEN, TransportError
from noc.transports.zmq import AWAKE_S, DO_NOT_WAIT, FIRST_FRAME, MESSAGE_BYTES, RouterSocket, libzmq
from pe.bound_tick import on_bytes
from pe.column_calls import SEALED
from pe.compiled_columns import CompiledColumns
from pe.crc32 import crc32

_NOTHING, _OTHER, _FAILED, _CUT = -1, -2, -3, -4  # no message came; one that Python is to look at; libzmq fails, or within one
_NOBODY = -1
_IDENTITY_BYTES = 96  # 16 of proof and 64 of a name at most
_LISTED = np.dtype([("size", "i8"), ("identity", "u1", _IDENTITY_BYTES)])
_LISTED_BYTES = _LISTED.itemsize
_ENTRY_BYTES = _IDENTITY_BYTES + 8  # behind the identity, its size and the sender's number as words
_TO_SPARE = 4  # entries of the table of identities for each that it holds
_SENDER, _DATA, _SIZE, _MORE, _IDENTITY, _IDENTITY_SIZE = range(6)  # what is left of a message for Python
_longs_at = pointer(types.int64)
_ints_at = pointer(types.int32)
_clock_gettime: Any = types.ExternalFunction("clock_gettime", types.intc(types.intc, types.intp))
_sched_yield: Any = types.ExternalFunction("sched_yield", types.intc())
_CLOCK_MONOTONIC = 1


def loop_of(router: ChipRouter, socket: RouterSocket, secret: bytes) -> RouterLoop | RouterSocket:
    """Return what receives for a router from its socket: compiled, where libzmq's functions can be found."""
    return socket if libzmq() is None else RouterLoop(router, socket, secret)


class RouterLoop:
    """The transport of `router`, which has `CompiledColumns`, over its `socket`; `secret`: the run's.

    `receive` answers `TAKEN` in place of the bytes of a batch that lies in the columns.
    """

    def __init__(self, router: ChipRouter, socket: RouterSocket, secret: bytes) -> None:
        library = libzmq()
        assert library is not None, "the caller asks loop_of"
        self._router, self._socket, self._secret, self._library = router, socket, secret, library
        self.send = socket.send
        self._groups: dict[tuple[str, ...], tuple[Array, int]] = {}  # who was sent something at once: their list, and its address
        self._sending = np.zeros((2, MESSAGE_BYTES), np.uint8)
        self._send = Call(
            _send_to_all, socket.address, library.zmq_send, library.zmq_msg_init, library.zmq_msg_init_size,
            library.zmq_msg_data, library.zmq_msg_copy, library.zmq_msg_send, library.zmq_msg_close, self._sending[0],
            self._sending[1],
        )  # fmt: skip
        self._send_to_all, self._send_block = on_bytes(_send_to_all), int(self._send.block.ctypes.data)
        self._columns: CompiledColumns | None = None
        self._receiving: Call | None = None
        self._take_batches, self._take_block = called(_take_batches), 0
        self._names: Sequence[str] = ()
        self._left = np.zeros(6, np.int64)
        self._messages = np.zeros((2, MESSAGE_BYTES), np.uint8)
        for message in self._messages:
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(library.zmq_msg_init)(message.ctypes.data)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes) that is more than a batch among others, or None after `timeout_s` seconds."""
        columns = self._router.columns
        if not isinstance(columns, CompiledColumns):
            return self._socket.receive(timeout_s)
        if columns is not self._columns:
            self._bind(columns)
        self._socket.wait_at_most(timeout_s)
        code = self._take_batches(self._take_block, 0, 0, 0)
        if code == _NOTHING:
            return None
        if code == _FAILED:
            return self._socket.receive(timeout_s)  # and the error comes with its name, where it comes again
        if code == _CUT:
            raise TransportError("a message without its second frame")
        sender, data, size_bytes, more, identity, identity_bytes = self._left.tolist()
        if code > 0:
            return self._names[sender], TAKEN
        name = self._names[sender] if sender != _NOBODY else self._socket.prove(ctypes.string_at(identity, identity_bytes))
        return self._socket.join_frames(name, ctypes.string_at(data, size_bytes), more=bool(more))

    def _bind(self, columns: CompiledColumns) -> None:
        """Take batches into these columns from now on."""
        self._columns, self._names = columns, [*columns.numbers]
        library = self._library
        self._receiving = Call(
            _take_batches, self._socket.address, library.zmq_msg_recv, library.zmq_msg_data, library.zmq_msg_more,
            library.zmq_errno, self._messages[0], self._messages[1], self._left, _table_of(self._names, self._secret),
            columns.take_address, columns.block, columns.numbers.get(HOST, _NOBODY), np.zeros(2, np.int64), round(AWAKE_S * 1e9),
        )  # fmt: skip
        self._take_block = int(self._receiving.block.ctypes.data)

    def send_all(self, destinations: tuple[str, ...], raw: bytes) -> None:
        """Hand over one message for each; TransportError where a destination is unknown or its queue is full."""
        group = self._groups.get(destinations)
        if group is None:
            listed = _listed(destinations, self._secret)
            group = self._groups[destinations] = listed, int(listed.ctypes.data) if len(listed) else 0
        reached = self._send_to_all(self._send_block, raw, group[1], len(raw)) if group[1] else 0
        if reached < 0:
            raise TransportError(f"cannot reach {destinations[-reached - 1]}: its message was cut off")
        if reached < len(destinations):
            self.send(destinations[reached], raw)  # and the error comes with its name, where it comes again
            if rest := destinations[reached + 1 :]:
                self.send_all(rest, raw)

    def close(self) -> None:
        """Close the socket and its I/O thread."""
        for message in self._messages:
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._library.zmq_msg_close)(message.ctypes.data)
        self._socket.close()


def _table_of(names: Sequence[str], secret: bytes) -> Array:
    """Return a hash table of identities, (entries, bytes) uint8: by their CRC-32, one behind the other where that is taken."""
    entries = 1
    while entries < _TO_SPARE * len(names):
        entries *= 2
    table = np.zeros((entries, _ENTRY_BYTES), np.uint8)
    words = table[:, _IDENTITY_BYTES:].view(np.int32)
    for sender, name in enumerate(names):
        if (identity := _identity(name, secret)) is None:
            continue
        at = zlib.crc32(identity.tobytes()) & (entries - 1)
        while words[at, 0]:
            at = (at + 1) & (entries - 1)
        table[at, : identity.size] = identity
        words[at] = identity.size, sender
    return table


def _listed(names: Sequence[str], secret: bytes) -> Array:
    """Return identities as `_send_to_all` reads them, how many, then each in an entry, uint8; nothing where one has none."""
    listed = np.zeros(len(names) + 1, _LISTED)
    listed[0]["size"] = len(names)
    for entry, name in zip(listed[1:], names, strict=True):
        if (identity := _identity(name, secret)) is None:
            return np.zeros(0, np.uint8)
        entry["identity"][: identity.size], entry["size"] = identity, identity.size
    return listed.view(np.uint8)


def _identity(name: Any, secret: bytes) -> Array | None:
    """Return an endpoint's identity, uint8; None for a name that is none, whose endpoint never comes."""
    with contextlib.suppress(AttributeError, UnicodeError):
        identity = np.frombuffer(identity_of(name, secret), np.uint8)
        return identity if identity.size <= _IDENTITY_BYTES else None
    return None


@inlined
def _sender_of(identity: int, size: int, table: int, entries: int) -> int:
    """Return the number of the sender whose identity lies at an address; -1 where it is nobody's."""
    if size > _IDENTITY_BYTES:
        return _NOBODY
    raw, at = carray(bytes_at(identity), (size,)), crc32(identity, size) & (entries - 1)
    while True:
        entry = table + at * _ENTRY_BYTES
        words = carray(_ints_at(entry + _IDENTITY_BYTES), (2,))
        if words[0] == 0:
            return _NOBODY
        if words[0] == size:
            known, differs = carray(bytes_at(entry), (size,)), 0
            for i in range(size):  # to the end: how far they agree is nobody's business
                differs |= known[i] ^ raw[i]
            if differs == 0:
                return int(words[1])
        at = (at + 1) & (entries - 1)


@inlined
def _now_ns(timespec: int) -> int:
    _clock_gettime(np.int32(_CLOCK_MONOTONIC), timespec)
    words = carray(_longs_at(timespec), (2,))
    return int(words[0] * 1_000_000_000 + words[1])


@call
def _take_batches(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Parts: the socket; libzmq's functions; two messages; what is left of one for Python; the table of identities; the columns'
    function and state; the host's number; room for the time, and how long to look out for a message before sleeping, in ns.

    Return how much a batch filled, or why there is none.
    """
    socket, receive, data_of, is_more, errno_of = (
        number(block, 0), number(block, 1), number(block, 2), number(block, 3), number(block, 4)
    )  # fmt: skip
    first, second = number(block, 5), number(block, 6)
    left, table = carray(_longs_at(number(block, 7)), (6,)), number(block, 8)
    entries = carray(_longs_at(block), (9 * 3,))[8 * 3 + 1]
    take, columns, host = number(block, 9), number(block, 10), number(block, 11)
    timespec, awake_ns = number(block, 12), number(block, 13)
    while True:
        size, end_ns, wait = np.int32(call_at(receive, first, socket, DO_NOT_WAIT, 0)), 0, False
        while size < 0:
            if np.int32(call_at(errno_of, 0, 0, 0, 0)) != errno.EAGAIN:
                return _FAILED
            if wait:
                return _NOTHING
            now_ns = _now_ns(timespec)
            if end_ns == 0:
                end_ns = now_ns + awake_ns
            wait = now_ns >= end_ns
            if not wait:
                _sched_yield()  # to whoever it waits for
            size = np.int32(call_at(receive, first, socket, 0 if wait else DO_NOT_WAIT, 0))
        left[_IDENTITY], left[_IDENTITY_SIZE] = call_at(data_of, first, 0, 0, 0), size
        length = int(np.int64(size))  # else checksums are compiled for int32 as well
        sender = _sender_of(left[_IDENTITY], length, table, entries)
        size = np.int32(call_at(receive, second, socket, 0, 0))  # a message's frames come together
        if size < 0:
            return _CUT
        left[_SENDER], left[_DATA], left[_SIZE] = sender, call_at(data_of, second, 0, 0, 0), size
        left[_MORE] = np.int32(call_at(is_more, second, 0, 0, 0))
        if sender == _NOBODY or left[_MORE] or size == 0:
            return _OTHER
        if sender != host and carray(bytes_at(left[_DATA]), (1,))[0] != SEALED:
            return _OTHER
        taken = call_at(take, columns, left[_DATA], sender, size)
        if taken > 0:
            return int(taken)
        if taken < 0:
            return _OTHER


@call
def _send_to_all(block: int, raw: int, listed: int, size: int) -> int:
    """Parts: the socket, libzmq's functions, two messages. Send the `size` bytes at `raw` to all that are `listed`; return how many
    it went to before one was not to be reached, less than 0 where that was cut off behind its identity.
    """
    socket, send, init_message, init_message_of = number(block, 0), number(block, 1), number(block, 2), number(block, 3)
    data_of, copy_message, send_message, close_message = number(block, 4), number(block, 5), number(block, 6), number(block, 7)
    original, copied = number(block, 8), number(block, 9)
    count = carray(_longs_at(listed), (1,))[0]
    if count > 1:  # copied once, however many hear it
        if np.int32(call_at(init_message_of, original, size, 0, 0)) < 0:
            return 0
        copy_bytes(call_at(data_of, original, 0, 0, 0), raw, size)
    sent, is_cut = 0, False
    while sent < count:
        entry = listed + (sent + 1) * _LISTED_BYTES
        identity_bytes = carray(_longs_at(entry), (1,))[0]
        done = np.int32(call_at(send, socket, entry + 8, identity_bytes, FIRST_FRAME))
        if done < 0:
            break
        is_cut = True
        if count == 1:
            done = np.int32(call_at(send, socket, raw, size, DO_NOT_WAIT))
        else:
            call_at(init_message, copied, 0, 0, 0)
            call_at(copy_message, copied, original, 0, 0)
            done = np.int32(call_at(send_message, copied, socket, DO_NOT_WAIT, 0))
            if done < 0:
                call_at(close_message, copied, 0, 0, 0)
        if done < 0:
            break
        is_cut = False
        sent += 1
    if count > 1:
        call_at(close_message, original, 0, 0, 0)
    return -sent - 1 if is_cut else sent
