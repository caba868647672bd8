"""A router's bundles where everything comes from its own chip, written by compiled code (`pe/bundle_calls.py`): the same as
`noc/tick_join.py` makes of the columns, which is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.compute.bound_calls import called
from models.network import Array
from noc.packet import HOST, Outgoing, Packed, Section
from noc.streams import Group, JoinError, Population
from pe.bundle_calls import NO_BOX, NO_OUT, NO_PAGE, NO_ROOM_IN_TICK, deliver
from pe.column_calls import DISAGREE, NO_ROOM
from pe.column_records import DELIVERY, GROUP, PAGE, READY, RUN, SPARED, WAIT
from pe.record_words import view_of, words_of

if TYPE_CHECKING:
    from pe.compiled_exchange import CompiledExchange

_PAGE_BYTES = 1 << 14
_DONE, _PENDING, _WRITTEN, _USED, _ROOM, _NEED, _SETTLES, _IS_DRAM_DUE, _IS_CLOSED, _SPARES, _STANDING, _STAND = words_of(
    DELIVERY, "done", "pending", "written", "used", "room", "need", "settles", "is_dram_due", "is_closed", "spares", "standing",
    "stand",
)  # fmt: skip
_NO_BOX_OF_ITS_OWN = -1


class JoinedColumns(Protocol):
    """The columns that bundles are made of (`pe/compiled_columns.py`). `block`: where their state lies."""

    block: int

    def note_full(self, rows: Sequence[int]) -> None:
        """Note columns that were filled by what Python has put there."""

    def full_population(self, at: int) -> Population:
        """Return the population of one of the columns that were filled last."""

    @property
    def has_settled(self) -> bool:
        """Whether what was taken last had transfers put into boxes."""

    def slot_of(self, tick: int) -> int:
        """Return the slot of a tick, which is open."""

    def make_room_to_join(self) -> None:
        """Make room for what was just too much to be joined."""

    def make_room_in(self, tick: int) -> None:
        """Make room in a tick for batches that stand in it."""

    def spare(self, names: Sequence[str]) -> list[int]:
        """Let senders' batches stand where they say so; return their numbers, none where one of them has no section, or several."""

    def join(self, tick: int, population: Population) -> Section:
        """Return a full column as one section; JoinError where its parts do not agree, or have a key that is that of no unit."""


