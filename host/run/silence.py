"""Ledgers of positions at which no input has an event: enough for every price that does not depend on activity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.cost.ledger import Ledger
from host.mapping.placement import Placement
from host.run.offline import record
from host.workloads.contract import Feed, Metric, Outputs, Progress, Source
from models.network import Network
from noc.packet import FRESH, RESET, VALID


def record_silence(placement: Placement, positions: int) -> Ledger:
    """Return the ledger of one sequence of so many silent positions, as a run of this placement would record it."""
    return record(placement, _Silence(placement.network, positions), _Nobody()).ledger(placement)


class _Silence(Source):
    def __init__(self, network: Network, positions: int) -> None:
        self.positions, self._inputs = positions, network.inputs

    def feed_at(self, position: int) -> Feed:
        """Return a position without events."""
        return Feed(position, VALID if position else VALID | FRESH | RESET, dict.fromkeys(self._inputs, (b"", b"")))


class _Nobody:
    """Reads nothing."""

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take an answer."""

    def progress(self) -> Progress:
        """Return that there is none to tell."""
        return Progress(0, 0)

    def result(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - a readout's form
        """Return none."""
        return []

    def snapshot(self) -> bytes:
        """Return nothing."""
        return b""

    def restore(self, snapshot: bytes) -> None:
        """Go on from nothing."""
