"""The price of a run as it grows: sums over its parts, at a run's own constants, at the ends of their bands, and at others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.cycles import LINKS, shard_cycles, stages_of
from host.cost.ledger import Part, RunLedger
from host.cost.link_cost import idle_w, link_cost, link_use, links_block
from host.cost.link_traffic import LinkLoads, machine_for
from host.cost.moves import Moves, moves_of
from host.cost.noc_traffic import MeshLoads
from host.cost.operations import count_operations, total_operations
from host.cost.placement_waits import PlacementWaits
from host.cost.priced import Priced
from host.cost.schedule import margin_of, schedule
from host.cost.schedule_record import Schedule
from host.cost.scheduled import ARRAY, DRAM, array_w, is_scheduled
from host.cost.stage_seconds import path_s, stages_s
from host.cost.terms import Terms, facts_of
from host.cost.twins import twin
from host.cost.uncertain import chip_at
from host.errors import HostError
from models.network import F64, I64
from noc.chip import PES_PER_QPE, QPES, ChipSpec


class Totals(NamedTuple):
    """What a run costs in all."""

    time_s: float
    power_w: float
    energy_j: float


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
        for layer, stages in stages_s(run, middle.cycles, middle.times).items():
            sums = self._stages_s.setdefault(layer, dict.fromkeys(stages, 0.0))
            for stage, seconds in stages.items():
                sums[stage] += seconds
        for layer, seconds in path_s(run, middle.times).items():
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
