"""Whether the parts of a ledger agree with each other: a file may be damaged, or another's."""

from __future__ import annotations

import numpy as np

from host.cost.ledger import MACS, VISITED, Ledger, RunLedger
from host.cost.twins import twin
from host.errors import HostError
from models.network import Array
from models.numerics import payload_bytes
from noc.chip import ChipError, require_on_plan
from noc.machine import MOST_CHIPS

_LARGEST = 1 << 31  # of any size: no product of two overflows


def check_ledger(ledger: Ledger, who: str) -> None:
    """Raise HostError, in one line that begins with `who`, where the parts of a ledger contradict each other."""
    check_run(ledger, who)
    check_positions(ledger, who)


def check_run(run: RunLedger, who: str) -> None:
    """Raise HostError where what a ledger says without its positions contradicts itself."""
    _check_columns(run, who)
    _check_populations(run, who)
    _check_tables(run, who)
    try:
        for pe in run.pes:
            require_on_plan(pe)
    except ChipError as error:
        raise HostError(f"{who}: traffic for {error}") from None
    _check_machine(run, who)
    _check_peers(run, who)


def _check_columns(run: RunLedger, who: str) -> None:
    """Raise HostError where a column is of another length or type."""
    shards, ports = len(run.shards["pe"]), len(run.ports["shard"])
    tables = [
        *((f"shards.{n}", c, shards) for n, c in run.shards.items()),
        *((f"ports.{n}", c, ports) for n, c in run.ports.items()),
    ]
    need: list[tuple[str, Array, tuple[int, ...], type]] = [
        *((name, column, (rows,), np.int64) for name, column, rows in tables),
        *((f"per_lane.{name}", column, (shards,), np.int64) for name, column in run.per_lane.items()),
    ]
    _compare(need, who)
    if not run.positions or not shards:
        raise HostError(f"{who}: has {run.positions} positions of {shards} shards; needs at least 1")
    for _, column, *_ in need:
        if len(column) and (column.min() < 0 or column.max() > _LARGEST):
            raise HostError(f"{who}: has sizes outside of 0 to {_LARGEST}")
    if not run.inputs or not run.layers:
        raise HostError(f"{who}: has {len(run.inputs)} inputs and {len(run.layers)} layers; needs at least 1 of each")
    if not set(run.shards["population"].tolist()) <= set(run.layers):
        layers = ", ".join(map(str, run.layers))
        raise HostError(f"{who}: has shards of other populations than its layers, which are {layers}")


def check_positions(ledger: Ledger, who: str, first: int = 0) -> None:
    """Raise HostError where arrays are of other shapes than a ledger's tables say, or counts are more than they allow.

    `first` is the number of the first position.
    """
    positions, ports = ledger.positions, len(ledger.ports["shard"])
    turns = sum(ledger.populations[n].ticks for n in ledger.shards["population"].tolist())
    need: list[tuple[str, Array, tuple[int, ...], type]] = [
        ("events", ledger.events, (positions, turns), np.uint32),
        ("input_events", ledger.input_events, (positions, len(ledger.inputs)), np.uint32),
        ("port_counts", ledger.port_counts, (positions, ports, 2), np.uint32),
        ("stepped", ledger.stepped, (positions, len(ledger.layers)), np.uint32),
        *((f"step.{name}", counts, (positions, turns), np.uint32) for name, counts in ledger.by_turn.items()),
    ]
    if ledger.transfers.size or len(ledger.peers["shard"]):
        need.append(("transfers", ledger.transfers, (positions, len(ledger.peers["shard"]), 4), np.uint32))
    _compare(need, who)
    _check_counts(ledger, who, first)


def _compare(need: list[tuple[str, Array, tuple[int, ...], type]], who: str) -> None:
    for name, array, shape, kind in need:
        if array.shape != shape or array.dtype != kind:
            raise HostError(f"{who}: {name} needs {shape} of {np.dtype(kind)}, has {array.shape} of {array.dtype}")


