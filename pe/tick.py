"""A PE's tick as one compiled function: a bundle's bytes in, a batch's bytes out.

Hear each section (own population and the one before), then step each shard whose input section is valid, then write one
batch, with or without events. Events are copied from the bundle into the event FIFO in chunks: kernels see only the arena.
Python between the parts of a tick would cost several times the tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from models.compute.bound_calls import Call, bytes_at, call, call_at, called, carray, copy_bytes, pointer, words_at
from models.compute.compiling import inlined
from models.network import Array
from noc.packet import FRESH, RESET, VALID
from pe import msgpack_codec

NOT_MINE = -1  # the message is no bundle of this tick: nothing was done
BEYOND = -2  # an event's key lies beyond its population: the network and what sent it do not belong together
_MOST_KEYS = 1 << 32

_CALL = np.dtype([("address", "i8"), ("block", "i8")])
_LISTENER = np.dtype([("population", "i8"), ("keys", "i8"), ("restart", _CALL), ("clear", _CALL), ("receive", _CALL)])
_RESIDENT = np.dtype(
    [
        ("population", "i8"), ("trigger", "i8"), ("copies", "i8"), ("events", "i8"),  # events: what it sent at the last tick
        ("reset", _CALL), ("step", _CALL), ("forget", "i8"), ("forgets", "i8"), ("product", "i8"), ("products", "i8"),
        ("send_keys", "i8"), ("send_values", "i8"), ("ledger", "i8"), ("ledger_bytes", "i8"),
    ]
)  # fmt: skip
_STATE = np.dtype(
    [
        ("running", "i8"), ("tick", "i8"), ("sent", "i8"), ("delivered", "i8"),
        ("fifo_keys", "i8"), ("fifo_values", "i8"), ("fifo_events", "i8"),
        ("listener", "i8"), ("listeners", "i8"), ("resident", "i8"), ("residents", "i8"), ("section", "i8"), ("sections", "i8"),
    ]
)  # fmt: skip
_state_at, _listener_at, _resident_at, _call_record_at, _long_at = (
    pointer(kind) for kind in (*map(numba.from_dtype, (_STATE, _LISTENER, _RESIDENT, _CALL)), numba.int64)
)


class Listener(NamedTuple):
    """A port, and what it listens to: `keys` is the number of keys that the population has."""

    population: int
    keys: int
    restart: Call
    clear: Call
    receive: Call


class Resident(NamedTuple):
    """A shard as a tick meets it; arrays are arena views."""

    population: int
    trigger: int  # the population whose valid section makes it step
    copies: int  # that each of its events becomes
    reset: Call
    step: Call
    forget: Sequence[Call]  # before a fresh sequence
    products: Sequence[Call]
    send_keys: Array
    send_values: Array
    ledger: Array


class Tick:
    """The compiled tick bound to a PE's shards, their ports, and the event FIFO: keys uint32, values float32."""

    def __init__(self, residents: Sequence[Resident], listeners: Sequence[Listener], fifo_keys: Array, fifo_values: Array) -> None:
        self._kept: list[Any] = [residents, listeners]  # what the addresses below lie in
        self._state = np.zeros(1, _STATE)
        shards = np.zeros(len(residents), _RESIDENT)
        ports = np.zeros(len(listeners), _LISTENER)
        for row, port in zip(ports, listeners, strict=True):
            row["population"], row["keys"] = port.population, port.keys
            for name in ("restart", "clear", "receive"):
                row[name] = _record(getattr(port, name))
        for row, shard in zip(shards, residents, strict=True):
            row["population"], row["trigger"], row["copies"] = shard.population, shard.trigger, shard.copies
            row["reset"], row["step"] = _record(shard.reset), _record(shard.step)
            for name, calls in (("forget", shard.forget), ("product", shard.products)):
                table = np.array([*map(_record, calls)], _CALL)
                row[name], row[name + "s"] = self._address(table), len(table)
            for name in ("send_keys", "send_values", "ledger"):
                row[name] = self._address(getattr(shard, name))
            row["ledger_bytes"] = shard.ledger.nbytes
        heard = len({port.population for port in listeners})
        sections = np.zeros((heard, msgpack_codec.COLUMNS), np.int64)
        state = self._state[0]
        state["fifo_keys"], state["fifo_values"] = self._address(fifo_keys), self._address(fifo_values)
        state["fifo_events"] = fifo_keys.size
        state["listener"], state["listeners"] = self._address(ports), len(ports)
        state["resident"], state["residents"] = self._address(shards), len(shards)
        state["section"], state["sections"] = self._address(sections), heard
        reply_bytes = msgpack_codec.MOST_HEAD_BYTES + msgpack_codec.MOST_SECTION_BYTES * len(residents)
        reply_bytes += sum(shard.send_keys.nbytes + shard.send_values.nbytes + shard.ledger.nbytes for shard in residents)
        self.reply = np.zeros(reply_bytes, np.uint8)
        self.address: int = _tick_at.address
        self.block: int = self._state.ctypes.data

    def _address(self, array: Array) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)

    def __call__(self, raw: bytes) -> bytes | int:
        """Answer the bytes of a bundle with those of a batch; NOT_MINE or BEYOND where there is no answer."""
        message = np.frombuffer(raw, np.uint8)
        size = called(_tick_at)(self.block, message.ctypes.data, self.reply.ctypes.data, message.size)
        return self.reply[:size].tobytes() if size >= 0 else int(size)

    def run(self, running: bool) -> None:
        """Say whether bundles are answered."""
        self._state["running"] = running

    @property
    def number(self) -> int:
        """The tick that comes next."""
        return int(self._state["tick"][0])

    @property
    def counters(self) -> dict[str, int]:
        """How many copies of events were sent, and how many events taken in without the PE's own."""
        return {"packets_sent": int(self._state["sent"][0]), "packets_delivered": int(self._state["delivered"][0])}


