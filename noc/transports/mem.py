"""The same cores and wire bytes inside one process: for tests, debugging, and machines without room for processes.

Messages between two endpoints keep their order, as over ZeroMQ; between different pairs any order is possible, and a
seed shuffles it, which is how the tests show that no answer depends on it.

In a run the PEs that hear the same bundle answer it one after another, and the router takes each answer at once, from the bytes
where the PE wrote it (`together`): there are no queues between them then, and no Python (`pe/compiled_columns.py`).
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from noc.bad_links import BadLinks, LinkFaults
from noc.packet import HOST, Outgoing
from noc.serve import LinkedCore
from noc.transport import Core, TransportError
from noc.wire import WireError, decode, encode

PROCESSES = False


def network(shuffle_seed: int | None, faults: LinkFaults | None = None) -> "MemNetwork":
    """Return what all endpoints of a run are attached to; `faults`: its links are bad."""
    return MemNetwork(shuffle_seed, faults, together=shuffle_seed is None and faults is None)


# In which the host hears nothing, one after another: the links have nothing left to mend. Up to sixteen lie between two questions,
# and where messages are lost often, several in a row go without an answer.
_MOST_WHILES = 1000


class MemNetwork:
    """All endpoints of a run, and the bytes between them.

    With `shuffle_seed` None, it delivers in the order of sending; with a number it picks the next pair of endpoints at random.
    With `faults`, routers and PEs are attached with their links (`LinkedCore`), which are bad. `together`: as above; else each
    message passes `post`.
    """

    def __init__(self, shuffle_seed: int | None = None, faults: LinkFaults | None = None, *, together: bool = False) -> None:
        self._together = together
        self._bundles = deque[
            tuple[str, tuple[str, ...], bytes]
        ]()  # of routers, to PEs that answer bytes, where they do so together
        self._takers: set[str] = set()  # who takes the bytes of a batch as they come (`ChipRouter.handle_batch`)
        self._cores: dict[str, Core] = {}
        self._links: dict[str, LinkedCore] = {}
        self._host_heard = 0  # messages
        self.faults, self._bad = faults, BadLinks(faults, "mem") if faults else None
        self._by_bytes: set[str] = set()  # who may answer bytes as they come (`Pe.answer_bytes`)
        self._queues: dict[tuple[str, str], deque[bytes]] = {}
        self._random = random.Random(shuffle_seed) if shuffle_seed is not None else None  # noqa: S311 - no secret

    def attach(self, name: str, core: Core | LinkedCore) -> None:
        """Add an endpoint."""
        if isinstance(core, LinkedCore):
            self._links[name] = core
            return
        self._cores[name] = core
        if hasattr(core, "answer_bytes"):
            self._by_bytes.add(name)
        if hasattr(core, "handle_batch"):
            self._takers.add(name)

    def post(self, sender: str, outgoing: Outgoing) -> None:
        """Queue what `sender` sends."""
        for destinations, message in outgoing:
            raw = message if isinstance(message, bytes) else encode(message)
            if self._together and sender in self._takers and self._by_bytes.issuperset(destinations):
                self._bundles.append((sender, destinations, raw))
                continue
            for destination in destinations:
                if destination not in self._cores and destination not in self._links:
                    raise TransportError(f"cannot reach {destination}: no such endpoint")
                for came in (raw,) if self._bad is None else self._bad.through(sender, destination, raw):
                    self._put(sender, destination, came)

    def _put(self, sender: str, destination: str, raw: bytes) -> None:
        pair = sender, destination
        queue = self._queues.get(pair)
        if queue is None:
            queue = self._queues[pair] = deque()
        queue.append(raw)

    def _mend(self) -> None:
        """Nothing is under way: let links that lack something say so."""
        if self._bad is not None:
            for held in self._bad.held_back():
                self._put(*held)
        for name, links in self._links.items():
            self.post(name, links.idle())

    def run(self, after_each: Callable[[], Outgoing]) -> None:
        """Deliver until nothing is left to deliver; `after_each` is the host's own work after each message it got."""
        self._deliver(after_each)
        whiles, heard = 0, self._host_heard
        while self._links and whiles < _MOST_WHILES:
            self._mend()
            self._deliver(after_each)
            whiles, heard = (whiles + 1 if heard == self._host_heard else 0), self._host_heard

    def _deliver(self, after_each: Callable[[], Outgoing]) -> None:
        while self._queues or self._bundles:
            if not self._queues:  # what PEs have said before is heard first
                self._answer(*self._bundles.popleft())
                continue
            pair = next(iter(self._queues)) if self._random is None else self._random.choice(list(self._queues))
            queue = self._queues[pair]
            raw = queue.popleft()
            if not queue:
                del self._queues[pair]
            sender, destination = pair
            if destination in self._links:
                self.post(destination, self._links[destination].handle_bytes(sender, raw))
                self.post(destination, self._links[destination].take_chatter())
                continue
            core: Any = self._cores[destination]
            if destination in self._by_bytes and (answered := core.answer_bytes(raw)) is not None:
                self.post(destination, [((sender,), answered)])  # as a PE's process does it, without a message in between
                continue
            if destination in self._takers and (taken := core.handle_batch(sender, raw, is_sealed=False)) is not None:
                self.post(destination, taken)
                continue
            try:
                out = core.handle(sender, decode(raw))
            except WireError as error:
                out = core.malformed(sender, str(error))
            self.post(destination, out)
            if destination == HOST:
                self._host_heard += 1
                self.post(HOST, after_each())

    def _answer(self, router: str, names: tuple[str, ...], raw: bytes) -> None:
        """Let PEs hear what their router says, and it their answers; what is not answered at once goes the usual way."""
        core: Any = self._cores[router]
        out, silent = core.have_answered(names, self._cores, raw)
        for name in silent:
            self._put(router, name, raw)
        self.post(router, out)
