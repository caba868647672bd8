"""A router's transfers, read, sorted and written by compiled code: the same as `noc/exchange.py`, which is the definition.

Transfers stay the bytes that they came as (`pe/box_calls.py`); those that Python has decoded are put beside them, packed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.compute.bound_calls import called
from models.network import Array
from noc.columns import CROWDED
from noc.dram_endpoint import ExchangeError
from noc.exchange import Exchange, Settled, is_dram
from noc.packet import KINDS, Bundle, Packed, Relay, Section, Transfer
from noc.wire import encode, encode_transfer
from pe.bound_tick import encode_name, on_bytes
from pe.box_calls import put_last, put_transfers, read_transfers, settle, write_box
from pe.box_records import (
    ADDRESS,
    ALLOWED,
    AT,
    BOXES,
    BYTES,
    CHAIN,
    DATA_AT,
    KIND,
    NUMBER,
    OPEN,
    ROW,
    SIZE,
    SOURCE,
    SOURCE_NAME,
    TARGET_NAME,
)
from pe.dram_calls import LEFT, serve_box
from pe.msgpack_codec import NAME_BYTES
from pe.record_words import view_of, words_of

_PAGE_BYTES, _ROWS = 1 << 14, 1 << 8
_MOST_OPEN = 1 << 12
_NOBODY = -1
_SENDER, _SLOT, _NUMBER, _NEED_ROWS, _NEED, _READY, _DONE, _READ_BYTES, _WRITTEN_BYTES = words_of(
    BOXES, "sender", "slot", "number", "need_rows", "need", "ready", "done", "read_bytes", "written_bytes"
)
_TICK, _USED, _COUNT = words_of(OPEN, "tick", "used", "count")
_OPEN_WORDS = OPEN.itemsize // 8


class CompiledExchange(Exchange):
    """`Exchange` whose transfers are bytes. `sources`: the number of each whose transfers are waited for; `boxes`: of each target
    and link; `calls`: addresses of its state, of what reads a batch's transfers, and of what puts them into boxes; `write_address`:
    of what writes a message with those of a box; `settle_address`: of what says that all of a source's are in.
    """

    def __init__(self, chip: int, plan: Sequence[Any], first: int = 0, most_open: int = 1) -> None:
        super().__init__(chip, plan, first, most_open)
        if not 0 <= most_open <= _MOST_OPEN:
            raise ValueError(f"{most_open} ticks may be open; at most {_MOST_OPEN}")
        self.sources: Mapping[str | int, int] = {source: number for number, source in enumerate(self.ways)}
        self.boxes = {name: number for number, name in enumerate((*self.targets, *self.links))}
        self._box_names = [*self.boxes]
        self._neighbours = {name: len(self.ways) + len(self.boxes) + number for number, name in enumerate(self.arrivals)}
        self._state, self._held = np.zeros(1, BOXES), dict[str, Array]()
        self._words = view_of(self._state)
        self._block = int(self._state.ctypes.data)
        self._ids: dict[str, int] = {}
        self._names: list[str] = []
        self._add_names({*self.allowed, *(name for names in self.allowed.values() for name in names), *self.targets})
        self._write_sources()
        self._open_slots(most_open)
        self._make_out(_PAGE_BYTES)
        if self.dram is not None:
            self._write_dram()
        self.calls = self._block, read_transfers.address, put_transfers.address
        self.write_address, self.settle_address = write_box.address, settle.address
        self._head: tuple[int, tuple[Section, ...], bytes] = -1, (), b""  # of the bundle that was written last
        self._write, self._settle_all, self._put_last, self._serve = (
            on_bytes(write_box),
            *map(called, (settle, put_last, serve_box)),
        )

    def _hold(self, name: str, array: Array) -> Array:
        self._held[name] = array
        self._state[0][name] = array.ctypes.data
        return array

    def _add_names(self, names: Iterable[str]) -> None:
        """Give numbers to names that have none."""
        new = [name for name in names if name not in self._ids]
        if not new:
            return
        for name in new:
            self._ids[name] = len(self._names)
            self._names.append(name)
        rows = self._hold("names", np.zeros((len(self._names), NAME_BYTES), np.uint8))
        answers = self._hold("answers", np.full(len(self._names), _NOBODY, np.int64))
        may_be_answered = self.allowed.get(self.dram_name, frozenset())
        for number, name in enumerate(self._names):
            if (raw := _on_wire(name)) is not None:
                rows[number, : len(raw)] = np.frombuffer(raw, np.uint8)
                if name in may_be_answered:
                    answers[number] = self.boxes.get(self.box_of(name, self._chip), _NOBODY)
        ranks = self._hold("ranks", np.zeros(len(self._names), np.int64))
        ranks[np.array(sorted(range(len(self._names)), key=self._names.__getitem__))] = np.arange(len(self._names))
        self._state[0]["named"] = len(self._names)

    def _write_sources(self) -> None:
        sources = self._hold("source", np.zeros(len(self.ways), SOURCE))
        allowed: list[tuple[int, int, bool]] = []
        waits: list[int] = []
        for row, (source, way) in zip(sources, self.ways.items(), strict=True):
            row["name"], row["first"], row["settle"] = _NOBODY, len(allowed), len(waits)
            waits += [*(self.boxes[name] for name in (*way.targets, *way.links)), len(self.boxes)]
            row["settles"] = len(waits) - row["settle"]
            if isinstance(source, str) and _on_wire(source) is not None:
                row["name"] = self._ids[source]
                for name in sorted(self.allowed[source]):
                    place = self.boxes.get(self.box_of(name, self._chip), _NOBODY)
                    if _on_wire(name) is not None and place != _NOBODY:
                        allowed.append((self._ids[name], place, is_dram(name)))
                row["allowed"] = len(allowed) - row["first"]
        self._hold("allowed", np.array(allowed or [(0, 0, False)], ALLOWED))
        self._hold("settle", np.array(waits, np.int64))
        self._settled = self._hold("settled", np.zeros(len(self.boxes) + 1, np.int64))
        state = self._state[0]
        state["sources"], state["boxes"] = len(self.ways), len(self.boxes)

    def _open_slots(self, most_open: int) -> None:
        entities = len(self.ways) + len(self.boxes) + len(self._neighbours)
        self._slots, self._free = dict[int, int](), list(range(most_open))
        opened = self._hold("open", np.zeros(most_open, OPEN))
        opened["tick"] = _NOBODY
        self._opened = view_of(opened)
        self._chains = np.zeros((most_open, len(self.boxes), CHAIN), np.int64)
        self._left = np.zeros((most_open, len(self.boxes) + 1), np.int64)
        self._all_left = np.array([*(self.sources_of[name] for name in self.boxes), len(self.ways)], np.int64)
        self._counts, self._counted = (
            np.zeros((most_open, entities, len(KINDS)), np.int64),
            np.zeros((entities, len(KINDS)), np.int64),
        )
        self._pages = [np.zeros(_PAGE_BYTES, np.uint8) for _ in range(most_open)]
        self._rows = [np.zeros((_ROWS, ROW), np.int64) for _ in range(most_open)]
        for slot in range(most_open):
            opened[slot]["chains"], opened[slot]["left"] = self._chains[slot].ctypes.data, self._left[slot].ctypes.data
            opened[slot]["counts"] = self._counts[slot].ctypes.data
            self._turn(slot)
        self._state[0]["ring"] = most_open
        self._make_order(_ROWS)

    def _turn(self, slot: int) -> None:
        """Say where a slot's page and rows lie."""
        row, page, rows = self._held["open"][slot], self._pages[slot], self._rows[slot]
        row["page"], row["room"], row["rows"], row["most"] = page.ctypes.data, page.size, rows.ctypes.data, len(rows)

    def _make_order(self, rows: int) -> None:
        self._hold("order", np.zeros(rows, np.int64))
        self._hold("other", np.zeros(rows, np.int64))

    def make_out(self) -> None:
        """Make room for a message that was just too large."""
        self._make_out(2 * self._words[_NEED])

    def _make_out(self, size_bytes: int) -> None:
        self._buffer = view_of_bytes(self._hold("out", np.zeros(size_bytes, np.uint8)))
        self._state[0]["room"] = size_bytes

    def _write_dram(self) -> None:
        assert self.dram is not None
        store, state = self.dram.store, self._state[0]
        self._hold("memory", store.memory)
        self._hold("blocks", store.blocks)
        self._hold("changed", self.dram.changed)
        state["capacity"], state["alignment"] = store.capacity_bytes, store.alignment_bytes
        state["dram"] = self._ids.get(self.dram_name, _NOBODY)

    def begin(self, tick: int) -> None:
        """Open a tick."""
        slot = self._slots[tick] = self._free.pop()
        at = slot * _OPEN_WORDS
        self._opened[at + _TICK], self._opened[at + _USED], self._opened[at + _COUNT] = tick, 0, 0
        self._left[slot] = self._all_left
        self._chains[slot] = 0
        self._counts[slot] = 0

    def end(self, tick: int) -> None:
        """A tick is through: count its transfers."""
        slot = self._slots.pop(tick)
        self._opened[slot * _OPEN_WORDS + _TICK] = _NOBODY
        self._counted += self._counts[slot]
        self._free.append(slot)

    def make_room(self) -> None:
        """Make room for what was just too much."""
        slot, need_rows, need = (self._words[at] for at in (_SLOT, _NEED_ROWS, _NEED))
        self._make_room(slot, need_rows, need)

    def _make_room(self, slot: int, need_rows: int, need_bytes: int) -> None:
        page, rows = self._pages[slot], self._rows[slot]
        if need_bytes <= page.size and need_rows <= len(rows):
            return
        if need_bytes > page.size:
            self._pages[slot] = np.zeros(2 * need_bytes, np.uint8)
            self._pages[slot][: page.size] = page
        if need_rows > len(rows):
            self._rows[slot] = np.zeros((2 * need_rows, ROW), np.int64)
            self._rows[slot][: len(rows)] = rows
            if 2 * need_rows > self._held["order"].size:
                self._make_order(2 * need_rows)
        self._turn(slot)

    def take_relayed(self, tick: int, neighbour: str, transfers: Sequence[Transfer]) -> None:
        """Put what comes over a link where it goes; ExchangeError where it does not belong here."""
        self._add_names({name for transfer in transfers for name in (transfer.source, transfer.target)})
        super().take_relayed(tick, neighbour, transfers)

    def _put(self, tick: int, transfer: Transfer, name: str) -> None:
        place = self.boxes.get(name)
        if place is None:
            raise ExchangeError(f"a transfer to {transfer.target}, to which no way leads")
        slot, raw = self._slots[tick], encode_transfer(transfer)
        used, count = self._opened[slot * _OPEN_WORDS + _USED], self._opened[slot * _OPEN_WORDS + _COUNT]
        self._make_room(slot, count + 1, used + len(raw))
        self._pages[slot][used : used + len(raw)] = np.frombuffer(raw, np.uint8)
        self._rows[slot][count] = (
            _NOBODY, self._ids[transfer.source], self._ids[transfer.target], transfer.kind, transfer.number, transfer.address,
            transfer.size_bytes, used, len(raw), used + len(raw) - len(transfer.data),
        )  # fmt: skip
        self._opened[slot * _OPEN_WORDS + _USED] = used + len(raw)
        self._put_last(self._block, slot, place, 0)

    def _note_sent(self, tick: int, sender: str, transfers: Sequence[Transfer]) -> None:
        self._note(tick, self.sources[sender], transfers)

    def _note_came(self, tick: int, neighbour: str, transfers: Sequence[Transfer]) -> None:
        self._note(tick, self._neighbours[neighbour], transfers)

    def _note(self, tick: int, entity: int, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            self._counts[self._slots[tick], entity, transfer.kind] += 1

    def settle(self, tick: int, source: str | int) -> Settled:
        """A sender's batch, or a chip's relay, is in: return what waited for it last."""
        self._settle_all(self._block, self._slots[tick], self.sources[source], 0)
        return self.settled

    @property
    def settled(self) -> Settled:
        """What waited for the transfers that were put into boxes last."""
        ready = self._settled[: self._words[_READY]].tolist()
        is_through = bool(ready) and ready[-1] == len(self.boxes)
        names = [self._box_names[number] for number in (ready[:-1] if is_through else ready)]
        targets = sum(number < len(self.targets) for number in ready)  # links come behind them
        return Settled(names[:targets], names[targets:], is_through)

    def bundle(self, tick: int, target: str, sections: tuple[Section, ...]) -> Bundle | Packed:
        """Return the bundle of a target whose transfers are all in."""
        at, last, head = self._head
        if at != tick or last is not sections:
            head = encode(Bundle(tick, sections))
            self._head = tick, sections, head
        return self._written(tick, target, head)

    def relay(self, tick: int, link: str, heads: list[list[int]], sections: tuple[Section, ...]) -> Relay | Packed:
        """Return what goes over a link, for which all transfers are in."""
        return self._written(tick, link, encode(Relay(tick, heads, sections)))

    def _written(self, tick: int, name: str, head: bytes) -> Packed:
        place = self._slots[tick] * len(self.boxes) + self.boxes[name]
        size: int = self._write(self._block, head, place, len(head))
        if size == CROWDED:
            self.make_out()
            size = self._write(self._block, head, place, len(head))
        return Packed(tick, self._buffer[:size].tobytes())

    def serve(self, tick: int) -> None:
        """Let the DRAM take the transfers of a tick, all of which are in, and send its answers in the next one, which is open.
        ExchangeError as `DramEndpoint.serve`.
        """
        assert self.dram is not None
        words, store, after = self._words, self.dram.store, self._slots[tick + 1]
        place = self._slots[tick] * len(self.boxes) + self.boxes[self.dram_name]
        words[_SENDER], words[_DONE] = self.sources.get(self.dram_name, 0), 0
        words[_READ_BYTES] = words[_WRITTEN_BYTES] = 0
        while code := self._serve(self._block, place, after, 0):
            if code == LEFT:
                answers = self.dram.serve([self._transfer(self._slots[tick], words[_NUMBER])])
                if self.sends(self.dram_name):
                    self.take(tick + 1, self.dram_name, answers)
                words[_DONE] += 1
            else:
                self._make_room(after, words[_NEED_ROWS], words[_NEED])
        store.read_bytes += words[_READ_BYTES]
        store.written_bytes += words[_WRITTEN_BYTES]
        self.dram.end_tick(lambda: self._sent_by(after, self._ids[self.dram_name]))

    def _sent_by(self, slot: int, name: int) -> list[Transfer]:
        rows = self._rows[slot][: self._opened[slot * _OPEN_WORDS + _COUNT]]
        return [self._transfer(slot, row) for row in np.flatnonzero(rows[:, SOURCE_NAME] == name).tolist()]

    def _transfer(self, slot: int, number: int) -> Transfer:
        row = self._rows[slot][number].tolist()
        data = self._pages[slot][row[DATA_AT] : row[AT] + row[BYTES]].tobytes()
        source, target = self._names[row[SOURCE_NAME]], self._names[row[TARGET_NAME]]
        return Transfer(row[KIND], source, target, row[NUMBER], row[ADDRESS], row[SIZE], data)

    def counters(self) -> dict[str, Any]:
        """Return what `Exchange.counters` does."""
        rows = iter(self._counted.tolist())
        by_name = {source: next(rows) for source in self.sources}
        self._sent = {name: by_name[name] for name in self.allowed}
        self._delivered, self._out, self._in = (
            {name: next(rows) for name in names} for names in (self.targets, self.links, self.arrivals)
        )
        return super().counters()


def view_of_bytes(array: Array) -> memoryview:
    """Return an array's bytes."""
    return memoryview(array)  # type: ignore[arg-type]  # a buffer


def _on_wire(name: str) -> bytes | None:
    """Return a name as compiled code knows it; None for one that it does not."""
    try:
        return encode_name(name)
    except ValueError:
        return None
