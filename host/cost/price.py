"""What a run costs on the modelled chip: from a ledger to seconds and joules.

`price` is one pure function of (ledger, chip, cost table), in four passes: what is moved (`moves.py`), the cycles of each shard
(`cycles.py`), time (`schedule.py`), and energy (below). Bands come from the low and high values of uncertain constants. Nothing
is fitted to the paper's Tables II and III.

It leaves out SRAM bank conflicts, DRAM latency and refresh, contention beyond the busiest link, the energy of a hop, of DRAM
and of the host, which are inside or outside of the measured power states as published; and the host's own work (embedding
look-up, decoder, softmax, the gesture head), which the paper does not place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from host.cost.cost_table import CLOCK_FACTS, SCHEDULED, CostTable, apply_settings, load_table
from host.cost.cycles import LINKS, SEND, TRANSFERS, WAIT, shard_cycles, stages_of
from host.cost.ledger import NIBBLES, Ledger, Part, RunLedger
from host.cost.link_cost import idle_w, link_cost, link_use, links_block
from host.cost.link_traffic import LinkLoads, LinkTraffic, machine_for
from host.cost.moves import Moves, moves_of
from host.cost.noc_traffic import MeshLoads, NocTraffic
from host.cost.operations import count_operations, total_operations
from host.cost.placement_waits import PlacementWaits
from host.cost.schedule import margin_of, schedule
from host.cost.schedule_record import Schedule
from host.cost.scheduled import ARRAY, DRAM, array_w, is_scheduled
from host.cost.twins import twin
from host.cost.uncertain import chip_at
from host.errors import HostError, need_file
from models.network import F64, I64
from noc.chip import PES_PER_QPE, QPES, ChipSpec, load_chip


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A run's cost: times in s, energy in J, power in W; bands are (low, high).

    `stages` names them in order. `stages_s` maps each layer's name to seconds by stage, on the layer's critical PE; they add up to
    `time_s` where the schedule is sequential and no layer runs beside another; `LINKS` is among them where the machine has
    several chips. `path_s` has the seconds of each layer that lie on the longest path of its positions. `busy_s` (PEs,) is how
    long each PE computes. `work` are exact integers over the run, `pe_work` (PEs,) the same by PE; `mesh` and `link_loads` what
    was on each link of a mesh, and between chips. `links` is what a report says of the latter, None where nothing crosses any.
    """

    time_s: float
    time_band_s: tuple[float, float]
    power_w: float
    power_band_w: tuple[float, float]
    energy_j: float
    energy_band_j: tuple[float, float]
    energy_parts_j: Mapping[str, float]
    stages: tuple[str, ...]
    stages_s: Mapping[str, Mapping[str, float]]
    path_s: Mapping[str, float]
    busy_s: F64 = field(repr=False)
    work: Mapping[str, int]
    pe_work: Mapping[str, I64] = field(repr=False)
    assumed: tuple[str, ...]
    settings: Mapping[str, Any]
    mesh: MeshLoads = field(repr=False)
    links: Mapping[str, Any] | None
    link_loads: LinkLoads = field(repr=False)

    @property
    def computation_s(self) -> float:
        """Seconds of the run in which layers compute, each on its critical PE."""
        return sum(stages[name] for stages in self.stages_s.values() for name in self.stages[:-2] if name != TRANSFERS)

    @property
    def communication_s(self) -> float:
        """Seconds in which layers send, and messages are under way on meshes and over links."""
        return sum(stages.get(name, 0.0) for stages in self.stages_s.values() for name in (TRANSFERS, SEND, LINKS))


@dataclass(frozen=True, kw_only=True)
class PricedPositions(Priced, Schedule):
    """The same of positions in memory, with what each of them costs.

    `shard_cycles` (positions, turns, stages but the last) is what each shard did (`host/cost/timeline.py` says when).
    """

    shard_cycles: F64 = field(repr=False)
    traffic: NocTraffic = field(repr=False)
    link_traffic: LinkTraffic = field(repr=False)


