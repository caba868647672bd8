"""What a layer's section counts, and what the host probes of it: rows of a section's ledger, a sender each.

A row is what `pe/tick.py` writes: events, the counts of the kernel, then multiply-accumulates and stored weights visited for
each projection in the population's order; behind it come the fields that the host probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from host.mapping.placement import Placement
from models import kernels
from models.network import I64, U32, Array, Field, ModelError, Population
from models.transfers import EXCHANGED_WORDS
from noc.packet import Section


class Words(NamedTuple):
    """The words of a population's row: `counts` names those of the kernel, and there are two for each of `ports` projections.

    Behind them stand, where it exchanges transfers, four for each of `peers` (`EXCHANGED_WORDS`) and what `in_exchange` names.
    These add up from step to step.
    """

    counts: tuple[str, ...]
    ports: int
    peers: int = 0
    in_exchange: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many words a row has."""
        return self.first_in_exchange + len(self.in_exchange)

    @property
    def first_port(self) -> int:
        """Where the words of the projections begin."""
        return 1 + len(self.counts)

    @property
    def first_peer(self) -> int:
        """Where the words of the peers begin, behind those of the projections."""
        return self.first_port + 2 * self.ports

    @property
    def first_in_exchange(self) -> int:
        """Where the words begin that the kernel counts in its exchange."""
        return self.first_peer + EXCHANGED_WORDS * self.peers


def words_of(population: Population) -> Words:
    """Return the words of a population's row."""
    spec = kernels.transfers_of(population.kernel)
    counts = tuple(kernels.named(population.kernel).COUNTS)
    peers, in_exchange = (spec.most_peers, kernels.exchange_counts_of(population.kernel)) if spec else (0, ())
    return Words(counts=counts, ports=len(population.projections), peers=peers, in_exchange=in_exchange)


_MOST_WAITING = 32  # ledgers of a layer that wait to be added up


