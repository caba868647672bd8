"""A ledger as one table: a row a position, a column for each of its counts, with a name that says whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from host.cost.ledger import PEER_COUNTS, PORT_COUNTS, Ledger, RunLedger
from models.network import U32
from noc.packet import HOST


class Column(NamedTuple):
    """A column's name: what is counted, on which PE ("" for none), of which population, and where there is one the port with its
    source, the tick of the step, or the peer.
    """

    what: str
    pe: str
    population: str
    of: str


class Columns:
    """The columns of a run's table, in order: `input_events` of each input, lanes `stepped` by each layer, `events` of each turn,
    `macs` and `visited` of each port, each of the counts `by_turn` of each turn, and what each peer was sent.

    `spans` maps the arrays of a `Ledger` to their columns; `width` is how many there are.
    """

    def __init__(self, run: RunLedger, by_turn: Sequence[str]) -> None:
        ticks = sum(run.populations[number].ticks for number in run.shards["population"].tolist())
        sizes = {
            "input_events": len(run.inputs), "stepped": len(run.layers), "events": ticks,
            "port_counts": len(PORT_COUNTS) * len(run.ports["shard"]), **{_BY_TURN + name: ticks for name in by_turn},
            "transfers": len(PEER_COUNTS) * len(run.peers["shard"]),
        }  # fmt: skip
        edges = np.cumsum([0, *sizes.values()]).tolist()
        self.by_turn = tuple(by_turn)
        self.spans = {name: slice(*edges[n : n + 2]) for n, name in enumerate(sizes)}
        self.width = int(edges[-1])

    def join(self, ledger: Ledger) -> U32:
        """Return the rows of positions in memory, (positions, columns)."""
        rows = np.zeros((ledger.positions, self.width), "<u4")
        for name in ("input_events", "stepped", "events", "port_counts", "transfers"):
            part = getattr(ledger, name)
            if part.size:
                rows[:, self.spans[name]] = part.reshape(len(rows), -1)
        for name, counts in ledger.by_turn.items():
            rows[:, self.spans[_BY_TURN + name]] = counts
        return rows

    def split(self, rows: U32, in_use: Sequence[str]) -> dict[str, Any]:
        """Return the arrays of a `Ledger` from rows; of the counts by turn those `in_use`."""
        arrays: dict[str, Any] = {
            name: np.ascontiguousarray(rows[:, self.spans[name]], np.uint32) for name in ("input_events", "stepped", "events")
        }
        for name, kinds in (("port_counts", len(PORT_COUNTS)), ("transfers", len(PEER_COUNTS))):
            part = np.ascontiguousarray(rows[:, self.spans[name]], np.uint32)
            arrays[name] = part.reshape(len(rows), part.shape[1] // kinds, kinds)
        by_turn = {name: np.ascontiguousarray(rows[:, self.spans[_BY_TURN + name]], np.uint32) for name in in_use}
        return {**arrays, "by_turn": by_turn}


_BY_TURN = "by_turn."


def column_names(run: RunLedger, by_turn: Sequence[str]) -> list[Column]:
    """Return the name of each of the `Columns`."""
    return list(_names(run, by_turn))


def _names(run: RunLedger, by_turn: Sequence[str]) -> Iterator[Column]:
    names = [one.name for one in run.populations]
    for number in run.inputs:
        yield Column("input_events", "", names[number], "")
    for number in run.layers:
        yield Column("stepped", "", names[number], "")
    shards = shard_names(run)
    turns = [(shards[shard], tick) for shard, tick in zip(run.turns.shard.tolist(), tick_names(run), strict=True)]
    for (pe, name), tick in turns:
        yield Column("events", pe, name, tick)
    for shard, port in zip(run.ports["shard"].tolist(), port_names(run), strict=True):
        for count in PORT_COUNTS:
            yield Column(count, shards[shard][0], shards[shard][1], port)
    for count in by_turn:
        for (pe, name), tick in turns:
            yield Column(count, pe, name, tick)
    for shard, peer in zip(run.peers["shard"].tolist(), peer_names(run), strict=True):
        for count in PEER_COUNTS:
            yield Column(count, shards[shard][0], shards[shard][1], peer)


def shard_names(run: RunLedger) -> list[tuple[str, str]]:
    """Return (PE, population) of each shard."""
    pes, numbers = [str(pe) for pe in run.pes], zip(run.shards["pe"].tolist(), run.shards["population"].tolist(), strict=True)
    return [(pes[pe], run.populations[population].name) for pe, population in numbers]


def tick_names(run: RunLedger) -> list[str]:
    """Return the tick of each turn, "" where its population takes one."""
    ticks = [run.populations[number].ticks for number in run.shards["population"].tolist()]
    turns = zip(run.turns.shard.tolist(), run.turns.phase.tolist(), strict=True)
    return [f"tick {phase}" if ticks[shard] > 1 else "" for shard, phase in turns]


def port_names(run: RunLedger) -> list[str]:
    """Return each port's own name, its source, and how late it hears that: "recurrent: egru1, 1 late"."""
    columns = (run.ports[name].tolist() for name in ("name", "source", "delay"))
    return [
        f"{run.port_names[name]}: {run.populations[source].name}{f', {delay} late' if delay else ''}"
        for name, source, delay in zip(*columns, strict=True)
    ]


def peer_names(run: RunLedger) -> list[str]:
    """Return the name of each peer of a shard."""
    numbers, pes = zip(run.peers["pe"].tolist(), run.peers["chip"].tolist(), strict=True), dict(enumerate(map(str, run.pes)))
    return [pes.get(pe) or (f"DRAM@{chip}" if chip >= 0 else HOST) for pe, chip in numbers]
