"""Last pass of a price: the chip's measured power states, weighted by how long PEs compute and wait, and what links draw."""

from __future__ import annotations

from host.cost.cost_table import CostTable
from host.cost.cycles import LINKS
from host.cost.ledger import Ledger
from host.cost.link_cost import LinkCost, idle_w
from host.cost.schedule import Schedule
from noc.chip import ChipSpec
from noc.machine import Machine


def energy_parts_j(
    ledger: Ledger, machine: Machine, times: Schedule, links: LinkCost, chip: ChipSpec, table: CostTable
) -> dict[str, float]:
    """Return the joules of all chips: their floor, sleeping PEs, PEs that compute and that wait, and links between chips."""
    chips, computing_s = len(machine.live), float((times.busy_s * ledger.multiplicity).sum())
    waiting_s = int(ledger.multiplicity.sum()) * times.time_s - computing_s
    parts = {
        "floor": chips * chip.power_off_w * times.time_s,
        "sleep": chips * chip.pe_sleep_w * table["powered_pes"] * times.time_s,
        "compute": chip.pe_active_w * computing_s,
        "wait": chip.pe_active_w * table["waiting_power_share"] * waiting_s,
    }
    if chips > 1:
        parts[LINKS] = links.energy_j + idle_w(machine, table) * times.time_s
    return parts
