"""What `fit` and `price` show of a network that is scheduled layer by layer: its tiles and SRAM, and its time and energy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host.cost.cost_table import SCHEDULED, apply_settings, load_table
from host.cost.program_price import LayerTerms, ProgramCost, program_cost
from host.cost.program_settings import split_settings
from host.cost.uncertain import uncertain
from host.errors import need_file
from host.mapping.tiling import LayerWork, PlannedLayer, Program, plan_program, workers_of
from host.show.quantities import format_band, format_quantity
from host.show.text_table import format_table, wrap_words
from host.show.uncertainty import sentences_on_ends
from noc.chip import load_chip

_COLUMNS, _NAME = 100, 28
_PRODUCTS = ("matmul", "batch_matmul")


def terms_of(
    texts: Sequence[str],
    *,
    chip: str | None = None,
    chip_file: str | None = None,
    costs: Path | None = None,
    pes: int | None = None,
    chips: int | None = None,
) -> LayerTerms:
    """Return what a program is priced by, from `--set` texts and the other flags; HostError or ChipError, one line each."""
    settings, others = split_settings(texts)
    table, clock, numbers = apply_settings(load_table(costs, ()), others)
    preset = clock or chip or "spinnaker2"
    if chip_file:
        need_file(Path(chip_file), f"--chip-file {chip_file}")
    spec = load_chip(preset, Path(chip_file) if chip_file else None, numbers, "--set")
    count = chips or 1
    return LayerTerms(chip=spec, table=table, settings=settings, workers=workers_of(spec, pes, count), chips=count)


def show_fit(title: str, works: Sequence[LayerWork], terms: LayerTerms, *, as_json: bool) -> int:
    """Print the tiles of each layer; HostError, DOES_NOT_FIT, where one has none."""
    program = plan_program(works, terms)
    if as_json:
        print(json.dumps({"title": title, "settings": vars(terms.settings), **_record(program)}, indent=1, allow_nan=False))
        return 0
    print("\n".join([*_head(title, program), "", *_tile_table(program.layers)]))
    return 0


def show_price(title: str, works: Sequence[LayerWork], terms: LayerTerms, *, as_json: bool) -> int:
    """Print time and energy of each layer and of all; errors as of `show_fit`."""
    program = plan_program(works, terms)
    cost = program_cost(program.executed(), terms)
    if as_json:
        total = {
            "time_s": cost.time_s, "time_band_s": list(cost.time_band_s), "energy_j": cost.energy_j,
            "energy_band_j": list(cost.energy_band_j), "energy_parts_j": dict(cost.energy_parts_j), "macs": cost.macs,
            "assumed": _assumed(terms),
        }  # fmt: skip
        print(
            json.dumps({"title": title, "settings": vars(terms.settings), **total, **_record(program)}, indent=1, allow_nan=False)
        )
        return 0
    totals = [*_totals(cost), *_published(program.layers, cost), *_notes(terms)]
    lines = [*_head(title, program), "", *_price_table(program.layers), "", *totals]
    print("\n".join(lines))
    return 0


def _head(title: str, program: Program) -> list[str]:
    terms = program.terms
    macs = sum(one.layer.times * one.layer.work.macs for one in program.layers)
    where = f" on {terms.chips} chips" if terms.chips > 1 else ""
    fullest = max(program.layers, key=lambda one: one.sram_bytes)
    return [
        f"{title}: {sum(one.layer.times for one in program.layers)} layers, {macs:,} multiply-accumulates on the array",
        f"{terms.workers:,} workers and a scheduler{where} at {terms.chip.pe_clock_hz / 1e6:g} MHz; {terms.settings}",
        f"DRAM: {program.parameter_bytes:,} B of weights, {program.dram_bytes:,} B with tensors, of {terms.chip.dram_bytes:,} B",
        f"fits: the fullest tile takes {fullest.sram_bytes:,} B of a PE's SRAM ({fullest.layer.name})"
        + (f", {program.resident_bytes:,} B of which stay" if program.resident_bytes else ""),
    ]


def _tile_table(layers: Sequence[PlannedLayer]) -> list[str]:
    heads = ("layer", "operator", "shape", "tile", "parts", "tiles", "rounds", "PEs", "SRAM, B", "cycles", "used")
    rows: list[tuple[str, ...]] = [heads]
    for one in layers:
        cost = one.cost
        cycles = f"{cost.array_cycles:,}" if cost.array_cycles else ""
        rows.append((
            _name(one), one.layer.kind, str(one.layer.work), one.tiling.shape, str(one.tiling.parts), f"{one.tiling.tiles:,}",
            str(cost.rounds), str(cost.pes), f"{one.sram_bytes:,}", cycles, _used(one),
        ))  # fmt: skip
    note = "cycles: of the array on the busiest PE; used: of the multiply-accumulates of the PEs in use; parts: of the depth"
    return [*(line.rstrip() for line in format_table(rows, left=(0, 1, 2, 3))), *wrap_words(note, _COLUMNS)]


def _price_table(layers: Sequence[PlannedLayer]) -> list[str]:
    heads = ("layer", "operator", "PEs", "rounds", "array", "used", "core", "DRAM, B", "DRAM", "mesh", "all, ms", "bound by")
    rows: list[tuple[str, ...]] = [heads]
    for one in layers:
        parts, cost = one.cost.parts_s, one.cost
        ms = [f"{1e3 * parts[name]:.3f}" for name in ("array", "core", "DRAM", "mesh")]
        rows.append((
            _name(one), one.layer.kind, str(cost.pes), str(cost.rounds), ms[0], _used(one), ms[1], f"{cost.dram_bytes:,}", ms[2],
            ms[3], f"{1e3 * cost.time_s:.3f}", cost.bound_by,
        ))  # fmt: skip
    return [line.rstrip() for line in format_table(rows, left=(0, 1, 11))]


def _totals(cost: ProgramCost) -> list[str]:
    parts = ", ".join(f"{name} {format_quantity(joules, 'J')}" for name, joules in cost.energy_parts_j.items())
    return [
        f"time    {format_band(cost.time_s, cost.time_band_s, 's')}",
        f"energy  {format_band(cost.energy_j, cost.energy_band_j, 'J')}: {parts}",
        f"power   {format_quantity(cost.power_w, 'W')}; {cost.tops_per_w:.2f} TOPS/W; the chip has 2.77 from SRAM",
    ]


def _published(layers: Sequence[PlannedLayer], cost: ProgramCost) -> list[str]:
    """Return what is published of the chip's matrix products beside the same of these, if there are any."""
    costs = [one.cost for one in layers if one.layer.kind in _PRODUCTS and one.cost.array_cycles]
    if not costs:
        return []
    used, shares = ([100 * share for share in each] for each in zip(*((one.utilisation, one.dram_share) for one in costs),
                    strict=True))  # fmt: skip
    text = (
        f"published of matrix products: 78 % of the array used (here {min(used):.0f} to {max(used):.0f}), DRAM 72 to 98 % of the "
        f"time (here {min(shares):.0f} to {max(shares):.0f}), 0.58 to 0.80 W with DRAM at 150 MHz (here {cost.power_w:.2f})"
    )
    return wrap_words(text, _COLUMNS, indent=8)


