"""`BadLinks`: links that lose, double, reorder and damage messages, as `--fault drop=...,dup=...` asks. Sans-I/O.

All is drawn from a seed. Between routers, and between a router and its PEs; the host's link stays as it is. Beside processes the
router's end of each link does it, for both ways.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from noc.packet import HOST, chip_of, router_name
from noc.transport import Transport


class LinkFaults(NamedTuple):
    """How often each happens to a message, as a share of 1, and what it is drawn from."""

    drop: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    seed: int = 0


class BadLinks:
    """The links that one process sees to, `name`: others draw differently from the same seed."""

    def __init__(self, faults: LinkFaults, name: str) -> None:
        self._faults = faults
        self._chance = random.Random(f"{faults.seed}:{name}")  # noqa: S311 - no secret
        self._held: dict[tuple[str, str], bytes] = {}  # by sender and destination: what the next message overtakes

    def through(self, sender: str, destination: str, raw: bytes) -> list[bytes]:
        """Return what arrives of a message, and of one that was held back."""
        if HOST in (sender, destination):
            return [raw]
        faults, draw, way = self._faults, self._chance.random, (sender, destination)
        if draw() < faults.drop:
            return []
        if draw() < faults.corrupt and raw:
            bit = self._chance.randrange(8 * len(raw))
            raw = raw[: bit // 8] + bytes((raw[bit // 8] ^ 1 << bit % 8,)) + raw[bit // 8 + 1 :]
        if draw() < faults.reorder and way not in self._held:
            self._held[way] = raw
            return []
        arrived = [raw, raw] if draw() < faults.dup else [raw]
        held = self._held.pop(way, None)
        return arrived if held is None else [*arrived, held]

    def held_back(self) -> Iterable[tuple[str, str, bytes]]:
        """Return what no other message has overtaken yet, with its sender and destination; it arrives now."""
        held, self._held = self._held, {}
        return [(*way, raw) for way, raw in held.items()]


class BadTransport:
    """A router's transport over bad links: what it sends, and what its PEs send."""

    def __init__(self, transport: Transport, faults: LinkFaults, name: str) -> None:
        self._transport, self._links, self._name = transport, BadLinks(faults, name), name
        self._arrived: deque[tuple[str, bytes]] = deque()

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        while not self._arrived:
            received = self._transport.receive(timeout_s)
            if received is None:
                for sender, destination, raw in self._links.held_back():
                    if destination == self._name:
                        self._arrived.append((sender, raw))
                    else:
                        self._transport.send(destination, raw)
                if not self._arrived:
                    return None
                break
            sender, raw = received
            if sender == router_name(chip_of(sender)):  # its own end does it
                return received
            self._arrived += [(sender, came) for came in self._links.through(sender, self._name, raw)]
        return self._arrived.popleft()

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message, if the link does; TransportError as the transport does."""
        for came in self._links.through(self._name, destination, raw):
            self._transport.send(destination, came)

    def close(self) -> None:
        """Give the transport's resources back."""
        self._transport.close()
