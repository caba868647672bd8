"""The same cores and wire bytes inside one process: for tests, debugging, and machines without room for processes.

Messages between two endpoints keep their order, as over ZeroMQ; between different pairs any order is possible, and a
seed shuffles it, which is how the tests show that no answer depends on it.
"""

import random
from collections import deque
from collections.abc import Callable

from noc.packet import HOST, Outgoing
from noc.transport import Core, TransportError
from noc.wire import WireError, decode, encode

PROCESSES = False


def network(shuffle_seed: int | None) -> "MemNetwork":
    """Return what all endpoints of a run are attached to."""
    return MemNetwork(shuffle_seed)


class MemNetwork:
    """All endpoints of a run, and the bytes between them.

    With `shuffle_seed` None, it delivers in the order of sending; with a number it picks the next pair of endpoints at random.
    """

    def __init__(self, shuffle_seed: int | None = None) -> None:
        self._cores: dict[str, Core] = {}
        self._by_bytes: set[str] = set()  # those that may answer bytes as they come (`Pe.answer_bytes`)
        self._queues: dict[tuple[str, str], deque[bytes]] = {}
        self._random = random.Random(shuffle_seed) if shuffle_seed is not None else None  # noqa: S311 - no secret

    def attach(self, name: str, core: Core) -> None:
        """Add an endpoint."""
        self._cores[name] = core
        if hasattr(core, "answer_bytes"):
            self._by_bytes.add(name)

    def post(self, sender: str, outgoing: Outgoing) -> None:
        """Queue what `sender` sends."""
        for destinations, message in outgoing:
            raw = message if isinstance(message, bytes) else encode(message)
            for destination in destinations:
                if destination not in self._cores:
                    raise TransportError(f"cannot reach {destination}: no such endpoint")
                pair = sender, destination
                queue = self._queues.get(pair)
                if queue is None:
                    queue = self._queues[pair] = deque()
                queue.append(raw)

    def run(self, after_each: Callable[[], Outgoing]) -> None:
        """Deliver until nothing is left to deliver; `after_each` is the host's own work after each message it got."""
        while self._queues:
            pair = next(iter(self._queues)) if self._random is None else self._random.choice(list(self._queues))
            queue = self._queues[pair]
            raw = queue.popleft()
            if not queue:
                del self._queues[pair]
            sender, destination = pair
            core = self._cores[destination]
            if destination in self._by_bytes and (out := core.answer_bytes(raw)) is not None:  # type: ignore[attr-defined]
                self.post(destination, out)  # as a PE's process does it, without a message in between
                continue
            try:
                out = core.handle(sender, decode(raw))
            except WireError as error:
                out = core.malformed(sender, str(error))
            self.post(destination, out)
            if destination == HOST:
                self.post(HOST, after_each())
