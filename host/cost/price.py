"""What a run costs on the modelled chip: from a ledger to seconds and joules.

`price` is one pure function of (ledger, chip, cost table): the ledger holds the counts and the placement. Work becomes
cycles by instruction-level constants (`costs.toml`), cycles become time on the critical PE of each layer, and power is
the chip's measured states weighted by how long PEs compute and wait. Prediction bands come from the low and high values
of the constants that are marked as uncertain. Nothing is fitted to the paper's Tables II and III.

Stages have the paper's names: `egru_input` (W x, and the upkeep of the trace that x may be), `egru_internal` (R y),
`pointwise`, `broadcast` (messages and their transit) and `wait` (for DRAM).

With several chips a layer's events also take `links`, until the last of them has arrived on the last chip: all chips wait
for that. The input waits in the host chip's DRAM and crosses links before the first layer begins; with `dram=prefetched`
it does so unseen.

What it does not know: SRAM bank conflicts, DRAM latency and refresh, contention beyond the busiest link, the energy of
a hop, of DRAM and of the host, which are inside or outside of the measured power states as published; and anything of
the host's own work (embedding look-up, decoder, softmax, the gesture head), which the paper does not place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from host.cost.cost_table import CostTable
from host.cost.ledger import I64, Ledger
from host.cost.link_cost import LinkCost, idle_w, link_cost, links_block
from host.cost.link_traffic import LinkTraffic, link_traffic, machine_for
from host.cost.noc_traffic import Traffic, events_heard, sends_vectors, traffic_of
from host.cost.operations import dram_bytes, work_of
from host.errors import HostError
from noc.chip import PES_PER_QPE, QPES, ChipSpec
from noc.machine import Machine

F64 = npt.NDArray[np.float64]
FORMATS = ("csr", "dense", "packed")
EVENT_CYCLES = {"dense": "dense_event_cycles", "packed": "packed_event_cycles"}
STAGES = ("egru_input", "egru_internal", "pointwise", "broadcast", "wait")
LINKS = "links"
"""One stage more, of a run on several chips."""


@dataclass(frozen=True)
class Priced:
    """A run's cost: times in s, energy in J, power in W; bands are (low, high).

    `stages_s` maps each layer's name to seconds by stage, on the layer's critical PE; they add up to `time_s` where the
    schedule is sequential; `LINKS` is among them where the machine has several chips. `began_s`, `wait_s`, `transit_s`,
    `links_s` and `layer_s` (positions, layers) say when a layer began a position, how long it waited for its input (DRAM, and
    the way to other chips), how long its messages were under way on meshes and then over links, and how long all that took;
    `shard_cycles` (positions, shards, stages but the last) what each shard did in it (`host/cost/timeline.py` puts them
    together), and `busy_s` (PEs,) how long each PE computed. `work` are exact integers over the run, `pe_work` (PEs,) the
    same by PE. `links` is what a report says of the links between chips, None where nothing crosses any.
    """

    time_s: float
    time_band_s: tuple[float, float]
    power_w: float
    power_band_w: tuple[float, float]
    energy_j: float
    energy_band_j: tuple[float, float]
    stages_s: Mapping[str, Mapping[str, float]]
    work: Mapping[str, int]
    pe_work: Mapping[str, I64] = field(repr=False)
    assumed: tuple[str, ...]
    settings: Mapping[str, Any]
    energy_parts_j: Mapping[str, float]
    began_s: F64 = field(repr=False)
    layer_s: F64 = field(repr=False)
    shard_cycles: F64 = field(repr=False)
    transit_s: F64 = field(repr=False)
    wait_s: F64 = field(repr=False)
    busy_s: F64 = field(repr=False)
    traffic: Traffic = field(repr=False)
    links_s: F64 = field(repr=False)
    links: Mapping[str, Any] | None = None
    link_traffic: LinkTraffic | None = field(default=None, repr=False)

    @property
    def computation_s(self) -> float:
        """Seconds of the run in which layers compute, each on its critical PE."""
        return sum(stages[name] for stages in self.stages_s.values() for name in STAGES[:3])

    @property
    def communication_s(self) -> float:
        """Seconds in which layers send, and messages are under way on meshes and over links."""
        return sum(stages.get(name, 0.0) for stages in self.stages_s.values() for name in ("broadcast", LINKS))


@dataclass(frozen=True)
class _Carried:
    """What a run moves, at any price of time: on meshes, over links, and out of DRAM, in bytes a position."""

    machine: Machine
    traffic: Traffic
    over_links: LinkTraffic
    dram_bytes: int


def price(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Priced:
    """Return what the run in `ledger` costs on `chip` at the prices of `table`, with bands over its uncertain constants.

    Raises HostError, in one line, where the chip lacks a PE of the ledger or nothing prices its weight format; MachineError
    where the chip's broken links leave no route.
    """
    _check(ledger, chip, table)
    machine = machine_for(ledger, chip)
    traffic, over_links = traffic_of(ledger, chip, table, machine), link_traffic(ledger, machine)
    carried = _Carried(machine, traffic, over_links, dram_bytes(ledger, table, machine))
    middle = _once(ledger, chip, table, carried)
    # Time and energy rise with every constant, so their extremes lie at the two ends. Mean power need not: a slower PE
    # spends more of its time computing; so power's own constants also go against the others.
    figures = [middle.figures]
    for ends in (("low", "low"), ("high", "high"), ("low", "high"), ("high", "low")):
        figures.append(_once(ledger, chip, table.at(*ends), carried).figures)  # its arrays are large, and not kept
    bands = [(min(column), max(column)) for column in zip(*figures, strict=True)]
    work, pe_work = work_of(ledger, chip, table, traffic, machine)
    links = links_block(over_links, middle.link_cost, chip, table, middle.time_s)
    return Priced(
        middle.time_s, bands[0], middle.power_w, bands[1], middle.energy_j, bands[2],
        _stages(ledger, middle), work, pe_work, table.assumed(chip, links is not None), table.described(chip),
        middle.parts, middle.began_s, middle.layer_s, middle.cycles, middle.transit_s, middle.wait_s, middle.busy_s, traffic,
        middle.link_cost.after_s, links, over_links,
    )  # fmt: skip


def _check(ledger: Ledger, chip: ChipSpec, table: CostTable) -> None:
    """Raise HostError for a ledger that this chip or these prices cannot mean."""
    for pe in ledger.pes:
        if pe in chip.down_cores or pe.chip in chip.down_chips:
            raise HostError(f"traffic for {pe}: chip {chip.name} lacks it (down_cores or down_chips, or another chip)")
    if ledger.format not in FORMATS:
        raise HostError(f"weight format {ledger.format!r}: has no prices; have {', '.join(FORMATS)}")
    powered, there = table["powered_pes"], len(QPES) * PES_PER_QPE  # PEs that are down draw power too, as far as is known
    used = int(np.bincount(ledger.chip_of).max())
    if not used <= powered <= there:
        raise HostError(f"powered_pes {powered:g}: needs {used} (PEs in use) to {there} (PEs of the chip)")


# ---- one evaluation


@dataclass(frozen=True)
class _Cost:
    time_s: float
    energy_j: float
    power_w: float
    cycles: F64
    transit_s: F64
    wait_s: F64
    began_s: F64
    layer_s: F64
    busy_s: F64
    critical: I64
    parts: dict[str, float]
    link_cost: LinkCost
    input_links_s: F64

    @property
    def figures(self) -> tuple[float, float, float]:
        """Seconds, watts, joules."""
        return self.time_s, self.power_w, self.energy_j


def _once(ledger: Ledger, chip: ChipSpec, table: CostTable, carried: _Carried) -> _Cost:
    shards, layers, pes, traffic = ledger.table, len(ledger.layers), len(ledger.pes), carried.traffic
    cycles = np.stack(
        [
            _product_cycles(ledger, table, chip, "input") + _trace_cycles(ledger, table, chip),
            _product_cycles(ledger, table, chip, "recurrent"),
            np.broadcast_to(_pointwise_cycles(ledger, table), traffic.flits.shape),
            _message_cycles(table, chip, traffic),
        ],
        axis=2,
    )
    total = cycles.sum(axis=2) / chip.pe_clock_hz  # seconds, (positions, shards)
    side_by_side, waited = table.settings["schedule"] == "pipelined", table.settings["dram"] == "waited"
    transit = (traffic.busiest(side_by_side, with_input=not waited) + traffic.farthest * chip.hop_cycles) / chip.noc_clock_hz
    over_links = link_cost(carried.over_links, chip, table)
    wait, input_links_s = np.zeros((ledger.positions, layers)), np.zeros(ledger.positions)
    if waited:
        input_links_s = over_links.input_s + (traffic.input_busiest + traffic.input_farthest * chip.hop_cycles) / chip.noc_clock_hz
        wait[:, 0] = carried.dram_bytes / chip.dram_sustained_bytes_per_s + input_links_s
    after = transit + over_links.after_s
    layer_s = np.zeros((ledger.positions, layers))
    critical = np.zeros((ledger.positions, layers), np.int64)
    by_pe = np.zeros((ledger.positions, layers, pes))
    for n in range(layers):
        mine = np.flatnonzero(shards["layer"] == n + 1)
        by_pe[:, n, shards["pe"][mine]] = total[:, mine]
        critical[:, n] = mine[np.argmax(total[:, mine], axis=1)]
        layer_s[:, n] = total[:, mine].max(axis=1) + after[:, n] + wait[:, n]
    runs = np.zeros((layers, pes), bool)
    runs[shards["layer"] - 1, shards["pe"]] = True
    began_s, time_s = _scheduled(table.settings["schedule"], by_pe, runs, wait, after, layer_s)
    busy_s = by_pe.sum(axis=(0, 1))
    chips, computing_s = len(carried.machine.live), float((busy_s * ledger.times).sum())
    parts = {
        "floor": chips * chip.power_off_w * time_s,
        "sleep": chips * chip.pe_sleep_w * table["powered_pes"] * time_s,
        "compute": chip.pe_active_w * computing_s,
        "wait": chip.pe_active_w * table["waiting_power_share"] * (int(ledger.times.sum()) * time_s - computing_s),
    }
    if chips > 1:
        parts[LINKS] = over_links.energy_j + idle_w(carried.machine, table) * time_s
    energy = sum(parts.values())
    return _Cost(
        time_s, energy, energy / time_s if time_s else 0.0, cycles, transit, wait, began_s, layer_s, busy_s, critical, parts,
        over_links, input_links_s,
    )  # fmt: skip


def _scheduled(schedule: str, by_pe: F64, runs: npt.NDArray[np.bool_], wait: F64, transit: F64, layer_s: F64) -> tuple[F64, float]:
    """Return when each layer begins each position, (positions, layers), and the run's duration, in seconds.

    Args:
        schedule: one after another (each layer begins when the one before has been heard), or pipelined: in a tick layer
            l works on position t - l, and the tick lasts as long as its slowest PE, with what that waits for.
        by_pe: (positions, layers, PEs) seconds that PEs compute.
        runs: (layers, PEs) which PE has units of which layer.
        wait: (positions, layers) seconds before computing, for DRAM.
        transit: (positions, layers) seconds after it, until messages have arrived, on all chips.
        layer_s: (positions, layers) seconds of a layer by itself.

    """
    if schedule == "sequential" or not len(layer_s):
        ends = np.cumsum(layer_s.ravel())
        return (np.concatenate([[0.0], ends[:-1]]) if len(ends) else ends).reshape(layer_s.shape), float(layer_s.sum())
    positions, layers, pes = by_pe.shape
    ticks = positions + layers - 1
    busy, before, after = (np.zeros((ticks, pes)) for _ in range(3))
    for n in range(layers):
        now = slice(n, n + positions)
        busy[now] += by_pe[:, n]
        before[now] = np.maximum(before[now], wait[:, n, None] * runs[n])
        after[now] = np.maximum(after[now], transit[:, n, None] * runs[n])
    tick_s = (before + busy + after).max(axis=1)
    began = np.concatenate([[0.0], np.cumsum(tick_s)[:-1]])
    return np.stack([began[n : n + positions] for n in range(layers)], axis=1), float(tick_s.sum())


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
    found, elements = events_heard(ledger, port).astype(np.float64), ledger.lanes * ledger.table[f"width_{port}"]
    searched = np.full(visited.shape, sends_vectors(table))  # whoever is sent a vector has to look for the events in it
    if port == "input" and ledger.table["trace_input"].any():
        # Elements of a trace are looked through too. How many are not zero follows from the weights visited: exactly for
        # `dense`, for `packed` as if all columns had as many.
        traced = ledger.table["trace_input"] > 0
        stored = ledger.table["weights_input"] if kind == "packed" else ledger.table["rows_input"] * ledger.table["width_input"]
        found = np.where(traced, visited * ledger.table["width_input"] / np.maximum(stored, 1), found)
        searched |= traced
    each = table[f"{kind}_weight_cycles"] + refill + stall * table["event_weight_loads"]
    cycles = each * visited + table[EVENT_CYCLES[ledger.format]] * found
    return np.asarray(cycles + np.where(searched, table["event_silent_cycles"] * (elements - found), 0.0), np.float64)


def _trace_cycles(ledger: Ledger, table: CostTable, chip: ChipSpec) -> F64:
    """Return the cycles of the upkeep of the input's trace, (positions, shards): each PE keeps its own copy."""
    refill, stall = table["branch_refill_cycles"], float(chip.sram_wait_states)
    elements = ledger.table["trace_input"] * ledger.lanes * ledger.table["width_input"]
    if sends_vectors(table):
        each = table["trace_element_cycles"] + refill + stall * table["trace_element_loads"]
        return np.asarray(np.broadcast_to(each * elements, ledger.of("events").shape), np.float64)
    fading = table["trace_decay_cycles"] + refill + stall * table["trace_decay_loads"]
    each = table["trace_event_cycles"] + refill + stall * table["trace_event_loads"]
    return np.asarray(fading * elements + each * ledger.table["trace_input"] * events_heard(ledger, "input"), np.float64)


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
    elsewhere = table["packet_cycles"] * traffic.outgoing
    if table.settings["messages"] != "multicast":
        elsewhere = elsewhere + table["packet_setup_cycles"] * traffic.leaves
    if table.settings["messages"] == "dma":
        in_noc = flits + table["dma_wait_noc_cycles"]
        return (chip.dma_setup_cycles + in_noc * (chip.pe_clock_hz / chip.noc_clock_hz)) * traffic.sends + elsewhere
    return (table["packet_setup_cycles"] + table["packet_cycles"] * flits) * traffic.sends + elsewhere


# ---- what is told


def _stages(ledger: Ledger, cost: _Cost) -> dict[str, dict[str, float]]:
    positions = np.arange(ledger.positions)[:, None]
    on_critical = cost.cycles[positions, cost.critical]  # (positions, layers, stages)
    # Seconds a cycle from the layer's own time, so that the parts add up to the whole.
    clocked = cost.layer_s - cost.transit_s - cost.wait_s - cost.link_cost.after_s
    sums = on_critical.sum(axis=2)
    scale = np.divide(clocked, sums, out=np.zeros_like(clocked), where=sums > 0)
    seconds = (on_critical * scale[:, :, None]).sum(axis=0)
    over_links = cost.link_cost.after_s.copy()
    over_links[:, 0] += cost.input_links_s
    return {
        name: {
            **{stage: float(seconds[n, i]) for i, stage in enumerate(STAGES[:3])},
            "broadcast": float(seconds[n, 3] + cost.transit_s[:, n].sum()),
            "wait": float(cost.wait_s[:, n].sum() - (cost.input_links_s.sum() if n == 0 else 0.0)),
            **({LINKS: float(over_links[:, n].sum())} if ledger.chips > 1 else {}),
        }
        for n, name in enumerate(ledger.layers)
    }
