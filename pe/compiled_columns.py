"""A router's columns, read and joined by compiled code: the same as `noc/columns.py`, which is the definition.

A batch stays the bytes that it came as: its sections are checked where they lie, the whole is copied behind the others of its
tick, and what belongs to a column is looked up there when the column is full. What is not exactly the batch that is due is left
to Python, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.compute.bound_calls import bytes_at, call, call_at, called, carray, copy_bytes, fill_bytes, shorts_at, words_at
from models.compute.compiling import inlined
from models.network import Array
from noc.checksum import RESIDUE, SEAL_BYTES
from noc.columns import NOT_TAKEN, UNOPENED, Answering, Columns, joined
from noc.packet import HOST, VALID, Section
from noc.streams import Population
from pe import msgpack_codec as codec
from pe.bound_tick import Tick, on_bytes
from pe.column_records import (
    ANSWERING,
    COLUMNS,
    OPEN,
    PART,
    POPULATION,
    SENDER,
    answering_at,
    columns_at,
    long_at,
    open_at,
    part_at,
    population_at,
    sender_at,
)
from pe.crc32 import crc32

_NO_ROOM, _DISAGREE, _NO_ANSWER = -3, -4, -5
_PLAIN, _SEALED = 0x94, 0x95  # how a batch begins, without and with its checksum
_DIGIT_BITS = 11  # of keys that are sorted, at most
_PAGE_BYTES = 1 << 14
_EMPTY = -1
_MOST_OPEN = 1 << 12


@inlined
def _fits(part: Any, population: Any, section: Array) -> int:
    """Return how many events a section has; negative where it is none of its population."""
    lanes, keys, values = section[codec.LANES_BYTES], section[codec.KEYS_BYTES], section[codec.VALUES_BYTES]
    valid = section[codec.FLAGS] & VALID
    if lanes and lanes != population.mask_bytes:
        return _EMPTY
    if population.dense:
        events = part.values if valid else 0
        return events if keys == 0 and values == events * population.item_bytes else _EMPTY
    events = keys >> 2
    return events if keys == events << 2 and values == events * population.item_bytes and (valid or not events) else _EMPTY


@call
def _take(block: int, message: int, number: int, size: int) -> int:
    """Put the batch of sender `number` in the `size` bytes at `message` into its columns; return how many of them are full now, or
    why nothing was done.
    """
    columns = carray(columns_at(block), (1,))[0]
    sender = carray(sender_at(columns.sender), (number + 1,))[number]
    raw = carray(bytes_at(message), (size,))
    if size < 5:
        return NOT_TAKEN
    body = size
    if raw[0] == _SEALED:
        body -= SEAL_BYTES
        if body < 5 or raw[body] != 0xC4 or crc32(message, size) != RESIDUE:
            return NOT_TAKEN
    elif raw[0] != _PLAIN:
        return NOT_TAKEN
    sections = carray(long_at(columns.sections), (columns.most, codec.COLUMNS))
    tick, count, at = codec.read_ticked(carray(bytes_at(message), (body,)), codec.BATCH, sections)
    if tick != sender.next or count != sender.sections or at + 1 != body or raw[at] != 0x90:
        return NOT_TAKEN
    opened, slot = carray(open_at(columns.open), (columns.ring,)), 0
    while slot < columns.ring and opened[slot].tick != tick:
        slot += 1
    if slot == columns.ring:
        return UNOPENED
    column = opened[slot]
    parts = carray(part_at(columns.part), (sender.first + count,))
    populations = carray(population_at(columns.population), (columns.populations,))
    for i in range(count):  # in the order of the parts, as a PE writes them
        part = parts[sender.first + i]
        population = populations[part.population]
        if sections[i, codec.POPULATION] != population.number or _fits(part, population, sections[i]) < 0:
            return NOT_TAKEN
    if column.used + size > column.room:
        columns.need = column.used + size
        return _NO_ROOM
    copy_bytes(column.page + column.used, message, size)
    cells = carray(long_at(column.cells), (columns.places, codec.COLUMNS))
    missing, full = carray(long_at(column.missing), (columns.populations,)), 0
    filled = carray(long_at(columns.full), (columns.populations,))
    for i in range(count):
        part = parts[sender.first + i]
        for field in range(codec.COLUMNS):
            begins = field >= codec.KEYS and field <= codec.LEDGER
            cells[part.place, field] = sections[i, field] + (column.used if begins else 0)
        part.events += _fits(part, populations[part.population], sections[i])
        missing[part.population] -= 1
        if missing[part.population] == 0:
            filled[full] = part.population
            full += 1
    column.used += size
    sender.next += 1
    return full


@call
def _answer_all(block: int, message: int, unused: int, size: int) -> int:  # noqa: ARG001 - a call's form
    """Have a group of PEs answer the bundle in the `size` bytes at `message`, from where its turn is, and take the answers; return
    what one of them did to a column, 0 where none is left.
    """
    columns = carray(columns_at(block), (1,))[0]
    group = carray(answering_at(columns.answering), (columns.group,))
    while columns.turn < columns.group:
        pe = group[columns.turn]
        reply = call_at(pe.tick, pe.block, message, pe.reply, size)
        if reply < 0:
            return _NO_ANSWER
        taken: int = call_at(columns.take, block, pe.reply, pe.sender, reply)
        if taken:
            columns.reply_bytes = reply
            return taken
        columns.turn += 1
    return 0


@inlined
def _sort(columns: Any, events: int, bits: int, at: int) -> int:
    """Sort `events` words at `at` by their upper halves, stably; return where they lie then: there, or right behind."""
    passes = (bits + _DIGIT_BITS - 1) // _DIGIT_BITS
    digit = (bits + passes - 1) // passes
    buckets = 1 << digit
    histogram, here, there = carray(long_at(columns.histogram), (buckets,)), at, at + 8 * events
    for turn in range(passes):
        shift = 32 + turn * digit
        fill_bytes(columns.histogram, 0, 8 * buckets)
        source, target = carray(long_at(here), (events,)), carray(long_at(there), (events,))
        for i in range(events):
            histogram[(source[i] >> shift) & (buckets - 1)] += 1
        before = 0
        for bucket in range(buckets):
            number = histogram[bucket]
            histogram[bucket] = before
            before += number
        for i in range(events):
            bucket = (source[i] >> shift) & (buckets - 1)
            target[histogram[bucket]] = source[i]
            histogram[bucket] += 1
        here, there = there, here
    return here


@inlined
def _move(target: int, source: int, item_bytes: int, to: int, at: int) -> None:
    """Move value `at` of those at `source` to place `to` of those at `target`."""
    if item_bytes == 4:
        carray(words_at(target), (to + 1,))[to] = carray(words_at(source), (at + 1,))[at]
    elif item_bytes == 2:
        carray(shorts_at(target), (to + 1,))[to] = carray(shorts_at(source), (at + 1,))[at]
    else:
        carray(bytes_at(target), (to + 1,))[to] = carray(bytes_at(source), (at + 1,))[at]


@call
def _join_column(block: int, slot: int, number: int, unused: int) -> int:  # noqa: ARG001 - a call's form
    """Join the column of population `number` (a row) of the tick in `slot`: its keys, values and ledger go to `out`."""
    columns = carray(columns_at(block), (1,))[0]
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    population = carray(population_at(columns.population), (columns.populations,))[number]
    cells_at = column.cells + 8 * codec.COLUMNS * population.place
    cells, page = carray(long_at(cells_at), (population.places, codec.COLUMNS)), carray(bytes_at(column.page), (column.used,))
    keys_bytes, values_bytes, ledger_bytes, lanes_bytes = 0, 0, 0, cells[0, codec.LANES_BYTES]
    for i in range(population.places):
        if cells[i, codec.FLAGS] != cells[0, codec.FLAGS] or cells[i, codec.POSITION] != cells[0, codec.POSITION]:
            return _DISAGREE
        if cells[i, codec.LANES_BYTES] != lanes_bytes:
            return _DISAGREE
        for byte in range(lanes_bytes):
            if page[cells[i, codec.LANES] + byte] != page[cells[0, codec.LANES] + byte]:
                return _DISAGREE
        keys_bytes += cells[i, codec.KEYS_BYTES]
        values_bytes += cells[i, codec.VALUES_BYTES]
        ledger_bytes += cells[i, codec.LEDGER_BYTES]
    events, keys_room, values_room = keys_bytes >> 2, (keys_bytes + 7) // 8 * 8, (values_bytes + 7) // 8 * 8
    columns.need = 2 * keys_room + 2 * values_room + 16 * events + ledger_bytes
    if columns.need > columns.room:
        return _NO_ROOM
    pairs = columns.out
    keys = pairs + 16 * events
    values = keys + 2 * keys_room
    ledger = values + 2 * values_room
    columns.keys_bytes, columns.values_bytes, columns.ledger_bytes = keys_bytes, values_bytes, ledger_bytes
    columns.keys, columns.values, columns.ledger = keys, values, ledger
    to_keys, to_values, to_ledger = keys, values, ledger
    for i in range(population.places):
        copy_bytes(to_keys, column.page + cells[i, codec.KEYS], cells[i, codec.KEYS_BYTES])
        copy_bytes(to_values, column.page + cells[i, codec.VALUES], cells[i, codec.VALUES_BYTES])
        copy_bytes(to_ledger, column.page + cells[i, codec.LEDGER], cells[i, codec.LEDGER_BYTES])
        to_keys += cells[i, codec.KEYS_BYTES]
        to_values += cells[i, codec.VALUES_BYTES]
        to_ledger += cells[i, codec.LEDGER_BYTES]
    unsorted, pair = carray(words_at(keys), (events,)), carray(long_at(pairs), (2 * events,))
    for e in range(events):
        if unsorted[e] >= population.keys:
            return _DISAGREE
        pair[e] = np.int64(unsorted[e]) << 32 | e
    if population.places > 1 and events:
        bits = 1
        while population.keys - 1 >> bits:
            bits += 1
        in_order = carray(long_at(_sort(columns, events, bits, pairs)), (events,))
        columns.keys, columns.values = keys + keys_room, values + values_room
        sorted_keys = carray(words_at(columns.keys), (events,))
        for e in range(events):
            sorted_keys[e] = in_order[e] >> 32 & 0xFFFFFFFF
        if values_bytes:
            for e in range(events):
                _move(columns.values, values, population.item_bytes, e, in_order[e] & 0xFFFFFFFF)
    elif population.order and values_bytes:
        columns.values = values + values_room
        order = carray(long_at(population.order), (values_bytes // population.item_bytes,))
        for e in range(order.size):
            _move(columns.values, values, population.item_bytes, e, order[e])
    return 0


class _Ticks(MutableMapping[str, int]):
    """Which tick each sender is to say next, as the compiled code knows it."""

    def __init__(self, numbers: Mapping[str, int], senders: Array) -> None:
        self._numbers, self._next = numbers, senders["next"]

    def __getitem__(self, name: str) -> int:
        return int(self._next[self._numbers[name]])

    def __setitem__(self, name: str, tick: int) -> None:
        self._next[self._numbers[name]] = tick

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} stays a sender")

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class _Group(NamedTuple):
    """PEs in this process that answer together."""

    ticks: Sequence[Tick]
    records: Array


class CompiledColumns(Columns):
    """`Columns` that takes batches by their bytes."""

    def __init__(
        self, populations: Mapping[int, Population], expects: Mapping[str, int], *, first: int, most_open: int
    ) -> None:  # fmt: skip
        super().__init__(populations, expects, first=first, most_open=most_open)
        if most_open > _MOST_OPEN:
            raise ValueError(f"{most_open} ticks may be open; at most {_MOST_OPEN}")
        most_open = max(most_open, 0)
        self._numbers = {name: number for number, name in enumerate(self.next_tick)}
        self._senders = np.zeros(len(self._numbers), SENDER)
        self._senders["next"] = first
        self.next_tick = _Ticks(self._numbers, self._senders)
        self._held: list[Any] = []  # what addresses lie in
        self._rows = {population.number: row for row, population in enumerate(self._own)}
        places, owned = 0, {name: list[tuple[int, int, int]]() for name in self._numbers}
        self._populations = np.zeros(len(self._own), POPULATION)
        for population, record in zip(self._own, self._populations, strict=True):
            payload, order = population.payload, population.order
            record["number"], record["dense"], record["item_bytes"] = population.number, payload.dense, payload.value_bytes
            record["mask_bytes"], record["keys"] = payload.masks_bytes, payload.keys
            record["place"], record["places"] = places, len(population.slots)
            record["order"] = 0 if order is None else self._address(np.ascontiguousarray(order, np.int64))
            for name, slot in population.slots.items():
                owned[name].append((self._rows[population.number], places + slot, population.values[name]))
            places += len(population.slots)
        self._places = places
        self._parts = np.zeros(places, PART)
        self._part_of: dict[tuple[int, str], int] = {}
        at = 0
        for name, own in owned.items():
            sender = self._senders[self._numbers[name]]
            sender["first"], sender["sections"] = at, len(own) if own else _EMPTY
            for row, place, values in own:
                self._parts[at]["population"], self._parts[at]["place"], self._parts[at]["values"] = row, place, values
                self._part_of[self._own[row].number, name] = at
                at += 1
        self._slots, self._free = dict[int, int](), list(range(most_open))
        self._open_ticks = np.zeros(most_open, OPEN)
        self._open_ticks["tick"] = _EMPTY
        self._missing = np.zeros((most_open, len(self._own)), np.int64)
        self._cells = np.full((most_open, places, codec.COLUMNS), _EMPTY, np.int64)
        self._pages = [np.zeros(_PAGE_BYTES, np.uint8) for _ in range(most_open)]
        for slot in range(most_open):
            self._open_ticks[slot]["missing"] = self._missing[slot].ctypes.data
            self._open_ticks[slot]["cells"] = self._cells[slot].ctypes.data
            self._turn_page(slot)
        most = max((len(own) for own in owned.values()), default=0)
        self._full, self._out = np.zeros(max(len(self._own), 1), np.int64), np.zeros(_PAGE_BYTES, np.uint8)
        self._state = np.zeros(1, COLUMNS)
        state = self._state[0]
        for name, array in (
            ("sender", self._senders), ("part", self._parts), ("population", self._populations), ("open", self._open_ticks),
            ("sections", np.zeros((most + 1, codec.COLUMNS), np.int64)), ("full", self._full), ("out", self._out),
            ("histogram", np.zeros(1 << _DIGIT_BITS, np.int64)),
        ):  # fmt: skip
            state[name] = self._address(array)
        state["populations"], state["ring"], state["places"], state["most"] = len(self._own), most_open, places, most
        state["room"], state["take"] = self._out.size, _take.address
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._block, self._filled = int(self._state.ctypes.data), 0
        self._take, self._join, self._answer = on_bytes(_take), called(_join_column), on_bytes(_answer_all)

    def _address(self, array: Array) -> int:
        self._held.append(array)
        return int(array.ctypes.data)

    def _turn_page(self, slot: int) -> None:
        self._open_ticks[slot]["page"], self._open_ticks[slot]["room"] = self._pages[slot].ctypes.data, self._pages[slot].size

    def begin(self, tick: int) -> None:
        """Open a tick."""
        slot = self._slots[tick] = self._free.pop()
        record = self._open_ticks[slot]
        record["tick"], record["used"] = tick, 0
        self._missing[slot] = self._populations["places"]
        self._cells[slot, :, codec.POPULATION] = _EMPTY

    def end(self, tick: int) -> None:
        """Forget a tick, all of which is through."""
        slot = self._slots.pop(tick)
        self._open_ticks[slot]["tick"] = _EMPTY
        self._free.append(slot)

    def has(self, tick: int, population: Population, slot: int) -> bool:
        """Tell whether a sender has said its section of a tick."""
        place = self._populations[self._rows[population.number]]["place"] + slot
        return bool(self._cells[self._slots[tick], place, codec.POPULATION] != _EMPTY)

    def put(self, tick: int, population: Population, sender: str, section: Section, events: int) -> bool:
        """Put a sender's section of so many events where it belongs; tell whether its column is full."""
        slot, row = self._slots[tick], self._rows[population.number]
        part, content = self._parts[self._part_of[population.number, sender]], (section.keys, section.values, section.lanes)
        raw = b"".join((*content, section.ledger))
        self._make_room(slot, len(raw))
        used = int(self._open_ticks[slot]["used"])
        self._pages[slot][used : used + len(raw)] = np.frombuffer(raw, np.uint8)
        cell = self._cells[slot, part["place"]]
        cell[codec.POPULATION], cell[codec.FLAGS], cell[codec.POSITION] = population.number, section.flags, section.position
        for begin, size, data in zip(
            range(codec.KEYS, codec.LEDGER + 1), range(codec.KEYS_BYTES, codec.COLUMNS), (*content, section.ledger), strict=True
        ):
            cell[begin], cell[size] = used, len(data)
            used += len(data)
        self._open_ticks[slot]["used"] = used
        part["events"] += events
        self._missing[slot, row] -= 1
        return not self._missing[slot, row]

    def _make_room(self, slot: int, more_bytes: int) -> None:
        need = int(self._open_ticks[slot]["used"]) + more_bytes
        if need > self._pages[slot].size:
            page = np.zeros(2 * need, np.uint8)
            page[: self._pages[slot].size] = self._pages[slot]
            self._pages[slot] = page
            self._turn_page(slot)

    def join(self, tick: int, population: Population) -> Section:
        """Return a full column as one section; JoinError where its parts do not agree, or have a key that is that of no unit."""
        slot, row, state = self._slots[tick], self._rows[population.number], self._state[0]
        code = self._join(self._block, slot, row, 0)
        if code == _NO_ROOM:
            self._out = np.zeros(2 * int(state["need"]), np.uint8)
            state["out"], state["room"] = self._out.ctypes.data, self._out.size
            code = self._join(self._block, slot, row, 0)
        first = int(self._populations[row]["place"])
        if code:
            parts = {name: self._section(slot, first + at) for name, at in population.slots.items()}
            return joined(population, parts, tick)
        out, base = memoryview(self._out), self._out.ctypes.data  # type: ignore[arg-type]  # a buffer
        keys, values, ledger = (
            bytes(out[int(state[name]) - base :][: int(state[f"{name}_bytes"])]) for name in ("keys", "values", "ledger")
        )
        return self._section(slot, first)._replace(keys=keys, values=values, ledger=ledger)

    def _section(self, slot: int, place: int) -> Section:
        cell, page = self._cells[slot, place].tolist(), self._pages[slot]
        keys, values, lanes, ledger = (
            page[begin : begin + size].tobytes()
            for begin, size in zip(cell[codec.KEYS : codec.KEYS_BYTES], cell[codec.KEYS_BYTES :], strict=True)
        )
        return Section(cell[codec.POPULATION], cell[codec.FLAGS], cell[codec.POSITION], keys, values, ledger, lanes)

    def events_of(self, population: Population) -> dict[str, int]:
        """Return how many events each sender of a population has said."""
        if population.number not in self._rows:
            return {}
        return {name: int(self._parts[self._part_of[population.number, name]]["events"]) for name in population.slots}

    def take(self, sender: str, raw: bytes, *, is_sealed: bool) -> int:
        """Put what is exactly the batch of `sender` that is due, with its checksum where it must have one, into its columns; return
        how many of them are full now (`full`), or why nothing was done.
        """
        number = self._numbers.get(sender, _EMPTY)
        if number == _EMPTY or not raw or (is_sealed and raw[0] != _SEALED and sender != HOST):
            return NOT_TAKEN
        taken: int = self._take(self._block, raw, number, len(raw))
        if taken == _NO_ROOM:
            self._make_room(self._slots[int(self._senders[number]["next"])], len(raw))
            taken = self._take(self._block, raw, number, len(raw))
        self._filled = taken
        return taken

    @property
    def full(self) -> Sequence[int]:
        """The populations whose columns were filled by what was taken last."""
        return [self._own[row].number for row in self._full[: self._filled].tolist()]

    def answers(self, endpoints: Sequence[Answering], raw: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Have endpoints answer a bundle, and take the batches that they answer by; yield what is left to do: (who, how many
        columns are full now, b""), or (who, why its batch was not taken, that batch, b"" where it has not answered).
        """
        group, state = self._group(endpoints), self._state[0]
        if group is None:
            yield from super().answers(endpoints, raw)
            return
        turn = 0
        while turn < len(endpoints):
            state["answering"], state["group"], state["turn"] = group.records.ctypes.data, len(endpoints), turn
            taken: int = self._answer(self._block, raw, 0, len(raw))
            if not taken:
                return
            turn, self._filled = int(state["turn"]), taken
            name, batch = endpoints[turn].name, b""
            if taken < 0 and taken != _NO_ANSWER:
                batch = group.ticks[turn].reply[: int(state["reply_bytes"])].tobytes()
            yield name, taken, batch
            turn += 1

    def _group(self, endpoints: Sequence[Answering]) -> _Group | None:
        """Return endpoints as compiled code calls them; None where one has no tick that it could call."""
        names = tuple([endpoint.name for endpoint in endpoints])
        ticks = [getattr(endpoint, "tick", None) for endpoint in endpoints]
        group = self._groups.get(names)
        if group is None or any(tick is not known for tick, known in zip(ticks, group.ticks, strict=True)):
            if None in ticks or any(name not in self._numbers for name in names):
                return None
            records = np.zeros(len(names), ANSWERING)
            for record, name, tick in zip(records, names, ticks, strict=True):
                assert tick is not None
                record["tick"], record["block"], record["reply"] = tick.address, tick.block, tick.reply_at
                record["sender"] = self._numbers[name]
            group = self._groups[names] = _Group(ticks, records)  # type: ignore[arg-type]  # none of them is None
        return group
