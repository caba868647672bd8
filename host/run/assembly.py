"""From what the layers of a placement counted at their steps to its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from host.cost.ledger import KERNEL_COLUMNS, NIBBLES, PEER_COLUMNS, PORT_COLUMNS, Ledger, PopulationFacts, RunLedger, machine_fields
from host.mapping.placement import Placement
from host.mapping.sharding import share_sizes
from host.run.step_counts import Words, words_of
from models import kernels
from models.kernel_window import KernelWindow
from models.network import I64, U32, Network
from models.numerics import WEIGHTS
from models.schedule import schedule
from models.shard import PortShape
from models.transfers import EXCHANGED_WORDS
from noc.packet import chip_of
from pe.layout import place_ports


@dataclass(frozen=True)
class LayerSteps:
    """What a layer counted: `rows` (positions, shards, ticks, words) uint32; `stepped` (positions,) lanes that it stepped."""

    rows: U32
    stepped: U32


def shards_of(placement: Placement) -> list[tuple[int, int, U32]]:
    """Return (index of the PE, population, units) of each shard, in the order of a ledger."""
    by_layer: dict[int, list[tuple[int, int, U32]]] = {n: [] for n in placement.network.layers}
    for number, pe in enumerate(placement.pes):
        for layer, units in pe.share:
            by_layer[layer].append((number, layer, units))
    return [shard for shards in by_layer.values() for shard in shards]


class Assembly:
    """Makes the ledger of a placement, part by part in order: what kernels count in exchanges adds up from step to step.

    `run` is what the ledger says without its positions; `by_turn` and `per_lane` name the counts that its kernels may make.
    """

    def __init__(self, placement: Placement) -> None:
        network, self._shards = placement.network, shards_of(placement)
        self._placement, self._peers = placement, _peers(placement, self._shards)
        self._words = {n: words_of(network.populations[n]) for n in network.layers}
        self._once = {n: kernels.named(network.populations[n].kernel).PER_UNIT for n in network.layers}
        names = dict.fromkeys(name for words in self._words.values() for name in names_of(words))
        self.per_lane = tuple(name for name in names if any(name in once for once in self._once.values()))
        self.by_turn = tuple(
            name for name in names
            if any(name in names_of(words) and name not in self._once[n]
                   for n, words in self._words.items())
        )  # fmt: skip
        self.run = RunLedger(
            populations=population_facts(network), outputs=network.outputs, interval=schedule(network).interval,
            **_tables(placement, self._shards),
            peers={name: np.array([row[at] for row in self._peers], np.int64) for at, name in enumerate(PEER_COLUMNS)},
            pes=tuple(placed.pe for placed in placement.pes), lanes=placement.request.lanes,
            format=placement.request.format, **machine_fields(placement.chip, placement.machine),
        )  # fmt: skip
        self._amounts: dict[tuple[int, str], I64] = {}  # by layer and name: of a lane, (its shards,), where it has stepped
        self._totals: dict[int, U32] = {}  # by layer: the last words of its shards, (shards, words)

    def amounts(self) -> dict[str, I64]:
        """Return what each shard counts for a lane and turn, as far as it has stepped: `RunLedger.per_lane`."""
        columns: dict[str, I64] = {}
        for name in self.per_lane:
            none = {n: np.zeros(len(self._placement.senders(n)), np.int64) for n in self._words}
            columns[name] = np.concatenate([self._amounts.get((n, name), none[n]) for n in self._words])
        return {name: amounts for name, amounts in columns.items() if amounts.any()}

    def record(self) -> dict[str, Any]:
        """Return what the positions so far have left, as plain values."""
        amounts = [[n, name, amount.tobytes()] for (n, name), amount in self._amounts.items()]
        return {"amounts": amounts, "totals": {n: [len(rows), rows.tobytes()] for n, rows in self._totals.items()}}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from a record."""
        self._amounts = {(n, name): np.frombuffer(amount, np.int64).copy() for n, name, amount in record["amounts"]}
        self._totals = {n: np.frombuffer(raw, np.uint32).reshape(rows, -1).copy() for n, (rows, raw) in record["totals"].items()}

    def apart(self) -> Assembly:
        """Return one that makes ledgers of positions beside those that this one makes in order."""
        other = copy(self)
        other._amounts, other._totals = dict(self._amounts), {}
        return other

    def part(self, steps: Mapping[int, LayerSteps], input_events: U32) -> Ledger:
        """Return the next positions, from what each layer counted and (positions, inputs) events."""
        events, by_port, grown = [], [], dict[int, U32]()
        by_turn: dict[str, list[U32]] = {name: [] for name in self.by_turn}
        for n, words in self._words.items():
            rows, once = steps[n].rows, self._once[n]
            positions, of_layer, ticks = rows.shape[:3]
            turns = rows.reshape(positions, of_layer * ticks, words.size)
            events.append(turns[:, :, 0])
            by_port.append(
                rows[:, :, :, words.first_port : words.first_peer]
                .sum(axis=2, dtype=np.uint32)
                .reshape(positions, of_layer * words.ports, 2)
            )
            since = self._since(n, rows)
            for name, parts in by_turn.items():
                counts = np.zeros((positions, of_layer, ticks), np.uint32)
                if name in words.counts and name not in once:
                    counts += rows[:, :, :, 1 + words.counts.index(name)]
                if name in words.in_exchange and name not in once:
                    counts[:, :, -1] += since[:, :, words.first_in_exchange + words.in_exchange.index(name)]
                parts.append(counts.reshape(turns.shape[:2]))
            self._note_amounts(n, steps[n])
            grown[n] = since
        transfers = np.zeros((len(input_events), len(self._peers), EXCHANGED_WORDS), np.uint32)
        for row, (_, _, _, population, place, first) in enumerate(self._peers):
            transfers[:, row] = grown[population][:, place, first : first + EXCHANGED_WORDS]
        return Ledger(
            **self.run.facts() | {"per_lane": self.amounts()},
            events=_joined(events), input_events=np.ascontiguousarray(input_events), port_counts=_joined(by_port),
            stepped=np.ascontiguousarray(np.stack([steps[n].stepped for n in self._words], axis=1), np.uint32),
            by_turn={name: _joined(parts) for name, parts in by_turn.items()}, transfers=transfers,
        )  # fmt: skip

    def _since(self, n: int, rows: U32) -> U32:
        """Return by how much those words of a layer's shards that add up have grown since the step before, in the last tick of a
        position: (positions, shards, words).
        """
        words = self._words[n]
        if words.size == words.first_peer:
            return rows[:, :, -1]
        totals = rows[:, :, -1]
        before = self._totals.get(n, np.zeros(totals.shape[1:], np.uint32))
        if len(totals):
            self._totals[n] = totals[-1].copy()
        return np.diff(totals, axis=0, prepend=before[None])

    def _note_amounts(self, n: int, steps: LayerSteps) -> None:
        at = np.flatnonzero(steps.stepped)
        for name in self._once[n]:
            if len(at) and (n, name) not in self._amounts and name in self._words[n].counts:
                counts = steps.rows[at[0], :, 0, 1 + self._words[n].counts.index(name)]
                self._amounts[n, name] = counts.astype(np.int64) // int(steps.stepped[at[0]])


