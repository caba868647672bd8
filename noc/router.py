"""`ChipRouter`: joins each tick's batches into one bundle for each endpoint, and hands on what is for other chips. Sans-I/O.

What a tick does is in `noc/tick_join.py`; here are the router's life (linked, configured, read, stopped), the letters that
pass between the host and every other endpoint, and what is done with messages that are none.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from noc import packet
from noc.columns import Columns, MakeColumns
from noc.dram_endpoint import ExchangeError
from noc.link_counts import LinkCounts
from noc.packet import (
    HOST,
    Batch,
    Configure,
    Fill,
    Filled,
    Letter,
    Linked,
    Message,
    Outgoing,
    Packed,
    Peek,
    Peeked,
    Relay,
    Save,
    Snapshot,
    chip_of,
    dram_name,
)  # fmt: skip
from noc.routing_table import RoutingError
from noc.streams import JoinError
from noc.tick_join import Join
from noc.wire import WireError, decode, encode
from noc.wiring import Wiring

_ALONE = Wiring()  # of a chip without neighbours
_MOST_BYTES_OF_A_QUESTION = 16


class ChipRouter:
    """The event router of one chip, whose number its endpoint name ends in.

    `table_entries`: capacity of the multicast table (16,384 on the chip: data sheet, SpiNNMachine). `store`: packed messages
    by SHA-256 (hex) that reached this machine beside the packets, for `Hand`. `make_columns`: makes what batches are put into.
    """

    def __init__(
        self, name: str, table_entries: int, wiring: Wiring = _ALONE, store: Mapping[str, bytes] | None = None,
        make_columns: MakeColumns = Columns,
    ) -> None:  # fmt: skip
        self.name, self._make_columns = name, make_columns
        self.done = False
        self._dram_name = dram_name(chip_of(name))
        self._table_entries = table_entries
        self._wiring = wiring
        self._store = store or {}
        self._neighbours = frozenset((*wiring.calls, *wiring.called_by))
        self._not_linked = set(wiring.called_by)
        self._held: Outgoing = []  # letters for links that are not up yet
        self._configured = False
        self._join: Join | None = None
        self._read_after: int | None = None  # ticks to be through before the counters are handed over
        self._is_asked = False  # by the host, for something that comes with a tick
        self._malformed: dict[str, int] = {}
        self.link_counts = LinkCounts()
        self.next_ticks: Mapping[str, int] = {}  # which tick each endpoint and neighbour is to say; empty before the configuration

    def boot(self) -> Outgoing:
        """Tell the neighbours that this router calls that their link is up."""
        return [(self._wiring.calls, Linked())] if self._wiring.calls else []

    def malformed(self, sender: str, why: str) -> Outgoing:  # noqa: ARG002 - the reason is for a debugger's eyes
        """Count bytes that were no message, or came from nobody we know. Where they stood in for a batch, the tick stalls, and
        the host says who is missing.
        """
        known = sender == HOST or sender in self._neighbours or (self._join and sender in self._join.endpoints)
        name = sender if known else "stranger"
        self._malformed[name] = self._malformed.get(name, 0) + 1
        return []

    @property
    def most_open(self) -> int:
        """How many ticks may be under way; 0 before the configuration."""
        return self._join.most_open if self._join else 0

    @property
    def columns(self) -> Columns | None:
        """Where batches may be put as they come; None before the configuration, and while the host waits for an answer that comes
        with a tick: it is looked for after each batch.
        """
        return self._join.columns if self._join is not None and not self._is_asked else None

    def undelivered(self, why: str) -> Outgoing:
        """Tell the host that an endpoint could not be reached or its queue was full: the run cannot go on."""
        return self._fault(why)

    def handle(self, sender: str, message: Message) -> Outgoing:
        """Take one message; return what goes out because of it."""
        try:
            if self._join is not None and sender in self._join.endpoints and type(message) is Batch:
                out = self._join.batch(sender, message)
                return out if not self._is_asked else out + self._answers(self._join)
            if sender in self._neighbours:
                return self._from_neighbour(sender, message)
            if sender == HOST:
                return self._from_host(message)
        except JoinError as error:
            return self._fault(str(error))
        if self._join is None or sender not in self._join.endpoints:
            return self.malformed(sender, "not an endpoint of this chip")
        return self._up(Letter(sender, encode(message)))

    def handle_batch(self, sender: str, raw: bytes, *, is_sealed: bool) -> Outgoing | None:
        """Take the bytes of a batch that is due, with its checksum if it `is_sealed`; return what goes out because of it. None, and
        nothing is done, for whatever is to be decoded first.
        """
        if self._join is None:
            return None
        try:
            out = self._join.batch_bytes(sender, raw, is_sealed=is_sealed)
        except JoinError as error:
            return self._fault(str(error))
        return out if out is None or not self._is_asked else out + self._answers(self._join)

    def handle_filled(self, sender: str) -> Outgoing:
        """A batch of `sender` was put into the columns, and filled some; return what goes out because of it."""
        return [] if self._join is None else self._filled(self._join, sender)

    def have_answered(self, names: tuple[str, ...], endpoints: Mapping[str, Any], raw: bytes) -> tuple[Outgoing, Sequence[str]]:
        """Have endpoints of this process, by name, answer a bundle (`Pe.answer_bytes`), and take their batches at once; return what
        goes out because of it, and who has not answered: nothing was done there.
        """
        if self._join is None:
            return [], names
        out: Outgoing = []
        silent: list[str] = []
        for name, taken, batch in self._join.columns.answers(names, endpoints, raw):
            if taken > 0:
                out += self._filled(self._join, name)
            elif batch:
                answered = self.handle_batch(name, batch, is_sealed=False)
                out += self.handle(name, decode(batch)) if answered is None else answered
            else:
                silent.append(name)
        return out, silent

    def _filled(self, join: Join, sender: str) -> Outgoing:
        try:
            return join.fill_up(sender) + (self._answers(join) if self._is_asked else [])
        except JoinError as error:
            return self._fault(str(error))

    def _from_neighbour(self, sender: str, message: Message) -> Outgoing:
        match message:
            case Relay() if self._join is not None:
                return self._join.relay(sender, message) + self._answers(self._join)
            case Linked():
                self._not_linked.discard(sender)
                held, self._held = self._held, []
                return [out for to, letter in held for out in self._through(to[0], letter)] + self._say_configured()
            case Letter() if sender == self._wiring.up:
                return self._down(message)
            case Letter():
                return self._up(message)
        return self.malformed(sender, f"{type(message).__name__} is not for a neighbour")

    def _from_host(self, message: Message) -> Outgoing:
        match message:
            case Letter() if self._wiring.up == HOST:
                return self._down(message)
            case Batch() if self._join is None:
                return self._fault("a batch of host before any configuration")
        return self.malformed(HOST, f"{type(message).__name__} is not for a router")

    def _down(self, letter: Letter) -> Outgoing:
        """Hand on what the host says to its peer, which is this router, an endpoint here, or beyond a neighbour."""
        if letter.peer == self.name:
            try:
                return self._command(decode(letter.body))
            except WireError as error:
                return self.malformed(HOST, str(error))
        if self._join is not None and letter.peer in self._join.endpoints:
            if len(letter.body) <= _MOST_BYTES_OF_A_QUESTION:
                self._note_question(self._join, letter)
            return [((letter.peer,), letter.body)]
        if letter.peer == self._dram_name:
            return self._to_dram(letter.body)
        link = self._wiring.down.get(chip_of(letter.peer))
        if link is None:
            return self._fault(f"a letter to {letter.peer}, which is no endpoint of {self.name}")
        return self._through(link, letter)

    def _note_question(self, join: Join, letter: Letter) -> None:
        """Where the host asks for a snapshot or for counters, its peer must hear all that is before that tick."""
        with contextlib.suppress(WireError):
            match decode(letter.body):
                case packet.Save(tick):
                    join.columns.ask_of(letter.peer, tick, is_last=False)
                case packet.Read(ticks):
                    join.columns.ask_of(letter.peer, ticks, is_last=True)

    def _up(self, letter: Letter) -> Outgoing:
        return self._through(self._wiring.up, letter)

    def _through(self, link: str, letter: Message | Packed | bytes) -> Outgoing:
        if link in self._not_linked:
            self._held.append(((link,), letter))
            return []
        return [((link,), letter)]

    def _say(self, message: Message) -> Outgoing:
        return self._up(Letter(self.name, encode(message)))

    def _fault(self, text: str) -> Outgoing:
        return self._say(packet.Fault(f"{self.name}: {text}"))

    def _command(self, message: Message) -> Outgoing:
        match message:
            case Configure():
                return self._configure(message)
            case packet.Hand(peer, sha256) if self._join is not None and peer in (*self._join.endpoints, self._dram_name):
                return self._hand(peer, sha256)
            case packet.Query() if self._join is not None:
                return self._say(packet.StallReport(*self._join.missing()))
            case packet.Read(ticks) if self._join is not None:
                self._read_after, self._is_asked = ticks, True
                return self._answers(self._join)
            case packet.Stop():
                self.done = True
                return self._say(packet.Stopped())
        return self.malformed(HOST, f"{type(message).__name__} is not for a router")

    def _to_dram(self, body: bytes) -> Outgoing:
        """Do what the host says to the chip's DRAM."""
        try:
            message = decode(body)
        except WireError as error:
            return self.malformed(HOST, str(error))
        if self._join is None or not isinstance(message, Fill | Save | Snapshot | Peek):
            return self.malformed(HOST, f"{type(message).__name__} is not for a DRAM")
        if (dram := self._join.dram) is None:
            return self._fault(f"{type(message).__name__} for {self._dram_name}, which is not in use")
        if isinstance(message, Peek):
            return self._up(Letter(self._dram_name, encode(Peeked(message.address, dram.peek(message)))))
        if isinstance(message, Save):
            self._is_asked = True
            dram.save(message.tick)
            return self._answers(self._join)
        try:
            dram.fill(message) if isinstance(message, Fill) else dram.restore(message)
        except ExchangeError as error:
            return self._fault(str(error))
        return self._up(Letter(self._dram_name, encode(Filled(message.address if isinstance(message, Fill) else 0))))

    def _hand(self, peer: str, sha256: str) -> Outgoing:
        body = self._store.get(sha256)
        if body is None:
            return self._fault(f"the store holds nothing under {sha256[:12]}..., which {peer} is to be given")
        if hashlib.sha256(body).hexdigest() != sha256:
            return self._fault(f"what the store holds under {sha256[:12]}... is something else; {peer} is given nothing")
        return self._to_dram(body) if peer == self._dram_name else [((peer,), body)]

    def _answers(self, join: Join) -> Outgoing:
        """Hand over what the host has asked for and has come: the DRAM's state, and the counters once all is counted."""
        out: Outgoing = []
        while join.dram is not None and join.dram.saved:
            out += self._up(Letter(self._dram_name, encode(join.dram.saved.pop(0))))
        if self._read_after is not None and join.through(self._read_after):
            self._read_after = None
            out += self._say(packet.Reading({**join.counters(), "malformed": self._malformed, "links": self.link_counts.record()}))
        self._is_asked = self._read_after is not None or (join.dram is not None and join.dram.is_to_save)
        return out

    def _configure(self, message: Configure) -> Outgoing:
        try:
            self._join = Join(chip_of(self.name), message, self._table_entries, self._make_columns)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            return self._fault(str(error) if isinstance(error, RoutingError) else f"configuration is malformed ({error!r})")
        self._configured, self.next_ticks = True, self._join.next_tick
        return self._say_configured()

    def _say_configured(self) -> Outgoing:
        """Say that PEs may come, once, when every link is up: whoever calls has its links at once."""
        if not self._configured or self._not_linked:
            return []
        self._configured = False
        return self._say(packet.Configured())
