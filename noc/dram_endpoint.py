"""`DramEndpoint`: a chip's DRAM, which takes transfers and answers them in the next tick. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from noc.dram import Dram, DramError, DramFull
from noc.packet import DATA, KIND_NAMES, PROBE, READ, WRITE, Batch, Fill, Peek, Snapshot, Transfer
from noc.wire import decode, encode

PAGE_BYTES = 1 << 12  # of what a DRAM says that PEs have changed
MOST_SAVED_BYTES = 1 << 26  # of a DRAM: with more, it says nothing
_MOST_PEEKED_BYTES = 1 << 20


class ExchangeError(ValueError):
    """A transfer that nobody may send, in one line without the sender's name."""


class DramEndpoint:
    """`DRAM@chip`: takes the transfers of a tick in their order, and answers each READ by a DATA of the next tick.

    It can say what PEs have changed in it up to a tick, and go on from there in another router.
    """

    def __init__(self, name: str, store: Dram, first: int = 0) -> None:
        self.name, self.store = name, store
        self.first_answers: tuple[Transfer, ...] = ()
        self.saved: list[Snapshot] = []  # to be sent to the host
        self._tick = first  # of its next batch
        self._save_at = -1
        self.changed = np.zeros(-(-store.capacity_bytes // PAGE_BYTES), np.uint8)  # 1 for each page that PEs have changed

    def fill(self, fill: Fill) -> None:
        """Write what the host sends before the first tick; ExchangeError beyond the store."""
        self._write("host", fill.address, fill.data)

    def peek(self, peek: Peek) -> bytes:
        """Return what lies at an address, uncounted; at most a MiB at a time."""
        return self.store.peek(max(peek.address, 0), min(max(peek.size_bytes, 0), _MOST_PEEKED_BYTES))

    def save(self, tick: int) -> None:
        """Say in `saved` what is needed to go on from a tick, when it comes; at once, and nothing, where it is past."""
        if tick <= self._tick:
            self.saved.append(Snapshot(tick, b"", b"", []))
        self._save_at = tick

    @property
    def is_to_save(self) -> bool:
        """Whether a state is to be said that has not come yet, or has not been taken."""
        return bool(self.saved) or self._save_at >= self._tick

    def restore(self, snapshot: Snapshot) -> None:
        """Become what said so; the host has filled the store as it did that one's. ExchangeError where the disk has no room."""
        pages = snapshot.counts
        for number, page in enumerate(pages):
            try:
                self.store.poke(page * PAGE_BYTES, snapshot.memory[number * PAGE_BYTES : (number + 1) * PAGE_BYTES])
            except DramFull as error:
                raise ExchangeError(f"{self.name}: {error}") from error
        self.changed[:] = 0
        self.changed[pages] = 1
        batch = decode(snapshot.batch)
        assert isinstance(batch, Batch)
        self._tick, self.first_answers = batch.tick, batch.transfers

    def serve(self, transfers: Iterable[Transfer]) -> list[Transfer]:
        """Return the answers to transfers; ExchangeError, naming who and the addresses, beyond the store."""
        answers = []
        for transfer in transfers:
            if transfer.kind in (WRITE, PROBE):
                self._write(transfer.source, transfer.address, transfer.data, is_counted=transfer.kind == WRITE)
                last = transfer.address + max(len(transfer.data), 1) - 1
                self.changed[transfer.address // PAGE_BYTES : last // PAGE_BYTES + 1] = 1
            elif transfer.kind == READ:
                try:
                    data = self.store.read_at(transfer.address, transfer.size_bytes)
                except DramError as error:
                    raise ExchangeError(f"{self.name}: READ by {transfer.source} of {error}") from None
                answers.append(transfer._replace(kind=DATA, source=self.name, target=transfer.source, data=data))
            else:
                kind = KIND_NAMES[transfer.kind].upper()
                raise ExchangeError(f"{self.name}: a {kind} of {transfer.source}; takes READ, WRITE and PROBE")
        return answers

    def end_tick(self, answers: Callable[[], Sequence[Transfer]]) -> None:
        """All transfers of a tick are served; `answers` returns those of the next one, for who wants to go on from there."""
        self._tick += 1
        if self._tick == self._save_at:
            pages, saved = np.flatnonzero(self.changed).tolist(), Snapshot(self._tick, b"", b"", [])
            if len(pages) * PAGE_BYTES <= MOST_SAVED_BYTES:
                memory = b"".join(self.store.peek(page * PAGE_BYTES, PAGE_BYTES) for page in pages)
                saved = saved._replace(memory=memory, batch=encode(Batch(self._tick, (), tuple(answers()))), counts=pages)
            self.saved.append(saved)

    def _write(self, who: str, address: int, data: bytes, *, is_counted: bool = True) -> None:
        before = self.store.written_bytes
        try:
            self.store.write_at(address, data)
            self.store.written_bytes = before + len(data) * is_counted
        except DramFull as error:
            raise ExchangeError(f"{self.name}: WRITE by {who}: {error}") from error
        except DramError as error:
            raise ExchangeError(f"{self.name}: WRITE by {who} of {error}") from None
