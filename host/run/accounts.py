"""`Accounts`: what everybody counted of one set of routers and PEs, and whether it balances (`host/run/conservation.py`)."""

from __future__ import annotations

from typing import Any

from host.mapping.placement import Placement
from host.run.conservation import TransfersHeard, balance, balance_transfers


class Accounts:
    """The counters of PEs and routers by name, as they come, and the host's own."""

    def __init__(self, placement: Placement) -> None:
        self._machine, self._need = placement.machine, (len(placement.pes), len(placement.machine.live))
        self.pes: dict[str, dict[str, Any]] = {}
        self.routers: dict[str, dict[str, Any]] = {}
        self.input_packets = self.output_events = 0
        self.transfers = TransfersHeard()

    @property
    def are_whole(self) -> bool:
        """Whether every PE and every router have handed over their counters."""
        return (len(self.pes), len(self.routers)) == self._need

    def malformed(self) -> dict[str, int]:
        """Return how many messages that were none each endpoint got, by whom they came from."""
        counts = {name: reading["malformed"] for name, reading in self.pes.items() if reading["malformed"]}
        for router, reading in sorted(self.routers.items()):
            counts |= {f"{router} from {name}": number for name, number in reading["malformed"].items()}
        return counts

    def links(self) -> dict[str, dict[str, int]]:
        """Return how many messages were found wrong on links, and mended, or went unchecked, by kind and by whom they came from."""
        kinds: dict[str, dict[str, int]] = {}
        for router, reading in sorted(self.routers.items()):
            for kind, counts in reading.get("links", {}).items():
                kinds.setdefault(kind, {}).update({f"{router} from {name}": number for name, number in counts.items()})
        return kinds

    def balance(self, ticks: int) -> dict[str, Any]:
        """Return the accounts of the first `ticks` ticks, of copies after fan-out and of transfers, and what does not balance."""
        accounts = balance(self._machine, self.pes, self.routers, self.input_packets, self.output_events)
        transfers = balance_transfers(self._machine, self.pes, self.routers, self.transfers.before(ticks))
        if transfers:
            accounts["wrong"] += transfers.pop("wrong")
            accounts["transfers"] = transfers
        return accounts
