"""Transfers in a router: unicast by name between endpoints that may, over links along the tree of the chip they come from.

Who may send to whom is configured, so that whoever may be sent something waits for a fixed set of batches: those of this
chip's senders, and one relay of each other chip on which a sender is. A batch of tick t is delivered in bundles of tick t, so
what waits for a tick never waits for itself. The chip's DRAM is one of the endpoints: it takes the transfers of tick t, and its
answers are its batch of tick t + 1.

`Configure.transfers` is [allowed, awaited, passes, dram]: this chip's senders -> the names that each may send to; this chip's
targets -> other chips that may send to it; for each chip whose transfers leave, pass or arrive here [chip, neighbour it arrives
from or "" of this one, chip of the target (-1: the host's) -> neighbour to hand them on to]; and the DRAM's [capacity, alignment]
in bytes, empty where it is not in use.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from noc.dram import Dram, DramError, DramFull
from noc.packet import DATA, KIND_NAMES, KINDS, PROBE, READ, WRITE, Batch, Fill, Peek, Snapshot, Transfer, chip_of, dram_name
from noc.wire import decode, encode

PAGE_BYTES = 1 << 12  # of what a DRAM says that PEs have changed
MOST_SAVED_BYTES = 1 << 26  # of a DRAM: with more, it says nothing
_MOST_PEEKED_BYTES = 1 << 20


class ExchangeError(ValueError):
    """A transfer that nobody may send, in one line without the sender's name."""


class _Way(NamedTuple):
    """Where the transfers of a sender of this chip, or of another chip, may lead from here."""

    targets: tuple[str, ...]  # of this chip
    links: tuple[str, ...]


class Boxes:
    """The transfers of one tick, and what is still to come."""

    __slots__ = ("came", "crossing", "left", "over", "sent", "to")

    def __init__(self, exchange: Exchange) -> None:
        self.left = dict(exchange.sources_of)
        self.crossing = dict(exchange.sources_over)
        self.to: dict[str, list[Transfer]] = {name: [] for name in self.left}
        self.over: dict[str, list[Transfer]] = {link: [] for link in self.crossing}
        self.sent: list[Transfer] = []  # by this chip's endpoints
        self.came: dict[str, Sequence[Transfer]] = {}  # by neighbour


class Exchange:
    """One configuration's transfers. TypeError, ValueError or KeyError where it contradicts itself."""

    def __init__(self, chip: int, plan: Sequence[Any], first: int = 0) -> None:
        allowed, awaited, passes, dram = plan
        self.dram_name = dram_name(chip)
        self.dram = DramEndpoint(self.dram_name, Dram(*dram), first) if dram else None
        self._chip = chip
        self._allowed = {sender: frozenset(names) for sender, names in allowed.items()}
        self._next: dict[int, dict[int, str]] = {}
        self.arrivals: defaultdict[str, list[int]] = defaultdict(list)  # neighbour -> chips whose transfers come from it
        for source, arrives_from, onward in passes:
            self._next[source] = dict(onward)
            if arrives_from:
                self.arrivals[arrives_from].append(source)
            elif source != chip:
                raise ValueError(f"transfers of chip {source} begin here")
        own = self._next.get(chip, {})
        self._ways: dict[str | int, _Way] = {}
        for sender, names in self._allowed.items():
            here = tuple(sorted(name for name in names if chip_of(name) == chip or (chip_of(name) < 0 and -1 not in own)))
            links = {own[chip_of(name)] for name in names if name not in here}
            self._ways[sender] = _Way(here, tuple(sorted(links)))
        for source, onward in self._next.items():
            if source != chip:
                targets = tuple(sorted(name for name, chips in awaited.items() if source in chips))
                self._ways[source] = _Way(targets, tuple(sorted(set(onward.values()))))
        self.targets = frozenset({name for way in self._ways.values() for name in way.targets})
        self.sources_of = Counter(name for way in self._ways.values() for name in way.targets)
        self.sources_over = Counter(link for way in self._ways.values() for link in way.links)
        self.sources = len(self._ways)
        if (self.dram_name in self.targets | self._allowed.keys()) != (self.dram is not None):
            raise ValueError(f"{self.dram_name} without a capacity, or with one and nobody who uses it")
        self._sent, self._delivered, self._out, self._in = (defaultdict[str, list[int]](lambda: [0] * len(KINDS)) for _ in range(4))
        for sender in self._allowed:
            self._sent[sender] = [0] * len(KINDS)
        for target in self.targets:
            self._delivered[target] = [0] * len(KINDS)

    def sends(self, sender: str) -> bool:
        """Tell whether an endpoint of this chip may send transfers, so that its batches are waited for."""
        return sender in self._ways

    def take(self, sender: str, transfers: Sequence[Transfer], boxes: Boxes) -> None:
        """Put what an endpoint of this chip sends where it goes; ExchangeError where it may not, and for numbers out of order."""
        allowed, before = self._allowed[sender], -1
        for transfer in transfers:
            if transfer.source != sender or transfer.target not in allowed:
                raise ExchangeError(f"a transfer from {transfer.source} to {transfer.target}, which it may not send")
            if transfer.number <= before and sender != self.dram_name:
                raise ExchangeError(f"transfer {transfer.number} behind {before}; needs ascending numbers")
            if transfer.kind in (READ, PROBE) and not transfer.target.startswith("DRAM@"):
                raise ExchangeError(f"a {KIND_NAMES[transfer.kind].upper()} of {transfer.target}, which is no DRAM")
            before = transfer.number
            self._put(transfer, self._next.get(self._chip, {}), boxes)
        boxes.sent += transfers

    def take_relayed(self, neighbour: str, transfers: Sequence[Transfer], boxes: Boxes) -> None:
        """Put what comes over a link where it goes; ExchangeError where it does not belong here."""
        for transfer in transfers:
            source = chip_of(transfer.source)
            if source not in self.arrivals[neighbour]:
                raise ExchangeError(f"a transfer from {transfer.source}, whose chip's do not come this way")
            if self._chip_is_here(transfer.target, source) and transfer.target not in self._ways[source].targets:
                raise ExchangeError(f"a transfer from {transfer.source} to {transfer.target}, which it may not send")
            self._put(transfer, self._next[source], boxes)
        boxes.came[neighbour] = transfers

    def _chip_is_here(self, target: str, source: int) -> bool:
        return chip_of(target) not in self._next[source]

    def _put(self, transfer: Transfer, onward: dict[int, str], boxes: Boxes) -> None:
        link = onward.get(chip_of(transfer.target))
        box = boxes.over.get(link) if link else boxes.to.get(transfer.target)
        if box is None:
            raise ExchangeError(f"a transfer to {transfer.target}, to which no way leads")
        box.append(transfer)

    def settle(self, source: str | int, boxes: Boxes) -> tuple[list[str], list[str]]:
        """A sender's batch, or a chip's relay, is in: return the targets and the links that waited for it last."""
        way = self._ways[source]
        for target in way.targets:
            boxes.left[target] -= 1
        for link in way.links:
            boxes.crossing[link] -= 1
        return [name for name in way.targets if not boxes.left[name]], [link for link in way.links if not boxes.crossing[link]]

    def close(self, boxes: Boxes) -> None:
        """A tick is through: count its transfers."""
        for transfer in boxes.sent:
            self._sent[transfer.source][transfer.kind] += 1
        for counts, by_name in ((self._delivered, boxes.to), (self._out, boxes.over), (self._in, boxes.came)):
            for name, transfers in by_name.items():
                for transfer in transfers:
                    counts[name][transfer.kind] += 1

    def counters(self) -> dict[str, Any]:
        """Return transfers by kind: taken in from each endpoint, handed to each, and by neighbour over the link, of the ticks that
        are through; and the bytes that the DRAM read and wrote.
        """
        store = self.dram.store if self.dram else None
        dram = {"read_bytes": store.read_bytes, "written_bytes": store.written_bytes} if store else {}
        taken, handed, out, into = map(dict, (self._sent, self._delivered, self._out, self._in))
        return {"transfers_in": taken, "transfers_out": handed, "transfers_over": out, "transfers_from": into, "dram": dram}


