"""What a run costs on the modelled chip: from a ledger to seconds and joules.

`price` is one pure function of (ledger, chip, cost table), in four passes: what is moved (`moves.py`), the cycles of each shard
(`cycles.py`), time (`schedule.py`), and energy (below). Bands come from the low and high values of uncertain constants. Nothing
is fitted to the paper's Tables II and III.

It leaves out SRAM bank conflicts, DRAM latency and refresh, contention beyond the busiest link, the energy of a hop, of DRAM
and of the host, which are inside or outside of the measured power states as published; and the host's own work (embedding
look-up, decoder, softmax, the gesture head), which the paper does not place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from host.cost.cost_table import CLOCK_FACTS, CostTable, apply_settings, load_table
from host.cost.cycles import LINKS, SEND, TRANSFERS, WAIT, shard_cycles, stages_of
from host.cost.ledger import Ledger
from host.cost.link_cost import LinkCost, idle_w, link_cost, links_block
from host.cost.link_traffic import LinkTraffic
from host.cost.moves import Moves, moves_of
from host.cost.noc_traffic import NocTraffic
from host.cost.operations import count_operations
from host.cost.schedule import Schedule, schedule
from host.cost.twins import twin
from host.cost.uncertain import chip_at
from host.errors import HostError, need_file
from models.network import F64, I64
from noc.chip import PES_PER_QPE, QPES, ChipSpec, load_chip
from noc.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Priced(Schedule):
    """A run's cost: times in s, energy in J, power in W; bands are (low, high).

    `stages` names them in order. `stages_s` maps each layer's name to seconds by stage, on the layer's critical PE; they add up to
    `time_s` where the schedule is sequential and no layer runs beside another; `LINKS` is among them where the machine has
    several chips. `shard_cycles` (positions, turns, stages but the last) is what each shard did (`host/cost/timeline.py` says
    when). `work` are exact integers over the run, `pe_work` (PEs,) the same by PE. `links` is what a report says of the links
    between chips, None where nothing crosses any.
    """

    time_band_s: tuple[float, float]
    power_w: float
    power_band_w: tuple[float, float]
    energy_j: float
    energy_band_j: tuple[float, float]
    energy_parts_j: Mapping[str, float]
    stages: tuple[str, ...]
    stages_s: Mapping[str, Mapping[str, float]]
    work: Mapping[str, int]
    pe_work: Mapping[str, I64] = field(repr=False)
    assumed: tuple[str, ...]
    settings: Mapping[str, Any]
    shard_cycles: F64 = field(repr=False)
    traffic: NocTraffic = field(repr=False)
    links: Mapping[str, Any] | None
    link_traffic: LinkTraffic = field(repr=False)

    @property
    def computation_s(self) -> float:
        """Seconds of the run in which layers compute, each on its critical PE."""
        return sum(stages[name] for stages in self.stages_s.values() for name in self.stages[:-2] if name != TRANSFERS)

    @property
    def communication_s(self) -> float:
        """Seconds in which layers send, and messages are under way on meshes and over links."""
        return sum(stages.get(name, 0.0) for stages in self.stages_s.values() for name in (TRANSFERS, SEND, LINKS))


class Totals(NamedTuple):
    """What a run costs in all."""

    time_s: float
    power_w: float
    energy_j: float


class _Evaluation(NamedTuple):
    """The passes after the moves, at one set of constants."""

    cycles: F64
    links: LinkCost
    times: Schedule
    energy_parts_j: dict[str, float]
    totals: Totals


def price(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Priced:
    """Return what the run in `ledger` costs on `chip` at the prices of `table`, with bands over its uncertain constants.

    Raises HostError, in one line, where the chip lacks a PE of the ledger or nothing prices its weight format; MachineError
    where the chip's broken links leave no route.
    """
    _check(ledger, chip, table)
    moves = moves_of(ledger, chip, table)
    middle = _evaluate(ledger, moves, chip, table)
    totals = [middle.totals, *_corners(ledger, moves, middle.times, chip, table)]
    (time_s, power_w, energy_j), bands = totals[0], [(min(column), max(column)) for column in zip(*totals, strict=True)]
    work, pe_work = count_operations(ledger, moves)
    links = links_block(moves.links, middle.links, chip, table, time_s)
    return Priced(
        **vars(middle.times), time_band_s=bands[0],
        power_w=power_w, power_band_w=bands[1],
        energy_j=energy_j, energy_band_j=bands[2], energy_parts_j=middle.energy_parts_j,
        stages=stages_of(ledger), stages_s=_stages_s(ledger, middle), work=work, pe_work=pe_work, shard_cycles=middle.cycles,
        assumed=table.assumed(chip, facts_of(ledger, linked=links is not None)), settings=table.described(chip),
        traffic=moves.noc, links=links, link_traffic=moves.links,
    )  # fmt: skip


def _check(ledger: Ledger, chip: ChipSpec, table: CostTable) -> None:
    """Raise HostError for a ledger that this chip or these prices cannot mean."""
    for pe in ledger.pes:
        if pe in chip.down_cores or pe.chip in chip.down_chips:
            raise HostError(f"traffic for {pe}: chip {chip.name} lacks it (down_cores or down_chips, or another chip)")
    twin("formats", ledger.format)
    for number in ledger.layers:
        twin("kernels", ledger.populations[number].kernel)
    powered, there = table["powered_pes"], len(QPES) * PES_PER_QPE  # PEs that are down draw power too, as far as is known
    used = int(np.bincount(ledger.chip_of).max())
    if not used <= powered <= there:
        raise HostError(f"powered_pes {powered:g}: needs {used} (PEs in use) to {there} (PEs of the chip)")


def totals_of(ledger: Ledger, moves: Moves, chip: ChipSpec, table: CostTable) -> Totals:
    """Return what a run costs in all, whose moves are known already: `price` without its parts and bands."""
    return _evaluate(ledger, moves, chip, table).totals  # its arrays are large


def _corners(ledger: Ledger, moves: Moves, middle: Schedule, chip: ChipSpec, table: CostTable) -> Iterator[Totals]:
    """Yield what a run costs where uncertain constants lie at their ends; `middle` is its schedule where none does.

    Time and energy rise with every constant, so their extremes lie where all are low or all are high. Mean power need not: a
    slower PE spends more of its time computing; so the constants of power alone also go against the others.
    """
    for time in ("low", "value", "high"):
        on_chip, times = chip_at(chip, time), middle if time == "value" else None
        for power in ("low", "high"):
            corner = table.at(time=time, power=power)
            links = link_cost(moves.links, ledger.exchanges, on_chip, corner)
            if times is None:  # constants of power alone leave it as it is
                cycles = shard_cycles(ledger, moves, on_chip, corner)
                times = schedule(ledger, moves, cycles=cycles, links=links, chip=on_chip, table=corner)
            yield _totals(times, _energy_parts_j(ledger, moves.machine, times=times, links=links, chip=on_chip, table=corner))


def _totals(times: Schedule, energy_parts_j: Mapping[str, float]) -> Totals:
    energy_j = sum(energy_parts_j.values())
    return Totals(times.time_s, energy_j / times.time_s if times.time_s else 0.0, energy_j)


def _evaluate(ledger: Ledger, moves: Moves, chip: ChipSpec, table: CostTable) -> _Evaluation:
    cycles, links = shard_cycles(ledger, moves, chip, table), link_cost(moves.links, ledger.exchanges, chip, table)
    times = schedule(ledger, moves, cycles=cycles, links=links, chip=chip, table=table)
    parts = _energy_parts_j(ledger, moves.machine, times=times, links=links, chip=chip, table=table)
    return _Evaluation(cycles=cycles, links=links, times=times, energy_parts_j=parts, totals=_totals(times, parts))


def _energy_parts_j(
    ledger: Ledger, machine: Machine, times: Schedule, links: LinkCost, chip: ChipSpec, table: CostTable
) -> dict[str, float]:
    """Return the joules of all chips, the last pass: their measured power states, weighted by how long PEs compute and wait; and
    links between chips.
    """
    chips, computing_s = len(machine.live), float((times.busy_s * ledger.multiplicity).sum())
    waiting_s = int(ledger.multiplicity.sum()) * times.time_s - computing_s
    parts = {
        "floor": chips * chip.power_off_w * times.time_s,
        "sleep": chips * chip.pe_sleep_w * table["powered_pes"] * times.time_s,
        "compute": chip.pe_active_w * table["computing_power_ratio"] * computing_s,
        "wait": chip.pe_active_w * table["waiting_power_share"] * waiting_s,
    }
    if chips > 1:
        parts[LINKS] = links.energy_j + idle_w(machine, table) * times.time_s
    return parts


def facts_of(ledger: Ledger, linked: bool) -> list[str]:
    """Return what a run has that constants may be in use for (`Constant.used_when`); `linked`: anything crosses links."""
    facts = [*ledger.twins]
    facts += ["weights=int8"] if (ledger.ports["weight_bytes"] == 1).any() else []
    facts += ["sums=added"] if ledger.ports["adds"].any() else []
    facts += ["transfers"] if ledger.transfers.any() else []
    return facts + (["links"] if linked else [])


def _stages_s(ledger: Ledger, cost: _Evaluation) -> dict[str, dict[str, float]]:
    """Return the seconds of each stage of each layer over the run, on its critical PE."""
    times, stages = cost.times, stages_of(ledger)
    population = ledger.exchanges.population[ledger.exchanges.layers]
    on_critical = cost.cycles[np.arange(ledger.positions)[:, None], times.critical]  # (positions, layers' exchanges, stages)
    # Seconds a cycle from the layer's own time, so that the parts add up to the whole.
    clocked_s = times.layer_s - times.transit_s - times.wait_s - times.links_s
    sums = on_critical.sum(axis=2)
    cycle_s = np.divide(clocked_s, sums, out=np.zeros_like(clocked_s), where=sums > 0)
    seconds = (on_critical * cycle_s[:, :, None]).sum(axis=0)
    rows = {}
    for number, name in zip(ledger.layers, ledger.layer_names, strict=True):
        of_layer = np.flatnonzero(population == number).tolist()
        own = seconds[of_layer].sum(axis=0)
        rows[name] = {stage: float(own[i]) for i, stage in enumerate(stages[:-1])}
        rows[name][SEND] += _sum_of(times.transit_s, of_layer)
        way_s = _sum_of(times.input_links_s, of_layer)
        rows[name][WAIT] = _sum_of(times.wait_s, of_layer) - way_s
        if ledger.chips > 1:
            rows[name][LINKS] = _sum_of(times.links_s + times.input_links_s, of_layer)
    return rows


def _sum_of(seconds: F64, exchanges: list[int]) -> float:
    return sum(float(seconds[:, n].sum()) for n in exchanges)


def price_at(ledger: Ledger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip, with `name=value` texts as of `launch.py price --set`; HostError or ChipError, one
    line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = apply_settings(load_table(used=ledger.twins), settings)
    return price(ledger, chip_for(ledger, None, clock, numbers), table)


def chip_for(ledger: Ledger, other: str | None, clock: str | None, numbers: Mapping[str, float]) -> ChipSpec:
    """Return the chip to price for: the run's or the one asked for, at the clock asked for, with `numbers` on top."""
    recorded: Mapping[str, float] = ledger.chip["facts"]
    preset, file = clock or ledger.chip["preset"], None
    if other is not None:
        recorded = {}
        if Path(other).suffix == ".toml" or Path(other).exists():
            file = Path(other)
            need_file(file, f"--chip {other}")
        elif clock is None:
            preset = other
        else:
            raise HostError(f"--chip {other} and --set clock: choose one")
    if clock is not None:  # a clock that the run overrode gives way, with all that belongs to it
        recorded = {name: value for name, value in recorded.items() if name not in CLOCK_FACTS}
    return load_chip(preset, file, {**recorded, **numbers}, "run or --set")


