"""Recording of a run's ledger: from the sections of its layers, or of counts that were computed, and its placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from host.cost.ledger import KERNEL_COLUMNS, PEER_COLUMNS, PORT_COLUMNS, Ledger, PopulationFacts, machine_fields
from host.mapping.placement import Placement
from host.mapping.sharding import share_sizes
from host.run.step_counts import Words, words_of
from host.workloads.lane_sets import idle_lanes
from models import kernels
from models.kernel_window import KernelWindow
from models.network import I64, U32, Network
from models.numerics import WEIGHTS
from models.schedule import schedule
from models.shard import PortShape
from models.transfers import EXCHANGED_WORDS
from noc.packet import PHASE, Section, chip_of
from pe.layout import place_ports


class Recorder:
    """Collects a run's ledger as its sections arrive, each layer in ascending position, tick by tick."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._ticks = schedule(placement.network).ticks
        self._words = {n: words_of(placement.network.populations[n]).size for n in placement.network.layers}
        self._parts: dict[int, list[bytes]] = {n: [] for n in placement.network.layers}
        self._stepped: dict[int, list[int]] = {n: [] for n in placement.network.layers}
        self._inputs: list[Sequence[int]] = []

    def add_input(self, *events: int) -> None:
        """Take in the numbers of input events of the next position, one for each input."""
        self._inputs.append(events)

    def add(self, section: Section) -> None:
        """Take in a layer's counts at the next tick of its steps."""
        self._parts[section.population].append(section.ledger)
        if section.flags < PHASE:
            self._stepped[section.population].append(count_lanes(section.lanes, self._placement.request.lanes))

    def forget(self, positions: int) -> None:
        """Forget the first positions, which every layer must have finished."""
        for n, parts in self._parts.items():
            del parts[: positions * self._ticks[n]]
            del self._stepped[n][:positions]
        del self._inputs[:positions]

    def ledger(self) -> Ledger:
        """Return the ledger of the positions that every layer has finished."""
        return self.latest(self._done)

    @property
    def _done(self) -> int:
        return min(len(parts) // self._ticks[n] for n, parts in self._parts.items())

    def latest(self, most: int) -> Ledger:
        """Return the ledger of the last positions that every layer has finished, `most` of them at most."""
        placement, done = self._placement, self._done
        first, steps = max(done - most, 0), {}
        for n, parts in self._parts.items():
            senders, ticks = len(placement.senders(n)), self._ticks[n]
            rows = np.frombuffer(b"".join(parts[first * ticks : done * ticks]), "<u4")
            rows = rows.reshape(done - first, ticks, senders, self._words[n]).transpose(0, 2, 1, 3)
            steps[n] = LayerSteps(rows=rows, stepped=np.array(self._stepped[n][first:done], np.uint32))
        inputs = np.array(self._inputs[first:done], np.uint32).reshape(done - first, len(placement.network.inputs))
        return assemble_ledger(placement, steps, inputs)


@dataclass(frozen=True)
class LayerSteps:
    """What a layer counted: `rows` (positions, shards, ticks, words) uint32; `stepped` (positions,) lanes that it stepped."""

    rows: U32
    stepped: U32


def count_lanes(packed: bytes, lanes: int) -> int:
    """Return how many of a section's lanes are not idle."""
    idle = idle_lanes(packed, lanes)
    return lanes if idle is None else lanes - int(idle.sum())


def shards_of(placement: Placement) -> list[tuple[int, int, U32]]:
    """Return (index of the PE, population, units) of each shard, in the order of a ledger."""
    by_layer: dict[int, list[tuple[int, int, U32]]] = {n: [] for n in placement.network.layers}
    for number, pe in enumerate(placement.pes):
        for layer, units in pe.share:
            by_layer[layer].append((number, layer, units))
    return [shard for shards in by_layer.values() for shard in shards]


def assemble_ledger(placement: Placement, steps: Mapping[int, LayerSteps], input_events: U32) -> Ledger:
    """Return the ledger of a placement from what each layer counted and (positions, inputs) events."""
    network, shards = placement.network, shards_of(placement)
    events, by_port = [], []
    by_turn: dict[str, list[U32]] = {}
    per_lane: dict[str, list[I64]] = {}
    every_count = dict.fromkeys(name for n in network.layers for name in names_of(words_of(network.populations[n])))
    for n in network.layers:
        words, rows = words_of(network.populations[n]), steps[n].rows
        once = kernels.named(network.populations[n].kernel).PER_UNIT
        positions, of_layer, ticks = rows.shape[:3]
        turns = rows.reshape(positions, of_layer * ticks, words.size)
        events.append(turns[:, :, 0])
        by_port.append(
            rows[:, :, :, words.first_port : words.first_peer]
            .sum(axis=2, dtype=np.uint32)
            .reshape(positions, of_layer * words.ports, 2)
        )
        for name in every_count:
            place = 1 + words.counts.index(name) if name in words.counts else None
            counts = turns[:, :, place] if place else np.zeros(turns.shape[:2], np.uint32)
            if name in words.in_exchange:
                counts = counts + _in_exchange(rows, words.first_in_exchange + words.in_exchange.index(name))
            by_turn.setdefault(name, []).append(np.zeros_like(counts) if name in once else counts)
            amounts = (
                _lane_amounts(rows[:, :, 0, place], steps[n].stepped) if place and name in once else np.zeros(of_layer, np.int64)
            )
            per_lane.setdefault(name, []).append(amounts)
    joined = {name: _joined(parts) for name, parts in by_turn.items()}
    once_counted = {name: np.asarray(np.concatenate(parts), np.int64) for name, parts in per_lane.items()}
    return Ledger(
        populations=population_facts(network), outputs=network.outputs, interval=schedule(network).interval,
        events=_joined(events), input_events=np.ascontiguousarray(input_events), port_counts=_joined(by_port),
        stepped=np.ascontiguousarray(np.stack([steps[n].stepped for n in network.layers], axis=1), np.uint32),
        by_turn={name: counts for name, counts in joined.items() if counts.any()},
        per_lane={name: amounts for name, amounts in once_counted.items() if amounts.any()},
        **_tables(placement, shards), **_transfers(placement, shards, steps),
        pes=tuple(placed.pe for placed in placement.pes), lanes=placement.request.lanes,
        format=placement.request.format, **machine_fields(placement.chip, placement.machine),
    )  # fmt: skip


def names_of(words: Words) -> tuple[str, ...]:
    """Return the names of what a kernel counts, at its steps and in its exchange."""
    return (*words.counts, *words.in_exchange)


def _in_exchange(rows: U32, place: int) -> U32:
    """Return what shards counted in exchanges since the step before, (positions, turns): in the last tick of a position."""
    totals = rows[:, :, -1, place]
    counts = np.zeros(rows.shape[:3], np.uint32)
    counts[:, :, -1] = np.diff(totals, axis=0, prepend=np.zeros_like(totals[:1]))
    return counts.reshape(len(rows), -1)


def _joined(parts: list[U32]) -> U32:
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.uint32)


