"""Ledgers for the tests of prices: made from a placement and closed forms, or by networks that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from host.cost.chip_streams import chip_streams
from host.cost.ledger import Ledger
from host.cost.link_traffic import link_traffic
from host.mapping.placement import Placement, place
from host.run.recorder import Recorder
from host.run.run import Run
from host.run.step_counts import words_of
from host.workloads.contract import Feed, Outputs, Progress, Source, side_by_side
from models.network import I64, Array, Network, Population, Projection, SparseRows
from models.seeded import seeded_egru
from noc.chip import PeId, load_chip
from noc.machine import ChipLink, Machine
from noc.memory_chip import MemoryChip
from noc.packet import FRESH, HOST, RESET, VALID, Section
from noc.transports.mem import MemNetwork
from pe.core import Pe

DVS = (512, (256, 256))  # features from the CNN, units of the two layers: the paper's gesture model


def placed(network: Network, pes: int | None = None, form: str = "csr", lanes: int = 1, mapping: str = "uniform") -> Placement:
    return place(network, load_chip(), mapping, form, pes, lanes)


def invented(placement: Placement, positions: int, activity: float = 0.2, seed: int = 1) -> Ledger:
    """Return what a run would have recorded in which `activity` of the units had an event, drawn at random."""
    rng = np.random.default_rng(seed)
    recorder = Recorder(placement)
    lanes = placement.request.lanes
    sizes = {
        n: [part.units for placed_pe in placement.pes for part in placed_pe.share if part.population == n]
        for n in placement.network.layers
    }
    stored = recorder_weights(placement)
    for position in range(positions):
        recorder.add_input(placement.network.populations[0].units * lanes)
        for n in placement.network.layers:
            rows = []
            for units, weights in zip(sizes[n], stored[n], strict=True):
                events = int(rng.binomial(len(units) * lanes, activity))
                visited = [w * lanes for w in weights]
                macs = [int(rng.binomial(w, activity)) for w in visited]
                if placement.request.format != "csr":
                    visited = macs
                work = [count for pair in zip(macs, visited, strict=True) for count in pair]
                rows.append([events, len(units) * lanes, 3 * len(units) * lanes, *work])
            raw = np.array(rows, "<u4")
            assert raw.shape[1] == words_of(placement.network.populations[n]).size
            recorder.add(section(n, position, raw.tobytes()))
    return recorder.ledger()


def section(population: int, position: int, ledger: bytes) -> Section:
    return Section(population, VALID, position, b"", b"", ledger)


def recorder_weights(placement: Placement) -> dict[int, list[list[int]]]:
    """Return the stored weights of each shard, [input, recurrent], by layer, counted row by row."""
    found: dict[int, list[list[int]]] = {n: [] for n in placement.network.layers}
    for placed_pe in placement.pes:
        for part in placed_pe.share:
            layer = placement.network.populations[part.population]
            counts = []
            for projection in layer.projections:
                gates = projection.weights.shape[0] // layer.units
                rows = [gate * layer.units + int(unit) for gate in range(gates) for unit in part.units]
                counts.append(int(projection.weights.row_nonzeros[rows].sum()))
            found[part.population].append(counts)
    return found


def paper_lm(positions: int = 70, activity: float = 0.2) -> Ledger:
    return invented(placed(seeded_egru(), 150), positions, activity)


def paper_dvs(positions: int = 68, lanes: int = 1) -> Ledger:
    return invented(placed(seeded_egru(DVS[0], DVS[1], density=1.0), 128, "dense", lanes), positions)


def changed(ledger: Ledger, **columns: object) -> Ledger:
    """Return the ledger with other columns of its shards."""
    return replace(ledger, shards={**ledger.shards, **columns})


def by_port(ledger: Ledger, what: str, port: str) -> Array:
    """Return "macs" or "visited" of shards at one of their ports, (positions, shards); or a column of the ports, (shards,)."""
    ports = np.flatnonzero(ledger.ports["name"] == ledger.port_names.index(port))
    counted = {"macs": 0, "visited": 1}
    return ledger.port_counts[:, ports, counted[what]] if what in counted else ledger.ports[what][ports]


def heard_by(ledger: Ledger, source: int) -> set[int]:
    """Return the shards that listen to a population, walked port by port."""
    return {
        shard
        for shard, hears in zip(ledger.ports["shard"].tolist(), ledger.ports["source"].tolist(), strict=True)
        if hears == source
    }


def cut(ledger: Ledger, positions: list[int]) -> Ledger:
    """Return the ledger of a few of its positions, in the order given."""
    names = ("events", "input_events", "port_counts", "stepped")
    by_turn = {name: counts[positions] for name, counts in ledger.by_turn.items()}
    return replace(ledger, by_turn=by_turn, **{name: getattr(ledger, name)[positions] for name in names})


def destinations(ledger: Ledger, shard: int) -> tuple[PeId, ...]:
    """Return who hears a shard: the other PEs whose shards listen to its population, walked one by one."""
    own, hearing = int(ledger.shards["pe"][shard]), heard_by(ledger, int(ledger.shards["population"][shard]))
    found = []
    for other, pe in enumerate(ledger.shards["pe"].tolist()):
        if other in hearing and pe != own and ledger.pes[pe] not in found:
            found.append(ledger.pes[pe])
    return tuple(found)


# ---- networks that really run, in this process


class Fixed:
    """A source that feeds the events it was given, one set a position."""

    def __init__(self, events: Sequence[Sequence[int]]) -> None:
        self._events, self._next, self.positions = list(events), 0, len(events)
        self.sequence_at = side_by_side

    def next(self) -> Feed | None:
        if self.exhausted():
            return None
        keys = np.array(self._events[self._next], "<u4")
        flags = VALID | RESET | FRESH if self._next == 0 else VALID
        self._next += 1
        return Feed(self._next - 1, flags, {0: (keys.tobytes(), np.ones(len(keys), "<f4").tobytes())})

    def exhausted(self) -> bool:
        return self._next >= self.positions


class Ignored:
    """A readout that ignores every answer."""

    def answer(self, position: int, outputs: Outputs) -> None:
        pass

    def progress(self) -> Progress:
        return Progress(0, 0)


def ran(placement: Placement, source: Source, shuffle: int | None = None, late: Callable[[int], bool] = lambda _: False) -> Run:
    """Run a placed network to its end over the in-memory transport; return the finished `Run`."""
    run = Run(placement, source, Ignored(), late=late)
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
        pes=[placed_pe.name for placed_pe in placement.pes], make_pe=Pe, network=MemNetwork(shuffle),
    )  # fmt: skip
    chip.boot_routers(run.begin(), run.settle)
    chip.boot_pes(run.settle)
    assert run.phase == "read", (run.phase, run.fault)
    chip.network.post(HOST, run.stop())
    chip.network.run(run.settle)
    assert run.done
    return run


W = ((0,), (0, 1), (), (1,), (), (0,), (0, 1), (1,), ())
R = ((1,), (2,), (0, 1, 2), (), (0,), (), (2,), (), (1,))
"""Which inputs, and which units, each of the nine rows (z, r, g of units 0, 1, 2) of the three-unit network has weights for."""


def three_units() -> Network:
    """Two inputs and a layer of three units, of which 0 and 2 have an event at every position and 1 never."""
    projections = tuple(
        Projection(
            source,
            port,
            SparseRows.from_dense(np.array([[float(column in row) for column in range(width)] for row in rows])),
            delay=int(port == "recurrent"),
        )
        for source, port, rows, width in ((0, "input", W, 2), (1, "recurrent", R, 3))
    )
    bias = np.array([0, 0, 0, 0, 0, 0, 50, 50, 50], np.float32)
    vectors = {"threshold": np.array([0, 1, 0], np.float32), "bias": bias, "recurrent_bias": np.zeros(9, np.float32)}
    layer = Population("units", 3, "egru", projections, vectors, {"zoneout": 0.0, "fire_at_threshold": 0.0})
    return Network((Population("input", 2), layer))


def link_packets(ledger: Ledger, machine: Machine) -> tuple[tuple[ChipLink, ...], I64]:
    """Return the links that events cross, by chip and direction, and the copies of events on each, (positions, exchanges, links).

    Sums over positions and exchanges are what the routers of a run count.
    """
    traffic = link_traffic(chip_streams(ledger, machine), machine)
    used = np.flatnonzero(traffic.events.any(axis=(0, 1)))
    return tuple(traffic.links[link] for link in used.tolist()), traffic.events[:, :, used]