def price_block(priced: Priced, ledger: Ledger) -> dict[str, Any]:
    """Return the block `modelled` of a run's report: its price, and what a token of one sequence costs."""
    steps = max(1, ledger.positions * ledger.lanes)
    staged_s = sum(sum(stages.values()) for stages in priced.stages_s.values())
    links_s = sum(stages.get(LINKS, 0.0) for stages in priced.stages_s.values())
    links = None if priced.links is None else {**priced.links, "time_share": links_s / staged_s if staged_s else 0.0}
    return {
        "time_s": priced.time_s, "time_band_s": list(priced.time_band_s), "time_per_token_s": priced.time_s / steps,
        "power_w": priced.power_w, "power_band_w": list(priced.power_band_w),
        "energy_j": priced.energy_j, "energy_band_j": list(priced.energy_band_j), "energy_per_token_j": priced.energy_j / steps,
        "energy_parts_j": dict(priced.energy_parts_j),
        "stages_s": {layer: dict(stages) for layer, stages in priced.stages_s.items()},
        "computation_per_token_s": priced.computation_s / steps, "communication_per_token_s": priced.communication_s / steps,
        "links": links, "work": dict(priced.work),
        "settings": dict(priced.settings), "assumed": list(priced.assumed),
    }  # fmt: skip
