"""A PE's shards and ports as the compiled tick reads them: records of addresses and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from models.compute.bound_calls import Call, pointer
from models.network import Array

CALL = np.dtype([("address", "i8"), ("block", "i8")])
SLOT = np.dtype([*((name, CALL) for name in ("clear", "receive", "product", "forget", "more", "add")), ("counts", "i8")])
LISTENER = np.dtype(
    [
        ("population", "i8"), ("delay", "i8"), ("keys", "i8"), ("item_bytes", "i8"), ("dense", "i8"), ("lanes", "i8"),
        ("mask_bytes", "i8"), ("closes", "i8"), ("adds", "i8"), ("restart", CALL), ("slot", "i8"), ("slots", "i8"),
    ]
)  # fmt: skip
PROBE = np.dtype([("address", "i8"), ("bytes", "i8")])
RESIDENT = np.dtype(
    [
        ("population", "i8"), ("trigger", "i8"), ("wait", "i8"), ("ticks", "i8"), ("lanes", "i8"), ("mask_bytes", "i8"),
        ("copies", "i8"), ("events", "i8"),  # events: what it sent at the last tick
        ("reset", CALL), ("step", CALL), ("listener", "i8"), ("listeners", "i8"),
        ("send_keys", "i8"), ("send_values", "i8"), ("item_bytes", "i8"), ("dense", "i8"),  # dense: bytes of all values, or 0
        ("ledger", "i8"), ("ledger_words", "i8"), ("probe", "i8"), ("probes", "i8"), ("probe_bytes", "i8"),
        ("headers", "i8"), ("header_rows", "i8"), ("header_words", "i8"), ("marks", "i8"),
    ]
)  # fmt: skip
EXCHANGE = np.dtype(
    [
        ("step", CALL), ("inbox", "i8"), ("inbox_rows", "i8"), ("inbox_data", "i8"), ("inbox_bytes", "i8"),
        ("outbox", "i8"), ("outbox_rows", "i8"), ("outbox_data", "i8"), ("outbox_bytes", "i8"),
        ("names", "i8"), ("peers", "i8"), ("own", "i8"), ("counts", "i8"),  # by kind: sent, delivered, sent at the last tick
        ("exchanged", "i8"), ("lands", "i8"), ("sent_bytes", "i8"),  # the most of a tick
    ]
)  # fmt: skip
STATE = np.dtype(
    [
        ("until", "i8"), ("tick", "i8"),  # until: ticks before it are answered; these two first, for `pe/socket_loop.py`
        ("sent", "i8"), ("delivered", "i8"),
        ("fifo_keys", "i8"), ("fifo_values", "i8"), ("fifo_events", "i8"),
        ("listener", "i8"), ("listeners", "i8"), ("resident", "i8"), ("residents", "i8"), ("section", "i8"), ("sections", "i8"),
        ("exchanges", "i8"), ("take", CALL), ("exchange", CALL), ("put", CALL),  # of transfers, where there are any
        ("clock", "i8"),  # an input whose headers it hears, or -1
    ]
)  # fmt: skip
state_at, listener_at, resident_at, slot_at, probe_at, exchange_at, long_at = (
    pointer(kind) for kind in (*map(numba.from_dtype, (STATE, LISTENER, RESIDENT, SLOT, PROBE, EXCHANGE)), numba.int64)
)


class Slot(NamedTuple):
    """One position's worth of a port: its calls, its counts (lanes, 2), and how it is added to the port's sums."""

    clear: Call
    receive: Call
    product: Call
    forget: Call
    more: Call
    add: Call
    counts: Array


class Listener(NamedTuple):
    """A port: what it listens to and how late; `keys` is the number of keys that the population has.

    `closes`: whether products are made as sections come, and not at the step; `adds`: whether its slot is added to the port's
    sums.
    """

    population: int
    delay: int
    keys: int
    item_bytes: int
    dense: bool
    lanes: int
    closes: bool
    adds: bool
    restart: Call
    slots: Sequence[Slot]


class Exchange(NamedTuple):
    """The transfers of a PE: what makes and takes them once a tick, its boxes in the arena, and the names of its peers."""

    step: Call
    inbox: Array
    inbox_data: Array
    outbox: Array
    outbox_data: Array
    exchanged: Array  # by peer: what was sent to it since the run began
    own: str
    peers: Sequence[str]
    clock: int  # an input of whose sections it hears the headers at every tick
    sent_bytes: int  # the most that all transfers of a tick carry
    lands: bool = False  # bytes arrive where their transfer says, not one behind the other


class Resident(NamedTuple):
    """A shard as a tick meets it; arrays are arena views, those that it does not need are None."""

    population: int
    trigger: int  # the population whose valid section makes it step
    wait: int  # ticks after that
    ticks: int  # that a position takes
    lanes: int
    copies: int  # that each of its events becomes
    reset: Call
    step: Call
    listeners: Sequence[Listener]
    send_keys: Array | None
    send_values: Array | None
    ledger: Array
    probes: Sequence[Array]
    headers: Array | None
    marks: Array | None
    exchange: Call | None = None  # what makes and takes its transfers