def _record(made: Call) -> tuple[int, int]:
    return made.address, made.block.ctypes.data


@inlined
def _make(record: Any) -> int:
    done: int = call_at(record.address, record.block, 0, 0, 0)
    return done


@inlined
def _heard(listeners: Any, population: int) -> bool:
    for port in range(listeners.size):  # noqa: SIM110 - numba has no generators
        if listeners[port].population == population:
            return True
    return False


@inlined
def _hear(state: Any, listeners: Any, residents: Any, message: int, section: Array) -> bool:
    """Let every port that listens to the section's population take its events, FIFO by FIFO; False where a key lies beyond."""
    population, events = section[msgpack_codec.POPULATION], section[msgpack_codec.EVENTS]
    keys_beyond = _MOST_KEYS
    for port in range(listeners.size):
        if listeners[port].population == population:
            keys_beyond = min(keys_beyond, listeners[port].keys)  # every port must have room for them
            if section[msgpack_codec.FLAGS] & RESET:
                _make(listeners[port].restart)
            _make(listeners[port].clear)
    if not events:
        return True
    own = 0
    for shard in range(residents.size):
        if residents[shard].population == population:
            own = residents[shard].events
    most, fifo_keys = state.fifo_events, carray(words_at(state.fifo_keys), (state.fifo_events,))
    for first in range(0, events, most):
        count = min(most, events - first)
        keys, values = section[msgpack_codec.KEYS] + 4 * first, section[msgpack_codec.VALUES] + 4 * first
        copy_bytes(state.fifo_keys, message + keys, 4 * count)
        copy_bytes(state.fifo_values, message + values, 4 * count)
        for e in range(count):
            if fifo_keys[e] >= keys_beyond:
                return False
        for port in range(listeners.size):
            if listeners[port].population == population:
                receive = listeners[port].receive
                call_at(receive.address, receive.block, state.fifo_keys, state.fifo_values, count)
    state.delivered += events - own
    return True


@inlined
def _step(resident: Any, trigger: Array) -> int:
    """Step a shard on the section of its input; return the number of its events."""
    if trigger[msgpack_codec.FLAGS] & RESET:
        _make(resident.reset)
    if trigger[msgpack_codec.FLAGS] & FRESH:
        forget = carray(_call_record_at(resident.forget), (resident.forgets,))
        for i in range(forget.size):
            _make(forget[i])
    products = carray(_call_record_at(resident.product), (resident.products,))
    for i in range(products.size):
        _make(products[i])
    return _make(resident.step)


@call
def _tick_at(block: int, message: int, reply: int, size: int) -> int:
    """Answer the `size` bytes at `message` by bytes at `reply`; return how many, or why none."""
    state = carray(_state_at(block), (1,))[0]
    raw = carray(bytes_at(message), (size,))
    sections = carray(_long_at(state.section), (state.sections, msgpack_codec.COLUMNS))
    listeners = carray(_listener_at(state.listener), (state.listeners,))
    residents = carray(_resident_at(state.resident), (state.residents,))
    if not state.running:
        return NOT_MINE
    tick, count = msgpack_codec.read_bundle(raw, sections)
    if tick != state.tick:
        return NOT_MINE
    for i in range(count):
        if sections[i, msgpack_codec.FLAGS] & VALID and not _heard(listeners, sections[i, msgpack_codec.POPULATION]):
            return NOT_MINE
    for i in range(count):
        if sections[i, msgpack_codec.FLAGS] & VALID and not _hear(state, listeners, residents, message, sections[i]):
            return BEYOND
    state.tick += 1
    out = carray(bytes_at(reply), (1 << 30,))  # as long as `Tick` made it, which is enough for every event of every shard
    at = msgpack_codec.put_head(out, state.tick, residents.size)
    for shard in range(residents.size):
        resident = residents[shard]
        trigger = -1
        for i in range(count):
            if sections[i, msgpack_codec.FLAGS] & VALID and sections[i, msgpack_codec.POPULATION] == resident.trigger:
                trigger = i
        if trigger < 0:
            resident.events = 0
            at = msgpack_codec.put_section(out, at, resident.population, 0, 0, 0, 0, 0, 0, 0)
            continue
        section = sections[trigger]
        events = _step(resident, section)
        resident.events = events
        state.sent += events * resident.copies
        at = msgpack_codec.put_section(
            out, at, resident.population, section[msgpack_codec.FLAGS], section[msgpack_codec.POSITION],
            resident.send_keys, resident.send_values, events, resident.ledger, resident.ledger_bytes,
        )  # fmt: skip
    return at
