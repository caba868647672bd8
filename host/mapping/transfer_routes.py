"""Transfers on a machine: who may send to whom, and what each router must know of it (`noc/exchange.py`).

A transfer takes the route of events: along the tree of the chip that it comes from. A DRAM may answer whoever may ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noc.machine import Machine
from noc.packet import HOST, chip_of, dram_name, router_name


@dataclass(frozen=True)
class Transfers:
    """Who may send to whom: endpoint -> names, of PEs, DRAMs and the host; and a DRAM's bytes and alignment."""

    allowed: Mapping[str, list[str]] = field(default_factory=dict)
    dram_bytes: int = 0
    dram_alignment_bytes: int = 0

    @property
    def drams(self) -> list[str]:
        """The names of the DRAMs in use, by chip."""
        names = {name for targets in self.allowed.values() for name in targets if name == dram_name(chip_of(name))}
        return sorted(names, key=chip_of)


def plan_transfers(machine: Machine, transfers: Transfers) -> dict[int, list[Any]]:
    """Return the transfers' part of each router's configuration, of those that have one."""
    allowed: dict[str, list[str]] = {name: list(targets) for name, targets in transfers.allowed.items() if targets}
    for dram in transfers.drams:
        allowed[dram] = [name for name, targets in transfers.allowed.items() if dram in targets]
    own: dict[int, dict[str, list[str]]] = {}
    awaited: dict[int, dict[str, list[int]]] = {}
    passes: dict[int, dict[int, tuple[str, dict[int, str]]]] = {}
    for sender, targets in allowed.items():
        source = chip_of(sender)
        own.setdefault(source, {})[sender] = targets
        for target in targets:
            to = machine.host_chip if target == HOST else chip_of(target)
            if to != source:
                chips = awaited.setdefault(to, {}).setdefault(target, [])
                chips += [source] if source not in chips else []
            before = ""
            for link in machine.route(source, to):
                onward = passes.setdefault(link.chip, {}).setdefault(source, (before, {}))[1]
                onward[chip_of(target)] = router_name(link.to)
                before = router_name(link.chip)
                passes.setdefault(link.to, {}).setdefault(source, (before, {}))
    drams = {chip_of(name) for name in transfers.drams}
    return {
        chip: [
            own.get(chip, {}), awaited.get(chip, {}), [[source, *parts] for source, parts in sorted(passes.get(chip, {}).items())],
            [transfers.dram_bytes, transfers.dram_alignment_bytes] if chip in drams else [],
        ]
        for chip in sorted(own.keys() | awaited.keys() | passes.keys())
    }  # fmt: skip
