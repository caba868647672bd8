"""By how much heads of queues stretch the busiest link or port of each exchange: from a placement alone, for all of a run.

The waits of `head_waits.py` grow with loads as they are, so their share of them is that of messages as long as their senders
have units. A position whose events lie otherwise over the shards is taken to be stretched as much.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.head_waits import busy_cycles
from host.cost.ledger import RunLedger
from host.cost.mesh_paths import SITE, TABLES
from host.cost.router_flows import SHAPE, into_ports, message_flows, over_links
from models.network import F64, I64
from noc.machine import Machine


class _Sparse(NamedTuple):
    """Flows as `message_flows` returns them, without what is zero: numbers and values."""

    numbers: I64
    values: F64

    def unpack(self) -> F64:
        """Return all, (tables, sites, outputs, inputs)."""
        flows = np.zeros(len(TABLES) * int(np.prod(SHAPE)))
        flows[self.numbers] = self.values
        return flows.reshape(len(TABLES), *SHAPE)


class PlacementWaits:
    """The share of waits of each exchange, for one way of sending; each pace of ports is reckoned once."""

    def __init__(self, run: RunLedger, machine: Machine, table: CostTable) -> None:
        """Take the placement of a run; `table` for its settings alone."""
        self._exchanges, self._mode, self._inputs = run.exchanges, table.settings["messages"], set(run.inputs)
        self._flows: dict[tuple[int, int], _Sparse] = {}  # by population and chip
        self._stretches: dict[tuple[float, bool, bool], F64] = {}
        site = np.array([SITE[pe.x, pe.y] for pe in run.pes], np.int64)
        core = np.array([pe.p for pe in run.pes], np.int64)
        chip_of, host = run.chip_of, int(run.representative_of[machine.host_chip])
        listens = np.zeros((len(run.populations), len(run.pes)), bool)
        listens[run.ports["source"], run.shards["pe"][run.ports["shard"]]] = True
        multicast = self._mode == "multicast"
        for number, one in enumerate(run.populations):
            of_it = run.shards["population"] == number
            pe, units = run.shards["pe"][of_it], run.shards["units"][of_it] + multicast
            everywhere = float((units * run.multiplicity[pe]).sum()) if len(pe) else float(one.units)
            for chip in np.unique(chip_of).tolist():
                here, sender = np.flatnonzero(listens[number] & (chip_of == chip)), chip_of[pe] == chip
                hears, sent = np.zeros((len(SITE), 4), bool), np.zeros((len(SITE), 4))
                hears[site[here], core[here]] = True
                np.add.at(sent, (site[pe[sender]], core[pe[sender]]), units[sender])
                # What a core writes for other chips beside its messages for its own has no fixed share of them: it is left out.
                arrived = everywhere - sent.sum() if multicast and len(pe) else everywhere * (chip != host) * (not len(pe))
                if not len(here) or not (sent.any() or arrived > 0):
                    continue
                leaves = multicast and bool((listens[number] & (chip_of != chip)).any() or (number in run.outputs and chip != host))
                flows = message_flows(sent, hears, self._mode, leaves, max(arrived, 0.0)).ravel()
                numbers = np.flatnonzero(flows)
                self._flows[number, chip] = _Sparse(numbers, flows[numbers])

    def stretch(self, port: float, pipelined: bool, with_input: bool) -> F64:
        """Return how many times as long as its busiest link or port each exchange keeps a mesh busy, (tables, exchanges).

        `port`: cycles that a flit takes through a PE's port. Where populations work `pipelined`, all that is sent in one tick
        counts, `with_input` or not.
        """
        key = port, pipelined, with_input
        if key not in self._stretches:
            exchanges = self._exchanges
            groups: dict[int, list[int]] = defaultdict(list)
            for number in range(len(exchanges)):
                together = pipelined and (with_input or bool(exchanges.of_layers[number]))
                groups[int(exchanges.tick[number]) % exchanges.interval if together else -1 - number].append(number)
            stretches = np.ones((len(TABLES), len(exchanges)))
            for members in groups.values():
                stretches[:, members] = self._stretch_of(exchanges.population[members].tolist(), port)[:, None]
            self._stretches[key] = stretches
        return self._stretches[key]

    def _stretch_of(self, populations: list[int], port: float) -> F64:
        """Return the stretch of what these send at once, (tables,): against the busiest link, and each one's busiest port, in
        sum.
        """
        copies = self._mode in ("qpe", "multicast") or not set(populations) - self._inputs
        longest, links, ports = np.zeros(len(TABLES)), np.zeros(len(TABLES)), np.zeros((len(populations), len(TABLES)))
        for chip in sorted({chip for _, chip in self._flows}):
            sums = np.zeros((len(TABLES), *SHAPE))
            for place, population in enumerate(populations):
                if (population, chip) in self._flows:
                    flows = self._flows[population, chip].unpack()
                    ports[place] = np.maximum(ports[place], into_ports(flows).max(axis=(1, 2)))
                    sums += flows
            if sums.any():
                longest = np.maximum(longest, busy_cycles(sums, port, copies)[0])
                links = np.maximum(links, over_links(sums).max(axis=(1, 2)))
        least = np.maximum(links, port * ports.sum(axis=0))
        return np.asarray(np.divide(longest, least, out=np.ones(len(TABLES)), where=least > 0), np.float64)
