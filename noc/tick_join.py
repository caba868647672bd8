"""Ticks in a router: what its chip's endpoints and its neighbours send is joined, delivered and handed on.

A population's senders on this chip make one stream; streams of other chips arrive from a neighbour, each once a tick. All
streams over one link are handed on in one message, as soon as the last of them is in: links wait for each other only as
routes follow each other, which is never in a circle (`noc/machine.py`). A population is delivered when all its streams are
in, merged once into one ascending run, whatever order they came in.

What waits follows the network; which events go along follows the routing table and nothing else, so an entry that is
missing loses events, and those are counted as dropped. The host's bundle also carries every population it waits for as a
tap for hashing and monitoring: not packets of the chip, and not counted unless the routing table names the host.
Nothing here blocks: the host's window bounds the ticks that can be open at once, and one more than that is a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from noc.columns import UNOPENED, Columns, MakeColumns
from noc.dram_endpoint import DramEndpoint, ExchangeError
from noc.exchange import Settled
from noc.groups import groups_of
from noc.packet import HOST, VALID, Batch, Bundle, Configure, Outgoing, Relay, Section, Transfer
from noc.packet_counts import count_packets
from noc.payload import MISFIT
from noc.streams import Arrived, Group, Heard, JoinError, Population, Stream, check_agreement, misfit_error, read_streams


class _Tick:
    """What is in of one tick."""

    __slots__ = ("due", "heard", "left", "parts", "relays", "runs", "waiting", "wanting")

    def __init__(self, join: Join) -> None:
        self.wanting = {p.number: len(p.sources) for p in join.populations.values()}
        self.parts: dict[int, dict[int, Arrived]] = {}
        self.runs: dict[int, Section] = {}
        self.waiting = [len(group.waits) + group.exchanges for group in join.groups]
        self.due = dict(join.waits_over)
        self.relays: dict[str, list[tuple[Stream, Section, bool]]] = {link: [] for link in join.waits_over}
        self.left = join.sources
        self.heard: dict[int, tuple[tuple[Section, ...], list[Heard]]] = {}  # by what groups are alike in


class Join:
    """One configuration of a router, and its open ticks: at most `most_open`. `next_tick`: of each sender's next batch or relay;
    `make_columns`: makes what batches are put into.

    Raises TypeError, ValueError, KeyError or RoutingError where the configuration contradicts itself.
    """

    def __init__(self, chip: int, message: Configure, table_entries: int, make_columns: MakeColumns = Columns) -> None:
        self.populations, self.streams = read_streams(chip, message, table_entries)
        self._chip, self._window = chip, message.window
        # Whoever hears the host directly may be ahead of it by a tick, who hears those by another. And what of a tick has come to
        # the host may still be on its way to this chip, so that all are ahead of it by one more.
        self.most_open = message.window + 1 + message.depth
        make = make_columns.make_exchange
        self.exchange = make(chip, message.transfers, message.first, self.most_open + 1) if message.transfers else None
        self.groups = groups_of(message.waits, self.streams, self.populations, self.exchange.targets if self.exchange else ())
        self._group_of = {group.endpoints[0]: group for group in self.groups if group.exchanges}
        for population in self.populations.values():
            population.groups = [group for group in self.groups if population.number in group.waits]
            if population.groups:
                population.sources = tuple(sorted(source for number, source in self.streams if number == population.number))
                population.payload.check_shares(population.sources)
                population.order_of_sources = population.payload.order(population.sources)
                if not population.sources:
                    raise ValueError(f"population {population.number} is awaited and never comes")
        sections = Counter(name for population in self.populations.values() for name in population.slots)
        relayed = Counter(stream.arrives_from for stream in self.streams.values() if stream.arrives_from)
        relayed.update(dict.fromkeys(self.exchange.arrivals if self.exchange else (), 0))
        self._expects = {**sections, **relayed}
        # What the DRAM answers opens a tick, be it one more.
        most_open = self.most_open + (self.exchange is not None)
        self.columns = make_columns(
            self.populations, self._expects, first=message.first, most_open=most_open, exchange=self.exchange
        )
        self.next_tick = self.columns.next_tick
        self._delivery = self.columns.delivery(self.groups) if self._is_all_here() else None
        self._first_tick = message.first
        own_dram = {self.exchange.dram_name} if self.exchange else set[str]()
        self.endpoints = (sections.keys() | message.waits.keys()) - own_dram
        links = Counter(link for stream in self.streams.values() for link in stream.ways)
        self.waits_over = links + Counter(self.exchange.links if self.exchange else ())
        self.waits_over = Counter(dict(sorted(self.waits_over.items())))
        self.sources = len(self.streams) + (self.exchange is not None)
        self.links_out = dict.fromkeys(self.waits_over, 0)
        self.links_in = dict.fromkeys(sorted(relayed), 0)
        self._lost_parts: Counter[tuple[str, str]] = Counter()  # events by endpoint and by who is said to have lost them
        self._unsaid: Outgoing = []  # of a tick that was opened for a batch which is to be decoded first
        self._open: dict[int, _Tick] = {}

    def _is_all_here(self) -> bool:
        """Tell whether everything comes from endpoints of this chip."""
        exchange = self.exchange
        leads_away = exchange is not None and (exchange.links or exchange.arrivals)
        return not leads_away and not any(stream.arrives_from or stream.ways for stream in self.streams.values())

    def batch(self, sender: str, batch: Batch) -> Outgoing:
        """Take an endpoint's batch; return the bundles and relays that waited for it. JoinError where it breaks the rules."""
        tick, sections, transfers, _ = batch
        out: Outgoing = []
        full: list[Population] = []
        state = self._take_turn("batch", sender, tick, len(sections), out)
        for section in sections:
            number, flags, _, keys, values, _, lanes = section
            population = self.populations.get(number)
            slot = population.slots.get(sender) if population else None
            if population is None or slot is None or self.columns.has(tick, population, slot):
                raise JoinError(f"batch of {sender} at tick {tick}: a second or foreign section of population {number}")
            payload, events = population.payload, len(keys) >> 2
            # The usual case without a call, several hundred times a tick.
            if lanes or payload.dense or len(values) != events * payload.value_bytes or not (flags & VALID or not events):
                events = payload.count(section, population.values[sender])
                if events == MISFIT:
                    raise misfit_error("batch", sender, tick, section, payload.need(population.values[sender]))
            if self.columns.put(tick, population, sender, section, events):
                full.append(population)
        if full and self._delivery is not None:
            out += self._write_bundles(tick, [population.number for population in full])
        else:
            for population in full:
                assert state is not None
                out += self._begin_stream(tick, state, population)
        if transfers or (self.exchange is not None and self.exchange.sends(sender)):
            out += self._take_transfers("batch", sender, tick, state, transfers)
        return out

    def batch_bytes(self, sender: str, raw: bytes, *, is_sealed: bool) -> Outgoing | None:
        """Take the bytes of an endpoint's batch, with its checksum if it `is_sealed`; return what waited for it, or None, and
        nothing is done, for what is to be decoded first. JoinError as for a batch.
        """
        out: Outgoing = []
        taken = self.columns.take(sender, raw, is_sealed=is_sealed)
        if taken == UNOPENED and len(self.columns.open_ticks) < self.most_open:
            self._open_tick(self.next_tick[sender], out)
            taken = self.columns.take(sender, raw, is_sealed=is_sealed)
        if taken < 0:
            self._unsaid += out
            return None
        return out + self.fill_up(sender) if taken else out

    def fill_up(self, sender: str) -> Outgoing:
        """The batch of `sender` that was taken last has filled columns, or its transfers were the last: return what waited for
        them. JoinError as for a batch.
        """
        tick = self.next_tick[sender] - 1
        if self._delivery is not None:
            return self._write_bundles(tick)
        state, settled = self._open[tick], self.columns.settled
        out = [one for number in self.columns.full for one in self._begin_stream(tick, state, self.populations[number])]
        return out if settled is None else out + self._let_go(tick, state, settled)

    def _write_bundles(self, tick: int, full: Sequence[int] | None = None, *, settles: bool = False) -> Outgoing:
        """Return what the columns' delivery does; what it leaves to the DRAM is done, too, and batches stand for what it spared."""
        delivery, out, spared = self._delivery, list[Any](), None
        assert delivery is not None
        while True:
            out += delivery.deliver(tick, full, settles=settles, standing=spared)
            is_through, spared = delivery.is_through, delivery.spared
            if delivery.is_dram_due:
                out += self._serve(tick)
            if is_through and self.exchange is not None:
                self.exchange.end(tick)
            if spared is None:
                return out
            tick, full, settles = tick + 1, [], False
            if tick not in self.columns.open_ticks:
                self._open_tick(tick, out)

    def _begin_stream(self, tick: int, state: _Tick, population: Population) -> Outgoing:
        """A column is full: its stream begins here."""
        section = self.columns.join(tick, population)
        return self._arrive(tick, state, self.streams[population.number, self._chip], Arrived(section, True))

    def relay(self, neighbour: str, relay: Relay) -> Outgoing:
        """Take what came over a link; return the bundles and relays that waited for it. JoinError as for a batch."""
        tick, heads, sections, transfers = relay
        out: Outgoing = []
        state = self._take_turn("relay", neighbour, tick, len(sections), out)
        assert state is not None, "relays are due only where something comes over links"
        seen = set()
        for (source, routed), section in zip(heads, sections, strict=True):
            stream = self.streams.get((section.population, source))
            if stream is None or stream.arrives_from != neighbour or stream in seen:
                what = f"population {section.population} from chip {source}"
                raise JoinError(f"relay of {neighbour} at tick {tick}: a second or foreign section of {what}")
            seen.add(stream)
            payload = self.populations[section.population].payload
            # What goes along for its header alone has no events, be they values of a dense population.
            events = 0 if not routed and not section.values and not section.keys else payload.count(section, stream.values)
            if events == MISFIT:
                raise misfit_error("relay", neighbour, tick, section, payload.need(stream.values))
            if routed:
                self.links_in[neighbour] += events
            out += self._arrive(tick, state, stream, Arrived(section, bool(routed)))
        if transfers or (self.exchange is not None and neighbour in self.exchange.arrivals):
            out += self._take_transfers("relay", neighbour, tick, state, transfers)
        return out

    def _take_transfers(self, what: str, sender: str, tick: int, state: _Tick | None, transfers: tuple[Transfer, ...]) -> Outgoing:
        """Take the transfers of a batch or relay; return what waited for them."""
        exchange = self.exchange
        if exchange is None or not (exchange.sends(sender) or sender in exchange.arrivals):
            raise JoinError(f"{what} of {sender} at tick {tick}: {len(transfers)} transfers; may send none")
        try:
            if what == "batch":
                exchange.take(tick, sender, transfers)
                return self._let_go(tick, state, exchange.settle(tick, sender))
            exchange.take_relayed(tick, sender, transfers)
            return [out for chip in exchange.arrivals[sender] for out in self._let_go(tick, state, exchange.settle(tick, chip))]
        except ExchangeError as error:
            raise JoinError(f"{what} of {sender} at tick {tick}: {error}") from None

    def _let_go(self, tick: int, state: _Tick | None, settled: Settled) -> Outgoing:
        """All transfers of an endpoint here, or of another chip, are in: let go what waited for them last."""
        if state is None:  # the columns' delivery knows it
            return self._write_bundles(tick, [], settles=True)
        out: Outgoing = []
        for link in settled.links:
            out += self._relay_if_due(tick, state, link)
        for target in settled.targets:
            out += self._bundle_if_due(tick, state, self._group_of[target])
        if settled.is_through:
            self._close_if_through(tick, state)
        return out

    def _take_turn(self, what: str, sender: str, tick: int, sections: int, out: Outgoing) -> _Tick | None:
        if tick != self.next_tick.get(sender) or sections != self._expects.get(sender):
            need, have = f"tick {self.next_tick.get(sender)}, {self._expects.get(sender)} sections", f"{tick}, {sections}"
            raise JoinError(f"{what} of {sender}: needs {need}; has {have}")
        self.next_tick[sender] = tick + 1
        out += self._unsaid
        self._unsaid = []
        opened = self.columns.open_ticks
        if tick in opened:
            return self._open.get(tick)
        if len(opened) >= self.most_open:
            raise JoinError(f"{what} of {sender} at tick {tick}: {len(opened)} ticks are open, the window is {self._window}")
        return self._open_tick(tick, out)

    def _open_tick(self, tick: int, out: Outgoing) -> _Tick | None:
        """Open a tick; return what is in of it, None where the columns' delivery knows."""
        state = None
        if self._delivery is None:
            state = self._open[tick] = _Tick(self)
        self.columns.begin(tick)
        exchange = self.exchange
        if exchange is not None:
            exchange.begin(tick)
        if tick == self._first_tick and exchange is not None and exchange.dram and exchange.sends(exchange.dram_name):
            # Where a run begins, nobody has asked it for anything yet.
            out += self._take_transfers("batch", exchange.dram_name, tick, state, exchange.dram.first_answers)
        return state

    def _arrive(self, tick: int, state: _Tick, stream: Stream, arrived: Arrived) -> Outgoing:
        """A stream of a tick is in: hand it on, and deliver its population if it was the last of it."""
        out: Outgoing = []
        population = self.populations[stream.population]
        section, count = arrived.section, 0
        if arrived.routed:
            count = population.payload.count(arrived.section, stream.values)
            stream.events += count
        for link, way in stream.ways.items():
            routed = arrived.routed and way.routed
            self.links_out[link] += count * routed
            onward = section
            if not way.tapped:  # beyond are only PEs, which need no ledger, and no events that are not for them
                onward = section._replace(ledger=b"") if routed else section._replace(keys=b"", values=b"", ledger=b"")
            state.relays[link].append((stream, onward, routed))
            out += self._relay_if_due(tick, state, link)
        if population.sources:
            state.parts.setdefault(stream.population, {})[stream.source] = arrived
            state.wanting[stream.population] -= 1
            if not state.wanting[stream.population]:
                out += self._complete(tick, state, population)
        self._close_if_through(tick, state)
        return out

    def _relay_if_due(self, tick: int, state: _Tick, link: str) -> Outgoing:
        """One more is in of what crosses a link: hand all of it on if it was the last."""
        state.due[link] -= 1
        if state.due[link]:
            return []
        # In a fixed order, so that the same tick is the same bytes.
        parts = sorted(state.relays.pop(link), key=lambda part: (part[0].population, part[0].source))
        heads, sections = [[s.source, int(goes)] for s, _, goes in parts], tuple([part for _, part, _ in parts])
        if self.exchange is not None and link in self.exchange.links:
            return [((link,), self.exchange.relay(tick, link, heads, sections))]
        return [((link,), Relay(tick, heads, sections))]

    def _close_if_through(self, tick: int, state: _Tick) -> None:
        state.left -= 1
        if not state.left:
            del self._open[tick]
            self.columns.end(tick)
            if self.exchange is not None:
                self.exchange.end(tick)

    def _complete(self, tick: int, state: _Tick, population: Population) -> Outgoing:
        """All streams of `population` are in: let go every bundle that waited for this last."""
        parts = state.parts[population.number]
        check_agreement("stream", {f"chip {source}": parts[source].section for source in population.sources}, tick)
        out: Outgoing = []
        for group in population.groups:
            out += self._bundle_if_due(tick, state, group)
        return out

    def _bundle_if_due(self, tick: int, state: _Tick, group: Group) -> Outgoing:
        """One more is in of what a group waits for: let its bundle go if it was the last."""
        state.waiting[group.number] -= 1
        if state.waiting[group.number]:
            return []
        if self.exchange is None or not group.exchanges:
            return [(group.endpoints, Bundle(tick, self._deliver(state, group)))]
        name = group.endpoints[0]
        if name == self.exchange.dram_name:
            return self._serve(tick)
        return [(group.endpoints, self.exchange.bundle(tick, name, self._deliver(state, group)))]

    def _serve(self, tick: int) -> Outgoing:
        """Let the DRAM take a tick's transfers, and take its batch of the next one."""
        assert self.exchange is not None
        out: Outgoing = []
        state = self._open.get(tick + 1) if tick + 1 in self.columns.open_ticks else self._open_tick(tick + 1, out)
        try:
            self.exchange.serve(tick)
        except ExchangeError as error:
            raise JoinError(f"tick {tick}: {error}") from None
        if self.exchange.sends(self.exchange.dram_name):
            out += self._let_go(tick + 1, state, self.exchange.settle(tick + 1, self.exchange.dram_name))
        return out

    @property
    def dram(self) -> DramEndpoint | None:
        """The chip's DRAM, where PEs exchange transfers with it."""
        return self.exchange.dram if self.exchange else None

    def _deliver(self, state: _Tick, group: Group) -> tuple[Section, ...]:
        """Return the sections of all populations that a group hears."""
        delivered = state.heard.get(group.alike)
        if delivered is None:
            heard = [self._hear(state, number, group) for number in group.waits]
            delivered = state.heard[group.alike] = tuple([one.section for one in heard]), [one for one in heard if one.lost]
        sections, lossy = delivered
        for one in lossy:
            self._lose_parts(one.population, one.lost, group)
        return sections

    def _hear(self, state: _Tick, number: int, group: Group) -> Heard:
        """Return the section of a population as a group hears it."""
        parts, population = state.parts[number], self.populations[number]
        sources = population.sources
        if group.endpoints != (HOST,):
            sources = tuple(source for source in sources if parts[source].routed and (number, source) in group.routed)
        if len(sources) == len(population.sources):
            run = state.runs.get(number)
            if run is None:
                run = state.runs[number] = population.merge([parts[source].section for source in sources])
            return Heard(run if group.endpoints == (HOST,) else run._replace(ledger=b""), population, ())
        if sources and not population.payload.dense:
            whole = population.payload.merge([parts[source].section for source in sources], None)
            return Heard(whole._replace(ledger=b""), population, ())
        # All or none of a dense section: what has no keys cannot have gaps.
        header = parts[population.sources[0]].section._replace(keys=b"", values=b"", ledger=b"")
        return Heard(header, population, sources)

    def _lose_parts(self, population: Population, given: tuple[int, ...], group: Group) -> None:
        """Count as lost what came of a dense section that is not whole."""
        for source in given:
            stream = self.streams[population.number, source]
            senders = population.values if source == self._chip else {f"chip {source}": stream.values}
            for name in group.endpoints:
                for sender, values in senders.items():
                    self._lost_parts[name, sender] += values * (sender != name)

    def missing(self) -> tuple[int, list[str]]:
        """Return the oldest tick that waits, and whose batches or relays it lacks."""
        tick = min(self.next_tick.values(), default=0)
        return tick, [name for name, at in self.next_tick.items() if at == tick]

    def through(self, ticks: int) -> bool:
        """Tell whether the first `ticks` ticks have come in and gone out whole."""
        return min(self.next_tick.values(), default=ticks) >= ticks and min(self.columns.open_ticks, default=ticks) >= ticks

    def counters(self) -> dict[str, Any]:
        """Return copies by endpoint (`count_packets`), events by neighbour, handed on and taken in over the link, and transfers."""
        if self._delivery is not None:
            for stream in self.streams.values():
                stream.events = self._delivery.events_of(self.populations[stream.population])
        packets = count_packets(self.streams.values(), self.populations, self.columns, self._lost_parts)
        transfers = self.exchange.counters() if self.exchange else {}
        return {**packets, "links_out": self.links_out, "links_in": self.links_in, **transfers}
