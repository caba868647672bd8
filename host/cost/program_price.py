"""What a network costs that is scheduled layer by layer over the MAC arrays, without a run: from tilings to seconds and joules.

A layer is a barrier. Its tiles go over the workers in rounds; in a round each worker fetches its tile, sets the array up,
computes, and writes its output back. DRAM is one, for all: it takes the layer's bytes at its sustained rate. Without overlap
the parts add up; with double buffering all but the first round's fetch hides behind the array, or the array behind DRAM. Every
layer costs the scheduler its time, and the whole its start and end.

It leaves out SRAM bank conflicts, DRAM latency, contention on the mesh, and the re-ordering of the array's left operand by the
core, of which a step is logged somewhere and no time is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.cost.cost_table import CostTable
from host.cost.mac_array import conv2d_cycles, matmul_cycles, utilisation
from host.cost.operators import operator_cost
from host.cost.program_settings import ProgramSettings
from host.cost.uncertain import chip_at
from models.dnn.tiles import CONFIGURATION_WORDS, Conv2dTiling, CoreTiling, MatmulTiling, Tiling
from noc.chip import ChipSpec

FLIT_BYTES = 16
DRAM, ARRAY, CORE, MESH, SCHEDULING = "DRAM", "array", "core", "mesh", "scheduling"


@dataclass(frozen=True, kw_only=True)
class LayerTerms:
    """What every layer of a program is priced by: `workers` PEs beside the scheduler, on so many `chips` with one DRAM for all."""

    chip: ChipSpec
    table: CostTable
    settings: ProgramSettings
    workers: int
    chips: int = 1


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """A layer's cost: seconds of each part, of which some may lie behind others in `time_s`; cycles are those of the busiest PE."""

    time_s: float
    parts_s: Mapping[str, float]
    rounds: int
    pes: int
    array_cycles: int
    core_cycles: float
    dram_bytes: int
    busy_array_s: float
    busy_core_s: float
    utilisation: float

    @property
    def dram_share(self) -> float:
        """DRAM's share of the parts' seconds."""
        return self.parts_s[DRAM] / sum(self.parts_s.values()) if self.time_s else 0.0

    @property
    def bound_by(self) -> str:
        """The part that takes longest."""
        return max(self.parts_s, key=lambda part: self.parts_s[part])


@dataclass(frozen=True, kw_only=True)
class ProgramCost:
    """The cost of all layers, with bands from constants with a band (low, high)."""

    time_s: float
    energy_j: float
    energy_parts_j: Mapping[str, float]
    macs: int
    layers: Sequence[LayerCost]
    time_band_s: tuple[float, float]
    energy_band_j: tuple[float, float]

    @property
    def power_w(self) -> float:
        """Mean power."""
        return self.energy_j / self.time_s

    @property
    def tops_per_w(self) -> float:
        """Operations, two a multiply-accumulate, a joule, in units of 10^12."""
        return 2e-12 * self.macs / self.energy_j


def array_cycles(tiling: Tiling, ports: int) -> int:
    """Return the array's cycles for a tile; none for what the core does."""
    if isinstance(tiling, MatmulTiling):
        return matmul_cycles(tiling.rows, tiling.depth, tiling.columns, ports)
    if isinstance(tiling, CoreTiling):
        return 0
    one = tiling.work
    rows, columns = (
        (each - 1) * stride + 1 for each, stride in zip((tiling.rows, tiling.columns), one.strides, strict=True)
    )  # the array knows no stride: it makes the results between, too
    return conv2d_cycles(
        in_channels=tiling.in_channels, out_channels=tiling.channels, out_rows=rows, out_columns=columns, kernel=one.kernel,
        dense=max(one.dilations) == 1, ports=ports,
    )  # fmt: skip


