"""Maps of the chip, or of all chips: activity, memory, busy time, and the load of the links between QPEs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.cost.ledger import RunLedger
from host.cost.noc_traffic import MeshLoads
from host.show import plots
from host.show.blocks import Figure, Html, figure_row
from host.show.content import Content, PricedRun
from models.network import F64
from noc.chip import PeId, parse_pe
from noc.machine import BOARD_CHIPS
from noc.mesh_routes import Link

TITLE = "The chip"
ORDER = 20


def build(content: Content) -> list[Html]:
    """Return the maps."""
    return [figure_row(maps(content.run, content.mapping))] if content.run else []


def maps(run: PricedRun, mapping: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the maps of activity, memory, time and links; `mapping`: the rows of `mapping.json`."""
    ledger, priced, chip, machine, positions = run.ledger, run.priced, run.chip, run.machine, run.positions
    pes = ledger.pes
    active = priced.pe_work["events"] / _by_pe(ledger, ledger.shards["units"] * ledger.lanes)
    percent = dict(zip(pes, (100 * active / max(ledger.positions, 1)).tolist(), strict=True))
    full = {parse_pe(row["pe"]): 100 * (1 - row["sram"]["free"] / chip.data_bytes) for row in mapping}
    busy = dict(zip(pes, (100 * priced.busy_s / priced.time_s).tolist(), strict=True))
    several = 1 < len(machine.live) <= BOARD_CHIPS  # more are too many to see
    how = "Seven columns and six rows of QPEs, four PEs each; grey: no QPE; hollow: not used."
    if several:
        how = "Chips by number, as they lie on the mesh; a pixel is a PE, four a QPE; faint: not used."
    values_of: list[tuple[str, str, dict[PeId, float], str, float | None]] = [
        ("Activity", f"Units with an event, mean over the run. {how}", percent, "% of units", None),
        ("SRAM", "Fill of the three data banks.", full, "% of 96 KiB", 100),
        ("Busy time", "Share of the run in which a PE computes; the rest it waits.", busy, "% of time", None),
    ]
    figures = []
    for n, (title, caption, values, unit, high) in enumerate(values_of):
        drawn = plots.chip_maps(values, positions, unit, high=high) if several else plots.chip_map(values, unit, high=high)
        figures.append(Figure(title, caption, plots.svg(drawn, f"map{n}")))
    at, flits = _busiest_mesh(ledger.positions, priced.mesh)
    where = f" of chip {at}, which has the busiest of all" if len(machine.live) > 1 else ""
    caption = f"Flits on each link between QPEs{where}, a position; each direction keeps to its side."
    return [*figures, Figure("Link load", caption, plots.svg(plots.link_map(flits, "flits"), f"map{len(figures)}"))]


def _busiest_mesh(positions: int, mesh: MeshLoads) -> tuple[int, dict[Link, float]]:
    """Return the chip with the busiest link between QPEs, and the flits on each of its links, a position."""
    flits = mesh.flits / max(positions, 1)
    at = int(mesh.chips[np.argmax(flits)]) if len(flits) else 0
    of_chip = zip(mesh.links, flits.tolist(), mesh.chips.tolist(), strict=True)
    return at, {link: load for link, load, chip in of_chip if chip == at}


def _by_pe(ledger: RunLedger, values: Any) -> F64:
    return np.asarray(np.bincount(ledger.shards["pe"], weights=values, minlength=len(ledger.pes)), np.float64)
