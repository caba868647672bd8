"""`Tick`: the compiled tick bound to the shards of a PE."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from models.compute.bound_calls import Call, address_of
from models.compute.working_room import records
from models.network import Array
from noc.packet import KINDS
from pe import msgpack_codec
from pe.tick import tick_function
from pe.tick_records import EXCHANGE, LISTENER, PROBE, RESIDENT, SLOT, STATE, Exchange, Listener, Resident

_FOREVER = 1 << 62
_ON_BYTES = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)


class Tick:
    """The compiled tick bound to a PE's shards and the event FIFO: keys uint32 (None where all it hears is dense), and values."""

    def __init__(
        self, residents: Sequence[Resident], fifo_events: int, fifo_keys: Array | None, fifo_values: Array | None,
        exchange: Exchange | None = None,
    ) -> None:  # fmt: skip
        self._held: list[Any] = [residents]  # what the addresses below lie in
        self._state = records(1, STATE)
        self._shards = records(len(residents), RESIDENT)
        ports = records(sum(len(shard.listeners) for shard in residents), LISTENER)
        first = 0
        for row, shard in zip(self._shards, residents, strict=True):
            self._fill_resident(row, shard)
            own = ports[first : first + len(shard.listeners)]
            row["listener"], row["listeners"] = self._address(own), len(own)
            for port_row, port in zip(own, shard.listeners, strict=True):
                self._fill_listener(port_row, port)
            first += len(own)
        awaited = {port.population for shard in residents for port in shard.listeners} | {shard.trigger for shard in residents}
        awaited |= {exchange.clock} if exchange else set[int]()
        sections = records((len(awaited), msgpack_codec.COLUMNS), np.int64)
        state = self._state[0]
        state["fifo_keys"], state["fifo_values"] = self._address(fifo_keys), self._address(fifo_values)
        state["fifo_events"] = fifo_events
        state["listener"], state["listeners"] = self._address(ports), len(ports)
        state["resident"], state["residents"] = self._address(self._shards), len(self._shards)
        state["section"], state["sections"] = self._address(sections), len(awaited)
        most_bytes = msgpack_codec.MOST_HEAD_BYTES + sum(map(_most_bytes, residents)) + 3
        self._exchanged = records((3, len(KINDS)), np.int64)
        self._exchanges, state["clock"] = exchange is not None, -1
        if exchange is not None:
            from pe.exchange import put_transfers, step_exchange, take_transfers

            state["clock"], state["exchanges"], record = exchange.clock, 1, self._fill_exchange(exchange)
            for name, function in (("take", take_transfers), ("exchange", step_exchange), ("put", put_transfers)):
                state[name] = function.address, record
            most_bytes += len(exchange.outbox) * msgpack_codec.MOST_TRANSFER_HEAD_BYTES + exchange.sent_bytes
        self.reply = np.zeros(most_bytes, np.uint8)
        self.reply_at = address_of(self.reply)
        self.address: int = tick_function.address
        self.block: int = address_of(self._state)

    def _address(self, array: Array | None) -> int:
        if array is None:
            return 0
        self._held.append(array)
        return address_of(array)

    def _fill_resident(self, row: Any, shard: Resident) -> None:
        for name in ("population", "trigger", "wait", "ticks", "lanes", "copies"):
            row[name] = getattr(shard, name)
        row["mask_bytes"] = -(-shard.lanes // 8)
        row["reset"], row["step"] = _record(shard.reset), _record(shard.step)
        for name in ("send_keys", "send_values", "ledger", "headers", "marks"):
            row[name] = self._address(getattr(shard, name))
        row["item_bytes"] = 0 if shard.send_values is None else shard.send_values.itemsize
        row["dense"] = shard.send_values.nbytes if shard.send_keys is None and shard.send_values is not None else 0
        row["ledger_words"] = shard.ledger.size
        probes = records(len(shard.probes), PROBE)
        probes[:] = [(address_of(probe), probe.nbytes) for probe in shard.probes]
        row["probe"], row["probes"], row["probe_bytes"] = self._address(probes), len(probes), probes["bytes"].sum()
        if shard.headers is not None:
            row["header_rows"], row["header_words"] = shard.headers.shape

    def _fill_listener(self, row: Any, port: Listener) -> None:
        for name in ("population", "delay", "keys", "item_bytes", "dense", "lanes", "closes", "adds"):
            row[name] = getattr(port, name)
        row["mask_bytes"], row["restart"] = -(-port.lanes // 8), _record(port.restart)
        slots = records(len(port.slots), SLOT)
        for slot_row, slot in zip(slots, port.slots, strict=True):
            for name in ("clear", "receive", "product", "forget", "more", "add"):
                slot_row[name] = _record(getattr(slot, name))
            slot_row["counts"] = self._address(slot.counts)
        row["slot"], row["slots"] = self._address(slots), len(slots)

    def _fill_exchange(self, exchange: Exchange) -> int:
        """Return the address of the record of a PE's transfers."""
        record = records(1, EXCHANGE)
        row = record[0]
        row["step"] = _record(exchange.step)
        for box in ("inbox", "outbox"):
            rows, data = getattr(exchange, box), getattr(exchange, f"{box}_data")
            row[box], row[f"{box}_rows"] = self._address(rows), len(rows)
            row[f"{box}_data"], row[f"{box}_bytes"] = self._address(data), data.nbytes
        names = records((len(exchange.peers) + 1, msgpack_codec.NAME_BYTES), np.uint8)
        for place, name in zip(names, (*exchange.peers, exchange.own), strict=True):
            raw = encode_name(name)
            place[: len(raw)] = np.frombuffer(raw, np.uint8)
        row["lands"], row["sent_bytes"] = exchange.lands, exchange.sent_bytes
        row["names"], row["peers"], row["own"] = self._address(names), len(exchange.peers), self._address(names[-1])
        row["counts"], row["exchanged"] = self._address(self._exchanged), self._address(exchange.exchanged)
        return self._address(record)

    def __call__(self, raw: bytes) -> bytes | int:
        """Answer the bytes of a bundle with those of a batch; a negative number of `pe/tick.py` where there is no answer."""
        size: int = on_bytes(tick_function)(self.block, raw, self.reply_at, len(raw))
        return self.reply[:size].tobytes() if size >= 0 else size

    def run(self, running: bool, until: int = _FOREVER) -> None:
        """Say whether bundles are answered, those of ticks before `until`."""
        self._state["until"] = until if running else 0

    @property
    def counts(self) -> list[int]:
        """What goes on at the next tick and does not lie in the arena: events and transfers of the last batch."""
        return [*map(int, self._shards["events"]), *map(int, self._exchanged[2])]

    def go_on(self, number: int, counts: list[int]) -> None:
        """Go on with tick `number`, from what `counts` was before it. ValueError where that is not of these shards."""
        shards = len(self._shards)
        if len(counts) != shards + len(KINDS):
            raise ValueError(f"{len(counts)} counts; needs {shards + len(KINDS)}")
        self._shards["events"], self._exchanged[2] = counts[:shards], counts[shards:]
        self._state["tick"], self._state["sent"] = number, int((self._shards["events"] * self._shards["copies"]).sum())

    @property
    def number(self) -> int:
        """The tick that comes next."""
        return int(self._state["tick"][0])

    @property
    def counters(self) -> dict[str, int]:
        """How many copies of events were sent, and how many events taken in without the PE's own."""
        return {"packets_sent": int(self._state["sent"][0]), "packets_delivered": int(self._state["delivered"][0])}

    @property
    def transfers(self) -> dict[str, list[int]]:
        """How many transfers of each kind were sent and taken in; nothing where the PE exchanges none."""
        sent, delivered = self._exchanged[:2].tolist()
        return {"transfers_sent": sent, "transfers_delivered": delivered} if self._exchanges else {}


@cache
def on_bytes(function: Any) -> Any:
    """Return a compiled call whose second argument is Python's bytes, which it reads where they lie."""
    return _ON_BYTES(function.address)


def encode_name(name: str) -> bytes:
    """Return an endpoint's name as it is on the wire; ValueError for one that is no name of a chip's."""
    raw = name.encode()
    if not 0 < len(raw) < msgpack_codec.NAME_BYTES:
        raise ValueError(f"name {name!r} of {len(raw)} B; needs 1 to {msgpack_codec.NAME_BYTES - 1}")
    return bytes([0xA0 | len(raw)]) + raw


def _record(bound: Call) -> tuple[int, int]:
    return bound.address, address_of(bound.block)


def _most_bytes(shard: Resident) -> int:
    """Return the most bytes of a shard's section."""
    arrays = [shard.send_keys, shard.send_values, shard.ledger, *shard.probes]
    return msgpack_codec.MOST_SECTION_BYTES + 3 * (-(-shard.lanes // 8)) + sum(a.nbytes for a in arrays if a is not None)
