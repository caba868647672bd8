"""What a session keeps of its steps, in memory that does not grow: the hash of its events, and its ledger, which goes to disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from gennaker.costs import Cost, cost_of
from gennaker.temporary_folder import TemporaryFolder
from host.cost.ledger import RunLedger
from host.cost.pricing import Pricing
from host.cost.terms import terms_of
from host.mapping.placement import Placement
from host.run.event_hash import EventStream
from host.run.recorder import Recorder

_BLOCK = 1024  # positions that are written and priced at a time


class StepHash(EventStream):
    """The event stream's hash, which forgets a sequence but for its digest once nothing more of it comes."""

    _total = hashlib.sha256()
    _next = 0  # the first sequence that is not in the total

    def close(self, sequence: int) -> None:
        """Take note that a sequence is complete."""
        self.settle()
        self._closed[sequence] = self.sequence_sha256(sequence)
        del self._digests[sequence]
        while self._next in self._closed:
            self._total = self._total.copy()
            self._total.update(np.uint32(self._next).tobytes() + bytes.fromhex(self._closed.pop(self._next)))
            self._next += 1

    @property
    def _closed(self) -> dict[int, str]:
        """Digests of complete sequences that follow one which is not."""
        closed: dict[int, str] = self.__dict__.setdefault("closed", {})
        return closed

    def sha256(self) -> str:
        """Return the digest of the whole stream, as `EventStream` does."""
        self.settle()
        total = self._total.copy()
        for sequence in sorted({*self._digests, *self._closed}):
            digest = self._closed.get(sequence) or self.sequence_sha256(sequence)
            total.update(np.uint32(sequence).tobytes() + bytes.fromhex(digest))
        return total.hexdigest()

    @property
    def count(self) -> int:
        """How many events there were."""
        self.settle()
        return sum(self._events.values())


class StepLedger(Recorder):
    """A ledger in a file, in a temporary folder that goes with this object.

    Its price is a sum over positions, which goes on where it was when it was asked for last, so that a step costs the same however
    many there were.
    """

    def __init__(self, placement: Placement) -> None:
        self._folder = TemporaryFolder("session")
        super().__init__(placement, self._folder.path)
        self.block = min(self.block, _BLOCK)
        self._settled: dict[tuple[tuple[str, ...], bool], _Settled] = {}

    def cost(self, settings: Iterable[str] = ()) -> Cost | None:
        """Return what all steps cost so far, with settings as of `launch.py price`; None before the first."""
        run, choices = self.run_ledger(), tuple(settings)
        if not run.positions:
            return None
        key = choices, run.has_transfers  # of which the first changes what there is to price
        settled = self._settled.get(key) or _Settled(Pricing(run, *terms_of(run, choices)))
        settled.add_blocks(run)
        self._settled = {key: settled}
        return settled.cost(run)


class _Settled:
    """The price of a session's first positions, to which nothing comes any more, and the rest of it."""

    def __init__(self, pricing: Pricing) -> None:
        self._pricing, self._positions, self._executions = pricing, 0, 0

    def add_blocks(self, run: RunLedger) -> None:
        """Price whole blocks behind which there are as many positions as share ticks with them."""
        while self._positions + _BLOCK + self._pricing.margin <= run.positions:
            self._executions += _add(self._pricing, run, self._positions, self._positions + _BLOCK)
            self._positions += _BLOCK

    def cost(self, run: RunLedger) -> Cost:
        """Return the price of all positions."""
        pricing, executions = self._pricing.copy(), self._executions
        if self._positions < run.positions:
            executions += _add(pricing, run, self._positions, run.positions)
        return cost_of(pricing.priced(), executions)


def _add(pricing: Pricing, run: RunLedger, first: int, last: int) -> int:
    """Add the price of positions; return how many positions of sequences that were."""
    part = run.between(first, last, pricing.margin)
    pricing.add(part)
    return part.own_ledger.executions
