"""Transfers in a router: unicast by name between endpoints that may, over links along the tree of the chip they come from.

Who may send to whom is configured, so that whoever may be sent something waits for a fixed set of batches: those of this
chip's senders, its own among them if it sends, and one relay of each other chip on which a sender is. A batch of tick t is
delivered in bundles of tick t, so what waits for a tick never waits for itself. The chip's DRAM is one of the endpoints: it
takes the transfers of tick t, and its answers are its batch of tick t + 1.

`Configure.transfers` is [allowed, awaited, passes, dram]: this chip's senders -> the names that each may send to; this chip's
targets -> other chips that may send to it; for each chip whose transfers leave, pass or arrive here [chip, neighbour it arrives
from or "" of this one, chip of the target (-1: the host's) -> neighbour to hand them on to]; and the DRAM's [capacity, alignment]
in bytes, empty where it is not in use.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from noc.dram import Dram
from noc.dram_endpoint import DramEndpoint, ExchangeError
from noc.packet import KIND_NAMES, KINDS, PROBE, READ, Bundle, Packed, Relay, Section, Transfer, chip_of, dram_name


class Way(NamedTuple):
    """Where the transfers of a sender of this chip, or of another chip, may lead from here."""

    targets: tuple[str, ...]  # of this chip
    links: tuple[str, ...]


class Settled(NamedTuple):
    """What waited for a sender's transfers last: targets and links, and whether nobody's are missing in this tick any more."""

    targets: Sequence[str]
    links: Sequence[str]
    is_through: bool


class _Boxes:
    """The transfers of one tick, and what is still to come."""

    def __init__(self, exchange: Exchange) -> None:
        self.left = dict(exchange.sources_of)
        self.missing = len(exchange.ways)
        self.of: dict[str, list[Transfer]] = {name: [] for name in self.left}  # by target or link
        self.sent: list[Transfer] = []  # by this chip's endpoints
        self.came: dict[str, Sequence[Transfer]] = {}  # by neighbour


class Exchange:
    """One configuration's transfers, of at most `most_open` ticks at once. TypeError, ValueError or KeyError where it contradicts
    itself.

    What is here is the definition; compiled code may stand in (`pe/compiled_exchange.py`), as for columns.
    """

    def __init__(self, chip: int, plan: Sequence[Any], first: int = 0, most_open: int = 0) -> None:  # noqa: ARG002 - who stands in
        allowed, awaited, passes, dram = plan
        self.dram_name = dram_name(chip)
        self.dram = DramEndpoint(self.dram_name, Dram(*dram), first) if dram else None
        self._chip = chip
        self.allowed = {sender: frozenset(names) for sender, names in allowed.items()}
        self._next: dict[int, dict[int, str]] = {chip: {}}
        self.arrivals: defaultdict[str, list[int]] = defaultdict(list)  # neighbour -> chips whose transfers come from it
        for source, arrives_from, onward in passes:
            self._next[source] = dict(onward)
            if arrives_from:
                self.arrivals[arrives_from].append(source)
            elif source != chip:
                raise ValueError(f"transfers of chip {source} begin here")
        own = self._next[chip]
        self.ways: dict[str | int, Way] = {}
        for sender, names in self.allowed.items():
            here = tuple(sorted(name for name in names if chip_of(name) == chip or (chip_of(name) < 0 and -1 not in own)))
            links = {own[chip_of(name)] for name in names if name not in here}
            self.ways[sender] = Way(here, tuple(sorted(links)))
        for source, onward in self._next.items():
            if source != chip:
                targets = tuple(sorted(name for name, chips in awaited.items() if source in chips))
                self.ways[source] = Way(targets, tuple(sorted(set(onward.values()))))
        self.targets = tuple(sorted({name for way in self.ways.values() for name in way.targets}))
        for sender in self.allowed.keys() & {*self.targets} - {self.dram_name}:  # what it says is known before it hears of a tick
            way = self.ways[sender]
            self.ways[sender] = way._replace(targets=tuple(sorted({*way.targets, sender})))
        self.links = tuple(sorted({link for way in self.ways.values() for link in way.links}))
        self.sources_of = Counter(name for way in self.ways.values() for name in (*way.targets, *way.links))
        if (self.dram_name in {*self.targets, *self.allowed}) != (self.dram is not None):
            raise ValueError(f"{self.dram_name} without a capacity, or with one and nobody who uses it")
        self._open: dict[int, _Boxes] = {}
        counted = self.allowed, self.targets, self.links, self.arrivals
        self._sent, self._delivered, self._out, self._in = ({name: [0] * len(KINDS) for name in names} for names in counted)

    def sends(self, sender: str) -> bool:
        """Tell whether an endpoint of this chip may send transfers, so that its batches are waited for."""
        return sender in self.ways

    def begin(self, tick: int) -> None:
        """Open a tick."""
        self._open[tick] = _Boxes(self)

    def take(self, tick: int, sender: str, transfers: Sequence[Transfer]) -> None:
        """Put what an endpoint of this chip sends where it goes; ExchangeError where it may not, and for numbers out of order."""
        allowed, before = self.allowed[sender], -1
        for transfer in transfers:
            if transfer.source != sender or transfer.target not in allowed:
                raise ExchangeError(f"a transfer from {transfer.source} to {transfer.target}, which it may not send")
            if transfer.number <= before and sender != self.dram_name:
                raise ExchangeError(f"transfer {transfer.number} behind {before}; needs ascending numbers")
            if transfer.kind in (READ, PROBE) and not is_dram(transfer.target):
                raise ExchangeError(f"a {KIND_NAMES[transfer.kind].upper()} of {transfer.target}, which is no DRAM")
            before = transfer.number
            self._put(tick, transfer, self.box_of(transfer.target, self._chip))
        self._note_sent(tick, sender, transfers)

    def take_relayed(self, tick: int, neighbour: str, transfers: Sequence[Transfer]) -> None:
        """Put what comes over a link where it goes; ExchangeError where it does not belong here."""
        for transfer in transfers:
            source = chip_of(transfer.source)
            if source not in self.arrivals[neighbour]:
                raise ExchangeError(f"a transfer from {transfer.source}, whose chip's do not come this way")
            is_here = chip_of(transfer.target) not in self._next[source]
            if is_here and transfer.target not in self.ways[source].targets:
                raise ExchangeError(f"a transfer from {transfer.source} to {transfer.target}, which it may not send")
            self._put(tick, transfer, self.box_of(transfer.target, source))
        self._note_came(tick, neighbour, transfers)

    def box_of(self, target: str, source: int) -> str:
        """Return the target, or the link that leads to it from a chip."""
        return self._next[source].get(chip_of(target)) or target

    def _put(self, tick: int, transfer: Transfer, name: str) -> None:
        box = self._open[tick].of.get(name)
        if box is None:
            raise ExchangeError(f"a transfer to {transfer.target}, to which no way leads")
        box.append(transfer)

    def _note_sent(self, tick: int, sender: str, transfers: Sequence[Transfer]) -> None:  # noqa: ARG002 - each names its sender
        self._open[tick].sent += transfers

    def _note_came(self, tick: int, neighbour: str, transfers: Sequence[Transfer]) -> None:
        self._open[tick].came[neighbour] = transfers

    def settle(self, tick: int, source: str | int) -> Settled:
        """A sender's batch, or a chip's relay, is in: return what waited for it last."""
        way, boxes = self.ways[source], self._open[tick]
        boxes.missing -= 1
        for name in (*way.targets, *way.links):
            boxes.left[name] -= 1
        targets, links = ([name for name in names if not boxes.left[name]] for names in way)
        return Settled(targets, links, not boxes.missing)

    def bundle(self, tick: int, target: str, sections: tuple[Section, ...]) -> Bundle | Packed:
        """Return the bundle of a target whose transfers are all in."""
        return Bundle(tick, sections, tuple(sorted(self._open[tick].of[target], key=_by_source)))

    def relay(self, tick: int, link: str, heads: list[list[int]], sections: tuple[Section, ...]) -> Relay | Packed:
        """Return what goes over a link, for which all transfers are in."""
        return Relay(tick, heads, sections, tuple(sorted(self._open[tick].of[link], key=_by_target)))

    def serve(self, tick: int) -> None:
        """Let the DRAM take the transfers of a tick, all of which are in, and send its answers in the next one, which is open.
        ExchangeError as `DramEndpoint.serve`.
        """
        assert self.dram is not None
        answers = self.dram.serve(sorted(self._open[tick].of[self.dram_name], key=_by_source))
        self.dram.end_tick(lambda: answers)
        if self.sends(self.dram_name):
            self.take(tick + 1, self.dram_name, answers)

    def end(self, tick: int) -> None:
        """A tick is through: count its transfers."""
        boxes = self._open.pop(tick)
        for transfer in boxes.sent:
            self._sent[transfer.source][transfer.kind] += 1
        for name, transfers in boxes.of.items():
            counts = self._out if name in self._out else self._delivered
            for transfer in transfers:
                counts[name][transfer.kind] += 1
        for name, arrived in boxes.came.items():
            for transfer in arrived:
                self._in[name][transfer.kind] += 1

    def counters(self) -> dict[str, Any]:
        """Return transfers by kind: taken in from each endpoint, handed to each, and by neighbour over the link, of the ticks that
        are through; and the bytes that the DRAM read and wrote.
        """
        store = self.dram.store if self.dram else None
        dram = {"read_bytes": store.read_bytes, "written_bytes": store.written_bytes} if store else {}
        taken, handed, out, into = self._sent, self._delivered, self._out, self._in
        return {"transfers_in": taken, "transfers_out": handed, "transfers_over": out, "transfers_from": into, "dram": dram}


def is_dram(name: str) -> bool:
    """Tell whether an endpoint is a DRAM, by its name."""
    return name.startswith("DRAM@")


def _by_source(transfer: Transfer) -> tuple[str, int]:
    return transfer.source, transfer.number


def _by_target(transfer: Transfer) -> tuple[str, str, int]:
    return transfer.target, transfer.source, transfer.number
