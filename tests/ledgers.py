"""Ledgers for the tests of prices: made from a placement and closed forms, without running a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from host.ledger import Ledger, Recorder
from host.place import Placement, place
from models.network import Network
from models.seeded import seeded_egru
from noc.chip import load_chip
from noc.packet import LEDGER, VALID, Section

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
        recorder.fed(placement.network.populations[0].units * lanes)
        for n in placement.network.layers:
            rows = []
            for units, weights in zip(sizes[n], stored[n], strict=True):
                events = int(rng.binomial(len(units) * lanes, activity))
                visited = [w * lanes for w in weights]
                macs = [int(rng.binomial(w, activity)) for w in visited]
                if placement.request.format != "csr":
                    visited = macs
                rows.append([events, *macs, *visited, len(units) * lanes, 3 * len(units) * lanes])
            raw = np.array(rows, "<u4")
            assert raw.shape[1] == len(LEDGER)
            recorder.add(section(n, position, raw.tobytes()))
    return recorder.ledger()


def section(population: int, position: int, ledger: bytes) -> Section:
    return Section(population, position, VALID, b"", b"", ledger)


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
    """Return the ledger with other columns of its table."""
    return replace(ledger, table={**ledger.table, **columns})
