"""A router's columns, read and joined by compiled code: the same as `noc/columns.py`, which is the definition.

What is not exactly the batch that is due is left to Python, and nothing is done (`pe/column_calls.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.compute.bound_calls import called
from models.network import Array
from noc.columns import CROWDED, NOT_TAKEN, Columns, Delivery, joined
from noc.exchange import Exchange, Settled
from noc.packet import HOST, Section
from noc.streams import Group, Population
from pe import msgpack_codec as codec
from pe.bound_tick import Tick, on_bytes
from pe.column_calls import (
    DIGIT_BITS,
    EMPTY,
    NO_ANSWER,
    NO_ROOM,
    NO_ROOM_TO_STAND,
    SAID,
    SEALED,
    answer_all,
    find_tick,
    join_column,
    open_tick,
    take_batch,
)
from pe.column_records import ANSWERING, COLUMNS, OPEN, PART, POPULATION, SENDER
from pe.compiled_delivery import CompiledDelivery
from pe.record_words import view_of, words_of

if TYPE_CHECKING:
    from pe.compiled_exchange import CompiledExchange

_PAGE_BYTES = 1 << 14
_MOST_OPEN = 1 << 12


_OUT, _ROOM, _NEED, _KEYS, _LEDGER_BYTES, _ANSWERING, _GROUP, _TURN, _REPLY_BYTES, _FILLED, _SOURCE = words_of(
    COLUMNS, "out", "room", "need", "keys", "ledger_bytes", "answering", "group", "turn", "reply_bytes", "filled", "source"
)
(_TICK,) = words_of(OPEN, "tick")
_OPEN_WORDS, _SENDER_WORDS = OPEN.itemsize // 8, SENDER.itemsize // 8  # the first word of a sender is the tick that is due
(_STANDS,) = words_of(SENDER, "stands")


class _Ticks(MutableMapping[str, int]):
    """Which tick each sender is to say next, as the compiled code knows it."""

    def __init__(self, numbers: Mapping[str, int], senders: Array) -> None:
        self._places = {name: number * _SENDER_WORDS for name, number in numbers.items()}
        self._words = view_of(senders)

    def __getitem__(self, name: str) -> int:
        tick: int = self._words[self._places[name]]
        return tick

    def __setitem__(self, name: str, tick: int) -> None:
        at = self._places[name]
        self._words[at], self._words[at + _STANDS] = tick, EMPTY

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} stays a sender")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Group(NamedTuple):
    """PEs in this process that answer together."""

    ticks: Sequence[Tick]
    records: Array
    address: int  # of the records


class CompiledColumns(Columns):
    """`Columns` that takes batches by their bytes. `numbers`: of senders, by name; `block`, `take_address`: what compiled code puts
    batches in by (`take_batch`).
    """

    @staticmethod
    def make_exchange(chip: int, plan: Sequence[Any], first: int, most_open: int) -> Exchange:
        """Return what batches' transfers are put into; its code is loaded where there are any."""
        from pe.compiled_exchange import CompiledExchange

        return CompiledExchange(chip, plan, first, most_open)

    def __init__(
        self, populations: Mapping[int, Population], expects: Mapping[str, int], *, first: int, most_open: int,
        exchange: Exchange | None = None,
    ) -> None:  # fmt: skip
        super().__init__(populations, expects, first=first, most_open=most_open)
        if most_open > _MOST_OPEN:
            raise ValueError(f"{most_open} ticks may be open; at most {_MOST_OPEN}")
        most_open = max(most_open, 0)
        self.numbers = {name: number for number, name in enumerate(self.next_tick)}
        self._senders = np.zeros(len(self.numbers), SENDER)
        self._senders["next"] = first
        self._senders["stands"] = self._senders["asked"] = self._senders["last"] = EMPTY
        self.next_tick = _Ticks(self.numbers, self._senders)
        self._held: list[Any] = []  # what addresses lie in
        self._standing: dict[int, Array] = {}  # by sender: the bytes of its batch that stands
        self._rows = {population.number: row for row, population in enumerate(self._own)}
        places, owned = 0, {name: list[tuple[int, int, int]]() for name in self.numbers}
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
            sender = self._senders[self.numbers[name]]
            sender["first"], sender["sections"], sender["source"] = at, len(own) if own else EMPTY, EMPTY
            for row, place, values in own:
                self._parts[at]["population"], self._parts[at]["place"], self._parts[at]["values"] = row, place, values
                self._part_of[self._own[row].number, name] = at
                at += 1
        self._open_ticks = np.zeros(most_open, OPEN)
        self._open_ticks["tick"] = EMPTY
        self._missing = np.zeros((most_open, len(self._own)), np.int64)
        self._cells = np.full((most_open, places, codec.COLUMNS), EMPTY, np.int64)
        self._pages = [np.zeros(_PAGE_BYTES, np.uint8) for _ in range(most_open)]
        for slot in range(most_open):
            self._open_ticks[slot]["missing"] = self._missing[slot].ctypes.data
            self._open_ticks[slot]["cells"] = self._cells[slot].ctypes.data
            self._turn_page(slot)
        most = max((len(own) for own in owned.values()), default=0)
        self._full = np.zeros(max(len(self._own), 1), np.int64)
        self._state = np.zeros(1, COLUMNS)
        # Words by their place: a record's field by its name takes several times as long, and a tick asks for dozens.
        self._words, self._opened = view_of(self._state), view_of(self._open_ticks)
        self._first_places = self._populations["place"].tolist()
        state = self._state[0]
        for name, array in (
            ("sender", self._senders), ("part", self._parts), ("population", self._populations), ("open", self._open_ticks),
            ("sections", np.zeros((most + 1, codec.COLUMNS), np.int64)), ("full", self._full),
            ("standing", np.zeros((len(self._senders) + 1, codec.COLUMNS), np.int64)),
            ("histogram", np.zeros(1 << DIGIT_BITS, np.int64)), ("all_missing", self._populations["places"].copy()),
        ):  # fmt: skip
            state[name] = self._address(array)
        state["populations"], state["ring"], state["places"], state["most"] = len(self._own), most_open, places, most
        self.take_address = state["take"] = take_batch.address
        state["join"] = join_column.address
        self._exchange: CompiledExchange | None = exchange  # type: ignore[assignment]  # as it is made below
        if self._exchange is not None:
            state["boxes"], state["read"], state["put"] = self._exchange.calls
            for name in self.numbers:
                self._senders[self.numbers[name]]["source"] = self._exchange.sources.get(name, EMPTY)
        self._make_out(_PAGE_BYTES)
        self._groups: dict[tuple[str, ...], _Group] = {}
        self.block = int(self._state.ctypes.data)
        self._take, self._join, self._answer = on_bytes(take_batch), called(join_column), on_bytes(answer_all)
        self._begin, self._find = called(open_tick), called(find_tick)

    def _address(self, array: Array) -> int:
        self._held.append(array)
        return int(array.ctypes.data)

    def _make_out(self, size_bytes: int) -> None:
        out = np.zeros(size_bytes, np.uint8)
        self._out, self._out_at = memoryview(out), int(out.ctypes.data)  # type: ignore[arg-type]  # a buffer
        self._words[_OUT], self._words[_ROOM] = self._out_at, size_bytes

    def _turn_page(self, slot: int) -> None:
        self._open_ticks[slot]["page"], self._open_ticks[slot]["room"] = self._pages[slot].ctypes.data, self._pages[slot].size

    def begin(self, tick: int) -> None:
        """Open a tick."""
        if self._begin(self.block, tick, 0, 0) == len(self._open_ticks):
            raise IndexError(f"tick {tick}: {len(self._open_ticks)} are open, and there is room for no more")

    def end(self, tick: int) -> None:
        """Forget a tick, all of which is through."""
        self._opened[self.slot_of(tick) * _OPEN_WORDS + _TICK] = EMPTY

    @property
    def open_ticks(self) -> Collection[int]:
        """The ticks that are open."""
        return [tick for tick in self._open_ticks["tick"].tolist() if tick != EMPTY]

    def slot_of(self, tick: int) -> int:
        """Return the slot of a tick, which is open."""
        return self._find(self.block, tick, 0, 0)

    def delivery(self, groups: Sequence[Group]) -> Delivery | None:
        """Return what writes the bundles of groups where all comes from here."""
        delivery = CompiledDelivery(self, groups, self._rows, len(self._open_ticks), self._exchange)
        self._held.append(delivery)
        self._state[0]["delivery"], self._state[0]["opens"] = delivery.address, self._exchange is None
        return delivery

    @property
    def has_settled(self) -> bool:
        """Whether what was taken last had transfers put into boxes."""
        return self._exchange is not None and bool(self._words[_SOURCE] >= 0)

    def note_full(self, rows: Sequence[int]) -> None:
        """Note columns that were filled by what Python has put there."""
        self._full[: len(rows)] = rows
        self._words[_FILLED] = len(rows)

    def full_population(self, at: int) -> Population:
        """Return the population of one of the columns that were filled last."""
        return self._own[int(self._full[at])]

    def make_room_to_join(self) -> None:
        """Make room for what was just too much to be joined."""
        self._make_out(2 * self._words[_NEED])

    def has(self, tick: int, population: Population, slot: int) -> bool:
        """Tell whether a sender has said its section of a tick."""
        place = self._populations[self._rows[population.number]]["place"] + slot
        return bool(self._cells[self.slot_of(tick), place, SAID] == tick)

    def put(self, tick: int, population: Population, sender: str, section: Section, events: int) -> bool:
        """Put a sender's section of so many events where it belongs; tell whether its column is full."""
        slot, row = self.slot_of(tick), self._rows[population.number]
        part, content = self._parts[self._part_of[population.number, sender]], (section.keys, section.values, section.lanes)
        raw = b"".join((*content, section.ledger))
        self._make_room(slot, len(raw))
        used = int(self._open_ticks[slot]["used"])
        self._pages[slot][used : used + len(raw)] = np.frombuffer(raw, np.uint8)
        cell = self._cells[slot, part["place"]]
        cell[SAID], cell[codec.FLAGS], cell[codec.POSITION] = tick, section.flags, section.position
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

    def _make_room_to_stand(self, number: int) -> None:
        page = self._standing[number] = np.zeros(2 * self._words[_NEED], np.uint8)
        self._senders[number]["page"], self._senders[number]["room"] = page.ctypes.data, page.size

    def make_room_in(self, tick: int) -> None:
        """Make room in a tick for batches that stand in it."""
        self._make_room(self.slot_of(tick), self._words[_NEED])

    def spare(self, names: Sequence[str]) -> list[int]:
        """Let senders' batches stand where they say so; return their numbers, none where one of them has no section, or several."""
        numbers = [self.numbers.get(name, EMPTY) for name in names]
        if any(number == EMPTY or self._senders[number]["sections"] != 1 for number in numbers) or HOST in names:
            return []
        self._senders["may_stand"][numbers] = 1
        return numbers

    def ask_of(self, name: str, tick: int, *, is_last: bool) -> None:
        """Let an endpoint hear that `tick` comes, whatever its batch that stands says: to be read (`is_last`), or to be saved.

        Where it was spared that one already, it hears the next that comes.
        """
        if name in self.numbers:
            sender = self._senders[self.numbers[name]]
            sender["last" if is_last else "asked"] = max(tick, sender["next"]) - 1

    def join(self, tick: int, population: Population) -> Section:
        """Return a full column as one section; JoinError where its parts do not agree, or have a key that is that of no unit."""
        slot, row, words = self.slot_of(tick), self._rows[population.number], self._words
        code = self._join(self.block, slot, row, 0)
        if code == NO_ROOM:
            self.make_room_to_join()
            code = self._join(self.block, slot, row, 0)
        first = self._first_places[row]
        if code:
            parts = {name: self._section(slot, first + at, population) for name, at in population.slots.items()}
            return joined(population, parts, tick)
        keys, values, ledger, keys_bytes, values_bytes, ledger_bytes = words[_KEYS : _LEDGER_BYTES + 1].tolist()
        cell, out = self._cells[slot, first].tolist(), self._out
        keys, values, ledger = keys - self._out_at, values - self._out_at, ledger - self._out_at
        begin, size = cell[codec.LANES], cell[codec.LANES_BYTES]
        lanes = self._pages[slot][begin : begin + size].tobytes() if size else b""
        return Section(
            population=population.number, flags=cell[codec.FLAGS], position=cell[codec.POSITION],
            keys=out[keys : keys + keys_bytes].tobytes(), values=out[values : values + values_bytes].tobytes(),
            ledger=out[ledger : ledger + ledger_bytes].tobytes(), lanes=lanes,
        )  # fmt: skip

    def _section(self, slot: int, place: int, population: Population) -> Section:
        """Return what a sender of a population has said."""
        cell, page = self._cells[slot, place].tolist(), self._pages[slot]
        keys, values, lanes, ledger = (
            page[begin : begin + size].tobytes()
            for begin, size in zip(cell[codec.KEYS : codec.KEYS_BYTES], cell[codec.KEYS_BYTES :], strict=True)
        )
        return Section(population.number, cell[codec.FLAGS], cell[codec.POSITION], keys, values, ledger, lanes)

    def events_of(self, population: Population) -> dict[str, int]:
        """Return how many events each sender of a population has said."""
        if population.number not in self._rows:
            return {}
        return {name: int(self._parts[self._part_of[population.number, name]]["events"]) for name in population.slots}

    def take(self, sender: str, raw: bytes, *, is_sealed: bool) -> int:
        """Put what is exactly the batch of `sender` that is due, with its checksum where it must have one, into its columns, and
        its transfers where they go; return how many columns are full now (`full`) and for how much the last transfers are in
        (`settled`), or why nothing was done.
        """
        number = self.numbers.get(sender, EMPTY)
        if number == EMPTY or not raw or (is_sealed and raw[0] != SEALED and sender != HOST):
            return NOT_TAKEN
        taken: int = self._take(self.block, raw, number, len(raw))
        while taken in (NO_ROOM, CROWDED, NO_ROOM_TO_STAND):
            if taken == NO_ROOM:
                self._make_room(self.slot_of(self.next_tick[sender]), len(raw))
            elif taken == NO_ROOM_TO_STAND:
                self._make_room_to_stand(number)
            elif self._exchange is not None:
                self._exchange.make_room()
            taken = self._take(self.block, raw, number, len(raw))
        return taken

    @property
    def full(self) -> Sequence[int]:
        """The populations whose columns were filled by what was taken last."""
        return [self._own[row].number for row in self._full[: self._words[_FILLED]].tolist()]

    @property
    def settled(self) -> Settled | None:
        """What waited for the transfers of what was taken last; None where its sender may send none."""
        return self._exchange.settled if self._exchange is not None and self.has_settled else None

    def answers(self, names: tuple[str, ...], endpoints: Mapping[str, Any], raw: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Have endpoints answer a bundle, and take the batches that they answer by; yield what is left to do: (who, what its batch
        has filled, b""), or (who, why that was not taken, the batch, b"" where it has not answered).
        """
        group, words, turn = self._groups.get(names) or self._group(names, endpoints), self._words, 0
        if group is None:
            yield from super().answers(names, endpoints, raw)
            return
        while turn < len(names):
            words[_ANSWERING], words[_GROUP], words[_TURN] = group.address, len(names), turn
            taken: int = self._answer(self.block, raw, 0, len(raw))
            if not taken:
                return
            turn = words[_TURN]
            name, batch = names[turn], b""
            if taken < 0 and taken != NO_ANSWER:
                batch = group.ticks[turn].reply[: words[_REPLY_BYTES]].tobytes()
            yield name, taken, batch
            turn += 1

    def _group(self, names: tuple[str, ...], endpoints: Mapping[str, Any]) -> _Group | None:
        """Return endpoints as compiled code calls them, whose ticks are bound once in their lives; None before that."""
        ticks = [getattr(endpoints[name], "tick", None) for name in names]
        if None in ticks or not self.numbers.keys() >= {*names}:
            return None
        records = np.zeros(len(names), ANSWERING)
        for record, name, tick in zip(records, names, ticks, strict=True):
            assert tick is not None
            record["tick"], record["block"], record["reply"] = tick.address, tick.block, tick.reply_at
            record["sender"] = self.numbers[name]
        group = self._groups[names] = _Group(ticks, records, int(records.ctypes.data))  # type: ignore[arg-type]  # none is None
        return group
