"""`PeLink`: a PE and its link to its router: bytes in, bytes out. Sans-I/O.

Stands between `Pe`, to which the link is perfect, and a transport, with one peer (`noc/link_end.py` says what is done with what is
wrong). The batches that may be asked for again lie in an array, where the compiled loop (`pe/socket_loop.py`) puts them as well.
"""

from __future__ import annotations

import numpy as np

from models.compute.working_room import records
from noc.checksum import SEAL_BYTES
from noc.link_counts import LinkCounts
from noc.link_end import LinkEnd
from noc.packet import Again, Batch, Bundle, Carry, Load, Message, Outgoing
from noc.wire import WireError, decode, encode_sealed
from noc.zmtp import LONG_HEAD_BYTES
from pe.core import Pe
from pe.lifecycle import State

_LINGERS = 40  # whiles in which a PE that has been stopped waits to be heard
_TICKING = State.RUNNING, State.READ, State.WAITING


class KeptBatches:
    """The last `count` batches, of at most `most_bytes`: tick t's in row t % count, with room for a frame's head before it."""

    def __init__(self, count: int, most_bytes: int) -> None:
        self.frames = records((count, LONG_HEAD_BYTES + most_bytes), np.uint8)
        self.marks = records((count, 2), np.int64)  # tick and bytes
        self.marks[:] = -1

    def keep(self, tick: int, raw: bytes) -> None:
        """Keep the batch of a tick."""
        row = tick % len(self.frames)
        self.frames[row, LONG_HEAD_BYTES : LONG_HEAD_BYTES + len(raw)] = np.frombuffer(raw, np.uint8)
        self.marks[row] = tick, len(raw)

    def since(self, tick: int) -> list[bytes]:
        """Return the batches of a tick and of all since that are kept, in order."""
        rows = sorted((int(at), row) for row, at in enumerate(self.marks[:, 0]) if at >= tick)
        return [self.frames[row, LONG_HEAD_BYTES : LONG_HEAD_BYTES + self.marks[row, 1]].tobytes() for _, row in rows]


class PeLink:
    """Hands to `pe` what its router says, each once and in order. `lingers`: stay, once stopped, until the last word is heard.

    `kept`: its last batches, once its shards are loaded. `chatter`: what `take_chatter` would return.
    """

    def __init__(self, pe: Pe, router: str, *, lingers: bool = False) -> None:
        self.pe, self._router, self._to_router = pe, router, (router,)
        self._end = LinkEnd([router], LinkCounts())
        self._whiles_left = _LINGERS if lingers else 0
        self.kept: KeptBatches | None = None
        self.chatter = self._end.chatter

    @property
    def done(self) -> bool:
        """Whether the PE has left."""
        return self.pe.done and (not self._whiles_left or self._end.is_heard)

    def boot(self) -> Outgoing:
        """Say hello: the process is up."""
        return self._outgoing(self.pe.boot())

    def take_chatter(self) -> Outgoing:
        """Return what goes out for the link's own sake since the last call."""
        return self._end.take_chatter()

    def handle_bytes(self, sender: str, raw: bytes) -> Outgoing:  # noqa: ARG002 - a PE hears only its router
        """Take the bytes of one message; return what goes out because of it."""
        end = self._end
        try:
            message: Message | None = decode(raw)
            if isinstance(message, Bundle):
                due = self._due()
                if due is not None and (tick := message.tick - message.passed) != due:
                    end.out_of_turn(self._router, tick, due)
                    return []
            elif isinstance(message, Carry):
                message = end.letter(self._router, message)
            elif isinstance(message, Again):
                self._say_again(message.tick)
                return []
            else:
                raise WireError("a letter without a number: its kind was damaged")
        except WireError:
            end.damaged(self._router, self._due())
            return []
        if message is None:
            return []
        out = self.pe.handle(self._router, message)
        if isinstance(message, Load) and self.pe.tick is not None:
            self.kept = KeptBatches(max(message.in_flight, 0) + 2, self.pe.tick.reply.size + SEAL_BYTES)
        return self._outgoing(out)

    def take_reading(self) -> Outgoing:
        """Return the PE's counters, if they are asked for and due after bundles that were answered without this file."""
        return self._outgoing(self.pe.take_reading())

    def _due(self) -> int | None:
        """Return the tick of the bundle that is to come next; None where any may come, or none."""
        return self.pe.due if self.pe.state in (State.LOADED, *_TICKING) else None

    def _say_again(self, tick: int) -> None:
        """Say the batches of a tick and since again; where there is none yet, ask for the bundle that it waits for."""
        batches = self.kept.since(tick) if self.kept is not None and self.pe.state in _TICKING else []
        self._end.chatter += [(self._to_router, raw) for raw in batches]
        due = self._due()
        if not batches and due is not None and self.pe.state in _TICKING:
            self._end.ask(self._router, due)

    def _outgoing(self, out: Outgoing) -> Outgoing:
        said: Outgoing = []
        for names, message in out:
            if isinstance(message, Batch):
                raw = encode_sealed(message)
                if self.kept is not None:
                    self.kept.keep(message.tick, raw)
                said.append((names, raw))
            else:
                said += self._end.outgoing([(names, message)])
        return said

    def idle(self) -> Outgoing:
        """Nothing has come for a while: return what may mend that."""
        if self.pe.done:
            self._whiles_left = max(self._whiles_left - 1, 0)
        self._end.idle({})
        return self.take_chatter()
