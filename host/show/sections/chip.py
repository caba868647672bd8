"""Maps of the chip, or of all chips: activity, memory, busy time, and the load of the links between QPEs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from host.cost.ledger import RunLedger
from host.cost.noc_traffic import MeshLoads
from host.show import canvas, chip_plots
from host.show.blocks import Figure, Html
from host.show.content import Content, PricedRun
from models.network import F64
from noc.chip import PeId, parse_pe
from noc.machine import BOARD_CHIPS
from noc.mesh_routes import Link

TITLE = "The chip"
ORDER = 20


def figures(content: Content) -> list[Figure]:
    """Return the maps of activity, memory, time and links."""
    return maps(content.run, content.mapping) if content.run else []


def build(content: Content) -> list[Html]:  # noqa: ARG001 - a section's signature
    """Return nothing beside the maps."""
    return []


def maps(run: PricedRun, mapping: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the maps of activity, memory, time and links; `mapping`: the rows of `mapping.json`."""
    ledger, priced, chip, machine = run.ledger, run.priced, run.chip, run.machine
    pes = ledger.pes
    active = priced.pe_work["events"] / _by_pe(ledger, ledger.shards["units"] * ledger.lanes)
    percent = dict(zip(pes, (100 * active / max(ledger.positions, 1)).tolist(), strict=True))
    full = {parse_pe(row["pe"]): 100 * (1 - row["sram"]["free"] / chip.data_bytes) for row in mapping}
    busy = dict(zip(pes, (100 * priced.busy_s / priced.time_s).tolist(), strict=True))
    several = 1 < len(machine.live) <= BOARD_CHIPS  # more are too many to see
    how = "Seven columns and six rows of QPEs, four PEs each; grey: no QPE; hollow: not used."
    if several:
        how = "Chips by number, as they lie on the mesh; a pixel is a PE, four a QPE; faint: not used."
    names = _names(ledger)

    def of_pes(values: dict[PeId, float], unit: str, high: float | None = None) -> Callable[[], canvas.Figure]:
        if several:
            return lambda: chip_plots.chip_maps(values, run.positions, unit, high=high)
        return lambda: chip_plots.chip_map(values, unit, high=high, names=names)

    at, flits = _busiest_mesh(ledger.positions, priced.mesh)
    where = f" of chip {at}, which has the busiest of all" if len(machine.live) > 1 else ""
    loads = f"Flits on each link between QPEs{where}, a position; each direction keeps to its side."
    activity = f"Units with an event, mean over the run. {how}"
    time = "Share of the run in which a PE computes; the rest it waits."
    return [
        Figure(name="activity_map", title="Activity", caption=activity, draw=of_pes(percent, "% of units")),
        Figure(name="sram_map", title="SRAM", caption="Fill of the three data banks.", draw=of_pes(full, "% of 96 KiB", 100)),
        Figure(name="busy_map", title="Busy time", caption=time, draw=of_pes(busy, "% of time")),
        Figure(name="link_load", title="Link load", caption=loads, draw=lambda: chip_plots.link_map(flits, "flits")),
    ]


def _names(ledger: RunLedger) -> dict[PeId, str]:
    """Return each PE's name, with the layers that it has and their units."""
    parts: dict[int, list[str]] = {}
    for pe, population, units in zip(*(ledger.shards[name].tolist() for name in ("pe", "population", "units")), strict=True):
        parts.setdefault(pe, []).append(f"{units:,} units of {ledger.populations[population].name}")
    return {pe: f"{pe}, {' and '.join(parts.get(number, ['nothing']))}" for number, pe in enumerate(ledger.pes)}


def _busiest_mesh(positions: int, mesh: MeshLoads) -> tuple[int, dict[Link, float]]:
    """Return the chip with the busiest link between QPEs, and the flits on each of its links, a position."""
    flits = mesh.flits / max(positions, 1)
    at = int(mesh.chips[np.argmax(flits)]) if len(flits) else 0
    of_chip = zip(mesh.links, flits.tolist(), mesh.chips.tolist(), strict=True)
    return at, {link: load for link, load, chip in of_chip if chip == at}


def _by_pe(ledger: RunLedger, values: Any) -> F64:
    return np.asarray(np.bincount(ledger.shards["pe"], weights=values, minlength=len(ledger.pes)), np.float64)
