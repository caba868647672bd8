"""A plain host for tests: it loads a placement, feeds its input tick by tick, and keeps what it hears; no readout, no price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from host.mapping.placement import Placement
from host.mapping.sharding import cut
from noc import packet as p
from noc.memory_chip import MemoryChip
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from noc.wiring import deepest_first
from pe.core import Pe


class Driver:
    """Runs `ticks`, each with one batch of `sections(tick)`. `fills`: what each DRAM is filled with, by name."""

    done = False

    def __init__(
        self, placement: Placement, ticks: int, sections: Callable[[int], Sequence[p.Section]], seed: int | None = None,
        fills: Mapping[str, Sequence[p.Fill]] | None = None,
    ) -> None:  # fmt: skip
        self.placement, self.ticks, self.sections, self.fills = placement, ticks, sections, fills or {}
        self.bundles: list[p.Bundle] = []
        self.readings: dict[str, dict] = {}
        self.faults: list[str] = []
        self._loaded = 0
        self._chip = MemoryChip(
            host=self, machine=placement.machine, table_entries=placement.chip.router_entries,
            pes=[placed.name for placed in placement.pes], make_pe=Pe, network=MemNetwork(seed),
        )  # fmt: skip
        told = placement.configure(ticks + 1)
        begin = [self._letter(p.router_name(chip), told[chip]) for chip in reversed(deepest_first(placement.machine))]
        self._chip.boot_routers(begin, list)
        self._chip.boot_pes(list)

    def _letter(self, peer, message):
        return (p.router_name(self.placement.machine.host_chip),), p.Letter(peer, encode(message))

    def handle(self, sender, message):
        if isinstance(message, p.Bundle):
            self.bundles.append(message)
            return self._ask() if message.tick == self.ticks - 1 else []
        peer, said = message.peer, decode(message.body)
        match said:
            case p.Hello():
                placed = next(placed for placed in self.placement.pes if placed.name == peer)
                request = self.placement.request
                shards = [shard.to_parts() for shard in cut(self.placement.network, request, placed.share)]
                load = p.Load(shards, self.placement.copies(placed), dict(vars(request.size)), {}, self.placement.peers(placed))
                return [self._letter(peer, load)]
            case p.Loaded():
                self._loaded += 1
                return self._start() if self._loaded == len(self.placement.pes) else []
            case p.Reading(counters):
                self.readings[peer] = counters
            case p.Fault(text):
                self.faults.append(text)
        return []

    def _start(self):
        fills = [self._letter(name, fill) for name, pieces in self.fills.items() for fill in pieces]
        starts = [self._letter(placed.name, p.Start()) for placed in self.placement.pes]
        host = (p.router_name(self.placement.machine.host_chip),)
        return fills + starts + [(host, p.Batch(t, tuple(self.sections(t)))) for t in range(self.ticks)]

    def _ask(self):
        names = [*(placed.name for placed in self.placement.pes), *map(p.router_name, self.placement.machine.live)]
        return [self._letter(name, p.Read(self.ticks)) for name in names]

    def malformed(self, sender, why):
        raise AssertionError(f"{sender}: {why}")

    def accounts(self) -> tuple[dict, dict]:
        """The counters of PEs and of routers, by name."""
        routers = {name: counters for name, counters in self.readings.items() if name.startswith("router")}
        return {name: counters for name, counters in self.readings.items() if name not in routers}, routers