class StepCounts:
    """Reads the ledgers of a placement's sections, and adds them up. `probes`: layer -> names of its kernel's fields.

    ModelError where a kernel has no such field.
    """

    def __init__(self, placement: Placement, probes: Mapping[int, Sequence[str]] | None = None) -> None:
        network, lanes, self._probes = placement.network, placement.request.lanes, probes or {}
        self.words = {n: words_of(network.populations[n]) for n in network.layers}
        self._units: dict[int, list[U32]] = {n: [] for n in network.layers}
        for placed in placement.pes:
            for part in placed.share:
                self._units[part.population].append(part.units)
        self._fields: dict[int, list[list[Field]]] = {}  # by layer and sender: what is probed
        for n, names in self._probes.items():
            layer = network.populations[n]
            kernel = kernels.named(layer.kernel)
            by_sender = [{field.name: field for field in kernel.fields(len(units), lanes)} for units in self._units[n]]
            for name in names:
                if name not in by_sender[0]:
                    have = ", ".join(by_sender[0]) or "none"
                    raise ModelError(f"probe of {layer.name}: neuron model {layer.kernel!r} has no field {name!r}; has {have}")
            self._fields[n] = [[fields[name] for name in names] for fields in by_sender]
        self._in_exchange: dict[int, U32] = {}  # by layer: totals of the latest section, (senders, names)
        self._sums = {n: np.zeros(words.size, np.int64) for n, words in self.words.items()}
        self._waiting = {n: list[bytes]() for n in self.words}  # by layer: ledgers, to be added up together

    def add(self, section: Section) -> None:
        """Add a section's counts to the totals."""
        layer, words = section.population, self.words[section.population]
        if layer in self._fields or words.in_exchange:
            rows = self.rows(section)
            self._sums[layer] += rows.sum(axis=0, dtype=np.int64)
            if words.in_exchange:
                self._in_exchange[layer] = rows[:, words.first_in_exchange :]
            return
        if len(section.ledger) % (4 * words.size):
            raise ValueError(f"a ledger of {len(section.ledger)} B of population {layer}: needs rows of {4 * words.size} B")
        waiting = self._waiting[layer]
        waiting.append(section.ledger)
        if len(waiting) == _MOST_WAITING:
            self._totals_of(layer)

    def _totals_of(self, layer: int) -> I64:
        """Return a layer's totals, with what waits to be added."""
        waiting = self._waiting[layer]
        if waiting:
            rows = np.frombuffer(b"".join(waiting), "<u4").reshape(-1, self.words[layer].size)
            self._sums[layer] += rows.sum(axis=0, dtype=np.int64)
            waiting.clear()
        return self._sums[layer]

    def record(self) -> dict[str, Any]:
        """Return the totals as plain values."""
        latest = {n: [len(rows), np.ascontiguousarray(rows).tobytes()] for n, rows in self._in_exchange.items()}
        return {"totals": {n: self._totals_of(n).tobytes() for n in self._sums}, "in_exchange": latest}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        self._waiting = {n: [] for n in self.words}
        self._sums = {n: np.frombuffer(total, np.int64).copy() for n, total in record["totals"].items()}
        self._in_exchange = {n: np.frombuffer(raw, np.uint32).reshape(rows, -1) for n, (rows, raw) in record["in_exchange"].items()}

    def rows(self, section: Section) -> U32:
        """Return the counts of a section, (senders, words)."""
        words = self.words[section.population].size
        if section.population not in self._fields:
            return np.frombuffer(section.ledger, "<u4").reshape(-1, words)
        rows, at = [], 0
        for fields in self._fields[section.population]:
            rows.append(np.frombuffer(section.ledger, "<u4", words, at))
            at += 4 * words + sum(field.size_bytes for field in fields)
        return np.stack(rows)

    def events_of(self, sections: Sequence[Section]) -> I64:
        """Return the events of each sender in sections of one layer, added up, (senders,)."""
        layer = sections[0].population
        if layer in self._fields:
            return np.asarray(sum(self.rows(section)[:, 0].astype(np.int64) for section in sections), np.int64)
        rows = np.frombuffer(b"".join(section.ledger for section in sections), "<u4")
        return np.asarray(rows.reshape(len(sections), -1, self.words[layer].size)[:, :, 0].sum(axis=0, dtype=np.int64), np.int64)

    def probes(self, section: Section) -> dict[str, Array]:
        """Return what is probed of a section: field -> (lanes, units), whole populations in the order of their units."""
        layer, at = section.population, 0
        out: dict[str, Array] = {}
        width = sum(len(units) for units in self._units[layer])
        for units, fields in zip(self._units[layer], self._fields.get(layer, ()), strict=False):
            at += 4 * self.words[layer].size
            for field in fields:
                part = np.frombuffer(section.ledger, field.dtype, int(np.prod(field.shape)), at).reshape(field.shape)
                out.setdefault(field.name, np.zeros((*field.shape[:-1], width), field.dtype))[..., units] = part
                at += field.size_bytes
        return out

    def events(self, layer: int) -> int:
        """Return how many events a layer has sent."""
        return int(self._totals_of(layer)[0])

    def macs(self, layer: int) -> int:
        """Return a layer's effective multiply-accumulates."""
        return int(self._totals_of(layer)[self.words[layer].first_port : self.words[layer].first_peer : 2].sum())

    def visited(self, layer: int) -> int:
        """Return how many stored weights a layer looked at."""
        return int(self._totals_of(layer)[self.words[layer].first_port + 1 : self.words[layer].first_peer : 2].sum())

    def of_kernels(self) -> dict[str, int]:
        """Return what the kernels counted, by name, added up over all layers."""
        totals: dict[str, int] = {}
        for layer, words in self.words.items():
            for place, name in enumerate(words.counts, start=1):
                totals[name] = totals.get(name, 0) + int(self._totals_of(layer)[place])
            for place, name in enumerate(words.in_exchange):
                latest = self._in_exchange.get(layer)
                totals[name] = totals.get(name, 0) + (int(latest[:, place].sum(dtype=np.int64)) if latest is not None else 0)
        return totals