def _check_populations(ledger: RunLedger, who: str) -> None:
    names = [population.name for population in ledger.populations]
    if len(set(names)) != len(names):
        raise HostError(f"{who}: has a population twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    for population in ledger.populations:
        payload_bytes(population.payload)
        if not 1 <= population.units <= _LARGEST or not 1 <= population.ticks <= _LARGEST or not 0 <= population.start <= _LARGEST:
            raise HostError(f"{who}: {population.name} has {population.units} units and {population.ticks} ticks; needs at least 1")
        if bool(population.kernel) != (population.start > 0):
            raise HostError(f"{who}: {population.name} starts at {population.start}; inputs start at 0, and nothing else does")
        if not population.kernel and population.ticks != 1:
            raise HostError(f"{who}: {population.name} takes {population.ticks} ticks; needs 1 of an input")
        if population.beside != -1 and population.beside not in ledger.layers:
            raise HostError(f"{who}: {population.name} lies beside population {population.beside}, which is no layer")
    if not ledger.outputs or not set(ledger.outputs) <= set(ledger.layers):
        raise HostError(f"{who}: has outputs {list(ledger.outputs)}; needs some of its layers")
    if not 1 <= ledger.lanes <= _LARGEST or not 1 <= ledger.interval <= _LARGEST:
        raise HostError(f"{who}: has {ledger.lanes} lanes, a position each {ledger.interval} ticks; needs 1 to {_LARGEST}")


def _check_tables(ledger: RunLedger, who: str) -> None:
    shards, ports = ledger.shards, ledger.ports
    for name, have, need in (
        ("pe", shards["pe"], range(len(ledger.pes))), ("population", shards["population"], ledger.layers),
    ):  # fmt: skip
        if sorted(set(have.tolist())) != list(need):
            raise HostError(f"{who}: shards name other {name} numbers than {need[0] if need else 0} to {need[-1] if need else -1}")
    pairs = set(zip(shards["pe"].tolist(), shards["population"].tolist(), strict=True))
    if len(pairs) != len(shards["pe"]) or len(set(ledger.pes)) != len(ledger.pes):
        raise HostError(f"{who}: has a PE twice, or a population twice on one PE")
    if (np.diff(shards["population"]) < 0).any():
        raise HostError(f"{who}: shards are not in the order of their populations")
    for name, most in (
        ("shard", len(shards["pe"]) - 1), ("source", len(ledger.populations) - 1), ("name", len(ledger.port_names) - 1),
        ("trace", 1), ("adds", 1),
    ):  # fmt: skip
        if len(ports[name]) and ports[name].max() > most:
            raise HostError(f"{who}: ports.{name} needs 0 to {most}, has {int(ports[name].max())}")
    if (np.diff(ports["shard"]) < 0).any():
        raise HostError(f"{who}: ports are not in the order of their shards")


def _check_peers(ledger: RunLedger, who: str) -> None:
    """Raise HostError where transfers are of shards, or to peers, that are not there."""
    peers, rows = ledger.peers, len(ledger.peers["shard"])
    _compare([(f"peers.{n}", c, (rows,), np.int64) for n, c in peers.items()], who)
    for name, least, most in (("shard", 0, len(ledger.shards["pe"])), ("pe", -1, len(ledger.pes)), ("chip", -1, ledger.chips)):
        if rows and not least <= peers[name].min() <= peers[name].max() < most:
            raise HostError(f"{who}: peers.{name} needs {least} to {most - 1}, has {peers[name].min()} to {peers[name].max()}")
    of_pes = peers["pe"] >= 0
    if (ledger.chip_of[peers["pe"][of_pes]] != peers["chip"][of_pes]).any():
        raise HostError(f"{who}: peers are on other chips than their PEs")


def _check_machine(ledger: RunLedger, who: str) -> None:
    """Raise HostError where PEs are on chips that the machine lacks, or chips are like chips that are not there."""
    chips = ledger.chips
    if not 1 <= chips <= MOST_CHIPS:
        raise HostError(f"{who}: has {chips} chips; needs 1 to {MOST_CHIPS}")
    for pe in ledger.pes:
        if pe.chip >= chips or pe.chip in ledger.down_chips:
            raise HostError(f"{who}: traffic for {pe}: not on the {chips} chips of its machine")
    if (stands := ledger.representatives) is None:
        return
    own = sorted({pe.chip for pe in ledger.pes})
    wrong = stands.shape != (chips,) or stands.dtype != np.int64 or not set(stands.tolist()) <= {-1, *own}
    host = next((chip for chip in range(chips) if chip not in ledger.down_chips), 0)
    if wrong or (stands[own] != own).any() or (stands[list(ledger.down_chips)] >= 0).any() or (stands == host).sum() > 1:
        raise HostError(f"{who}: chips are like others that are not there")


def _check_counts(ledger: Ledger, who: str, first: int) -> None:
    """Raise HostError where counts are more than the shards' sizes allow."""
    if (ledger.stepped > ledger.lanes).any():
        raise HostError(f"{who}: has more lanes stepped than its {ledger.lanes} lanes")
    for place, number in enumerate(ledger.inputs):
        if (ledger.input_events[:, place] > ledger.lanes * ledger.populations[number].units).any():
            raise HostError(f"{who}: has more input events than input units")
    most = ledger.lanes * ledger.shards["units"][ledger.turns.shard]
    _compare_counts(ledger, who, "events", first=first, counts=ledger.events, most=most, shards=ledger.turns.shard)
    work, ticks = ledger.port_work, np.array([one.ticks for one in ledger.populations], np.int64)[ledger.ports["source"]]
    stored = ledger.lanes * work.weights * ticks
    costs, heard = twin("formats", ledger.format), ledger.lanes * work.width * ticks
    visited = costs.visited(stored, heard, stored, work.rows)
    if hasattr(costs, "most_visited"):
        visited = costs.most_visited(stored, heard, work.rows)
    for name in range(len(ledger.port_names)):
        of_name = np.flatnonzero(ledger.ports["name"] == name)
        for what, kind, limit in (("macs", MACS, stored), ("visited", VISITED, visited)):
            _compare_counts(
                ledger, who, f"{what}_{ledger.port_names[name]}", first=first, counts=ledger.port_counts[:, of_name, kind],
                most=np.broadcast_to(limit, work.weights.shape)[of_name], shards=ledger.ports["shard"][of_name],
            )  # fmt: skip


def _compare_counts(ledger: Ledger, who: str, name: str, *, first: int, counts: Array, most: Array, shards: Array) -> None:
    for position, column in np.argwhere(counts > most).tolist():
        have, pe = int(counts[position, column]), ledger.pes[int(ledger.shards["pe"][shards[column]])]
        raise HostError(f"{who}: {name} of {pe} at position {first + position} is {have}, its shard allows {int(most[column])}")
