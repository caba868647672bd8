"""`RouterLinks`: a chip's router and its links to PEs and neighbours: bytes in, bytes out. Sans-I/O.

Stands between `ChipRouter`, to which links are perfect, and a transport. `noc/link_end.py` says what is done with what is wrong.
"""

from __future__ import annotations

from noc.link_end import LinkEnd
from noc.packet import HOST, Again, Batch, Carry, Message, Outgoing, Relay
from noc.router import ChipRouter
from noc.transport import TAKEN
from noc.wire import WireError, decode
from noc.wiring import Wiring

_SEALED = 0x95  # the first byte of a batch with its checksum
_SEALED_RELAY = 0x96
_LINGERS = 40  # whiles in which a router that has been stopped waits to be heard


class RouterLinks:
    """Hands to `router` what its peers say, each once and in order. `lingers`: stay, once stopped, until the last word is heard.

    `chatter`: what `take_chatter` would return.
    """

    def __init__(self, router: ChipRouter, wiring: Wiring, *, lingers: bool = False) -> None:
        self._router = router
        self._end = LinkEnd([name for name in (*wiring.calls, *wiring.called_by) if name != HOST], router.link_counts)
        self._unchecked = router.link_counts.unchecked
        self.chatter = self._end.chatter
        self._whiles_left = _LINGERS if lingers else 0

    @property
    def done(self) -> bool:
        """Whether the router has left."""
        return self._router.done and (not self._whiles_left or self._end.is_heard)

    def boot(self) -> Outgoing:
        """Tell the neighbours that this router calls that their link is up."""
        return self._end.outgoing(self._router.boot())

    def undelivered(self, why: str) -> Outgoing:
        """Tell the host that an endpoint could not be reached."""
        return self._end.outgoing(self._router.undelivered(why))

    def take_chatter(self) -> Outgoing:
        """Return what goes out for the links' own sake since the last call."""
        return self._end.take_chatter()

    def handle_bytes(self, sender: str, raw: bytes) -> Outgoing:
        """Take the bytes of one message; return what goes out because of it."""
        router = self._router
        # Nearly all are batches that are due, several hundred times a tick.
        out = router.handle_filled(sender) if raw is TAKEN else router.handle_batch(sender, raw, is_sealed=True)
        if out is None:
            try:
                message = self._hear(sender, decode(raw), raw)
            except WireError as error:
                return self._damaged(sender, error)
            if message is None:
                return []
            out = router.handle(sender, message)
        return self._end.outgoing(out, router.most_open, router.next_ticks) if out else out

    def _hear(self, sender: str, message: Message, raw: bytes) -> Message | None:
        """Return what a message says to the router; None where that is nothing."""
        end = self._end
        if isinstance(message, Batch | Relay):
            due = self._router.next_ticks.get(sender)
            if end.knows(sender) and due is not None and message.tick != due:
                end.out_of_turn(sender, message.tick, due)
                return None
            if raw[0] != (_SEALED if isinstance(message, Batch) else _SEALED_RELAY) and sender != HOST:
                self._unchecked[sender] += 1
        elif isinstance(message, Carry):
            return end.letter(sender, message)
        elif isinstance(message, Again) and end.knows(sender):
            end.again(sender, message.tick)
            return None
        elif end.knows(sender):
            raise WireError("a letter without a number, from a peer that numbers them: its kind was damaged")
        return message

    def _damaged(self, sender: str, error: WireError) -> Outgoing:
        if not self._end.knows(sender):
            return self._end.outgoing(self._router.malformed(sender, str(error)))
        self._end.damaged(sender, self._router.next_ticks.get(sender))
        return []

    def idle(self) -> Outgoing:
        """Nothing has come for a while: return what may mend that."""
        if self._router.done:
            self._whiles_left = max(self._whiles_left - 1, 0)
        self._end.idle(self._router.next_ticks)
        return self.take_chatter()