def _lane_amounts(counts: U32, stepped: U32) -> I64:
    """Return what each shard, (shards,), counts for a lane, always as much, from (positions, shards) counts of so many lanes."""
    at = np.flatnonzero(stepped)
    return counts[at[0]].astype(np.int64) // int(stepped[at[0]]) if len(at) else np.zeros(counts.shape[1], np.int64)


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


def _transfers(placement: Placement, shards: list[tuple[int, int, U32]], steps: Mapping[int, LayerSteps]) -> dict[str, Any]:
    """Return the table of the peers of shards, and what was sent to each since the step before, (positions, peers, 4)."""
    table: list[tuple[int, int, int]] = []
    counts: list[U32] = []
    numbers, column = {placed.name: n for n, placed in enumerate(placement.pes)}, dict.fromkeys(steps, 0)
    for number, (pe, population, _) in enumerate(shards):
        words, rows = words_of(placement.network.populations[population]), steps[population].rows
        place, column[population] = column[population], column[population] + 1
        if not words.peers:
            continue
        totals = rows[:, place, -1, words.first_peer : words.first_in_exchange].reshape(len(rows), words.peers, EXCHANGED_WORDS)
        since = np.diff(totals, axis=0, prepend=np.zeros_like(totals[:1]))
        for peer, (name, _) in enumerate(placement.peers(placement.pes[pe])[2]):
            table.append((number, numbers.get(name, -1), chip_of(name)))
            counts.append(since[:, peer])
    columns = np.array(table, np.int64).reshape(len(table), len(PEER_COLUMNS)).T
    if not table:
        return {}
    return {
        "peers": {name: np.ascontiguousarray(part) for name, part in zip(PEER_COLUMNS, columns, strict=True)},
        "transfers": np.ascontiguousarray(np.stack(counts, axis=1), np.uint32),
    }


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
            ))  # fmt: skip
    heads = *PORT_COLUMNS, *KERNEL_COLUMNS
    columns = dict(zip(heads, np.array(rows, np.int64).reshape(len(rows), len(heads)).T, strict=True))
    if not columns[KERNEL_COLUMNS[0]].any():
        columns = {name: columns[name] for name in PORT_COLUMNS}
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
