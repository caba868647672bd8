"""`launch.py fit`: the mapping and the SRAM table of a checkpoint, without starting a process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from host.job import chip_of, model_of
from host.options import LmOptions
from host.place import PlacedPe, Placement, largest_batch, place
from models import formats
from models.seeded import seeded_egru
from pe.sram import footprint

_ROLES = ("program", "debug", "weights", "variables", "spill", "free")
# Table I of the paper, in the KB it prints; where they mean KiB is not stated.
_PAPER_KB = {"program": 17.9, "debug": 5.0, "weights": 88.3, "variables": 2.6}


def fit(flags: dict[str, Any]) -> int:
    """Print the table; HostError and the like for what does not fit."""
    every, file = flags.pop("all"), flags.pop("file")
    flags["checkpoint"] = flags["checkpoint"] or file
    options = LmOptions(**flags)
    options.check()
    model, title = model_of(options)
    network = model.network if model else seeded_egru()
    placement = place(network, chip_of(options), options.mapping, options.format, options.pes, options.batch)
    print(f"{title}: {network.nonzeros:,} weights")
    most = largest_batch(network, replace(placement.request, pes=len(placement.pes)), options.mapping)
    held = f"batch {options.batch} (the largest that fits here: {most})"
    print(f"{len(placement.pes)} PEs, mapping {options.mapping}, format {options.format}, {held}\n")
    rows = placement.pes if every else [_fullest(placement, layer) for layer in network.layers]
    print(f"{'PE':<14} {'layer':<18} {'units':>6} " + " ".join(f"{role:>9}" for role in _ROLES) + "   bytes")
    for placed in rows:
        used = footprint(placed.regions, placement.request.size)
        names = "+".join(network.populations[part.population].name for part in placed.share)
        units = sum(len(part.units) for part in placed.share)
        print(f"{placed.name:<14} {names:<18} {units:>6} " + " ".join(f"{used[role]:>9,}" for role in _ROLES))
    if not every:
        print("the fullest PE of each layer; --all lists every PE")
    print(f"\n{_formats_table(options, placement)}")
    if model is None and options.format == "csr":
        paper = ", ".join(f"{role} {kb} KB" for role, kb in _PAPER_KB.items())
        print(f"\nthe paper's Table I: {paper} (fullest PE, csr, 150 PEs)")
    print("spill: variables behind the program in its bank; free: of the three data banks")
    return 0


def _fullest(placement: Placement, layer: int) -> PlacedPe:
    mine = [placed for placed in placement.pes if any(part.population == layer for part in placed.share)]
    return min(mine, key=lambda placed: footprint(placed.regions, placement.request.size)["free"])


def _formats_table(options: LmOptions, placement: Placement) -> str:
    """Return weight bytes of the fullest PE and the fewest PEs, for each format, under the mapping asked for."""
    lines = [f"{'format':<8} {'weights, fullest PE':>20} {'free':>9} {'PEs if balanced':>16}"]
    for name in formats.names():
        cells = []
        for mapping, pes in ((options.mapping, len(placement.pes)), ("balanced", None)):
            try:
                other = place(placement.network, placement.chip, mapping, name, pes, options.batch)
                cells.append((f"{other.worst()['weights']:,} B", f"{other.worst()['free']:,} B", str(len(other.pes))))
            except ValueError:
                cells.append(("does not fit", "", "does not fit"))
        lines.append(f"{name:<8} {cells[0][0]:>20} {cells[0][1]:>9} {cells[1][2]:>16}")
    return "\n".join(lines)