class DramEndpoint:
    """`DRAM@chip`: takes the transfers of a tick in their order, and answers each READ by a DATA of the next tick. Sans-I/O.

    It can say what PEs have changed in it up to a tick, and go on from there in another router.
    """

    def __init__(self, name: str, store: Dram, first: int = 0) -> None:
        self.name, self.store = name, store
        self.first_answers: tuple[Transfer, ...] = ()
        self.saved: list[Snapshot] = []  # to be sent to the host
        self._tick = first  # of its next batch
        self._save_at = -1
        self._changed: set[int] = set()  # pages, by PEs

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

    def restore(self, snapshot: Snapshot) -> None:
        """Become what said so; the host has filled the store as it did that one's. ExchangeError where the disk has no room."""
        pages = snapshot.counts
        for number, page in enumerate(pages):
            try:
                self.store.poke(page * PAGE_BYTES, snapshot.memory[number * PAGE_BYTES : (number + 1) * PAGE_BYTES])
            except DramFull as error:
                raise ExchangeError(f"{self.name}: {error}") from error
        self._changed = set(pages)
        batch = decode(snapshot.batch)
        assert isinstance(batch, Batch)
        self._tick, self.first_answers = batch.tick, batch.transfers

    def serve(self, transfers: Iterable[Transfer]) -> list[Transfer]:
        """Return the answers to a tick's transfers; ExchangeError, naming who and the addresses, beyond the store."""
        answers = self._serve(transfers)
        self._tick += 1
        if self._tick == self._save_at:
            pages, saved = sorted(self._changed), Snapshot(self._tick, b"", b"", [])
            if len(pages) * PAGE_BYTES <= MOST_SAVED_BYTES:
                memory = b"".join(self.store.peek(page * PAGE_BYTES, PAGE_BYTES) for page in pages)
                saved = saved._replace(memory=memory, batch=encode(Batch(self._tick, (), tuple(answers))), counts=pages)
            self.saved.append(saved)
        return answers

    def _serve(self, transfers: Iterable[Transfer]) -> list[Transfer]:
        answers = []
        for transfer in transfers:
            if transfer.kind in (WRITE, PROBE):
                self._write(transfer.source, transfer.address, transfer.data, is_counted=transfer.kind == WRITE)
                last = transfer.address + max(len(transfer.data), 1) - 1
                self._changed.update(range(transfer.address // PAGE_BYTES, last // PAGE_BYTES + 1))
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

    def _write(self, who: str, address: int, data: bytes, *, is_counted: bool = True) -> None:
        before = self.store.written_bytes
        try:
            self.store.write_at(address, data)
            self.store.written_bytes = before + len(data) * is_counted
        except DramFull as error:
            raise ExchangeError(f"{self.name}: WRITE by {who}: {error}") from error
        except DramError as error:
            raise ExchangeError(f"{self.name}: WRITE by {who} of {error}") from None