def layer_cost(kind: str, tiling: Tiling, terms: LayerTerms) -> LayerCost:
    """Return what a layer costs that is cut so; HostError for an operator that has no price."""
    chip, table, settings, work = terms.chip, terms.table, terms.settings, tiling.work
    together = tiling.parts if settings.reduce == "worker" else 1  # parts that one worker does, one after another
    each = -(-tiling.tiles // together // terms.workers)
    rounds, pes = each * together, -(-tiling.tiles // together // each) if each else 0
    in_array = array_cycles(tiling, settings.ports) + (0 if isinstance(tiling, CoreTiling) else int(table["mla_setup_cycles"]))
    on_core = _core_cycles(kind, tiling, terms) / together
    handed_on, from_dram = _moved(tiling, settings)
    partial_bytes = 0 if together > 1 else 4 * tiling.results * (tiling.parts - 1)
    parts_s = {
        SCHEDULING: table["dnn_layer_s"] if tiling.tiles else 0.0,
        ARRAY: rounds * in_array / chip.pe_clock_hz,
        CORE: rounds * on_core / chip.pe_clock_hz,
        DRAM: from_dram / chip.dram_sustained_bytes_per_s,
        MESH: rounds
        * -(-(handed_on + partial_bytes) // FLIT_BYTES)
        * table["port_flit_cycles"]
        / chip.pe_clock_hz,  # through its port
    }
    moving_s, working_s = parts_s[DRAM] + parts_s[MESH], parts_s[ARRAY] + parts_s[CORE]
    if settings.overlap == "double" and rounds > 1:
        first_s = moving_s / rounds
        behind_s = first_s + max(moving_s - first_s, working_s)
    else:
        behind_s = moving_s + working_s
    cycles = rounds * in_array
    return LayerCost(
        time_s=parts_s[SCHEDULING] + behind_s, parts_s=parts_s, rounds=rounds, pes=pes, array_cycles=cycles,
        core_cycles=rounds * on_core, dram_bytes=from_dram, busy_array_s=tiling.tiles * in_array / chip.pe_clock_hz,
        busy_core_s=tiling.tiles * on_core / chip.pe_clock_hz, utilisation=utilisation(work.macs, cycles * max(pes, 1)),
    )  # fmt: skip


def program_cost(layers: Sequence[tuple[str, Tiling]], terms: LayerTerms) -> ProgramCost:
    """Return what a network costs whose layers, (kind, tiling) each, run one after another."""
    costs = [layer_cost(kind, tiling, terms) for kind, tiling in layers]
    time_s, parts_j = _totals(costs, terms)
    ends = [_at(layers, terms, time, power) for time in ("low", "high") for power in ("low", "high")]
    seconds, joules = [time_s, *(end[0] for end in ends)], [sum(parts_j.values()), *(end[1] for end in ends)]
    return ProgramCost(
        time_s=time_s, energy_j=sum(parts_j.values()), energy_parts_j=parts_j, layers=costs,
        macs=sum(tiling.work.macs for _, tiling in layers), time_band_s=(min(seconds), max(seconds)),
        energy_band_j=(min(joules), max(joules)),
    )  # fmt: skip


def _at(layers: Sequence[tuple[str, Tiling]], terms: LayerTerms, time: str, power: str) -> tuple[float, float]:
    """Return seconds and joules with all constants at one end of their bands, those of power alone maybe at another."""
    at = LayerTerms(
        chip=chip_at(terms.chip, time), table=terms.table.at(time, power), settings=terms.settings, workers=terms.workers
    )  # fmt: skip
    time_s, parts_j = _totals([layer_cost(kind, tiling, at) for kind, tiling in layers], at)
    return time_s, sum(parts_j.values())


def _totals(costs: Sequence[LayerCost], terms: LayerTerms) -> tuple[float, dict[str, float]]:
    chip, table = terms.chip, terms.table
    time_s = table["dnn_start_s"] + sum(cost.time_s for cost in costs) + table["dnn_end_s"]
    array_s, core_s = sum(cost.busy_array_s for cost in costs), sum(cost.busy_core_s for cost in costs)
    waiting_s = max(0.0, terms.workers * time_s - array_s - core_s)
    pe_array_w = _fact(chip, "mla_pj_per_mac") * 1e-12 * _fact(chip, "mla_ops_per_s") / 2 / _fact(chip, "pes")
    return time_s, {
        "floor": chip.power_off_w * time_s,
        "sleep": chip.pe_sleep_w * table["powered_pes"] * time_s,
        ARRAY: pe_array_w * table["dnn_array_power_share"] * array_s,
        CORE: chip.pe_active_w * table["computing_power_ratio"] * core_s,
        "wait": chip.pe_active_w * table["dnn_waiting_power_share"] * waiting_s,
        DRAM: 1e-12 * table["dram_byte_pj"] * sum(cost.dram_bytes for cost in costs),
    }


def _fact(chip: ChipSpec, name: str) -> float:
    return float(chip.facts[name].value or 0)


def _core_cycles(kind: str, tiling: Tiling, terms: LayerTerms) -> float:
    """Return the core's cycles beside a tile of the array, or of a tile of its own."""
    table = terms.table
    if isinstance(tiling, CoreTiling):
        return tiling.units * operator_cost(kind).unit_cycles(tiling.work, table, terms.settings)
    cycles = tiling.results * (tiling.parts - 1) * table["dnn_partial_cycles"]
    # The array scales by a shift, but what is added up on the core is scaled there.
    if tiling.work.multiplied or tiling.parts > 1:
        cycles += tiling.results * table["dnn_requantise_cycles"]
    return cycles


def _moved(tiling: Tiling, settings: ProgramSettings) -> tuple[int, int]:
    """Return bytes that a worker gets from other PEs in a round, and bytes between DRAM and all PEs in the layer."""
    work, (arriving, parameters), configuration = tiling.work, tiling.fetched, 4 * CONFIGURATION_WORDS
    handed_on, from_dram = 0, tiling.tiles * configuration
    for each, whole, stays in (
        (arriving, work.input_bytes, settings.keeps_activations),
        (parameters, work.parameter_bytes, settings.keeps_weights),
    ):
        if stays or settings.share == "once":
            handed_on += each
            from_dram += 0 if stays else min(whole, tiling.tiles * each)
        else:
            from_dram += tiling.tiles * each
    if not tiling.tiles:
        return 0, 0
    return handed_on, from_dram + (0 if settings.keeps_activations else work.output_bytes)


def is_array(tiling: Tiling) -> bool:
    """Tell whether the MAC array does it."""
    return isinstance(tiling, MatmulTiling | Conv2dTiling)
