"""By how much heads of queues stretch the busiest link or port of each exchange: from a placement alone, for all of a run.

The waits of `head_waits.py` grow with loads as they are, so their share of them is that of messages as long as their senders
have units. A position whose events lie otherwise over the shards is taken to be stretched as much.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.head_waits import busy_cycles
from host.cost.ledger import RunLedger
from host.cost.mesh_paths import SITE, TABLES
from host.cost.router_flows import SHAPE, into_ports, message_flows, over_links
from models.network import F64, I64
from noc.machine import Machine

_LAYERS_AND_CHIPS = 256  # whose flows are kept for the next price, at most 86 kB each: a table of what-ifs asks again and again


@dataclass(frozen=True)
class _Sparse:
    """Flows as `message_flows` returns them, without what is zero: numbers and values. `sent` says of which messages: flows of the
    same ones are equal.
    """

    sent: str
    numbers: I64 = field(compare=False)
    values: F64 = field(compare=False)

    def unpack(self) -> F64:
        """Return all, (tables, sites, outputs, inputs)."""
        flows = np.zeros(len(TABLES) * int(np.prod(SHAPE)))
        flows[self.numbers] = self.values
        return flows.reshape(len(TABLES), *SHAPE)


@lru_cache(_LAYERS_AND_CHIPS)
def _flows_of(sent: bytes, hears: bytes, mode: str, leaves: bool, arrived: float) -> _Sparse:
    """Return the flows of a population's messages on a chip; `sent` float64 and `hears` bool, (sites, 4), as bytes."""
    shape = len(SITE), 4
    flows = message_flows(
        np.frombuffer(sent).reshape(shape), np.frombuffer(hears, bool).reshape(shape), mode, leaves, arrived
    ).ravel()
    numbers = np.flatnonzero(flows)
    digest = hashlib.sha256(b"\0".join([sent, hears, repr((mode, leaves, arrived)).encode()])).hexdigest()
    return _Sparse(digest, numbers, flows[numbers])


@lru_cache(_LAYERS_AND_CHIPS)
def _busy_of(flows: tuple[_Sparse, ...], port: float, copies: bool) -> tuple[F64, F64, F64]:
    """Return of what is sent at once on a chip how long it keeps that busy, (tables,), its busiest link, (tables,), and each
    one's busiest port, (populations, tables).
    """
    unpacked = [one.unpack() for one in flows]
    sums = np.sum(unpacked, axis=0)
    ports = np.array([into_ports(one).max(axis=(1, 2)) for one in unpacked])
    return busy_cycles(sums, port, copies)[0], over_links(sums).max(axis=(1, 2)), ports


class PlacementWaits:
    """The share of waits of each exchange, for one way of sending; each pace of ports is reckoned once, and so are chips that send
    alike.
    """

    def __init__(self, run: RunLedger, machine: Machine, table: CostTable) -> None:
        """Take the placement of a run; `table` for its settings alone."""
        self._exchanges, self._mode, self._inputs = run.exchanges, table.settings["messages"], set(run.inputs)
        self._flows: dict[tuple[int, int], _Sparse] = {}  # by population and chip
        self._stretches: dict[tuple[float, bool, bool], F64] = {}
        site = np.array([SITE[pe.x, pe.y] for pe in run.pes], np.int64)
        core = np.array([pe.p for pe in run.pes], np.int64)
        host = int(run.representative_of[machine.host_chip])
        on_chip = [(chip, np.flatnonzero(run.chip_of == chip)) for chip in np.unique(run.chip_of).tolist()]
        for number, one in enumerate(run.populations):
            units, listens, spread = np.zeros(len(run.pes)), np.zeros(len(run.pes), bool), self._mode == "multicast"
            of_it = run.shards["population"] == number
            np.add.at(units, run.shards["pe"][of_it], run.shards["units"][of_it] + spread)
            listens[run.shards["pe"][run.ports["shard"][run.ports["source"] == number]]] = True
            is_input, everywhere = number in self._inputs, float((units * run.multiplicity).sum())
            for chip, pes in on_chip:
                sent, hears = np.zeros((len(SITE), 4)), np.zeros((len(SITE), 4), bool)
                sent[site[pes], core[pes]], hears[site[pes], core[pes]] = units[pes], listens[pes]
                # What a core writes for other chips beside its messages for its own has no fixed share of them: it is left out.
                arrived = one.units * float(chip != host) if is_input else (everywhere - float(sent.sum())) * spread
                leaves = spread and (bool(listens.sum() > hears.sum()) or (number in run.outputs and chip != host))
                if hears.any() and (sent.any() or arrived > 0):
                    message = sent.tobytes(), hears.tobytes(), self._mode, leaves, max(arrived, 0.0)
                    self._flows[number, chip] = _flows_of(*message)

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
            places = [place for place, one in enumerate(populations) if (one, chip) in self._flows]
            if places:
                busy, link, busiest = _busy_of(tuple(self._flows[populations[place], chip] for place in places), port, copies)
                longest, links = np.maximum(longest, busy), np.maximum(links, link)
                ports[places] = np.maximum(ports[places], busiest)
        least = np.maximum(links, port * ports.sum(axis=0))
        return np.asarray(np.divide(longest, least, out=np.ones(len(TABLES)), where=least > 0), np.float64)