def _notes(terms: LayerTerms) -> list[str]:
    lines = wrap_words(f"assumed {', '.join(_assumed(terms))}", _COLUMNS, indent=8)
    own = [one for one in uncertain(terms.table, terms.chip, [SCHEDULED]) if one.name in _constants(terms)]
    return [*lines, *(line for text in sentences_on_ends(own) for line in wrap_words(text, _COLUMNS, indent=8))]


def _constants(terms: LayerTerms) -> list[str]:
    """Return the names of the constants of a network that is scheduled layer by layer."""
    return [name for name, one in terms.table.constants.items() if SCHEDULED in one.used_when]


def _assumed(terms: LayerTerms) -> list[str]:
    names = [name for name in _constants(terms) if terms.table.constants[name].assumed]
    facts = [f"chip.{name}" for name in ("dram_sustained_bytes_per_s",) if terms.chip.facts[name].assumed]
    return [*names, *facts, f"mla_read_ports={terms.settings.mla_read_ports}"]


def _record(program: Program) -> dict[str, Any]:
    return {
        "workers": program.terms.workers, "parameter_bytes": program.parameter_bytes, "dram_bytes": program.dram_bytes,
        "resident_bytes": program.resident_bytes,
        "layers": [
            {
                "layer": one.layer.name, "operator": one.layer.kind, "shape": str(one.layer.work), "times": one.layer.times,
                "tile": one.tiling.shape, "parts": one.tiling.parts, "tiles": one.tiling.tiles, "rounds": one.cost.rounds,
                "pes": one.cost.pes, "sram_bytes": one.sram_bytes, "array_cycles": one.cost.array_cycles,
                "core_cycles": one.cost.core_cycles, "utilisation": one.cost.utilisation, "dram_bytes": one.cost.dram_bytes,
                "parts_s": dict(one.cost.parts_s), "time_s": one.cost.time_s, "bound_by": one.cost.bound_by,
            }
            for one in program.layers
        ],
    }  # fmt: skip


def _name(one: PlannedLayer) -> str:
    name = one.layer.name if len(one.layer.name) <= _NAME else f"...{one.layer.name[3 - _NAME :]}"
    return name if one.layer.times == 1 else f"{name} (x {one.layer.times})"


def _used(one: PlannedLayer) -> str:
    return f"{100 * one.cost.utilisation:.0f} %" if one.cost.array_cycles else ""
