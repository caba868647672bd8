"""What the summary says of a DNN's run: one table of its layers, then time, energy, accuracy, and the chip's own anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from host.show.quantities import format_band, format_quantity, format_share
from host.show.text_table import format_table

HEAD = (
    "layer", "operator", "shape", "tiles", "rounds", "PEs", "SRAM, B", "array cycles", "used", "core, ms", "DRAM, B", "DRAM, ms",
    "sched., ms", "total, ms", "bound by",
)  # fmt: skip
LEFT = (0, 1, 2, 14)
_NAME = 24
PUBLISHED_TOPS_W = 2.77


def layer_table(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row of texts for each layer, of all passes together."""
    rows: list[tuple[str, ...]] = []
    for one in layers:
        parts = one["parts_s"]
        name = one["layer"] if len(one["layer"]) <= _NAME else f"...{one['layer'][3 - _NAME :]}"
        rows.append((
            name, one["operator"], one["shape"], f"{one['tiles']:,}", f"{one['rounds']:,}", f"{one['pes']:,}",
            f"{one['sram_bytes']:,}", f"{one['array_cycles']:,}", format_share(one["utilisation"]) if one["array_cycles"] else "",
            _ms(parts["core"]), f"{one['dram_bytes']:,}", _ms(parts["DRAM"]), _ms(parts["scheduling"]), _ms(one["time_s"]),
            one["bound_by"],
        ))  # fmt: skip
    return rows


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - no table of ours
    """Return the lines."""
    result = report["result"]
    samples = result["samples"]
    if not samples:
        return ["samples      none came through"]
    lines = [f"samples      {samples:,} in {result['passes']:,} passes of {result['batch']}, on {result['workers']} workers"]
    if result["layers"]:
        rows = format_table([HEAD, *layer_table(result["layers"])], left=LEFT)
        lines += ["layers       of all passes", *(row.rstrip() for row in rows)]
    if (cost := report.get("modelled")) is not None:
        seconds, joules = ([end / samples for end in cost[name]] for name in ("time_band_s", "energy_band_j"))
        macs = sum(one["macs"] for one in result["layers"])
        tops = 2e-12 * macs / cost["energy_j"] if cost["energy_j"] else 0.0
        time, energy = format_band(cost["time_s"] / samples, seconds, "s"), format_band(cost["energy_j"] / samples, joules, "J")
        lines += [
            f"a sample     {time}, {energy}; {format_quantity(cost['power_w'], 'W')}",
            f"operations   {2 * macs / samples:,.0f} a sample, {tops:.4f} TOPS/W; the chip has {PUBLISHED_TOPS_W} from SRAM, with "
            "16 to 78 % of its array used",
        ]
    if (beside := result["float"]) is not None:
        right = "" if beside["accuracy"] is None else f", {beside['accuracy']:.1f} % right"
        lines.append(f"in float32   {beside['agree']:,} of {samples:,} samples alike{right}")
    over, cut = (sum(one[name] for one in result["layers"]) for name in ("overflowed", "saturated"))
    lines.append(f"int8         {over:,} sums beyond 24 bits, {cut:,} values beyond int8")
    dram = result["dram"]
    lines.append(f"DRAM image   {dram['program_bytes']:,} B of program and constants, {dram['pass_bytes']:,} B of tensors a pass")
    return lines


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"