def assemble_ledger(placement: Placement, steps: Mapping[int, LayerSteps], input_events: U32) -> Ledger:
    """Return the ledger of a placement from what each layer counted and (positions, inputs) events, all of a run."""
    ledger = Assembly(placement).part(steps, input_events)
    return replace(ledger, by_turn={name: counts for name, counts in ledger.by_turn.items() if counts.any()})


def names_of(words: Words) -> tuple[str, ...]:
    """Return the names of what a kernel counts, at its steps and in its exchange."""
    return (*words.counts, *words.in_exchange)


def _joined(parts: list[U32]) -> U32:
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.uint32)


def population_facts(network: Network) -> tuple[PopulationFacts, ...]:
    """Return what a ledger knows of a network's populations."""
    times = schedule(network)
    return tuple(
        PopulationFacts(
            name=one.name, units=one.units, kernel=one.kernel, payload=one.payload, dense=one.dense, start=times.starts[n],
            ticks=times.ticks[n], words=words_of(one).size if one.kernel else 0,
            beside=-1 if one.beside is None else one.beside,
        )
        for n, one in enumerate(network.populations)
    )  # fmt: skip


def _peers(placement: Placement, shards: list[tuple[int, int, U32]]) -> list[tuple[int, int, int, int, int, int]]:
    """Return the peers of shards: `PEER_COLUMNS`, and where their words are: population, place of the shard in it, first word."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    numbers, column = {placed.name: n for n, placed in enumerate(placement.pes)}, dict.fromkeys(placement.network.layers, 0)
    for number, (pe, population, _) in enumerate(shards):
        words, place = words_of(placement.network.populations[population]), column[population]
        column[population] += 1
        if not words.peers:
            continue
        for peer, (name, _) in enumerate(placement.peers(placement.pes[pe])[2]):
            first = words.first_peer + EXCHANGED_WORDS * peer
            rows.append((number, numbers.get(name, -1), chip_of(name), population, place, first))
    return rows


def _tables(placement: Placement, shards: list[tuple[int, int, U32]]) -> dict[str, Any]:
    """Return the tables of a placement's shards and ports, and the names of its ports."""
    network, rows = placement.network, list[tuple[int, ...]]()
    names = sorted({p.port for n in network.layers for p in network.populations[n].projections})
    for number, (pe, population, _) in enumerate(shards):
        share = tuple(part for part in placement.pes[pe].share if part.population == population)
        size = share_sizes(network, placement.request, share)[0]
        for port, place in zip(size.ports, place_ports(size), strict=True):
            shape = port.shape
            rows.append((
                number, names.index(port.name), port.source, port.delay, shape.rows, shape.nonzeros, shape.source_units,
                np.dtype(WEIGHTS[shape.weight]).itemsize, int(shape.trace), int(place.adds), *_kernel_columns(shape),
                int(shape.weight == "int4"),
            ))  # fmt: skip
    heads = *PORT_COLUMNS, *KERNEL_COLUMNS, NIBBLES
    columns = dict(zip(heads, np.array(rows, np.int64).reshape(len(rows), len(heads)).T, strict=True))
    optional = (*KERNEL_COLUMNS, *([NIBBLES] if columns[NIBBLES].any() else []))
    if not columns[KERNEL_COLUMNS[0]].any():
        optional = optional[len(KERNEL_COLUMNS) :]
    columns = {name: columns[name] for name in (*PORT_COLUMNS, *optional)}
    return {
        "shards": {
            "pe": np.array([pe for pe, _, _ in shards], np.int64),
            "population": np.array([population for _, population, _ in shards], np.int64),
            "units": np.array([len(units) for _, _, units in shards], np.int64),
        },
        "ports": {name: np.ascontiguousarray(column) for name, column in columns.items()},
        "port_names": tuple(names),
    }


def _kernel_columns(shape: PortShape) -> tuple[int, int]:
    """Return a port's `KERNEL_COLUMNS`."""
    if not shape.window:
        return 0, 0
    window = KernelWindow(*shape.window)
    return window.met, window.places