class Totals(NamedTuple):
    """What a run costs in all."""

    time_s: float
    power_w: float
    energy_j: float


class Terms(NamedTuple):
    """A chip and prices. `of_power`: they differ from those of the price itself in constants of power alone, which move no time."""

    chip: ChipSpec
    table: CostTable
    of_power: bool = False


class _Evaluation(NamedTuple):
    """The passes after the moves, over a part's own positions, at one set of constants."""

    cycles: F64
    times: Schedule


class Pricing:
    """The price of a run, part by part: `add` each in order, then `priced`, as often as is asked for.

    What is kept are sums over positions, so that nothing grows with them.
    """

    def __init__(
        self, run: RunLedger, chip: ChipSpec, table: CostTable, *,
        bands: bool = True, others: Sequence[Terms] = (), alive: Callable[[], None] = lambda: None,
        on_positions: Callable[[F64], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """Begin; without `bands` they are left out; `others` are priced, too (`totals_of_others`); `alive` is called
        several times a part, `on_positions` with how long its own positions last.

        HostError, in one line, where the chip lacks a PE of the ledger or nothing prices its weight format.
        """
        _check(run, chip, table)
        self._run, self._chip, self._table, self._machine = run, chip, table, machine_for(run, chip)
        self._waits = PlacementWaits(run, self._machine, table)
        self._evaluated = [(chip, table)]  # a time each
        self._terms = [(chip, table, 0)]  # with the number of the time
        # Time and energy rise with every constant, so their extremes lie where all are low or all are high. Mean power need not:
        # a slower PE spends more of its time computing; so the constants of power alone also go against the others.
        for end in ("low", "value", "high") if bands else ():
            on_chip = chip_at(chip, end)
            number = 0 if end == "value" else self._evaluate_too(on_chip, table.at(time=end, power="value"))
            self._terms += [(on_chip, table.at(time=end, power=power), number) for power in ("low", "high")]
        self._in_band = len(self._terms)
        for one in others:
            self._terms.append((one.chip, one.table, 0 if one.of_power else self._evaluate_too(one.chip, one.table)))
        self._time_s = [0.0] * len(self._evaluated)
        self._busy_s = [np.zeros(len(run.pes)) for _ in self._evaluated]
        self._array_s = [np.zeros(len(run.pes)) for _ in self._evaluated] if is_scheduled(run) else None
        self._dram_bytes = 0
        self._alive, self._on_positions = alive, on_positions
        self._stages_s: dict[str, dict[str, float]] = {}
        self._path_s = dict.fromkeys(run.layer_names, 0.0)
        self._work: dict[str, I64] = {}
        self._mesh: MeshLoads | None = None
        self._link_loads: LinkLoads | None = None

    def _evaluate_too(self, chip: ChipSpec, table: CostTable) -> int:
        self._evaluated.append((chip, table))
        return len(self._evaluated) - 1

    @property
    def margin(self) -> int:
        """How many positions on either side of a part its price needs."""
        return margin_of(self._run, self._table)

    def add(self, part: Part) -> tuple[_Evaluation, Moves]:
        """Add what a part's own positions cost; MachineError where the chip's broken links leave no route."""
        run, chip = self._run, self._chip
        moves = moves_of(part.ledger, chip, self._table, self._waits)
        own, own_moves = part.own_ledger, moves
        if own is not part.ledger:
            own_moves = moves_of(own, chip, self._table, self._waits)
        middle = None
        for n, (on_chip, table) in enumerate(self._evaluated):  # one after another: their arrays are large
            one = _evaluate(part, moves, on_chip, table)
            self._time_s[n] += one.times.time_s
            self._busy_s[n] += one.times.busy_s
            if self._array_s is not None and one.times.array_s is not None:
                self._array_s[n] += one.times.array_s
                self._dram_bytes += one.times.dram_bytes * (n == 0)
            self._alive()
            middle = middle or one
        assert middle is not None
        self._on_positions(middle.times.position_s)
        for layer, stages in _stages_s(run, middle).items():
            sums = self._stages_s.setdefault(layer, dict.fromkeys(stages, 0.0))
            for stage, seconds in stages.items():
                sums[stage] += seconds
        for layer, seconds in _path_s(run, middle.times).items():
            self._path_s[layer] += seconds
        for name, values in count_operations(own, own_moves).items():
            self._work[name] = self._work.get(name, np.zeros_like(values)) + values
        mesh, loads = own_moves.noc.mesh_loads(), own_moves.links.loads()
        self._mesh = self._mesh.plus(mesh) if self._mesh else mesh
        self._link_loads = self._link_loads.plus(loads) if self._link_loads else loads
        return middle, own_moves

    def copy(self) -> Pricing:
        """Return the same sums, to which others can be added."""
        other = copy(self)
        other._time_s, other._busy_s = list(self._time_s), [busy_s.copy() for busy_s in self._busy_s]
        if self._array_s is not None:
            other._array_s = [array_s.copy() for array_s in self._array_s]
        other._stages_s = {layer: dict(stages) for layer, stages in self._stages_s.items()}
        other._work = dict(self._work)
        return other

    def priced(self) -> Priced:
        """Return what the parts so far cost together."""
        return Priced(**self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the fields of `Priced`."""
        run, chip, table, mesh, loads = self._run, self._chip, self._table, self._mesh, self._link_loads
        assert mesh is not None and loads is not None, "no part was added"
        totals = [self._totals(n) for n in range(self._in_band)]
        time_s, power_w, energy_j = totals[0]
        times, watts, joules = zip(*totals, strict=True)
        links = links_block(loads, link_use(loads, chip, table), chip, table, time_s)
        return {
            "time_s": time_s, "time_band_s": _band(times), "power_w": power_w, "power_band_w": _band(watts),
            "energy_j": energy_j, "energy_band_j": _band(joules), "energy_parts_j": self._energy_parts_j(0),
            "stages": stages_of(run), "stages_s": {layer: dict(stages) for layer, stages in self._stages_s.items()},
            "path_s": dict(self._path_s), "busy_s": self._busy_s[0].copy(),
            "work": total_operations(run, self._work, mesh), "pe_work": dict(self._work),
            "assumed": table.assumed(chip, facts_of(run, linked=links is not None)), "settings": table.described(chip),
            "mesh": mesh, "links": links, "link_loads": loads,
        }  # fmt: skip

    def totals_of_others(self) -> list[Totals]:
        """Return what the parts so far cost in all at each of `others`."""
        return [self._totals(n) for n in range(self._in_band, len(self._terms))]

    def _totals(self, n: int) -> Totals:
        time_s, energy_j = self._time_s[self._terms[n][2]], sum(self._energy_parts_j(n).values())
        return Totals(time_s, energy_j / time_s if time_s else 0.0, energy_j)

    def _energy_parts_j(self, n: int) -> dict[str, float]:
        """Return the joules of all chips, the last pass: their measured power states, weighted by how long PEs compute and wait;
        and links between chips.
        """
        run, loads, (chip, table, number) = self._run, self._link_loads, self._terms[n]
        time_s, chips = self._time_s[number], len(self._machine.live)
        computing_s = float((self._busy_s[number] * run.multiplicity).sum())
        waiting_s = int(run.multiplicity.sum()) * time_s - computing_s
        if self._array_s is not None:
            return self._scheduled_j(n, time_s, computing_s, waiting_s)
        parts = {
            "floor": chips * chip.power_off_w * time_s,
            "sleep": chips * chip.pe_sleep_w * table["powered_pes"] * time_s,
            "compute": chip.pe_active_w * table["computing_power_ratio"] * computing_s,
            "wait": chip.pe_active_w * table["waiting_power_share"] * waiting_s,
        }
        if chips > 1 and loads is not None:
            parts[LINKS] = link_use(loads, chip, table).energy_j + idle_w(self._machine, table) * time_s
        return parts

    def _scheduled_j(self, n: int, time_s: float, computing_s: float, waiting_s: float) -> dict[str, float]:
        """Return the joules of a network that runs layer by layer: arrays draw their own, and workers that wait sleep."""
        chip, table, number = self._terms[n]
        assert self._array_s is not None
        array_s, chips = float((self._array_s[number] * self._run.multiplicity).sum()), len(self._machine.live)
        return {
            "floor": chips * chip.power_off_w * time_s,
            "sleep": chips * chip.pe_sleep_w * table["powered_pes"] * time_s,
            ARRAY: array_w(chip) * table["dnn_array_power_share"] * array_s,
            "compute": chip.pe_active_w * table["computing_power_ratio"] * max(computing_s - array_s, 0.0),
            "wait": chip.pe_active_w * table["dnn_waiting_power_share"] * waiting_s,
            DRAM: 1e-12 * table["dram_byte_pj"] * self._dram_bytes,
        }


def _band(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def price(
    run: RunLedger, chip: ChipSpec, table: CostTable, *, bands: bool = True, alive: Callable[[], None] = lambda: None,
    on_positions: Callable[[F64], object] = lambda _: None,
) -> Priced:  # fmt: skip
    """Return what a run costs on `chip` at the prices of `table`, read in parts, with bands over its uncertain constants; without
    `bands` each is its figure, in a third of the time.

    `alive` is called several times a part, for whoever must say that this goes on; `on_positions` takes seconds of positions, in
    order, some at a time: from when the first layer begins one, side by side until the next one enters.

    Raises HostError, in one line, where the chip lacks a PE of the ledger or nothing prices its weight format; MachineError
    where the chip's broken links leave no route.
    """
    pricing = Pricing(run, chip, table, bands=bands, alive=alive, on_positions=on_positions)
    for part in run.parts(pricing.margin):
        pricing.add(part)
    return pricing.priced()


def price_positions(
    ledger: Ledger, chip: ChipSpec, table: CostTable, *, before: int = 0, behind: int = 0, bands: bool = True
) -> PricedPositions:
    """Return the price of positions in memory, with what each of them costs; errors as of `price`.

    `before` and `behind`: so many of the first and the last are a margin (`Pricing.margin`) and not priced. Without `bands` the
    ends of uncertain constants are left out. It takes some 16 times as much memory as the ledger: for a part of a long run.
    """
    pricing = Pricing(ledger, chip, table, bands=bands)
    one, moves = pricing.add(Part(ledger, before, before, behind))
    fields = pricing.fields() | vars(one.times)
    return PricedPositions(**fields, shard_cycles=one.cycles, traffic=moves.noc, link_traffic=moves.links)


def _check(run: RunLedger, chip: ChipSpec, table: CostTable) -> None:
    """Raise HostError for a ledger that this chip or these prices cannot mean."""
    for pe in run.pes:
        if pe in chip.down_cores or pe.chip in chip.down_chips:
            raise HostError(f"traffic for {pe}: chip {chip.name} lacks it (down_cores or down_chips, or another chip)")
    twin("formats", run.format)
    for number in run.layers:
        twin("kernels", run.populations[number].kernel)
    powered, there = table["powered_pes"], len(QPES) * PES_PER_QPE  # PEs that are down draw power too, as far as is known
    used = int(np.bincount(run.chip_of).max())
    if not used <= powered <= there:
        raise HostError(f"powered_pes {powered:g}: needs {used} (PEs in use) to {there} (PEs of the chip)")


def _evaluate(part: Part, moves: Moves, chip: ChipSpec, table: CostTable) -> _Evaluation:
    cycles = shard_cycles(part.ledger, moves, chip, table)
    links = link_cost(moves.links, part.ledger.exchanges, chip, table)
    return _Evaluation(cycles[part.own], schedule(part, moves, cycles=cycles, links=links, chip=chip, table=table))


def facts_of(run: RunLedger, linked: bool) -> list[str]:
    """Return what a run has that constants may be in use for (`Constant.used_when`); `linked`: anything crosses links."""
    facts = [*run.twins]
    facts += ["weights=int8"] if (run.ports["weight_bytes"] == 1).any() else []
    facts += ["weights=int4"] if NIBBLES in run.ports else []
    facts += ["sums=added"] if run.ports["adds"].any() else []
    facts += ["traces"] if run.ports["trace"].any() else []
    facts += ["transfers"] if run.has_transfers else []
    facts += [SCHEDULED] if is_scheduled(run) else []
    return facts + (["links"] if linked else [])


def _stages_s(run: RunLedger, cost: _Evaluation) -> dict[str, dict[str, float]]:
    """Return the seconds of each stage of each layer over the positions, on its critical PE."""
    times, stages = cost.times, stages_of(run)
    population = run.exchanges.population[run.exchanges.layers]
    on_critical = cost.cycles[np.arange(len(cost.cycles))[:, None], times.critical]  # (positions, layers' exchanges, stages)
    # Seconds a cycle from the layer's own time, so that the parts add up to the whole.
    clocked_s = times.layer_s - times.transit_s - times.wait_s - times.links_s
    sums = on_critical.sum(axis=2)
    cycle_s = np.divide(clocked_s, sums, out=np.zeros_like(clocked_s), where=sums > 0)
    seconds = (on_critical * cycle_s[:, :, None]).sum(axis=0)
    rows = {}
    for number, name in zip(run.layers, run.layer_names, strict=True):
        of_layer = np.flatnonzero(population == number).tolist()
        own = seconds[of_layer].sum(axis=0)
        rows[name] = {stage: float(own[i]) for i, stage in enumerate(stages[:-1])}
        rows[name][SEND] += _sum_of(times.transit_s, of_layer)
        way_s = _sum_of(times.input_links_s, of_layer)
        rows[name][WAIT] = _sum_of(times.wait_s, of_layer) - way_s
        if run.chips > 1:
            rows[name][LINKS] = _sum_of(times.links_s + times.input_links_s, of_layer)
    return rows


def _path_s(run: RunLedger, times: Schedule) -> dict[str, float]:
    """Return the seconds of each layer that lie on the longest path of its positions."""
    population, on_path_s = run.exchanges.population[run.exchanges.layers], times.layer_s * times.on_path
    return {name: float(on_path_s[:, population == number].sum()) for number, name in zip(run.layers, run.layer_names, strict=True)}


def _sum_of(seconds: F64, exchanges: list[int]) -> float:
    return sum(float(seconds[:, n].sum()) for n in exchanges)


def price_at(run: RunLedger, settings: Iterable[str] = ()) -> Priced:
    """Return what a run costs on its own chip, with settings and errors as of `terms_of`."""
    return price(run, *terms_of(run, settings))


def terms_of(run: RunLedger, settings: Iterable[str] = ()) -> tuple[ChipSpec, CostTable]:
    """Return a run's own chip and the shipped prices, with `name=value` texts as of `launch.py price --set`; HostError or
    ChipError, one line, for what is unknown or contradicts itself.
    """
    table, clock, numbers = apply_settings(load_table(used=run.twins), settings)
    return chip_for(run, None, clock, numbers), table


def chip_for(run: RunLedger, other: str | None, clock: str | None, numbers: Mapping[str, float]) -> ChipSpec:
    """Return the chip to price for: the run's or the one asked for, at the clock asked for, with `numbers` on top."""
    recorded: Mapping[str, float] = run.chip["facts"]
    preset, file = clock or run.chip["preset"], None
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


def price_block(priced: Priced, run: RunLedger) -> dict[str, Any]:
    """Return the block `modelled` of a run's report: its price, and what a token of one sequence costs."""
    steps = max(1, run.executions)
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
