"""`LinkEnd`: one end of a router's links: what is lost, doubled, out of order or damaged on its way is found, and said again.

What is said every tick (`Batch`, `Bundle`, `Relay`) is numbered already, by its tick; letters are numbered by a line for each
peer (`noc/resumable_line.py`), within `Carry`. All of them have a checksum (`noc/checksum.py`). Who misses a tick asks for it and
all since (`Again`); who hears one twice leaves it out. Where the last thing that was said is lost, nobody would notice, so an
end that has heard nothing for a while (`idle`) asks those who owe it something, each time after twice as many whiles, up to 16.
Sans-I/O.

A peer that has never said a `Carry` is a stock one: it is spoken to plainly and believed, and what it sends without a checksum is
counted as unchecked. So is the host: its link is no link between chips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from noc.link_counts import LinkCounts
from noc.packet import Again, Bundle, Carry, Message, Outgoing, Packed, Relay, chip_of, router_name
from noc.resumable_line import Line, LineError
from noc.wire import WireError, decode, encode, encode_sealed

_MOST_LETTERS = 1 << 16  # under way to one peer; a run's phases bound them
_LARGE_BYTES = 1 << 14  # of what is not kept for longer than it must be
_MOST_WHILES = 16  # between two questions to the same peer
_TICKED = (Bundle, Relay, Packed)


class LinkEnd:
    """Keeps what peers may ask for again, and says it again.

    `peers`: who is known to speak `Carry`; others are added when they do. `chatter`: what goes out for the links' own sake since it
    was last taken; where it cannot be delivered, nothing is wrong.
    """

    def __init__(self, peers: Iterable[str], counts: LinkCounts) -> None:
        self._lines = {name: Line(_MOST_LETTERS) for name in peers}
        self._kept: dict[int, list[tuple[tuple[str, ...], bytes]]] = {}  # by tick
        self._large = set[int]()  # ticks with something large among it
        self._counts = counts
        self._waits: dict[str, tuple[object, int, int]] = {}  # by peer: where it stood, whiles until it is asked, and after that
        # By peer, the letters and the tick that it was asked for last: what is asked for again and again comes again and again.
        self._asked: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self.chatter: Outgoing = []

    def take_chatter(self) -> Outgoing:
        """Return what goes out for the links' own sake since the last call."""
        chatter = self.chatter[:]
        self.chatter.clear()
        return chatter

    def knows(self, peer: str) -> bool:
        """Tell whether a peer speaks `Carry`."""
        return peer in self._lines

    def letter(self, sender: str, carry: Carry) -> Message | None:
        """Take a numbered letter; return it where it is the next one. WireError for one that is none."""
        line = self._lines.get(sender)
        if line is None:
            line = self._lines[sender] = Line(_MOST_LETTERS)
        try:
            body, frames = line.incoming(carry.head, carry.body)
        except LineError as error:
            raise WireError(str(error)) from None
        self.chatter += [((sender,), _carry(*frame)) for frame in frames]
        if line.has_gap:
            self._counts.lost[sender] += 1
            self._ask_for_letters(sender)
        return None if body is None else decode(body)

    def out_of_turn(self, sender: str, tick: int, due: int) -> None:
        """Note what was said of another tick than is due: it came twice, or something before it was lost."""
        if tick < due:
            self._counts.repeated[sender] += 1
        else:
            self._counts.lost[sender] += 1
            self._ask_once(sender, due)

    def damaged(self, sender: str, due: int | None) -> None:
        """Ask a peer for what was damaged, be it of a tick or a letter; `due`: the tick that it is to say next, if any."""
        self._counts.damaged[sender] += 1
        self._ask_for_letters(sender)
        if due is not None:
            self._ask_once(sender, due)

    def _ask_for_letters(self, sender: str) -> None:
        line = self._lines[sender]
        if self._asked[0].get(sender) != line.taken:
            self._asked[0][sender] = line.taken
            self.chatter.append(((sender,), _carry(line.resume())))

    def _ask_once(self, sender: str, due: int) -> None:
        if self._asked[1].get(sender) != due:
            self._asked[1][sender] = due
            self.ask(sender, due)

    def ask(self, peer: str, tick: int) -> None:
        """Ask a peer for a tick and all since."""
        self.chatter.append(((peer,), encode_sealed(Again(tick))))

    def again(self, sender: str, tick: int) -> None:
        """Say again what was said to a peer of a tick and since."""
        said = [raw for at in sorted(self._kept) if at >= tick for names, raw in self._kept[at] if sender in names]
        self.chatter += [((sender,), raw) for raw in said]
        self._counts.asked[sender] += bool(said)

    def outgoing(self, out: Outgoing, most_open: int = 0, due: Mapping[str, int] | None = None) -> Outgoing:
        """Return what is said as it goes over links; keep that of as many ticks as may be under way, but what is large and has been
        heard: whoever is to say a tick that is `due` has heard all but the one before.
        """
        said: Outgoing = []
        for names, message in out:
            if self._lines.keys().isdisjoint(names):
                said.append((names, message))
            elif isinstance(message, _TICKED):
                raw = encode_sealed(message)
                said.append((names, raw))
                tick = message.tick
                if tick not in self._kept:
                    self._begin(tick, most_open, due or {})
                self._kept[tick].append((names, raw))
                if len(raw) > _LARGE_BYTES:
                    self._large.add(tick)
            else:
                raw = message if isinstance(message, bytes) else encode(message)
                said += [((name,), self._numbered(name, raw)) for name in names]
        return said

    def _begin(self, tick: int, most_open: int, due: Mapping[str, int]) -> None:
        while self._kept and (past := next(iter(self._kept))) < tick - most_open - 1:  # not of each tick is there something
            del self._kept[past]
            self._large.discard(past)
        for at in list(self._large):
            self._kept[at] = [one for one in self._kept[at] if len(one[1]) <= _LARGE_BYTES or not _have_heard(one[0], at, due)]
            if all(len(raw) <= _LARGE_BYTES for _, raw in self._kept[at]):
                self._large.discard(at)
        self._kept[tick] = []

    def _numbered(self, name: str, raw: bytes) -> bytes:
        line = self._lines.get(name)
        return raw if line is None else _carry(line.outgoing(raw), raw)

    def idle(self, due: Mapping[str, int]) -> None:
        """Nothing has come for a while: ask those whose tick is the oldest that is `due`, and those who have not said that they
        have their letters.
        """
        oldest = min(due.values(), default=0)
        for peer, line in self._lines.items():
            late = due.get(peer) == oldest
            if (late or line.kept) and self._is_time(peer, (due.get(peer), line.kept)):
                if line.kept:
                    self.chatter.append(((peer,), _carry(line.resume())))
                if late:
                    self.ask(peer, oldest)

    def _is_time(self, peer: str, stands: object) -> bool:
        before, left, after = self._waits.get(peer, (None, 0, 1))
        if stands != before:
            left, after = 0, 1
        self._waits[peer] = (stands, left - 1, after) if left else (stands, after, min(2 * after, _MOST_WHILES))
        return not left

    @property
    def is_heard(self) -> bool:
        """Whether every peer has said that it has its letters."""
        return not any(line.kept for line in self._lines.values())


def _have_heard(names: tuple[str, ...], tick: int, due: Mapping[str, int]) -> bool:
    """Tell whether these have heard a tick: a PE says the next one when it has. Of neighbours that is not known."""
    return all(name != router_name(chip_of(name)) and due.get(name, 0) > tick + 1 for name in names)


def _carry(head: bytes, body: bytes = b"") -> bytes:
    return encode_sealed(Carry(head, body))
