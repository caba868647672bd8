"""What each layer of a scheduled network did and cost in a run, all its passes together."""

from __future__ import annotations

from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.cycles import shard_cycles
from host.cost.kernels.worker import CORE_CYCLES
from host.cost.ledger import RunLedger
from host.cost.link_traffic import machine_for
from host.cost.mac_array import utilisation
from host.cost.moves import moves_of
from host.cost.placement_waits import PlacementWaits
from host.cost.scheduled import ARRAY, CORE, DMA, DRAM, SCHEDULING, layer_times
from noc.chip import ChipSpec

_COUNTED = ("mac_products", "overflowed", "saturated", "tiles", "reordered")


def layer_rows(run: RunLedger, chip: ChipSpec, table: CostTable, layers: int) -> list[dict[str, Any]]:
    """Return a record of each of `layers` layers, over which the positions of a run go in turn: seconds of its parts and its time,
    DRAM bytes, products, and the array's cycles on the busiest worker with the share of its products that are of use; what the
    cores did, and seconds of all arrays and cores.
    """
    waits = PlacementWaits(run, machine_for(run, chip), table)
    rows: list[dict[str, Any]] = [
        {"parts_s": dict.fromkeys((SCHEDULING, ARRAY, CORE, DMA, DRAM), 0.0), "time_s": 0.0, "dram_bytes": 0, "array_cycles": 0,
         "busy_cycles": 0.0, "core_busy_s": 0.0, "core_operations": 0, **dict.fromkeys(_COUNTED, 0)}
        for _ in range(layers)
    ]  # fmt: skip
    for part in run.parts():
        ledger = part.own_ledger
        times = layer_times(ledger, shard_cycles(ledger, moves_of(ledger, chip, table, waits), chip, table), chip, table)
        of_layer = (part.first + np.arange(ledger.positions)) % layers
        for number, row in enumerate(rows):
            at = np.flatnonzero(of_layer == number)
            for name, seconds in times.parts(at).items():
                row["parts_s"][name] += seconds
            row["time_s"] += float(times.time_s[at].sum())
            row["dram_bytes"] += int(times.dram_bytes[at].sum())
            row["array_cycles"] += round(float(times.busiest_array_s[at].sum()) * chip.pe_clock_hz)
            row["busy_cycles"] += float(times.array_s[at].sum()) * chip.pe_clock_hz
            row["core_busy_s"] += float(times.core_s[at].sum())
            row["core_operations"] += sum(int(ledger.by_turn[name][at].sum()) for name in CORE_CYCLES if name in ledger.by_turn)
            for name in _COUNTED:
                if name in ledger.by_turn:
                    row[name] += int(ledger.by_turn[name][at].sum())
    for row in rows:
        row["macs"] = row.pop("mac_products")
        row["done_tiles"] = row.pop("tiles")
        row["array_busy_s"] = row["busy_cycles"] / chip.pe_clock_hz
        row["utilisation"] = utilisation(row["macs"], row.pop("busy_cycles"))
        row["bound_by"] = max(row["parts_s"], key=lambda name: row["parts_s"][name])
    return rows
