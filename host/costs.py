"""What a run costs on the modelled chip: from a ledger to seconds and joules.

`price` is one pure function of (ledger, chip, cost table): the ledger holds the counts and the placement. Work becomes
cycles by instruction-level constants (`costs.toml`), cycles become time on the critical PE of each layer, and power is
the chip's measured states weighted by how long PEs compute and wait. Prediction bands come from the low and high values
of the constants that are marked as uncertain. Nothing is fitted to the paper's Tables II and III.

Stages have the paper's names: `egru_input` (W x), `egru_internal` (R y), `pointwise`, `broadcast` (messages and their
transit) and `wait` (for DRAM). What it does not know: SRAM bank conflicts, DRAM latency and refresh, contention beyond
the busiest link, the energy of a hop, of DRAM and of the host, which are inside or outside of the measured power states
as published; and anything of the host's own work (embedding look-up, decoder, softmax), which the paper does not place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from host.cost_table import CostTable
from host.ledger import I64, Ledger
from noc.chip import ChipSpec
from noc.mesh import Link, path, tree

F64 = npt.NDArray[np.float64]
STAGES = ("egru_input", "egru_internal", "pointwise", "broadcast", "wait")


@dataclass(frozen=True)
class Traffic:
    """Messages of every shard: `copies` (shards,) destinations; `flits` (positions, shards) a copy; and where they go.

    `loads` (positions, layers, links) flits that each layer's messages put on each link, in the order of `links`;
    `farthest` (layers,) hops.
    """

    copies: I64
    flits: I64
    links: tuple[Link, ...]
    loads: I64
    farthest: I64


@dataclass(frozen=True)
class Priced:
    """A run's cost: times in s, energy in J, power in W; bands are (low, high).

    `stages_s` maps each layer's name to seconds by stage, on the layer's critical PE; they add up to `time_s` where the
    schedule is sequential. `layer_s` (positions, layers) and `shard_cycles` (positions, shards, stages but the last) say
    when what happened, `busy_s` (PEs,) how long each PE computed. `work` are exact integers.
    """

    time_s: float
    time_band_s: tuple[float, float]
    power_w: float
    power_band_w: tuple[float, float]
    energy_j: float
    energy_band_j: tuple[float, float]
    stages_s: Mapping[str, Mapping[str, float]]
    work: Mapping[str, int]
    assumed: tuple[str, ...]
    settings: Mapping[str, Any]
    energy_parts_j: Mapping[str, float]
    layer_s: F64 = field(repr=False)
    shard_cycles: F64 = field(repr=False)
    transit_s: F64 = field(repr=False)
    busy_s: F64 = field(repr=False)
    traffic: Traffic = field(repr=False)


def price(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Priced:
    """Return what the run in `ledger` costs on `chip` at the prices of `table`, with bands over its uncertain constants."""
    traffic = traffic_of(ledger, chip, table)
    middle = _once(ledger, chip, table, traffic)
    low, high = (_once(ledger, chip, table.at(end), traffic) for end in ("low", "high"))

    def band(name: str) -> tuple[float, float]:
        values = [getattr(one, name) for one in (low, middle, high)]
        return min(values), max(values)

    return Priced(
        middle.time_s, band("time_s"), middle.power_w, band("power_w"), middle.energy_j, band("energy_j"),
        _stages(ledger, middle), _work(ledger, chip, table, traffic), table.assumed(chip), table.described(chip),
        middle.parts, middle.layer_s, middle.cycles, middle.transit_s, middle.busy_s, traffic,
    )  # fmt: skip


# ---- traffic


def traffic_of(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Traffic:
    """Return who sends how many flits where: a layer's shards to every other PE of their layer and of the next one."""
    shards, layers = ledger.table, len(ledger.layers)
    hosts = {n: sorted(set(shards["pe"][shards["layer"] == n].tolist())) for n in range(1, layers + 1)}
    per_flit = chip.payload_bits // 8
    if table.settings["payload"] == "events":
        size = ledger.of("events").astype(np.int64) * int(table["event_bytes"])
    else:
        vector = ledger.lanes * shards["units"] * int(table["value_bytes"])
        size = np.broadcast_to(vector, (ledger.positions, len(vector)))
    # Even a shard without an event says so: its listeners wait for it.
    flits = np.maximum(-(-size // per_flit), 1)
    if table.settings["messages"] == "multicast":
        # A packet an event, with its key in the header's address and its value as payload; one that says "nothing more".
        flits = ledger.of("events").astype(np.int64) + 1
    index: dict[Link, int] = {}
    crossed: list[dict[int, int]] = []
    copies, farthest = [], np.zeros(layers, np.int64)
    for pe, layer in zip(shards["pe"].tolist(), shards["layer"].tolist(), strict=True):
        source = ledger.pes[pe]
        to = [ledger.pes[other] for other in sorted({*hosts[layer], *hosts.get(layer + 1, [])} - {pe})]
        copies.append(len(to))
        routes = [path(source, other) for other in to]
        farthest[layer - 1] = max([farthest[layer - 1], *(len(route) for route in routes)])
        links = tree(source, to) if table.settings["messages"] == "multicast" else [link for route in routes for link in route]
        row: dict[int, int] = {}
        for link in links:
            number = index.setdefault(link, len(index))
            row[number] = row.get(number, 0) + 1
        crossed.append(row)
    uses = np.zeros((len(copies), len(index)), np.int64)
    for shard, row in enumerate(crossed):
        uses[shard, list(row)] = list(row.values())
    loads = np.stack(
        [flits[:, shards["layer"] == n] @ uses[shards["layer"] == n] for n in range(1, layers + 1)], axis=1
    )  # fmt: skip
    return Traffic(np.array(copies, np.int64), flits, tuple(index), loads, farthest)


# ---- one evaluation


@dataclass(frozen=True)
class _Cost:
    time_s: float
    energy_j: float
    power_w: float
    cycles: F64
    transit_s: F64
    wait_s: F64
    layer_s: F64
    busy_s: F64
    critical: I64
    parts: dict[str, float]


def _once(ledger: Ledger, chip: ChipSpec, table: CostTable, traffic: Traffic) -> _Cost:
    shards, layers, pes = ledger.table, len(ledger.layers), len(ledger.pes)
    cycles = np.stack(
        [
            _product_cycles(ledger, table, chip, "input"),
            _product_cycles(ledger, table, chip, "recurrent"),
            np.broadcast_to(_pointwise_cycles(ledger, table), traffic.flits.shape),
            _message_cycles(table, chip, traffic),
        ],
        axis=2,
    )
    total = cycles.sum(axis=2) / chip.pe_clock_hz  # seconds, (positions, shards)
    busiest = traffic.loads.max(axis=2, initial=0)
    transit = (busiest + traffic.farthest * chip.hop_cycles) / chip.noc_clock_hz
    wait = np.zeros((ledger.positions, layers))
    if table.settings["dram"] == "waited":
        wait[:, 0] = _dram_bytes(ledger, table) / chip.dram_sustained_bytes_per_s
    layer_s = np.zeros((ledger.positions, layers))
    critical = np.zeros((ledger.positions, layers), np.int64)
    by_pe = np.zeros((ledger.positions, layers, pes))
    for n in range(layers):
        mine = np.flatnonzero(shards["layer"] == n + 1)
        by_pe[:, n, shards["pe"][mine]] = total[:, mine]
        critical[:, n] = mine[np.argmax(total[:, mine], axis=1)]
        layer_s[:, n] = total[:, mine].max(axis=1) + transit[:, n] + wait[:, n]
    time_s = _scheduled(table.settings["schedule"], by_pe, transit, wait, layer_s)
    busy_s = by_pe.sum(axis=(0, 1))
    active_w = chip.pe_active_w
    parts = {
        "floor": chip.power_off_w * time_s,
        "sleep": chip.pe_sleep_w * table["powered_pes"] * time_s,
        "compute": active_w * float(busy_s.sum()),
        "wait": active_w * table["waiting_power_share"] * (pes * time_s - float(busy_s.sum())),
    }
    energy = sum(parts.values())
    return _Cost(time_s, energy, energy / time_s if time_s else 0.0, cycles, transit, wait, layer_s, busy_s, critical, parts)


def _scheduled(schedule: str, by_pe: F64, transit: F64, wait: F64, layer_s: F64) -> float:
    """Return the run's duration: layers one after another, or side by side on successive positions."""
    if schedule == "sequential" or not len(layer_s):
        return float(layer_s.sum())
    positions, layers, pes = by_pe.shape
    busy, moving = np.zeros((positions + layers - 1, pes)), np.zeros(positions + layers - 1)
    for n in range(layers):
        busy[n : n + positions] += by_pe[:, n]
        moving[n : n + positions] = np.maximum(moving[n : n + positions], transit[:, n] + wait[:, n])
    return float((busy.max(axis=1) + moving).sum())


def _product_cycles(ledger: Ledger, table: CostTable, chip: ChipSpec, port: str) -> F64:
    """Return the cycles of weights times events through one port, (positions, shards), wait states included."""
    refill, stall = table["branch_refill_cycles"], float(chip.sram_wait_states)
    visited, macs = ledger.of(f"visited_{port}").astype(np.float64), ledger.of(f"macs_{port}").astype(np.float64)
    rows = ledger.lanes * ledger.table[f"rows_{port}"]
    if ledger.format == "csr":
        loads = stall * table["csr_weight_loads"] * visited
        if table.settings["zero_skip"] == "yes":
            tested = (table["csr_test_active_cycles"] + refill) * macs + (table["csr_test_silent_cycles"] + refill) * (
                visited - macs
            )
            return tested + table["csr_row_cycles"] * rows + loads
        return (table["csr_weight_cycles"] + refill) * visited + table["csr_row_cycles"] * rows + loads
    if ledger.format == "dense" and table.settings["dense_loop"] == "dot":
        stored = rows * ledger.table[f"width_{port}"]
        once = (table["dense_weight_cycles"] + refill + stall * table["dense_weight_loads"]) * stored + table[
            "dense_row_cycles"
        ] * rows
        return np.broadcast_to(once.astype(np.float64), visited.shape)
    kind = "dense_event" if ledger.format == "dense" else "packed"
    each = table[f"{kind}_weight_cycles"] + refill + stall * table["event_weight_loads"]
    return each * visited + table[f"{kind}_event_cycles"] * events_heard(ledger, port)


def events_heard(ledger: Ledger, port: str) -> I64:
    """Return how many events each shard took in through a port for each position's step, (positions, shards).

    Through `input` those of the layer before at the same position; through `recurrent` its own layer's one before.
    """
    events, layer = ledger.of("events").astype(np.int64), ledger.table["layer"]
    sums = np.stack([ledger.input_events, *(events[:, layer == n].sum(axis=1) for n in range(1, len(ledger.layers) + 1))], axis=1)
    if port == "input":
        return np.asarray(sums[:, layer - 1], np.int64)
    before = np.concatenate([np.zeros((min(1, len(sums)), sums.shape[1]), np.int64), sums[:-1]])
    return np.asarray(before[:, layer], np.int64)


def _pointwise_cycles(ledger: Ledger, table: CostTable) -> F64:
    units = ledger.lanes * ledger.table["units"]
    if table.settings["exponential"] == "unit":
        each = table["unit_hard_cycles"] + table["exp_unit_calls"] * table["exp_unit_cycles"]
    else:
        each = table["unit_soft_cycles"] + table["unit_soft_branches"] * table["branch_refill_cycles"]
    return np.asarray(units * each, np.float64)


def _message_cycles(table: CostTable, chip: ChipSpec, traffic: Traffic) -> F64:
    """Return the sender's cycles for its messages of a position, (positions, shards)."""
    flits = traffic.flits.astype(np.float64)
    if table.settings["messages"] == "dma":
        in_noc = flits + table["dma_wait_noc_cycles"]
        return (chip.dma_setup_cycles + in_noc * (chip.pe_clock_hz / chip.noc_clock_hz)) * traffic.copies
    written = table["packet_setup_cycles"] + table["packet_cycles"] * flits
    return written if table.settings["messages"] == "multicast" else written * traffic.copies


def _dram_bytes(ledger: Ledger, table: CostTable) -> int:
    """Return what is read from DRAM for one position: every PE of the first layer fetches the whole input vector."""
    readers = len(set(ledger.table["pe"][ledger.table["layer"] == 1].tolist()))
    return readers * ledger.lanes * ledger.input_units * int(table["value_bytes"])


# ---- what is told


def _stages(ledger: Ledger, cost: _Cost) -> dict[str, dict[str, float]]:
    positions = np.arange(ledger.positions)[:, None]
    on_critical = cost.cycles[positions, cost.critical]  # (positions, layers, stages)
    # Seconds a cycle from the layer's own time, so that the parts add up to the whole.
    clocked = cost.layer_s - cost.transit_s - cost.wait_s
    sums = on_critical.sum(axis=2)
    scale = np.divide(clocked, sums, out=np.zeros_like(clocked), where=sums > 0)
    seconds = (on_critical * scale[:, :, None]).sum(axis=0)
    return {
        name: {
            **{stage: float(seconds[n, i]) for i, stage in enumerate(STAGES[:3])},
            "broadcast": float(seconds[n, 3] + cost.transit_s[:, n].sum()),
            "wait": float(cost.wait_s[:, n].sum()),
        }
        for n, name in enumerate(ledger.layers)
    }


def _work(ledger: Ledger, chip: ChipSpec, table: CostTable, traffic: Traffic) -> dict[str, int]:
    """Return exact totals over the run: arithmetic, copies, flits, bytes."""
    shards, positions = ledger.table, ledger.positions
    sent = traffic.flits.sum(axis=1) if table.settings["messages"] == "multicast" else (traffic.flits * traffic.copies).sum(axis=1)
    units = int(shards["units"].sum()) * ledger.lanes * positions
    return {
        "macs": int(ledger.of("macs_input").sum(dtype=np.int64) + ledger.of("macs_recurrent").sum(dtype=np.int64)),
        "weights_visited": int(ledger.of("visited_input").sum(dtype=np.int64) + ledger.of("visited_recurrent").sum(dtype=np.int64)),
        "rows": int((shards["rows_input"] + shards["rows_recurrent"]).sum()) * ledger.lanes * positions,
        "units": units,
        "exponentials": 3 * units,
        "events": int(ledger.of("events").sum(dtype=np.int64)),
        "event_copies": int((ledger.of("events").astype(np.int64) * traffic.copies).sum()),
        "flits_sent": int(sent.sum()),
        "link_flits": int(traffic.loads.sum()),
        "busiest_link_flits": int(traffic.loads.sum(axis=(0, 1)).max(initial=0)),
        "message_bytes": int(sent.sum()) * (chip.payload_bits // 8),
        "dram_read_bytes": _dram_bytes(ledger, table) * positions,
    }