class CompiledDelivery:
    """Writes the bundles of `groups` as the `columns`, of the populations in `rows`, become full, and the transfers of `exchange`
    are in. `ring`: how many ticks may be open; `address`: of its state.
    """

    def __init__(
        self, columns: JoinedColumns, groups: Sequence[Group], rows: dict[int, int], ring: int, exchange: CompiledExchange | None
    ) -> None:
        self._columns, self._rows, self._exchange = columns, rows, exchange
        self._held: dict[str, Array] = {}  # what addresses lie in
        self._state = np.zeros(1, DELIVERY)
        self._words = view_of(self._state)
        self.address = int(self._state.ctypes.data)
        self._endpoints = [group.endpoints for group in groups]
        plain = [group.endpoints == (HOST,) for group in groups]
        self._is_plain = [is_plain and not group.exchanges for is_plain, group in zip(plain, groups, strict=True)]
        records, firsts = self._hold("group", np.zeros(len(groups), GROUP)), accumulate((len(g.waits) for g in groups), initial=0)
        hearers: dict[int, list[int]] = {row: [] for row in rows.values()}
        boxes, sources = (exchange.boxes, exchange.sources) if exchange is not None else ({}, {})
        members: list[int] = []
        group_of = self._hold("group_of", np.zeros(len(boxes) or 1, np.int64))
        for record, group, first, is_plain in zip(records, groups, firsts, plain, strict=False):
            record["first"], record["count"], record["is_plain"] = first, len(group.waits), is_plain
            record["box"] = box = boxes[group.endpoints[0]] if group.exchanges else _NO_BOX_OF_ITS_OWN
            may_stand = exchange is None or (group.exchanges and len(group.waits) == 1 and group.endpoints[0] in sources)
            own = columns.spare(group.endpoints) if may_stand else []
            record["member"], record["members"] = len(members), len(own)
            members += own
            record["is_dram"] = exchange is not None and group.endpoints == (exchange.dram_name,)
            if group.exchanges:
                group_of[box] = group.number
            for number in group.waits:
                hearers[rows[number]].append(group.number)
        waits = [
            (rows[number], is_plain or any(heard == number for heard, _ in group.routed))
            for is_plain, group in zip(plain, groups, strict=True)
            for number in group.waits
        ]
        self._hold("member", np.array(members or [0], np.int64))
        self._hold("waits", np.array(waits or [(0, False)], WAIT))
        self._hold("hearer", np.array([number for row in hearers.values() for number in row] or [0], np.int64))
        begins = accumulate((len(row) for row in hearers.values()), initial=0)
        self._hold("hearers", np.array([*zip(begins, map(len, hearers.values()), strict=False)], np.int64).reshape(-1, 2))
        self._hold("all_waiting", np.array([len(group.waits) + group.exchanges for group in groups], np.int64))
        self._hold("waiting", np.zeros((ring, len(groups)), np.int64))
        self._hold("left", np.zeros(ring, np.int64))
        self._hold("run", np.zeros((ring, len(rows)), RUN))
        self._hold("events", np.zeros(len(rows), np.int64))
        self._ready = self._hold("ready", np.zeros(len(groups), READY))
        self._spared = self._hold("spared", np.zeros(len(members), SPARED))
        pages = self._hold("page", np.zeros(ring, PAGE))
        self._pages = [np.zeros(_PAGE_BYTES, np.uint8) for _ in range(ring)]
        for record, page in zip(pages, self._pages, strict=True):
            record["address"], record["room"] = page.ctypes.data, page.size
        self._out = memoryview(self._hold("out", np.zeros(_PAGE_BYTES, np.uint8)))  # type: ignore[arg-type]  # a buffer
        state = self._state[0]
        state["columns"], state["groups"], state["room"] = columns.block, len(groups), _PAGE_BYTES
        state["parts"] = len(rows) + (exchange is not None)
        if exchange is not None:
            state["write_box"], state["settle"] = exchange.write_address, exchange.settle_address
        self._deliver = called(deliver)

    def _hold(self, name: str, array: Array) -> Array:
        self._held[name] = array
        self._state[0][name] = array.ctypes.data
        return array

    def deliver(
        self, tick: int, full: Sequence[int] | None = None, *, settles: bool = False, standing: Any = None
    ) -> Outgoing:  # fmt: skip
        """Return the bundles for which the columns of these populations were the last, or, where it `settles`, the transfers
        that were put into boxes last, or the batches that stand for what was `spared` in the tick before; None: what the last batch
        filled, and its transfers. JoinError as `Columns.join`.
        """
        words, columns = self._words, self._columns
        if standing is not None:
            words[_STANDING], words[_STAND] = standing.ctypes.data, len(standing)
        if full is not None:
            columns.note_full([self._rows[number] for number in full])
        words[_SETTLES] = settles if full is not None else columns.has_settled
        words[_DONE] = words[_PENDING] = words[_WRITTEN] = words[_SPARES] = words[_USED] = 0
        words[_IS_DRAM_DUE] = words[_IS_CLOSED] = 0
        while (code := self._deliver(self.address, tick, 0, 0)) < 0:
            if code == NO_ROOM:
                columns.make_room_to_join()
            elif code == NO_PAGE:
                self._turn_page(columns.slot_of(tick), words[_NEED])
            elif code == NO_BOX:
                assert self._exchange is not None
                self._exchange.make_out()
            elif code == NO_OUT:
                self._grow(words[_NEED])
            elif code == NO_ROOM_IN_TICK:
                columns.make_room_in(tick)
            else:
                assert code == DISAGREE, code
                columns.join(tick, columns.full_population(words[_DONE]))  # says what is wrong
                raise JoinError(f"tick {tick}: batches that do not agree")
        out = self._out
        bundles: Outgoing = []
        for group, begin, size in self._ready[:code].tolist():
            if size:
                raw = out[begin : begin + size].tobytes()
                bundles.append((self._endpoints[group], raw if self._is_plain[group] else Packed(tick, raw)))
        return bundles

    @property
    def spared(self) -> Array | None:
        """What need not have been written of what was delivered last: what has its hearers' batches stand in the next tick; None
        for nothing.
        """
        spares = self._words[_SPARES]
        return self._spared[:spares].copy() if spares else None

    @property
    def is_dram_due(self) -> bool:
        """Whether what was delivered last was what the chip's DRAM waited for."""
        return bool(self._words[_IS_DRAM_DUE])

    @property
    def is_through(self) -> bool:
        """Whether what was delivered last was the last of its tick."""
        return bool(self._words[_IS_CLOSED])

    def _turn_page(self, slot: int, need_bytes: int) -> None:
        page = np.zeros(2 * need_bytes, np.uint8)
        page[: self._pages[slot].size] = self._pages[slot]
        self._pages[slot] = page
        record = self._held["page"][slot]
        record["address"], record["room"] = page.ctypes.data, page.size

    def _grow(self, need_bytes: int) -> None:
        out = np.zeros(2 * need_bytes, np.uint8)
        out[: len(self._out)] = self._out
        self._out = memoryview(self._hold("out", out))  # type: ignore[arg-type]  # a buffer
        self._words[_ROOM] = out.size

    def events_of(self, population: Population) -> int:
        """Return how many events a population has sent, of columns that were full."""
        row = self._rows.get(population.number)
        return 0 if row is None else int(self._held["events"][row])
